"""Which moves a plan asks for, and which plans are refused."""

from datetime import UTC, datetime

import msgspec
import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.moves import Move, MoveKind, moves_of
from journeymesh.strangler.plan import PlanInvalid, SlicePlan
from journeymesh.strangler.routes import Route, Routes
from journeymesh.strangler.slices import Phase, Selector, SideName, Slice, answering, may_follow
from tests.support.plans import plan_of

POLICIES = [
    Policy(
        number=f"P{k}", valid_from=datetime(2024, 1, 1, tzinfo=UTC), device=f"V{k}", product="car" if k < 5 else "van"
    )
    for k in range(10)
]


def slice_plan(phase: Phase = Phase.SHADOW, **changes: object) -> SlicePlan:
    wanted = SlicePlan(name="pilot", policies=Selector(product="car"), target="embedded", phase=phase)
    return msgspec.structs.replace(wanted, **changes)


def recorded(phase: Phase, source: str = "legacy", target: str = "embedded", **changes: object) -> Route:
    values = {"upstream": "legacy", "complete": True, "detail": None, "since_us": 1} | changes
    values = {"slice": slice_plan().slice} | values
    return Route(source=source, target=target, phase=phase, **values)  # type: ignore[arg-type]


def moves(wanted: list[SlicePlan], held: list[Route]) -> list[Move]:
    return moves_of(plan_of(*wanted), Routes(1, tuple(held)), POLICIES, now_us=9)


def test_a_slice_begins_in_shadow_with_a_target_that_is_not_complete() -> None:
    [move] = moves([slice_plan()], [])
    assert (move.kind, move.after.phase, move.after.complete) == (MoveKind.BEGIN, Phase.SHADOW, False)  # type: ignore[union-attr]
    assert move.after.answering is SideName.SOURCE  # type: ignore[union-attr]


@pytest.mark.parametrize("before", list(Phase))
@pytest.mark.parametrize("after", list(Phase))
def test_a_slice_goes_one_step_on_or_any_number_back_but_never_back_from_retired(before: Phase, after: Phase) -> None:
    order = list(Phase)
    step = order.index(after) - order.index(before)
    allowed = before is not Phase.RETIRED and (step == 1 or step < 0)
    if before is after:
        assert moves([slice_plan(after)], [recorded(before)]) == []
    elif allowed:
        [move] = moves([slice_plan(after)], [recorded(before)])
        assert move.after is not None
        assert move.after.phase is after
        assert may_follow(before, after)
    else:
        with pytest.raises(PlanInvalid, match=r"skipped|cannot be undone"):
            moves([slice_plan(after)], [recorded(before)])


def test_only_steps_that_let_the_target_answer_are_gated() -> None:
    gated = {
        (before, after)
        for before in Phase
        for after in Phase
        if may_follow(before, after) and moves([slice_plan(after)], [recorded(before)])[0].is_gated
    }
    assert gated == {
        (Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW),
        (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET),
        (Phase.TARGET, Phase.RETIRED),
    }


def test_a_plan_that_skips_a_phase_is_refused_and_told_the_next_one() -> None:
    with pytest.raises(PlanInvalid, match=r"phase legacy .* phase is skipped: ask for shadow next"):
        moves([slice_plan(Phase.TARGET)], [])


def test_overlapping_slices_are_refused() -> None:
    for other in (Selector(tenant="default"), Selector(hash_percent=(0, 50)), Selector(numbers=("P1",))):
        with pytest.raises(PlanInvalid, match="overlap"):
            moves([slice_plan(), slice_plan(name="other", policies=other)], [])


