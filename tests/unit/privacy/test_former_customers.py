"""Who is a former customer, and what keeps one nevertheless."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.privacy.former_customers import (
    CustomerState,
    FormerCustomer,
    LegalHold,
    PolicyName,
    Succession,
    SuccessorDecision,
    ended_before,
    former_customers,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
KEPT_DAYS = 1095
OLD = datetime(2021, 1, 1, tzinfo=UTC)
YEAR = timedelta(days=365)


def term(
    number: str = "P-1", since: datetime = OLD, until: datetime | None = OLD + YEAR, *, vehicle: str = "car-1",
    device: str | None = None, tenant: str = "acme",
) -> Policy:  # fmt: skip
    return Policy(number=number, tenant=tenant, valid_from=since, valid_to=until, vehicle=vehicle, device=device)


def found(
    *policies: Policy,
    holds: dict[PolicyName, LegalHold] | None = None,
    decisions: dict[Succession, SuccessorDecision] | None = None,
) -> list[FormerCustomer]:
    return former_customers(
        policies, ended_before=ended_before(NOW, KEPT_DAYS), now=NOW, holds=holds or {}, decisions=decisions or {}
    )


def states(*policies: Policy, **others: object) -> dict[str, CustomerState]:
    return {each.policy.number: each.state for each in found(*policies, **others)}  # type: ignore[arg-type]


def decided(*pairs: tuple[str, str, bool]) -> dict[Succession, SuccessorDecision]:
    return {
        Succession("acme", number, successor): SuccessorDecision(same_person=same, who="ann", why="asked")
        for number, successor, same in pairs
    }


def test_a_policy_that_ended_long_enough_ago_is_due_with_all_its_terms() -> None:
    (customer,) = found(term(since=OLD + YEAR, until=OLD + 2 * YEAR - timedelta(days=9)), term())
    assert customer.state is CustomerState.due
    assert [each.valid_from for each in customer.terms] == [OLD, OLD + YEAR]


def test_the_day_itself_is_not_long_enough() -> None:
    limit = ended_before(NOW, KEPT_DAYS)
    assert states(term(until=limit)) == {}
    assert states(term(until=limit - timedelta(microseconds=1))) == {"P-1": CustomerState.due}


def test_a_renewal_under_the_number_keeps_every_term() -> None:
    assert states(term(), term(since=OLD + YEAR, until=None)) == {}
    assert states(term(), term(since=OLD + YEAR, until=NOW - timedelta(days=30))) == {}


def test_another_tenant_is_no_renewal() -> None:
    assert states(term(), term(since=OLD + YEAR, until=None, tenant="other")) == {"P-1": CustomerState.due}


def test_another_number_on_the_same_device_or_vehicle_is_undecided() -> None:
    follows = term("P-2", OLD + YEAR, None)
    assert states(term(), follows) == {"P-1": CustomerState.undecided}
    assert states(term(device="box"), term("P-2", OLD + YEAR, None, vehicle="x", device="box")) == {
        "P-1": CustomerState.undecided
    }
    assert states(term(), term("P-0", OLD - YEAR, OLD)) == {"P-0": CustomerState.undecided, "P-1": CustomerState.due}


def test_a_decision_says_whose_the_successor_is() -> None:
    follows = term("P-2", OLD + YEAR, None)
    for same, expected in ((True, CustomerState.renewed), (False, CustomerState.due)):
        assert states(term(), follows, decisions=decided(("P-1", "P-2", same))) == {"P-1": expected}
    ended = term("P-2", OLD + YEAR, OLD + 2 * YEAR - timedelta(days=9))
    same = decided(("P-1", "P-2", True))
    assert states(term(), ended, decisions=same) == {"P-1": CustomerState.due, "P-2": CustomerState.due}


def test_a_decision_is_of_two_policies_and_says_nothing_of_a_later_successor() -> None:
    earlier, later = term("P-2", OLD + YEAR, OLD + 2 * YEAR), term("P-3", OLD + 2 * YEAR, None)
    for same in (True, False):
        known = decided(("P-1", "P-2", same), ("P-2", "P-3", False))
        assert states(term(), earlier, later, decisions=known)["P-1"] is CustomerState.undecided
    known = decided(("P-1", "P-2", False), ("P-1", "P-3", True), ("P-2", "P-3", False))
    assert states(term(), earlier, later, decisions=known) == {
        "P-1": CustomerState.renewed, "P-2": CustomerState.due,
    }  # fmt: skip


def test_the_same_person_as_a_renewed_one_is_renewed() -> None:
    second = term("P-2", OLD + YEAR, OLD + 2 * YEAR - timedelta(days=9), device="box-2")
    third = term("P-3", OLD + 2 * YEAR, None, vehicle="car-9", device="box-2")
    known = decided(("P-1", "P-2", True), ("P-2", "P-3", True))
    assert states(term(), second, third, decisions=known) == {
        "P-1": CustomerState.renewed, "P-2": CustomerState.renewed,
    }  # fmt: skip


def _chain(steps: int) -> list[Policy]:
    """Policies each of which follows on the device or vehicle of the one before; the last is in force."""
    return [
        term(f"P-{step}", OLD + step * YEAR / 9, None if step == steps else OLD + (step + 1) * YEAR / 9,
             vehicle=f"car-{step // 2}", device=f"box-{(step + 1) // 2}")
        for step in range(steps + 1)
    ]  # fmt: skip


@pytest.mark.parametrize("steps", [2, 3, 5])
@pytest.mark.parametrize("held", [False, True])
def test_who_is_the_same_person_as_one_that_is_undecided_waits_for_that_decision(steps: int, held: bool) -> None:
    chain = _chain(steps)
    numbers = [each.number for each in chain]
    same = [(number, successor, True) for number, successor in itertools.pairwise(numbers)]
    last = PolicyName("acme", numbers[-2])
    holds = {last: LegalHold(who="ann", why="case 7")} if held else {}
    waits = dict.fromkeys(numbers[:-1], CustomerState.undecided)
    kept = {numbers[-2]: CustomerState.held} if held else {}
    assert states(*chain, decisions=decided(*same[:-1]), holds=holds) == waits | kept
    renewed = dict.fromkeys(numbers[:-1], CustomerState.renewed)
    assert states(*chain, decisions=decided(*same), holds=holds) == renewed | kept
    other = decided(*same[:-1], (*numbers[-2:], False))
    assert states(*chain, decisions=other, holds=holds) == dict.fromkeys(numbers[:-1], CustomerState.due) | kept


def test_another_person_than_one_that_is_undecided_is_due() -> None:
    chain = _chain(3)
    known = decided(("P-0", "P-1", False), ("P-1", "P-2", True))
    assert states(*chain, decisions=known) == {
        "P-0": CustomerState.due, "P-1": CustomerState.undecided, "P-2": CustomerState.undecided,
    }  # fmt: skip


def test_a_hold_keeps_until_it_ends() -> None:
    name = PolicyName("acme", "P-1")
    for until, expected in ((None, CustomerState.held), (NOW + YEAR, CustomerState.held), (NOW, CustomerState.due)):
        hold = LegalHold(who="ann", why="case 7", until=until)
        (customer,) = found(term(), holds={name: hold})
        assert customer.state is expected
    (held,) = found(term(), holds={name: LegalHold(who="ann", why="case 7", until=NOW + YEAR)})
    assert held.because == "case 7 (ann) until 2027-12-01"
    assert "P-1" not in repr(held)
    assert "case" not in repr(held)
