"""The strangler's figures: what the door costs, what comparing finds, and what a cutover does to those who ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Protocol

from benchmarks.environments import ROOT
from benchmarks.results import Result

READS, QUICK_READS = 1_000_000, 20_000
CYCLES, QUICK_CYCLES = 50, 5
_NO_SERVER = "JOURNEYMESH_TEST_MONGODB is unset"


class Bench(Protocol):
    """What a part of the benchmarks adds its results to."""

    def add(self, result: Result) -> None:
        """Keep a result."""


def strangler(bench: Bench, quick: bool) -> None:
    """Each measured in a fresh process."""
    _door(bench, QUICK_READS if quick else READS)
    _cutover(bench, QUICK_CYCLES if quick else CYCLES)


def _door(bench: Bench, reads: int) -> None:
    found = _printed("benchmarks.strangler_door", "--reads", str(reads))
    direct = f"beside {found['direct_p50_ms']:.2f} ms directly"
    bench.add(Result("door_p50_ms", found["door_p50_ms"], "ms", None, 0.3, note=direct))
    bench.add(
        Result("door_p99_ms", found["door_p99_ms"], "ms", None, 2.0, note=f"{found['direct_p99_ms']:.2f} directly")
    )
    share = f"{100 * found['door_shadow_compared_share']:.0f} % of the answers were compared meanwhile"
    bench.add(Result("door_shadow_p99_ratio", found["door_shadow_p99_ratio"], "× or less", None, 1.1, note=share))
    kinds = f"of {found['fault_kinds']} kinds injected"
    bench.add(Result("fault_kinds_found", found["fault_kinds_found"], "kinds", None, 20.0, note=kinds))
    told = (
        f"of {found['shadow_reads']:,} reads, {found['shadow_reads_explained']:,} of them explained by a race with "
        f"{found['shadow_writes_meanwhile']:,} writes, in {found['shadow_reads_s']:.0f} s"
    )
    bench.add(Result("shadow_reads_unexplained", found["shadow_reads_unexplained"], "or fewer", None, 0.0, note=told))


def _cutover(bench: Bench, cycles: int) -> None:
    names = (("cutover_failed_requests", "or fewer", 0.0), ("cutover_changed_answers", "or fewer", 0.0),
             ("cutover_pause_max_ms", "ms", 100.0))  # fmt: skip
    if not os.environ.get("JOURNEYMESH_TEST_MONGODB"):
        for name, unit, least in names:
            bench.add(Result(name, None, unit, None, least, note=_NO_SERVER))
        return
    found = _printed("benchmarks.strangler_cutover", str(cycles))
    values = (found["failed"], found["changed"], found["pause_max_ms"])
    note = f"{found['cycles']} cycles, {found['requests']:,} requests, {found['by_side']}, p99 {found['p99_ms']:.1f} ms"
    for (name, unit, least), value in zip(names, values, strict=True):
        bench.add(Result(name, value, unit, None, least, note=note))


def _printed(module: str, *arguments: str) -> dict[str, Any]:
    """The JSON line that the module prints last."""
    ran = subprocess.run(
        [sys.executable, "-m", module, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError((ran.stderr.strip().splitlines() or ["no output"])[-1][:200])
    found: dict[str, Any] = json.loads(ran.stdout.strip().splitlines()[-1])
    return found