def test_slices_told_apart_by_product_hash_or_list_are_not() -> None:
    low, high = Selector(hash_percent=(0, 50)), Selector(hash_percent=(50, 100))
    assert len(moves([slice_plan(policies=low), slice_plan(name="other", policies=high)], [])) == 2
    vans = Selector(product="van")
    assert len(moves([slice_plan(), slice_plan(name="other", policies=vans)], [])) == 2
    assert len(moves([slice_plan(), slice_plan(name="other", policies=Selector(numbers=("P7",)))], [])) == 2


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(PlanInvalid, match="names policy 'P99', which is unknown"):
        moves([slice_plan(policies=Selector(numbers=("P1", "P99")))], [])


def test_a_set_may_change_only_while_legacy_answers() -> None:
    wider = slice_plan(Phase.SHADOW, policies=Selector(tenant="default"))
    with pytest.raises(PlanInvalid, match="its set of policies changed"):
        moves([wider], [recorded(Phase.SHADOW)])
    [move] = moves([wider], [recorded(Phase.LEGACY)])
    assert move.after.slice.selector == Selector(tenant="default")  # type: ignore[union-attr]


def test_a_slice_leaves_the_plan_only_from_legacy() -> None:
    assert [move.kind for move in moves([], [recorded(Phase.LEGACY)])] == [MoveKind.FORGET]
    assert moves([], [recorded(Phase.RETIRED)]) == []
    with pytest.raises(PlanInvalid, match="is not in the plan"):
        moves([], [recorded(Phase.TARGET)])


@pytest.mark.parametrize("phase", list(Phase))
def test_a_slice_of_which_nobody_is_left_leaves_the_plan_from_any_phase(phase: Phase) -> None:
    nobody = Slice("erased", Selector(numbers=()))
    held = recorded(phase, slice=nobody)
    if phase is Phase.RETIRED:
        assert moves([], [held]) == []
    else:
        [move] = moves([], [held])
        assert (move.kind, move.name, move.after) == (MoveKind.FORGET, "erased", None)


def test_a_store_is_swapped_for_another_while_legacy_feeds_both() -> None:
    wanted = slice_plan(Phase.SHADOW, source="embedded", target="central")
    [move] = moves([wanted], [recorded(Phase.TARGET)])
    assert move.after is not None
    assert move.kind is MoveKind.SWAP
    assert move.after.feeds == (("legacy", "central"), ("legacy", "embedded"))
    assert move.after.answering_name == "embedded"


def test_after_legacy_is_retired_the_store_that_answers_feeds_the_next() -> None:
    wanted = slice_plan(Phase.SHADOW, source="embedded", target="central")
    [move] = moves([wanted], [recorded(Phase.RETIRED)])
    assert move.after is not None
    assert move.after.feeds == (("embedded", "central"),)


def test_a_swap_ends_when_the_plan_names_legacy_as_source_again() -> None:
    held = recorded(Phase.TARGET, source="embedded", target="central")
    [move] = moves([slice_plan(Phase.TARGET, target="central")], [held])
    assert move.after is not None
    assert (move.after.source, move.after.target, move.after.feeds) == ("legacy", "central", (("legacy", "central"),))


def test_a_swap_is_taken_back_to_the_store_that_answered_before() -> None:
    held = recorded(Phase.LEGACY, source="embedded", target="central", complete=False)
    [move] = moves([slice_plan(Phase.TARGET)], [held])
    assert move.after is not None
    assert (move.after.answering_name, move.after.complete) == ("embedded", True)


def test_while_a_swapped_store_is_incomplete_legacy_answers() -> None:
    held = recorded(Phase.SHADOW, source="embedded", target="central", source_complete=False)
    assert held.answering_name == "legacy"


def test_another_target_is_refused_once_the_first_is_being_filled() -> None:
    with pytest.raises(PlanInvalid, match="moves from legacy to embedded"):
        moves([slice_plan(Phase.SHADOW, target="central")], [recorded(Phase.SHADOW)])


def test_an_incomplete_target_never_answers_while_the_source_can() -> None:
    for phase in Phase:
        side = answering(phase, target_is_complete=False)
        assert side is (SideName.TARGET if phase is Phase.RETIRED else SideName.SOURCE)
