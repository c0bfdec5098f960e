"""Applying a plan to a control database: what moves, what is refused, and what a crash or a rival leaves."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec import structs

from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.journeys.policies import Policy
from journeymesh.processes import Process
from journeymesh.strangler.apply import Applying, OperatorBusy, applied, operator_lock
from journeymesh.strangler.control import Control, history, now_us, operators
from journeymesh.strangler.forgetting import ControlForgetting
from journeymesh.strangler.gates import GateInputs
from journeymesh.strangler.plan import Plan, PlanInvalid, SlicePlan
from journeymesh.strangler.routes import Route, RoutesFollower, RoutesUnreadable, mark_completeness, read_routes
from journeymesh.strangler.slices import Phase, Selector
from tests.support.plans import plan_of
from tests.unit.strangler.test_gates import GOOD

POLICIES = [Policy(number="P1", valid_from=datetime(2024, 1, 1, tzinfo=UTC), device="V1")]


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    held = Control(f"sqlite:///{tmp_path}/control.db")
    held.migrate()
    yield held
    held.close()


def plan_in(phase: Phase) -> Plan:
    return plan_of(SlicePlan(name="pilot", policies=Selector(), target="embedded", phase=phase))


def applying(control: Control, plan: Plan, inputs: GateInputs = GOOD, who: str = "ann") -> Applying:
    def prepare(route: Route) -> None: ...

    def retire(route: Route, who: str, why: str) -> None:
        raise AssertionError("not asked for here")

    return Applying(
        control=control, plan=plan, policies=lambda: POLICIES, gate_inputs=lambda route: inputs, prepare=prepare,
        retire=retire, who=who,
    )  # fmt: skip


def go(control: Control, phase: Phase, inputs: GateInputs = GOOD) -> bool:
    [outcome] = applying(control, plan_in(phase), inputs).apply("because")
    return outcome.moved


def entries(control: Control) -> list[tuple[str | None, str | None, str]]:
    with control.reading() as connection:
        rows = connection.execute(sa.select(history).order_by(history.c.entry)).all()
    return [(row.before, row.after, row.outcome) for row in rows]


def test_a_slice_goes_all_the_way_and_the_history_tells_it(control: Control) -> None:
    assert go(control, Phase.SHADOW)
    mark_completeness(control.writing(), ["pilot"], True, None)
    assert go(control, Phase.TARGET_WITH_REVERSE_SHADOW)
    assert go(control, Phase.TARGET)
    assert go(control, Phase.LEGACY)
    assert entries(control) == [
        (None, "shadow", "moved"),
        ("shadow", "shadow", "complete"),
        ("shadow", "target_with_reverse_shadow", "moved"),
        ("target_with_reverse_shadow", "target", "moved"),
        ("target", "legacy", "moved"),
    ]
    assert applied(read_routes(control), plan_in(Phase.LEGACY))


def test_applying_again_changes_nothing(control: Control) -> None:
    go(control, Phase.SHADOW)
    assert applying(control, plan_in(Phase.SHADOW)).apply("again") == []
    assert len(entries(control)) == 1


def test_closed_gates_refuse_are_named_and_are_in_the_history(control: Control) -> None:
    go(control, Phase.SHADOW)
    [outcome] = applying(control, plan_in(Phase.TARGET_WITH_REVERSE_SHADOW), GateInputs()).apply("too soon")
    assert not outcome.moved
    assert "backfill is not started" in outcome.closed
    assert read_routes(control).routes[0].phase is Phase.SHADOW
    assert entries(control)[-1] == ("shadow", "target_with_reverse_shadow", "refused")


def test_a_dry_run_changes_nothing(control: Control) -> None:
    assert applying(control, plan_in(Phase.SHADOW)).dry_run()[0].moved
    assert read_routes(control).routes == ()


def test_going_back_needs_no_gate(control: Control) -> None:
    go(control, Phase.SHADOW)
    mark_completeness(control.writing(), ["pilot"], True, None)
    go(control, Phase.TARGET_WITH_REVERSE_SHADOW)
    assert go(control, Phase.SHADOW, GateInputs())
    assert read_routes(control).routes[0].answering_name == "legacy"


def test_a_target_that_stops_being_complete_between_gate_and_move_is_not_moved_to(control: Control) -> None:
    go(control, Phase.SHADOW)  # recorded as not complete, whatever the gates' inputs said
    with pytest.raises(OperatorBusy, match="no longer complete"):
        go(control, Phase.TARGET_WITH_REVERSE_SHADOW, GOOD)


def test_starting_over_forgets_what_was_known_of_the_target(control: Control) -> None:
    go(control, Phase.SHADOW)
    mark_completeness(control.writing(), ["pilot"], True, None)
    go(control, Phase.LEGACY)
    go(control, Phase.SHADOW)
    assert not read_routes(control).routes[0].complete


def test_a_slice_whose_only_policy_was_erased_leaves_the_plan_and_others_move(control: Control) -> None:
    since, until = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)
    gone = Policy(number="GONE-1", valid_from=since, valid_to=until, device="V9")
    listed = SlicePlan(name="listed", policies=Selector(numbers=("GONE-1",)), target="embedded", phase=Phase.SHADOW)
    policies = [*POLICIES, gone]
    first = replace(applying(control, plan_of(listed)), policies=lambda: policies)
    assert [each.moved for each in first.apply("begin")] == [True]
    mark_completeness(control.writing(), ["listed"], True, None)
    for phase in (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET):
        plan = plan_of(structs.replace(listed, phase=phase))
        assert [each.moved for each in replace(first, plan=plan).apply("on")] == [True]
    assert ControlForgetting(control, lambda: policies).forget([gone]) > 0
    outcomes = applying(control, plan_in(Phase.SHADOW)).apply("nobody is left")
    assert [(each.slice, each.moved) for each in outcomes] == [("pilot", True), ("listed", True)]
    assert [route.slice.name for route in read_routes(control).routes] == ["pilot"]
    assert ("target", None, "forgotten") in entries(control)


def test_a_second_operator_is_refused(control: Control) -> None:
    with (
        operator_lock(control, "bob"),
        pytest.raises(OperatorBusy, match=r"bob \(process \d+ on [^)]+\) has held the apply lock"),
    ):
        applying(control, plan_in(Phase.SHADOW)).apply("me too")
    assert go(control, Phase.SHADOW)


def test_the_lock_of_a_dead_process_of_ours_is_taken_over(control: Control) -> None:
    dead = Process.this()._replace(started="1")  # its id was given to another one since
    with control.writing() as connection:
        far = now_us() + 10**12
        connection.execute(sa.insert(operators).values(name="apply", holder=f"ann, {dead}", since_us=1, expires_us=far))
    assert go(control, Phase.SHADOW)


def test_a_reason_is_asked_for(control: Control) -> None:
    with pytest.raises(UsageError, match="a reason is missing"):
        applying(control, plan_in(Phase.SHADOW)).apply(" ")


def test_a_refused_plan_moves_no_slice(control: Control) -> None:
    good = SlicePlan(name="good", policies=Selector(product="default"), target="embedded", phase=Phase.SHADOW)
    skips = SlicePlan(name="skips", policies=Selector(product="other"), target="embedded", phase=Phase.TARGET)
    with pytest.raises(PlanInvalid):
        applying(control, plan_of(good, skips)).apply("both")
    assert read_routes(control).routes == ()


def test_a_follower_sees_a_move_within_a_second(control: Control) -> None:
    go(control, Phase.SHADOW)
    with RoutesFollower(control, every_s=0.05) as follower:
        assert follower.now().routes[0].phase is Phase.SHADOW
        go(control, Phase.LEGACY)
        until = now_us() + 1_000_000
        while follower.now().routes[0].phase is not Phase.LEGACY:
            assert now_us() < until
    assert follower.now().routes[0].phase is Phase.LEGACY


def test_a_follower_that_cannot_read_refuses_after_a_second(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    go(control, Phase.SHADOW)
    with RoutesFollower(control, every_s=0.02, stale_s=0.2) as follower:

        def unreachable() -> None:
            raise StoreUnavailable("gone", todo="bring it back")

        monkeypatch.setattr(Control, "reading", lambda self: unreachable())
        assert _within_s(2.0, lambda: _refuses(follower))
        monkeypatch.undo()
        assert _within_s(2.0, lambda: not _refuses(follower))
        assert follower.now().routes


def _refuses(follower: RoutesFollower) -> bool:
    try:
        follower.now()
    except RoutesUnreadable:
        return True
    return False


def _within_s(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.01)
    return False


def other_legacy(plan: Plan, source: str) -> Plan:
    return structs.replace(plan, legacy=structs.replace(plan.legacy, source=source))


def test_a_control_database_belongs_to_one_plan(control: Control) -> None:
    first = plan_in(Phase.SHADOW)
    applying(control, first).apply("because")
    second = other_legacy(plan_in(Phase.LEGACY), "mongodb://another/telematics")
    before = entries(control)
    for act in (applying(control, second).dry_run, lambda: applying(control, second).apply("mine")):
        with pytest.raises(PlanInvalid, match="belongs to plan 'mongodb://legacy/telematics'"):
            act()
    assert entries(control) == before
    applying(control, other_legacy(first, "mongodb://me:pw@legacy/telematics?replicaSet=rs0")).apply("the same place")
    moved = structs.replace(second, id="mongodb://legacy/telematics")
    [outcome] = applying(control, moved).apply("legacy has another address")
    assert outcome.moved
