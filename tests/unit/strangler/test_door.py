"""The door asks the side that the routes say, and no other."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from journeymesh.errors import SourceUnreadable, StoreUnavailable, UsageError
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery
from journeymesh.strangler.control import Control
from journeymesh.strangler.counts import NO_SLICE, AnswerCounts, last_answered_us
from journeymesh.strangler.door import Door
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.questions import Side, fix_table
from journeymesh.strangler.routes import RoutesFollower, RoutesUnreadable
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.wiring import open_store
from tests.ports.side_suite import SideSuite, terms_of_one_number
from tests.ports.test_sides import filled
from tests.support.builders import NOON, NOW_US
from tests.support.doors import RENEWED, STORE, a_control, a_door, fill, following, put_routes, route, several
from tests.support.recorded_legacy import RecordedLegacy

P1, P2 = JourneyQuery(policy="P1"), JourneyQuery(policy="P2")


class CountedSide:
    """A side that counts what it is asked, and breaks when told to."""

    def __init__(self, side: Side) -> None:
        self.side, self.asked, self.broken = side, 0, None
        self.broken: Exception | None = None

    def _ask(self) -> Side:
        self.asked += 1
        if self.broken is not None:
            raise self.broken
        return self.side

    def journeys(self, query: JourneyQuery) -> pa.Table:
        return self._ask().journeys(query)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        return self.side.journey(journey_id, tenant)

    def policies(self, number: str | None = None) -> list[Policy]:
        return self._ask().policies(number)

    def fixes(self, vehicle: str, first: object, last: object) -> Fixes:
        return self._ask().fixes(vehicle, first, last)  # type: ignore[arg-type]

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        return self._ask().refusals(query)

    def history(self, journey_id: str) -> list[HistoryEntry]:
        return self._ask().history(journey_id)


class _Through(SideSuite):
    """A door through which everything goes to one side."""

    phase: Phase

    @pytest.fixture(autouse=True)
    def _routes(self, tmp_path: Path) -> Iterator[None]:
        self.files = (tmp_path / f"{number}.db" for number in itertools.count())
        control = a_control(tmp_path, route(phase=self.phase))
        with following(control) as self.follower:
            yield

    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Door:
        source = RecordedLegacy(held_policies=list(policies), recorded=fixes)
        store = filled(open_store(f"sqlite:///{next(self.files)}"), fixes, policies, rules)
        return a_door(self.follower, source, {STORE: store}, rules=rules, clock_us=lambda: NOW_US)


class TestDoorToLegacy(_Through):
    phase = Phase.SHADOW


class TestDoorToSqlite(_Through):
    phase = Phase.TARGET_WITH_REVERSE_SHADOW


@pytest.fixture
def source() -> RecordedLegacy:
    return RecordedLegacy(held_policies=list(RENEWED), recorded=several(3))


@pytest.fixture
def control(tmp_path: Path) -> Control:
    return a_control(tmp_path, route())


@pytest.fixture
def follower(control: Control) -> Iterator[RoutesFollower]:
    with following(control) as followed:
        yield followed


def _counted(
    follower: RoutesFollower, source: RecordedLegacy, answer_counts: AnswerCounts | None = None
) -> tuple[Door, CountedSide, CountedSide]:
    store = CountedSide(fill(MemoryStore(), source))
    door = a_door(follower, source, {STORE: store}, answer_counts=answer_counts)
    legacy = CountedSide(door.sides(LEGACY))
    sides: dict[str, Side] = {LEGACY: legacy, STORE: store}
    door.sides = sides.__getitem__
    return door, legacy, store


def _wait_for(follower: RoutesFollower, revision: int) -> None:
    for _ in range(200):
        if follower.now().revision >= revision:
            return
        threading.Event().wait(0.02)
    raise AssertionError("the follower does not follow")


@pytest.mark.parametrize(
    ("phase", "complete", "answers"),
    [
        (Phase.LEGACY, True, LEGACY),
        (Phase.SHADOW, True, LEGACY),
        (Phase.TARGET_WITH_REVERSE_SHADOW, True, STORE),
        (Phase.TARGET_WITH_REVERSE_SHADOW, False, LEGACY),
        (Phase.TARGET, True, STORE),
        (Phase.TARGET, False, LEGACY),
        (Phase.RETIRED, False, STORE),
    ],
)
def test_the_phase_and_completeness_say_who_answers(
    tmp_path: Path, source: RecordedLegacy, phase: Phase, complete: bool, answers: str
) -> None:
    with following(a_control(tmp_path, route(phase=phase, complete=complete))) as follower:
        door, legacy, store = _counted(follower, source)
        door.journeys(P1)
        door.policies("P1")
        door.fixes("V0", NOON, NOON + timedelta(minutes=1))
    assert (legacy.asked, store.asked) == ((3, 0) if answers == LEGACY else (0, 3))


def test_a_policy_of_no_slice_is_answered_by_legacy(tmp_path: Path, source: RecordedLegacy) -> None:
    moved = route(phase=Phase.TARGET, selector=Selector(numbers=("P1",)))
    with following(a_control(tmp_path, moved)) as follower:
        door, legacy, store = _counted(follower, source)
        door.journeys(P1)
        door.journeys(P2)
    assert (legacy.asked, store.asked) == (1, 1)


def test_a_policy_in_two_slices_is_refused_without_telling_which(tmp_path: Path, source: RecordedLegacy) -> None:
    both = route("one"), route("other", selector=Selector(numbers=("P1",)))
    with following(a_control(tmp_path, *both)) as follower:
        door, legacy, store = _counted(follower, source)
        with pytest.raises(RoutesUnreadable, match="slices one and other hold one policy: correct the plan") as refused:
            door.journeys(P1)
        door.journeys(P2)
    assert "P1" not in str(refused.value)
    assert (legacy.asked, store.asked) == (1, 0)


def test_a_cutover_moves_the_next_request(control: Control, follower: RoutesFollower, source: RecordedLegacy) -> None:
    door, legacy, store = _counted(follower, source)
    before = door.journeys(P2)
    put_routes(control, route(phase=Phase.TARGET_WITH_REVERSE_SHADOW))
    _wait_for(follower, 2)
    assert answer_bytes(door.journeys(P2)) == answer_bytes(before)
    assert (legacy.asked, store.asked) == (1, 1)


def test_a_request_under_way_during_a_cutover_ends_where_it_began(
    control: Control, follower: RoutesFollower, source: RecordedLegacy
) -> None:
    door, legacy, store = _counted(follower, source)
    entered, go_on = threading.Event(), threading.Event()
    answer = legacy.side.journeys

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(legacy.side, name)

        def journeys(self, query: JourneyQuery) -> pa.Table:
            entered.set()
            assert go_on.wait(20)
            return answer(query)

    slow: dict[str, Side] = {LEGACY: Slow(), STORE: store}  # type: ignore[dict-item]
    door.sides = slow.__getitem__
    answers: list[pa.Table] = []
    asking = threading.Thread(target=lambda: answers.append(door.journeys(P2)))
    asking.start()
    assert entered.wait(20)
    put_routes(control, route(phase=Phase.TARGET))
    _wait_for(follower, 2)
    go_on.set()
    asking.join()
    assert len(answers[0]) == 2
    assert store.asked == 0


@pytest.mark.parametrize(
    ("phase", "fault"),
    [
        (Phase.SHADOW, SourceUnreadable("legacy is away", todo="start it")),
        (Phase.TARGET, StoreUnavailable("the store is away", todo="start it")),
    ],
)
def test_an_error_of_the_side_that_answers_is_the_callers_and_nobody_else_is_asked(
    tmp_path: Path, source: RecordedLegacy, phase: Phase, fault: Exception
) -> None:
    with following(a_control(tmp_path, route(phase=phase))) as follower:
        door, legacy, store = _counted(follower, source)
        answering, other = (legacy, store) if phase is Phase.SHADOW else (store, legacy)
        answering.broken = fault
        with pytest.raises(type(fault), match="is away"):
            door.journeys(P1)
        with pytest.raises(type(fault), match="is away"):
            door.fixes("V0", NOON, NOON)
    assert other.asked == 0


def test_terms_of_one_number_in_two_slices_are_put_together_of_what_each_side_has(tmp_path: Path) -> None:
    held, drives = terms_of_one_number()
    source = RecordedLegacy(held_policies=list(held), recorded=drives)
    vans = route("vans", Phase.TARGET_WITH_REVERSE_SHADOW, Selector(product="van"))
    others = route("others", Phase.SHADOW, Selector(product="default"))
    store = fill(MemoryStore(), source)
    with following(a_control(tmp_path, vans, others)) as follower:
        target = CountedSide(store)
        door = a_door(follower, source, {STORE: target})
        for query in (
            JourneyQuery(policy="P"),
            JourneyQuery(policy="P", tenant="north"),
            JourneyQuery(policy="P", tenant="north", limit=3, columns=("vehicle", "distance_m")),
        ):
            target.asked = 0
            assert answer_bytes(door.journeys(query)) == answer_bytes(store.journeys(query))
            assert target.asked == 1
        assert door.policies("P") == store.policies("P")
        target.asked = 0
        assert len(door.journeys(JourneyQuery(policy="P", tenant="south"))) == 2
        assert target.asked == 0, "no van is among the other tenant's policies"


def test_routes_that_cannot_be_read_any_longer_are_refused(control: Control, source: RecordedLegacy) -> None:
    now_s = [0.0]
    follower = RoutesFollower(control, every_s=60.0, stale_s=0.05, clock_s=lambda: now_s[0])
    with follower:
        door, legacy, store = _counted(follower, source)
        door.journeys(P1)
        now_s[0] = 0.1
        with pytest.raises(RoutesUnreadable, match="could not be read for"):
            door.journeys(P1)
    assert (legacy.asked, store.asked) == (1, 0)


@pytest.mark.parametrize("query", [JourneyQuery(), JourneyQuery(unattributed=True), JourneyQuery(policies=("P1",))])
def test_a_question_without_a_policy_is_refused(
    follower: RoutesFollower, source: RecordedLegacy, query: JourneyQuery
) -> None:
    door, _, _ = _counted(follower, source)
    with pytest.raises(UsageError, match="name one policy"):
        door.journeys(query)


def test_fixes_of_a_vehicle_between_two_sides_are_asked_of_each_for_its_time(
    tmp_path: Path, source: RecordedLegacy
) -> None:
    moved = route(phase=Phase.TARGET, selector=Selector(numbers=("P1",)))
    with following(a_control(tmp_path, moved)) as follower:
        door, legacy, store = _counted(follower, source)
        first, last = NOON - timedelta(days=1), NOON + timedelta(days=1)
        found = door.fixes("V0", first, last)
        assert (legacy.asked, store.asked) == (1, 1)
        assert fix_table(found).equals(fix_table(store.side.fixes("V0", first, last)))


def test_a_journey_is_asked_of_its_policys_side_whoever_knows_where_it_is(
    tmp_path: Path, source: RecordedLegacy
) -> None:
    moved = route(phase=Phase.TARGET, selector=Selector(numbers=("P1",)))
    with following(a_control(tmp_path, moved)) as follower:
        door, legacy, store = _counted(follower, source)
        for query, side in ((P1, store), (P2, legacy)):
            wanted = side.side.journeys(query).slice(0, 1)
            found = door.journey(wanted["journey_id"][0].as_py())
            assert found is not None
            assert answer_bytes(found) == answer_bytes(wanted)


def test_who_answered_is_counted_by_slice_and_day(tmp_path: Path, source: RecordedLegacy) -> None:
    moved = route("p1", phase=Phase.TARGET, selector=Selector(numbers=("P1",)))
    control = a_control(tmp_path, moved)
    with following(control) as follower, AnswerCounts(control) as answer_counts:
        door, _, _ = _counted(follower, source, answer_counts)
        for query in (P1, P1, P2):
            door.journeys(query)
    assert last_answered_us(control, "p1", LEGACY) is None
    assert last_answered_us(control, "p1", STORE) is not None
    assert last_answered_us(control, NO_SLICE, LEGACY) is not None
    with control.reading() as connection:
        rows = connection.exec_driver_sql("SELECT slice, side, reads FROM strangler_asks ORDER BY slice").all()
    assert [tuple(row) for row in rows] == [("", LEGACY, 1), ("p1", STORE, 2)]
