"""``python -m benchmarks [--quick] [--only PART …] [--keep] [--repeat N]``: measure everything side by side."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.audit import audit
from benchmarks.book import book
from benchmarks.decisions import decisions
from benchmarks.environments import ROOT, NotBuilt, python_of, version_of
from benchmarks.http_reads import http_reads
from benchmarks.inputs import Inputs
from benchmarks.results import LATEST, QUICK_RESULTS, Peer, Result, markdown, write
from benchmarks.strangler import burst, door, kills, lag, strangler

MOVES_AND_SERVICES = {
    "strangler": strangler, "door": door, "lag": lag, "burst": burst, "kills": kills,
    "decisions": decisions, "http": http_reads, "audit": audit, "book": book,
}  # fmt: skip
PARTS = ("parquet", "slow", "bson", "rows", "files", "memory", "cold", *MOVES_AND_SERVICES)
PER_S = "fixes/s/core"
DOCUMENTS_PER_S = "documents/s/core"
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
"""Bytecode is kept between processes, as it is wherever this is installed."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many fixes each part takes."""

    speed: int
    bson: int
    slow: int
    memory: tuple[int, ...]
    repeat: int


STANDARD = Sizes(20_000_000, 3_200_000, 100_000, (10_000_000, 30_000_000, 100_000_000), 3)
QUICK = Sizes(2_000_000, 300_000, 30_000, (2_000_000, 4_000_000), 1)


@dataclass(slots=True)
class Bench:
    """One run: what it measures with, and what it has found."""

    inputs: Inputs
    sizes: Sizes
    results: list[Result] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    path: Path = LATEST

    def interleaved(self, names: list[str], folder: Path, repeat: int | None = None) -> dict[str, dict[str, Any]]:
        """Medians of each, measured A B C A B C …; a failure is ``{"why": …}`` and is not tried again."""
        costs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
        failed: dict[str, dict[str, Any]] = {}
        for _ in range(repeat or self.sizes.repeat):
            for name in names:
                if name in failed:
                    continue
                try:
                    costs[name].append(measured(name, folder))
                except (NotBuilt, Failed) as error:
                    failed[name] = {"why": str(error)}
        figures = ("cpu_s", "wall_s", "peak_rss_mb")
        medians = {
            name: held[-1] | {figure: statistics.median(one[figure] for one in held) for figure in figures}
            for name, held in costs.items()
            if held
        }
        return medians | failed

    def add(self, result: Result) -> None:
        """Keep a result, say it, and write the file so that an interrupted run leaves what it found."""
        self.results.append(result)
        print(f"  {result.name}: {result.value} {result.unit} {result.note}", file=sys.stderr, flush=True)
        for peer in result.peers:
            print(f"    {peer.name} {peer.version}: {peer.value} {peer.unit} {peer.note}", file=sys.stderr, flush=True)
        write([result], self.versions, self.path)


class Failed(Exception):
    """A measurement's process ended badly; the text is the last line it said."""


