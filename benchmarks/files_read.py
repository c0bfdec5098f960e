"""``python -m benchmarks.files_read [ROWS]``: files as others write them, in CPU time, by turns in one process.

CSV beside what ``pyarrow.csv`` takes to read it alone; Parquet as pandas and as Spark write it beside the layout that
``generate`` writes, read alone and to journeys; and what one refused row costs. Compiled code is loaded before
anything is measured.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from journeymesh.engines.memory import keep_decoded_memory

keep_decoded_memory()  # where the command does it: before anything loads Arrow
# ruff: noqa: E402
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.fleets.spec import FleetSpec
from journeymesh.fleets.writers import parquet_file
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.wiring import open_source, open_store

TURNS = 5
VEHICLES = 100
REFUSED = 20_000
MAPPING = """version: 1
collection: c
fields:
  vehicle: {path: vehicle}
  fixed_at: {path: fixed_at, clock: iso8601}
  lat: {path: lat_deg}
  lon: {path: lon_deg}
"""


def cpu_s() -> float:
    """User and system time of this process, to the nanosecond."""
    return time.process_time()


def fleet(rows: int) -> pa.Table:
    """Drives at 1 Hz, texts for the vehicle and the instant."""
    second = np.tile(np.arange(rows // VEHICLES), VEHICLES)
    at = np.datetime64("2024-05-06T00:00:00") + second.astype("timedelta64[s]")
    return pa.table(
        {
            "vehicle": [f"V{vehicle:04d}" for vehicle in np.repeat(np.arange(VEHICLES), rows // VEHICLES)],
            "fixed_at": [f"{text}Z" for text in at],
            "lat_deg": np.round(52 + second * 1e-5, 6),
            "lon_deg": np.round(5 + second * 1e-5, 6),
            "speed_mps": np.round(10 + np.sin(second), 2),
        }
    )


def read(place: Path, mapping: Path | None = None) -> int:
    """Every fix of a source, and nothing done with it."""
    return sum(len(batch.fixes) + len(batch.refusals) for batch in open_source(str(place), mapping).batches())


def journeys(place: Path) -> int:
    """From the file to journeys in a store in memory."""
    store = open_store("memory:")
    options = RunOptions(rules=ALWAYS_ON, policies=[], retention=Retention(timedelta(0)))
    return run(open_source(str(place)), store, options).counts["fixes"]


def measure(works: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Print how many rows a second and core each reads: the median of several turns. Returns seconds a row."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(TURNS + 1):
        for name, work in works.items():
            before = cpu_s()
            rows = work()
            if turn:
                spent[name].append((cpu_s() - before) / rows)
    found = {name: max(statistics.median(costs), 1e-9) for name, costs in spent.items()}
    for name, cost in found.items():
        print(f"{name:44} {cost * 1e6:8.3f} µs a row {1 / cost:14,.0f} rows/s/core", file=sys.stderr, flush=True)
    return found


def measured(rows: int) -> dict[str, float]:
    """Make the files, measure. Returns seconds of CPU a row by what was read."""
    table = fleet(rows)
    instants = table["fixed_at"].cast(pa.timestamp("us", tz="UTC"))
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as name:
        room = Path(name)
        (room / "m.yaml").write_text(MAPPING)
        pa_csv.write_csv(table, room / "f.csv", pa_csv.WriteOptions(quoting_style="none"))
        plain = table.set_column(1, "fixed_at", instants)
        with parquet_file(room / "generate.parquet", FleetSpec()) as write:
            write(Fixes.from_arrow(plain))
        pq.write_table(plain.set_column(0, "vehicle", table["vehicle"].dictionary_encode()), room / "own.parquet")
        pq.write_table(
            plain.set_column(1, "fixed_at", instants.cast(pa.timestamp("ns", tz="UTC"))), room / "pandas.parquet"
        )
        pq.write_table(plain, room / "spark.parquet", use_deprecated_int96_timestamps=True, row_group_size=1 << 17)
        alone = pa_csv.ReadOptions(use_threads=False)
        found = measure(
            {
                "pyarrow.csv alone": lambda: pa_csv.read_csv(room / "f.csv", alone).num_rows,
                "CSV read": lambda: read(room / "f.csv"),
                "CSV to journeys": lambda: journeys(room / "f.csv"),
                "Parquet: vehicles as a dictionary, µs": lambda: read(room / "own.parquet"),
                **{
                    f"Parquet {what}": lambda work=work, file=file: work(room / f"{file}.parquet")
                    for work, way in ((read, "read"), (journeys, "to journeys"))
                    for file, what in (
                        ("generate", f"as generate writes it, {way}"),
                        ("pandas", f"as pandas writes it, {way}"),
                        ("spark", f"as Spark writes it, {way}"),
                    )
                },
            }
        )
        for way in ("read", "to journeys"):
            own = found[f"Parquet as generate writes it, {way}"]
            for writer in ("pandas", "Spark"):
                ratio = own / found[f"Parquet as {writer} writes it, {way}"]
                print(f"{writer}'s Parquet, {way}: {ratio:.2f} of generate's", file=sys.stderr, flush=True)
        for columns in (6, 60, 179):
            more = {f"c{number}": "1" for number in range(columns - 4)}
            bad = [
                {"vehicle": "V1", "fixed_at": f"2024-05-06T08:{i // 60 % 60:02d}:{i % 60:02d}Z", "lat_deg": "-"}
                | {"lon_deg": str(i)} | more
                for i in range(REFUSED)
            ]  # fmt: skip
            lines = [",".join(bad[0]), *(",".join(row.values()) for row in bad)]
            (room / "bad.csv").write_text("\n".join(lines) + "\n")
            (room / "bad.ndjson").write_text("".join(json.dumps(row) + "\n" for row in bad))
            pq.write_table(pa.Table.from_pylist(bad), room / "bad.parquet")
            found |= measure(
                {
                    f"refused, {kind}, {columns} columns": lambda kind=kind: read(room / f"bad.{kind}", room / "m.yaml")
                    for kind in ("csv", "ndjson", "parquet")
                }
            )
    return found


if __name__ == "__main__":
    measured(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
