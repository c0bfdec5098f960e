"""The strangler's figures: what the door costs, what comparing finds, what a cutover does to those who ask, how far
a fed target is behind, and what is left of a backfill that is killed over and over."""

from __future__ import annotations

import os
import statistics

from benchmarks.results import Bench, Result, printed

READS, QUICK_READS = 1_000_000, 20_000
CYCLES, QUICK_CYCLES = 50, 5
LAG_S, QUICK_LAG_S, LAG_TURNS = 30, 5, 3
EVENTS, QUICK_EVENTS = 20_000, 2_000
KILLS, QUICK_KILLS = (200, 1_000_000), (10, 50_000)
_NO_SERVER = "JOURNEYMESH_TEST_MONGODB is unset"


def strangler(bench: Bench, quick: bool) -> None:
    """What comparing finds, and cutting over and back; each in a fresh process."""
    _comparing(bench, QUICK_READS if quick else READS)
    _cutover(bench, QUICK_CYCLES if quick else CYCLES)


def door(bench: Bench, quick: bool) -> None:  # noqa: ARG001
    """What the door costs, and what comparing costs those who ask."""
    found = printed("benchmarks.strangler_door", "door")
    direct = f"beside {found['direct_p50_ms']:.2f} ms directly"
    bench.add(Result("door_p50_ms", found["door_p50_ms"], "ms", None, 0.3, note=direct))
    bench.add(
        Result("door_p99_ms", found["door_p99_ms"], "ms", None, 2.0, note=f"{found['direct_p99_ms']:.2f} directly")
    )
    least, most = found["door_shadow_p99_ratio_least"], found["door_shadow_p99_ratio_most"]
    share = (
        f"median of {least:.2f} to {most:.2f}, quiet over quiet {found['door_quiet_p99_ratio']:.2f}; "
        f"{100 * found['door_shadow_compared_share']:.0f} % of the answers were compared meanwhile or in the pauses"
    )
    bench.add(Result("door_shadow_p99_ratio", found["door_shadow_p99_ratio"], "× or less", None, 1.1, note=share))


def _comparing(bench: Bench, reads: int) -> None:
    found = printed("benchmarks.strangler_door", "comparing", "--reads", str(reads))
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
    if _has_no_server(bench, *names):
        return
    found = printed("benchmarks.strangler_cutover", str(cycles))
    values = (found["failed"], found["changed"], found["pause_max_ms"])
    note = f"{found['cycles']} cycles, {found['requests']:,} requests, {found['by_side']}, p99 {found['p99_ms']:.1f} ms"
    for (name, unit, least), value in zip(names, values, strict=True):
        bench.add(Result(name, value, unit, None, least, note=note))


def lag(bench: Bench, quick: bool) -> None:
    """How long a write takes to show in the target, at 200 writes a second."""
    names = (("sync_lag_p50_ms", "ms", 50.0), ("sync_lag_p99_ms", "ms", 250.0))
    if _has_no_server(bench, *names):
        return
    seconds, turns = (QUICK_LAG_S, 1) if quick else (LAG_S, LAG_TURNS)
    found = [printed("benchmarks.strangler_feed", "lag", str(seconds)) for _ in range(turns)]
    unseen = sum(one["unseen"] for one in found)
    for (name, unit, least), figure in zip(names, ("p50_ms", "p99_ms"), strict=True):
        values = [one[figure] for one in found]
        note = f"median of {', '.join(f'{value:.0f}' for value in values)}; each of {found[0]['writes']:,} writes at "
        note += f"{found[0]['writes_per_s']:.0f}/s, {unseen} unseen"
        bench.add(Result(name, None if unseen else statistics.median(values), unit, None, least, note=note))


def burst(bench: Bench, quick: bool) -> None:
    """How long a target needs for a burst of inserts."""
    events = QUICK_EVENTS if quick else EVENTS
    name = f"burst_{events // 1000}k_s"
    if _has_no_server(bench, (name, "s", 5.0)):
        return
    found = printed("benchmarks.strangler_feed", "burst", str(events))
    note = f"{found['with_writing_s']:.1f} s with the writing"
    bench.add(Result(name, found["burst_s"], "s", None, 5.0, note=note))


def kills(bench: Bench, quick: bool) -> None:
    """How many kills of its feeders a backfill survived: its digest is an undisturbed one's, or the value is 0."""
    name = "backfill_kills_survived"
    if _has_no_server(bench, (name, "kills", 200.0)):
        return
    found = printed("benchmarks.strangler_kills", *map(str, QUICK_KILLS if quick else KILLS))
    survived = not found["differing"] and not found["went_back"]
    note = (
        f"{found['documents']:,} documents, {found['kills_with_progress']} kills after a chunk was done, "
        f"targets filled: {found['rounds']}, in {found['killed_s']:.0f} s, undisturbed {found['undisturbed_s']:.0f} s, "
        "differing: " + (", ".join(found["differing"]) or "nothing")
    )
    bench.add(Result(name, float(found["kills"] if survived else 0), "kills", None, 200.0, note=note))


def _has_no_server(bench: Bench, *names: tuple[str, str, float]) -> bool:
    """Say of each (name, unit, least) that it is not measured, where there is no server to measure with."""
    if os.environ.get("JOURNEYMESH_TEST_MONGODB"):
        return False
    for name, unit, least in names:
        bench.add(Result(name, None, unit, None, least, note=_NO_SERVER))
    return True