def measured(name: str, folder: Path) -> dict[str, Any]:
    """The cost of one measurement in a fresh process."""
    ran = subprocess.run(
        [python_of(name), "-m", "benchmarks.one", name, str(folder)],
        cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ran.returncode:
        raise Failed((ran.stderr.strip().splitlines() or ["no output"])[-1][:160])
    cost: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return cost


def rate(cost: dict[str, Any]) -> float | None:
    """Fixes per second of CPU time."""
    return None if "why" in cost else cost["fixes"] / cost["cpu_s"]


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """How many times faster."""
    return None if ours is None or theirs is None else ours / theirs


def peer_of(name: str, cost: dict[str, Any], unit: str, note: str = "") -> Peer:
    """A peer's row."""
    return Peer(name, version_of(name), rate(cost), unit, cost.get("why", note))


def agreement(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    """How a peer's result differs from ours: a peer that does other work is no peer."""
    if "why" in ours or "why" in theirs:
        return ""
    journeys, metres = (100 * (theirs[k] / ours[k] - 1) for k in ("journeys", "distance_m"))
    return f"journeys {journeys:+.2f} %, distance {metres:+.2f} %"


def parquet(bench: Bench) -> None:
    """Parquet → policy summaries, with the peers that can do it."""
    folder = bench.inputs.fleet(bench.sizes.speed)
    costs = bench.interleaved(["ours_parquet", "polars", "duckdb"], folder)
    ours = costs["ours_parquet"]
    peers = {name: peer_of(name, costs[name], PER_S, agreement(ours, costs[name])) for name in ("polars", "duckdb")}
    note = ours.get("why") or f"{ours['fixes']:,} fixes, {ours['wall_s']:.2f} s wall"
    bench.add(Result("parquet_fixes_per_s_core", rate(ours), PER_S, 10e6, 5e6, list(peers.values()), note))
    for name, least in (("polars", 3.0), ("duckdb", 12.0)):
        bench.add(Result(f"ratio_{name}", ratio(rate(ours), peers[name].value), "×", None, least, [peers[name]]))


def slow(bench: Bench) -> None:
    """Peers that are slow and do less: a smaller input, compared by fix with the full path over the large one."""
    folder = bench.inputs.small(bench.sizes.slow)
    names = ["trackintel", "movingpandas", "scikit_mobility"]
    ours = bench.interleaved(["ours_parquet"], bench.inputs.fleet(bench.sizes.speed), 1)["ours_parquet"]
    costs = bench.interleaved(names, folder)
    for name in names:
        peer = peer_of(name, costs[name], PER_S, f"less work, {bench.sizes.slow:,} fixes")
        least = 100.0 if name == "trackintel" else None
        bench.add(Result(f"ratio_{name}", ratio(rate(ours), peer.value), "×", None, least, [peer]))


def bson(bench: Bench) -> None:
    """mongodump → policy summaries, beside the decoding of the same documents alone."""
    folder = bench.inputs.fleet(bench.sizes.bson, "mongodump")
    costs = bench.interleaved(["ours_bson", "pymongo", "pymongoarrow", "ours_walk"], folder)
    ours = costs["ours_bson"]
    peers = [peer_of(name, costs[name], DOCUMENTS_PER_S, "decode alone") for name in ("pymongo", "pymongoarrow")]
    note = ours.get("why") or f"{ours['fixes']:,} documents, {ours['wall_s']:.2f} s wall"
    bench.add(Result("bson_documents_per_s_core", rate(ours), DOCUMENTS_PER_S, 3e6, 1.5e6, peers, note))
    bounds = ((12.0, 6.0), (None, 4.0))
    for peer, (goal, least) in zip(peers, bounds, strict=True):
        bench.add(Result(f"ratio_{peer.name}_decode", ratio(rate(ours), peer.value), "×", goal, least, [peer]))
    walk = costs["ours_walk"]
    bench.add(Result("bson_walk_documents_per_s_core", rate(walk), DOCUMENTS_PER_S, note=walk.get("why", "to columns")))


def rows(bench: Bench) -> None:
    """Rows of our own: shuffled input, fixes kept, the pass alone."""
    folder = bench.inputs.fleet(bench.sizes.speed)
    shuffled = bench.inputs.fleet(bench.sizes.speed, "parquet", "shuffled")
    for name, measure, where, note in (
        ("shuffled_fixes_per_s_core", "ours_parquet", shuffled, "no order at all: by way of disk"),
        ("kept_fixes_per_s_core", "ours_parquet_kept", folder, "fixes kept in the store"),
        ("pass_fixes_per_s_core", "ours_pass", bench.inputs.fleet(2_000_000), "the pass alone, whole"),
        ("pass_chunked_fixes_per_s_core", "ours_pass_chunked", bench.inputs.fleet(2_000_000), "in chunks of 65,536"),
    ):
        cost = bench.interleaved([measure], where, 1)[measure]
        memory = "" if "why" in cost else f", {cost['peak_rss_mb']:.0f} MB peak"
        bench.add(Result(name, rate(cost), PER_S, note=cost.get("why") or note + memory))


def files(bench: Bench, quick: bool) -> None:
    """Files as others write them, beside what Arrow takes to read a CSV alone; and one refused row of each kind."""
    from benchmarks.files_read import measured

    cost_s = measured(200_000 if quick else 1_000_000)
    alone = cost_s.pop("pyarrow.csv alone")
    for name, cost in cost_s.items():
        key = "_".join(name.lower().replace(":", "").replace(",", "").split())
        if name.startswith("refused"):
            bench.add(Result(key, cost * 1e6, "µs", None, 40.0, note="of CPU for one row"))
        elif name.startswith("CSV"):
            note = f"{alone / cost:.2f} of pyarrow.csv reading alone, one thread"
            bench.add(Result(key, 1 / cost, "rows/s/core", note=note))
        else:
            bench.add(Result(key, 1 / cost, "rows/s/core"))


def memory(bench: Bench, keep: bool) -> None:
    """Peak resident memory by the size of the input."""
    largest = bench.sizes.memory[-1]
    for fixes in bench.sizes.memory:
        folder = bench.inputs.fleet(fixes)
        cost = bench.interleaved(["ours_parquet"], folder, 1)["ours_parquet"]
        if not keep and fixes != bench.sizes.speed:
            bench.inputs.forget(folder)
        least = 512.0 if fixes == largest else None
        note = cost.get("why") or f"{cost['fixes']:,} fixes, {rate(cost):,.0f} {PER_S}"
        name = f"peak_rss_mb_{fixes // 1_000_000}m_fixes"
        bench.add(Result(name, cost.get("peak_rss_mb"), "MB", None, least, note=note))


def cold(bench: Bench) -> None:
    """The command line in fresh processes, from nothing to its first result, with compiled code cached."""
    folder = bench.inputs.fleet(150_000, "mongodump")
    program = str(Path(sys.executable).with_name("journeymesh"))
    mapping = str(ROOT / "examples" / "mappings" / "blackbox.yaml")
    seconds: dict[str, list[float]] = {"preprocess": [], "list": []}
    for turn in range(max(2, bench.sizes.repeat)):
        with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
            store = ["--store", f"sqlite:///{room}/journeys.db"]
            for name, command in (
                ("preprocess", ["preprocess", "--source", str(folder), "--mapping", mapping]),
                ("list", ["journeys", "list", "--policy", "JM-000001-1"]),
            ):
                began = time.perf_counter()
                ran = subprocess.run(
                    [program, *command, *store], env=ENVIRONMENT, capture_output=True, text=True, check=False
                )
                if ran.returncode:
                    why = (ran.stderr.strip().splitlines() or ["no output"])[-1][:160]
                    bench.add(Result("cold_cli_s", None, "s", None, 3.0, note=f"{name}: {why}"))
                    return
                if turn:  # the first turn fills the page cache and the bytecode
                    seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(held) for name, held in seconds.items()}
    note = "the slower of " + " and ".join(f"{name} {value:.2f} s" for name, value in medians.items())
    bench.add(Result("cold_cli_s", max(medians.values()), "s", None, 3.0, note=note))


def main() -> None:
    """Measure the parts asked for, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="small inputs, one repetition: for trying, not for quoting"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--keep", action="store_true", help="keep the largest inputs")
    parser.add_argument("--repeat", type=int, help="repetitions (3; quick: 1)")
    options = parser.parse_args()
    chosen = QUICK if options.quick else STANDARD
    sizes = Sizes(chosen.speed, chosen.bson, chosen.slow, chosen.memory, options.repeat or chosen.repeat)
    bench = Bench(Inputs(ROOT / ".cache" / "bench"), sizes)
    bench.path = QUICK_RESULTS if options.quick else LATEST
    bench.versions = {name: version_of(name) for name in ("journeymesh", "numba", "numpy", "pyarrow", "pymongo")}
    for part in options.only:
        print(f"{part} …", file=sys.stderr, flush=True)
        if part == "memory":
            memory(bench, options.keep)
        elif part == "files":
            files(bench, options.quick)
        elif part in MOVES_AND_SERVICES:
            MOVES_AND_SERVICES[part](bench, options.quick)
        else:
            {"parquet": parquet, "slow": slow, "bson": bson, "rows": rows, "cold": cold}[part](bench)
    print(markdown(bench.results))
    print(f"\nwritten to {bench.path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
