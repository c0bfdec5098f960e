"""Bodies of ``POST /v1/fixes`` that mean far more than they weigh, and what reading each takes.

``python -m tests.support.body_attacks`` reads each in this process and prints its name, the status that it is
refused with (200: it is taken) and the MiB that the process grew by beyond the body.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
ROWS = 200_000


def stream(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return sink.getvalue()


def columns(rows: int = ROWS, **instead: Any) -> pa.Table:
    return pa.table(
        {
            "vehicle": pa.array(["car-1"] * rows),
            "fixed_at": pa.array(np.full(rows, NOON.timestamp() * 1e6, np.int64)).cast(pa.timestamp("us", "UTC")),
            "lat_deg": np.full(rows, 51.5),
            "lon_deg": np.full(rows, -0.1),
            **instead,
        }
    )


def one_text(length: int, index: Any = np.int32) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(ROWS, index), pa.array(["x" * length]))


def growing_dictionary() -> bytes:
    """Record batches with a longer dictionary each, sent as the difference to the one before."""
    values = [f"{'x' * 60}{number}" for number in range(40_000)]
    batches = []
    for end in range(100, len(values), 100):
        vehicle = pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array(values[:end]))
        batches.append(pa.record_batch(columns(1, vehicle=vehicle).to_batches()[0]))
    return stream(pa.Table.from_batches(batches), emit_dictionary_deltas=True)


def honest_json() -> bytes:
    row = {"vehicle": "car-1", "fixed_at": "2024-03-04T12:00:00.000Z", "lat_deg": 51.123456, "lon_deg": -0.123456}
    return b'{"fixes":[' + b",".join([json.dumps(row).encode()] * ROWS) + b"]}"


def wrapped(row: bytes, times: int = 1) -> bytes:
    return b'{"fixes":[' + b",".join([row] * times) + b"]}"


HOSTILE: dict[str, tuple[str, int, Callable[[], bytes]]] = {
    "arrow: 200,000 rows of one long text": (ARROW, 422, lambda: stream(columns(vehicle=one_text(20_000)))),
    "arrow: 200,000 rows of one text": (ARROW, 413, lambda: stream(columns(vehicle=one_text(4_000)))),
    "arrow: an optional column of one text": (ARROW, 413, lambda: stream(columns(ignition=one_text(4_000, np.int8)))),
    "arrow: many columns of one text": (
        ARROW, 413,
        lambda: stream(columns(**{name: one_text(150, np.int8) for name in ("ignition", "speed_mps", "heading_deg")})),
    ),
    "arrow: views of one text": (
        ARROW, 413, lambda: stream(columns(vehicle=pa.repeat(pa.scalar("x" * 4_000, pa.string_view()), ROWS))),
    ),
    "arrow: lists": (ARROW, 422, lambda: stream(columns(vehicle=pa.array([[None] * 20] * ROWS, pa.list_(pa.null()))))),
    "arrow: runs of one text": (
        ARROW, 422,
        lambda: stream(
            columns(vehicle=pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), pa.array(["x" * 20_000])))
        ),
    ),
    "arrow: a dictionary that grows": (ARROW, 415, growing_dictionary),
    "arrow: countless record batches": (
        ARROW, 413, lambda: stream(pa.Table.from_batches(columns(1).to_batches() * 20_000)),
    ),
    "arrow: countless columns": (
        ARROW, 413, lambda: stream(columns(1, **{f"column {n}": pa.nulls(1) for n in range(50_000)})),
    ),
    "arrow: countless rows of nothing": (
        ARROW, 413, lambda: stream(pa.table({name: pa.nulls(10**9) for name in columns(0).column_names})),
    ),
    "arrow: compressed": (ARROW, 415, lambda: stream(columns(), compression="zstd")),
    "json: 11,000,000 rows": (JSON, 413, lambda: wrapped(b"{}", 11_000_000)),
    "json: 33 MB of rows": (JSON, 413, lambda: wrapped(b'{"vehicle":"c","fixed_at":"","lat_deg":1}', 800_000)),
    "json: arrays where a text belongs": (JSON, 200, lambda: wrapped(b'{"vehicle":[' + b"[]," * 11_000_000 + b"[]]}")),
    "json: objects where a number belongs": (
        JSON, 200, lambda: wrapped(b'{"lat_deg":{"a":[' + b"{}," * 11_000_000 + b"{}]}}"),
    ),
    "json: members that no fix has": (JSON, 200, lambda: wrapped(b'{"x":[' + b"[]," * 11_000_000 + b"[]]}")),
    "json: one text": (JSON, 422, lambda: wrapped('{{"vehicle":"{}\U0001f697"}}'.format("x" * 33_000_000).encode())),
    "json: texts": (
        JSON, 200, lambda: wrapped('{{"vehicle":"{}\U0001f697"}}'.format("x" * 4_000).encode(), 8_000),
    ),
    "json: deep": (JSON, 400, lambda: wrapped(b'{"x":' + b"[" * 10_000_000 + b"]" * 10_000_000 + b"}")),
    "json: deep objects": (JSON, 400, lambda: wrapped(b'{"a":' * 5_000_000 + b"1" + b"}" * 5_000_000)),
    "json: deep at the top": (JSON, 400, lambda: b'{"a":' * 5_000_000 + b"1" + b"}" * 5_000_000),
    "json: a long number": (JSON, 422, lambda: wrapped(b'{"lat_deg":' + b"9" * 33_000_000 + b"}")),
}  # fmt: skip
"""(media type, status, body) by name. 200: rows that cannot be read are listed."""
HONEST: dict[str, tuple[str, int, Callable[[], bytes]]] = {
    "arrow: 200,000 rows": (ARROW, 200, lambda: stream(columns())),
    "arrow: 200,000 rows with a dictionary": (ARROW, 200, lambda: stream(columns(vehicle=one_text(12)))),
    "json: 200,000 rows": (JSON, 200, honest_json),
}


def peak_mib(process: int | str = "self") -> float:
    """The most memory that the process has held since ``forget_peak``."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


def forget_peak(process: int | str = "self") -> None:
    Path(f"/proc/{process}/clear_refs").write_text("5")


def main() -> None:
    from journeymesh.services.http.problems import ProblemRaised
    from journeymesh.services.journeyapi.fix_bodies import read_fixes

    read_fixes(ARROW, stream(columns(10)), ROWS)  # what is loaded and compiled once is no attack's
    for name, (media, _, made) in {**HOSTILE, **HONEST}.items():
        body = bytearray(made())
        pa.default_memory_pool().release_unused()
        forget_peak()
        before = peak_mib()
        try:
            status, read = 200, read_fixes(media, body, ROWS)
        except ProblemRaised as problem:
            status, read = problem.kind.status, None
        after = peak_mib()
        del read, body
        print(json.dumps([name, status, round(after - before)]), flush=True)


if __name__ == "__main__":
    main()
