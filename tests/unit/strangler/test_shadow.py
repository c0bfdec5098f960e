"""Shadow reads find what lasts, keep silent about races, and cost the caller nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.comparing import compare_policies
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.counts import coverage_of, reads_of
from journeymesh.strangler.mismatches import list_mismatches, open_mismatches
from journeymesh.strangler.plan import LEGACY, Shadow
from journeymesh.strangler.policy_book import Member
from journeymesh.strangler.questions import JourneysAsked
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.slices import Phase
from tests.support.builders import NOON
from tests.support.doors import STORE, a_control, following, put_routes, route
from tests.support.racing_sides import AnswersAtHand, RacingSides

NUMBERS = [f"P{number}" for number in range(400)]
ROUTE = route()


class Shadowed:
    """A reader over two sides at hand."""

    def __init__(self, folder: Path, sides: RacingSides) -> None:
        self.racing, self.folder = sides, folder
        self.sides: dict[str, Any] = {LEGACY: sides.source, STORE: sides.target}
        self.control = a_control(folder, ROUTE)

    @contextmanager
    def reader(self, **changed: Any) -> Iterator[ShadowReader]:
        values: dict[str, Any] = {
            "plan": Shadow(reread_after_s=(0.02, 0.05)), "fed_until_us": lambda _: self.racing.fed_until_us(),
            "busy_share": 1.0,
        }  # fmt: skip
        with following(self.control) as follower:
            made = ShadowReader(
                control=self.control, routes=follower, sides=self.sides.__getitem__, **(values | changed)
            )
            with made:
                yield made

    def offer(self, reader: ShadowReader, number: str, phase: Phase = Phase.SHADOW) -> None:
        answered_by = LEGACY if phase is Phase.SHADOW else STORE
        answer = self.sides[answered_by].answers[number]
        reader.offer(
            replace(ROUTE, phase=phase), number, JourneysAsked(JourneyQuery(policy=number)), answered_by, answer
        )


@pytest.fixture
def shadowed(tmp_path: Path) -> Shadowed:
    return Shadowed(tmp_path, RacingSides(NUMBERS))


def outcomes(reader: ShadowReader, control: Control, reads: int) -> dict[str, int]:
    """What came of so many reads."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        reader.flush()
        found = reads_of(control, "all")
        if sum(found.values()) >= reads:
            return {name: count for name, count in found.items() if count}
        threading.Event().wait(0.02)
    raise AssertionError(f"{reader.waiting} reads wait; fault {reader.fault}, bug {reader.bug}")


def test_twenty_thousand_reads_of_racing_sides_leave_none_unexplained(shadowed: Shadowed) -> None:
    reads = 20_000
    with (
        shadowed.racing as racing,
        shadowed.reader(late_s=600.0, plan=Shadow(reread_after_s=(0.05, 0.2), waiting=reads)) as reader,
    ):
        for number in range(reads):
            while reader.waiting > 500:
                time.sleep(0.001)
            shadowed.offer(reader, NUMBERS[number % len(NUMBERS)])
        found = outcomes(reader, shadowed.control, reads)
        assert racing.writes > 50
    assert found.pop("dropped", 0) < reads / 100  # one question under suspicion is not suspected twice
    assert set(found) <= {"equal", "explained"}
    assert found["explained"] > 0
    assert list_mismatches(shadowed.control) == []
    assert coverage_of(shadowed.control, "all", NUMBERS).share == 1.0


def test_what_lasts_is_reported_and_resolved_when_the_target_is_mended(shadowed: Shadowed) -> None:
    right = shadowed.racing.target.answers["P1"]
    shadowed.racing.target.answers["P1"] = right.slice(1)
    with shadowed.reader() as reader:
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 1) == {"differing": 1}
        (held,) = list_mismatches(shadowed.control)
        assert (held.classification, held.field, held.policy) == ("missing", "journey_id", "P1")
        shadowed.racing.target.answers["P1"] = right
        reader.known._read_at = None
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 2) == {"differing": 1, "equal": 1}
    assert open_mismatches(shadowed.control, "all") == 0


def test_what_the_feed_has_not_dealt_with_is_late_and_no_mismatch(shadowed: Shadowed) -> None:
    behind_us = now_us() - 10_000_000
    shadowed.racing.target.answers["P1"] = shadowed.racing.target.answers["P1"].slice(1)
    with shadowed.reader(fed_until_us=lambda _: behind_us, late_s=0.3) as reader:
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 1) == {"late": 1}
    with shadowed.reader(fed_until_us=lambda _: None, late_s=0.3) as reader:
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 2) == {"late": 2}
    assert list_mismatches(shadowed.control) == []


def test_in_reverse_the_source_is_asked_and_sides_keep_their_names(shadowed: Shadowed) -> None:
    put_routes(shadowed.control, route(phase=Phase.TARGET_WITH_REVERSE_SHADOW))
    shadowed.racing.target.answers["P1"] = shadowed.racing.target.answers["P1"].slice(1)
    with shadowed.reader() as reader:
        shadowed.offer(reader, "P1", Phase.TARGET_WITH_REVERSE_SHADOW)
        assert outcomes(reader, shadowed.control, 1) == {"differing": 1}
    (held,) = list_mismatches(shadowed.control)
    assert (held.classification, held.target_value) == ("missing", None)


