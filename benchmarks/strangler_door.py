"""What the door costs, what comparing costs those who ask, and what comparing finds.

``python -m benchmarks.strangler_door door`` and ``… comparing`` print one JSON line. ``--reads`` is the number of
shadow reads of racing sides (a million in the recorded figure). Direct and through the door are asked in turns, so
that other work on the machine meets both. Under questions without a pause comparing is held back:
``door_shadow_compared_share`` says how many of the offered answers were compared all the same, most of them in the
pauses between two blocks.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.integration.test_door_faults import _recording, ask, dealt_with, shadowed
from tests.support.doors import RENEWED, STORE, a_control, a_door, fill, following, made_of, route
from tests.support.racing_sides import RacingSides
from tests.support.recorded_legacy import RecordedLegacy
from tests.support.target_faults import KINDS, FaultySide

from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FleetSpec
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import now_us
from journeymesh.strangler.counts import reads_of
from journeymesh.strangler.door import Door
from journeymesh.strangler.mismatches import list_mismatches
from journeymesh.strangler.plan import LEGACY, Shadow
from journeymesh.strangler.questions import JourneysAsked
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.slices import Phase
from journeymesh.wiring import open_store

REPETITIONS, BLOCKS, BLOCK = 7, 2, 2000
"""Of each repetition so many blocks of so many questions, with comparing and without."""


def _timed_ms(ask_one: Callable[[], Any]) -> float:
    began = time.perf_counter_ns()
    ask_one()
    return (time.perf_counter_ns() - began) / 1e6


def _p(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100)[percent - 1]


def door(asks: int) -> dict[str, float]:
    """The same questions to a SQLite store, through the door, and through the door while everything is compared."""
    fleet = generate(FleetSpec(seed=3, vehicles=20, days=14, interval_s=10))
    source = RecordedLegacy(held_policies=fleet.policies, recorded=fleet.whole().readable().fixes)
    queries = [JourneyQuery(policy=policy.number, limit=50) for policy in fleet.policies]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = fill(open_store(f"sqlite:///{folder}/target.db"), source)
        twin = fill(open_store(f"sqlite:///{folder}/twin.db"), source)
        control = a_control(folder, route(phase=Phase.TARGET_WITH_REVERSE_SHADOW, source="twin"))
        follower = stack.enter_context(following(control, poll_s=0.25))
        plain = a_door(follower, source, {STORE: store, "twin": twin})
        comparing = a_door(follower, source, {STORE: store, "twin": twin})
        reader = ShadowReader(
            control=control, routes=follower, sides=comparing.sides, plan=Shadow(), fed_until_us=lambda _: now_us()
        )
        comparing.shadow = stack.enter_context(reader)
        direct, through = [], []
        for number in range(asks):
            query = queries[number % len(queries)]
            direct.append(_timed_ms(lambda query=query: store.journeys(query)))
            through.append(_timed_ms(lambda query=query: plain.journeys(query)))
        found = _shadowed(plain, comparing, reader, queries)
        reader.flush()
        compared = reads_of(control, "all")
        control.close()
    return {
        "direct_p50_ms": _p(direct, 50),
        "direct_p99_ms": _p(direct, 99),
        "door_p50_ms": _p(through, 50) - _p(direct, 50),
        "door_p99_ms": _p(through, 99) - _p(direct, 99),
        "door_shadow_p99_ratio": statistics.median(ratio for ratio, _ in found),
        "door_shadow_p99_ratio_least": min(ratio for ratio, _ in found),
        "door_shadow_p99_ratio_most": max(ratio for ratio, _ in found),
        "door_quiet_p99_ratio": statistics.median(ratio for _, ratio in found),
        "door_shadow_compared_share": compared["equal"] / (REPETITIONS * BLOCKS * BLOCK),
    }


def _shadowed(
    plain: Door, comparing: Door, reader: ShadowReader, queries: list[JourneyQuery]
) -> list[tuple[float, float]]:
    """The p99 while everything is compared, and that of a second quiet door, over a quiet one's; for each repetition.

    Short blocks of the three follow each other in another order each time, so what else the machine does meets all of
    them. The ratio of the two quiet ones says how far the others can be trusted.
    """
    ratios = []
    order = random.Random(5)
    for _ in range(REPETITIONS):
        times: dict[str, list[float]] = {"comparing": [], "quiet": [], "quiet again": []}
        for _ in range(BLOCKS):
            for name in order.sample(sorted(times), len(times)):
                while reader.waiting:  # what a block left to compare must not meet a quiet one
                    time.sleep(0.01)
                time.sleep(0.05)
                side = comparing if name == "comparing" else plain
                for query in queries:  # a pause cools the caches: not timed
                    plain.journeys(query)
                for number in range(BLOCK):
                    query = queries[number % len(queries)]
                    times[name].append(_timed_ms(lambda query=query, side=side: side.journeys(query)))
        quiet = _p(times["quiet"], 99)
        ratios.append((_p(times["comparing"], 99) / quiet, _p(times["quiet again"], 99) / quiet))
    return ratios


def faults() -> dict[str, int]:
    """How many kinds of fault in a target are found by shadow reads, with their field."""
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=_recording())
    answer = made_of(source.recorded, "P2").to_pylist()
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        store = fill(open_store(f"sqlite:///{folder}/target.db"), source)
        for number, kind in enumerate(KINDS):
            place = Path(folder) / str(number)
            place.mkdir()
            with shadowed(place, source, FaultySide(store, kind)) as (through, reader, control):
                through.sides(LEGACY).journeys(JourneyQuery(policy="P2"))
                ask(through, kind, answer)
                dealt_with(reader, control, 1)
                held = {(each.classification, each.field) for each in list_mismatches(control, "all")}
                found += (kind.classification.value, kind.field) in held
        store.close()
    return {"fault_kinds": len(KINDS), "fault_kinds_found": found}


def unexplained(reads: int, policies: int = 2000) -> dict[str, float]:
    """Shadow reads of two right sides, one of them a little late, while a writer changes both."""
    numbers = [f"P{number}" for number in range(policies)]
    shadowed_route = route()
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        control = a_control(folder, shadowed_route)
        racing = stack.enter_context(RacingSides(numbers))
        sides = {LEGACY: racing.source, STORE: racing.target}
        follower = stack.enter_context(following(control))
        reader = ShadowReader(
            control=control, routes=follower, sides=sides.__getitem__, busy_share=1.0, late_s=3600.0,
            plan=Shadow(reread_after_s=(0.05, 0.2), waiting=2000, concurrency=1),
            fed_until_us=lambda _: racing.fed_until_us(),
        )  # fmt: skip
        with reader:
            for number in range(reads):
                while reader.waiting > 1000:
                    time.sleep(0.001)
                name = numbers[number % policies]
                question = JourneysAsked(JourneyQuery(policy=name))
                reader.offer(shadowed_route, name, question, LEGACY, racing.source.answers[name])
            while reader.waiting:
                time.sleep(0.05)
            time.sleep(1.0)
        counted = reads_of(control, "all")
        mismatches = len(list_mismatches(control))
        control.close()
    return {
        "shadow_reads": sum(counted.values()),
        "shadow_reads_unexplained": counted["differing"] + counted["late"] + counted["failed"] + mismatches,
        **{f"shadow_reads_{name}": counted[name] for name in ("equal", "explained", "dropped")},
        "shadow_writes_meanwhile": racing.writes,
        "shadow_reads_s": time.perf_counter() - began,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("door", "comparing"))
    parser.add_argument("--asks", type=int, default=20_000)
    parser.add_argument("--reads", type=int, default=1_000_000)
    given = parser.parse_args()
    print(json.dumps(door(given.asks) if given.what == "door" else faults() | unexplained(given.reads)))


if __name__ == "__main__":
    main()