@pytest.mark.parametrize("fault", [StoreUnavailable("away"), RuntimeError("a bug")])
def test_a_side_that_fails_is_counted_and_fails_nobody(shadowed: Shadowed, fault: Exception) -> None:
    class Broken(AnswersAtHand):
        def journeys(self, query: JourneyQuery) -> pa.Table:
            raise fault

    shadowed.sides[STORE] = Broken()
    with shadowed.reader() as reader:
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 1) == {"failed": 1}
        assert fault in (reader.fault, reader.bug)
        shadowed.sides[STORE] = shadowed.racing.target
        shadowed.offer(reader, "P2")
        assert outcomes(reader, shadowed.control, 2) == {"failed": 1, "equal": 1}


def test_a_full_queue_drops_and_never_waits(shadowed: Shadowed) -> None:
    go_on = threading.Event()

    class Stuck(AnswersAtHand):
        def journeys(self, query: JourneyQuery) -> pa.Table:
            assert go_on.wait(60)
            return shadowed.racing.target.journeys(query)

    shadowed.sides[STORE] = Stuck()
    with shadowed.reader(plan=Shadow(waiting=10, concurrency=1, budget_s=60.0)) as reader:
        began = time.monotonic()
        for _ in range(1000):
            shadowed.offer(reader, "P1")
        assert time.monotonic() - began < 1.0
        go_on.set()
        found = outcomes(reader, shadowed.control, 1000)
    assert found["dropped"] >= 985
    assert found["equal"] == 1000 - found["dropped"]


def test_nothing_is_compared_of_a_slice_that_is_not_shadowed_or_not_complete(shadowed: Shadowed) -> None:
    with shadowed.reader() as reader:
        question, answer = JourneysAsked(JourneyQuery(policy="P1")), shadowed.racing.source.answers["P1"]
        for quiet in (
            replace(ROUTE, phase=Phase.LEGACY),
            replace(ROUTE, phase=Phase.TARGET),
            replace(ROUTE, complete=False),
        ):
            reader.offer(quiet, "P1", question, LEGACY, answer)
        assert reader.waiting == 0


def test_a_slice_that_moved_on_meanwhile_is_not_judged(shadowed: Shadowed) -> None:
    put_routes(shadowed.control, route(phase=Phase.LEGACY))
    shadowed.racing.target.answers["P1"] = shadowed.racing.target.answers["P1"].slice(1)
    with shadowed.reader() as reader:
        shadowed.offer(reader, "P1")
        assert outcomes(reader, shadowed.control, 1) == {"dropped": 1}
    assert list_mismatches(shadowed.control) == []


class Flawed(AnswersAtHand):
    """A side that fails so often before it answers, and takes its time."""

    failures: int = 0
    takes_s: float = 0.0

    def journeys(self, query: JourneyQuery) -> pa.Table:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the target is busy", todo="wait")
        time.sleep(self.takes_s)
        return AnswersAtHand.journeys(self, query)


def members(*numbers: str) -> list[Member]:
    """Policies of one term."""
    return [Member(n, (Policy(number=n, vehicle="V", valid_from=NOON),), whole=True) for n in numbers]


def test_what_is_asked_to_be_compared_is_whatever_the_sample_the_room_and_the_time(shadowed: Shadowed) -> None:
    slow = Flawed(shadowed.racing.target.answers)
    slow.takes_s, slow.failures = 0.15, 2
    shadowed.sides[STORE] = slow
    tight = Shadow(sample=0.0, waiting=1, budget_s=0.1, reread_after_s=(0.02,))
    with shadowed.reader(plan=tight) as reader:
        compared = compare_policies(reader, ROUTE, members(*NUMBERS[:20]), time.monotonic() + 60)
    assert (compared.policies, compared.left) == (20, {})
    assert coverage_of(shadowed.control, "all", NUMBERS[:20]).compared == 20


def test_what_cannot_be_compared_is_named_with_the_reason(shadowed: Shadowed) -> None:
    broken = Flawed(shadowed.racing.target.answers)
    broken.failures = 10**9
    shadowed.sides[STORE] = broken
    with shadowed.reader() as reader:
        compared = compare_policies(reader, ROUTE, members("P1", "P2"), time.monotonic() + 60)
        assert (compared.policies, set(compared.left)) == (0, {"P1", "P2"})
        assert compared.left["P1"] == "a side could not be read"
        late = compare_policies(reader, ROUTE, members("P3"), time.monotonic() - 1)
        assert reader.waiting == 0, "nothing is asked when there is no time left"
    assert late.left == {"P3": "timed out"}


def test_a_sample_of_none_compares_none(shadowed: Shadowed) -> None:
    with shadowed.reader(plan=Shadow(sample=0.0)) as reader:
        shadowed.offer(reader, "P1")
        assert reader.waiting == 0
