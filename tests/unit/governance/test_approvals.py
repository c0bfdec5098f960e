"""Which steps an approval can take, and who takes them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.approval_people import ANN, BOB, CONTRACT, EVE, NOW, OLGA, PAM, PER, WISH, wish

from journeymesh.governance.approvals import (
    POSSIBLE_FROM,
    Approval,
    ApprovalAction,
    Person,
    RequestInvalid,
    StepNotPossible,
    StepNotTheirs,
    is_approver,
    permitted_steps,
    requested,
    stepped,
)
from journeymesh.wire.identity import State

BEFORE, DURING, AFTER = NOW - timedelta(days=1), NOW + timedelta(days=1), NOW + timedelta(days=31)


def _requested(person: Person = ANN, **changes: Any) -> Approval:
    return requested(wish(**changes), "a1", person, CONTRACT, BEFORE)


def _in(state: State) -> tuple[Approval, datetime]:
    """An approval in this state, and when it is."""
    approval = _requested()
    if state is State.REQUESTED:
        return approval, DURING
    if state is State.ONCE_APPROVED:
        return stepped(approval, ApprovalAction.APPROVE, PER, "yes", CONTRACT, BEFORE), DURING
    if state is State.REJECTED:
        return stepped(approval, ApprovalAction.REJECT, PAM, "no", CONTRACT, BEFORE), DURING
    approval = stepped(approval, ApprovalAction.APPROVE, PAM, "yes", CONTRACT, BEFORE)
    if state is State.APPROVED:
        return approval, DURING
    approval = stepped(approval, ApprovalAction.ACKNOWLEDGE, ANN, "", CONTRACT, BEFORE)
    if state is State.REVOKED:
        return stepped(approval, ApprovalAction.REVOKE, PAM, "over", CONTRACT, BEFORE), DURING
    return approval, {State.ACKNOWLEDGED: BEFORE, State.ACTIVE: DURING, State.EXPIRED: AFTER}[state]


WHO = {
    ApprovalAction.APPROVE: PAM,
    ApprovalAction.REJECT: PAM,
    ApprovalAction.ACKNOWLEDGE: BOB,
    ApprovalAction.REVOKE: PAM,
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("step", ApprovalAction)
def test_a_step_is_possible_from_its_states_only(state: State, step: ApprovalAction) -> None:
    approval, at = _in(state)
    assert approval.state_at(at) is state
    if state in POSSIBLE_FROM[step]:
        after = stepped(approval, step, WHO[step], "why", CONTRACT, at)
        assert after.steps == approval.steps + 1
        assert (
            after.state_at(at)
            in {
                ApprovalAction.APPROVE: {State.APPROVED},
                ApprovalAction.REJECT: {State.REJECTED},
                ApprovalAction.ACKNOWLEDGE: {State.ACTIVE},
                ApprovalAction.REVOKE: {State.REVOKED},
            }[step]
        )
    else:
        with pytest.raises(StepNotPossible, match=f"approval a1 is {state}") as refused:
            stepped(approval, step, WHO[step], "why", CONTRACT, at)
        assert refused.value.state is state
        assert refused.value.todo


def test_the_table_of_steps_is_the_one_in_the_documentation() -> None:
    possible = {(state.value, step.value) for step, states in POSSIBLE_FROM.items() for state in states}
    assert possible == {
        ("requested", "approve"),
        ("requested", "reject"),
        ("once_approved", "approve"),
        ("once_approved", "reject"),
        ("approved", "acknowledge"),
        ("approved", "revoke"),
        ("acknowledged", "revoke"),
        ("active", "revoke"),
    }


@pytest.mark.parametrize("step", [ApprovalAction.APPROVE, ApprovalAction.REJECT])
def test_the_requester_never_decides_even_as_an_approver(step: ApprovalAction) -> None:
    approval = _requested(PER)
    assert is_approver(PER, CONTRACT)
    with pytest.raises(StepNotTheirs, match="keycloak:per requested approval a1: ask another approver"):
        stepped(approval, step, PER, "why", CONTRACT, DURING)
    other = replace(PER, subject="pia")
    assert stepped(approval, step, other, "why", CONTRACT, DURING).decided_by == other.who


ELSEWHERE = replace(PAM, provider="keycloak", subject="0f3a")


def test_one_person_with_accounts_at_two_providers_does_not_approve_their_own_request() -> None:
    approval = _requested(replace(PER, person="staff-7"))
    same, unlike = (replace(PAM, person=person) for person in ("staff-7", "staff-8"))
    for step in (ApprovalAction.APPROVE, ApprovalAction.REJECT):
        with pytest.raises(StepNotTheirs, match="static:pam requested approval a1: ask another approver"):
            stepped(approval, step, same, "why", CONTRACT, DURING)
    assert stepped(approval, ApprovalAction.APPROVE, unlike, "why", CONTRACT, DURING).recorded is State.APPROVED
    twice = _requested(replace(ANN, person="staff-7"))
    with pytest.raises(StepNotTheirs):  # two accounts at one provider, too
        stepped(twice, ApprovalAction.APPROVE, same, "why", CONTRACT, DURING)


@pytest.mark.parametrize("declared", [(None, None), ("staff-7", None), (None, "staff-7")])
def test_where_nobody_says_who_is_who_an_approval_across_providers_needs_two_approvers(
    declared: tuple[str | None, str | None],
) -> None:
    requester, approver = replace(ANN, person=declared[0]), replace(ELSEWHERE, person=declared[1])
    once = stepped(_requested(requester), ApprovalAction.APPROVE, approver, "why", CONTRACT, DURING)
    assert (once.recorded, once.decided_by, once.once_approved_by) == (State.ONCE_APPROVED, None, approver.who)
    assert once.state_at(DURING) is State.ONCE_APPROVED
    with pytest.raises(StepNotPossible, match="is once_approved"):
        stepped(once, ApprovalAction.ACKNOWLEDGE, ANN, "", CONTRACT, DURING)
    with pytest.raises(StepNotTheirs, match="cannot be distinguished from keycloak:0f3a, who approved a1 first"):
        stepped(once, ApprovalAction.APPROVE, approver, "why", CONTRACT, DURING)
    with pytest.raises(StepNotTheirs, match="cannot be distinguished from"):  # a third provider: perhaps the same again
        stepped(
            once, ApprovalAction.APPROVE, replace(approver, provider="kubernetes", person=None), "why", CONTRACT, DURING
        )
    for second in (replace(approver, subject="77b1", person=None), PAM):
        done = stepped(once, ApprovalAction.APPROVE, second, "why", CONTRACT, DURING)
        assert (done.recorded, done.decided_by, done.steps) == (State.APPROVED, second.who, 2)
    with pytest.raises(StepNotTheirs, match="requested approval a1"):
        stepped(once, ApprovalAction.APPROVE, replace(ANN, domains=frozenset({"privacy"})), "why", CONTRACT, DURING)
    assert stepped(once, ApprovalAction.REJECT, PAM, "no", CONTRACT, DURING).recorded is State.REJECTED


def test_an_approver_at_the_requesters_provider_is_known_to_be_another() -> None:
    assert stepped(_requested(ANN), ApprovalAction.APPROVE, PAM, "why", CONTRACT, DURING).recorded is State.APPROVED


@pytest.mark.parametrize("step", [ApprovalAction.APPROVE, ApprovalAction.REJECT, ApprovalAction.REVOKE])
def test_only_approvers_of_the_contract_decide(step: ApprovalAction) -> None:
    approval, at = _in(State.ACTIVE if step is ApprovalAction.REVOKE else State.REQUESTED)
    for person in (PAM, PER, OLGA):
        stepped(approval, step, person, "why", CONTRACT, at)
    with pytest.raises(StepNotTheirs, match="static:bob is not an approver of journeys"):
        stepped(approval, step, BOB, "why", CONTRACT, at)
    with pytest.raises(StepNotTheirs, match="another tenant's"):
        stepped(approval, step, EVE, "why", CONTRACT, at)
    with pytest.raises(StepNotTheirs):
        stepped(approval, step, PAM, "why", None, at)


def test_an_approver_is_named_by_provider_and_subject_or_by_domain() -> None:
    assert is_approver(OLGA, CONTRACT)
    assert not is_approver(replace(OLGA, provider="keycloak"), CONTRACT)
    assert not is_approver(Person("domain", "privacy", "acme"), CONTRACT)
    assert is_approver(Person("domain", "x", "acme", frozenset({"privacy"})), CONTRACT)


def test_a_domain_acknowledges_for_itself() -> None:
    approval, at = _in(State.APPROVED)
    for person in (ANN, BOB):
        assert stepped(approval, ApprovalAction.ACKNOWLEDGE, person, "", CONTRACT, at).state_at(at) is State.ACTIVE
    for person in (PAM, OLGA):
        with pytest.raises(StepNotTheirs, match="is acknowledged by domain 'claims'"):
            stepped(approval, ApprovalAction.ACKNOWLEDGE, person, "", CONTRACT, at)
    with pytest.raises(StepNotTheirs):
        stepped(approval, ApprovalAction.ACKNOWLEDGE, EVE, "", CONTRACT, at)


def test_the_requester_can_give_an_approval_back() -> None:
    approval, at = _in(State.ACTIVE)
    assert stepped(approval, ApprovalAction.REVOKE, ANN, "done", CONTRACT, at).state_at(at) is State.REVOKED
    with pytest.raises(StepNotTheirs):
        stepped(approval, ApprovalAction.REVOKE, BOB, "done", CONTRACT, at)


def test_the_clock_makes_it_active_and_expired_to_the_microsecond() -> None:
    approval, _ = _in(State.ACTIVE)
    tick = timedelta(microseconds=1)
    assert approval.state_at(WISH.valid_from - tick) is State.ACKNOWLEDGED
    assert approval.state_at(WISH.valid_from) is State.ACTIVE
    assert approval.state_at(WISH.valid_to - tick) is State.ACTIVE
    assert approval.state_at(WISH.valid_to) is State.EXPIRED
    waiting = _requested()
    assert waiting.state_at(WISH.valid_to) is State.EXPIRED


@pytest.mark.parametrize("step", [ApprovalAction.APPROVE, ApprovalAction.ACKNOWLEDGE])
def test_a_major_version_needs_approvals_of_its_own(step: ApprovalAction) -> None:
    approval, at = _in(State.REQUESTED if step is ApprovalAction.APPROVE else State.APPROVED)
    second = replace(CONTRACT, version="2.0.0", major=2)
    with pytest.raises(StepNotPossible, match="of major version 1; journeys has major version 2: request a new"):
        stepped(approval, step, WHO[step], "why", second, at)
    minor = replace(CONTRACT, version="1.9.0")
    assert stepped(approval, step, WHO[step], "why", minor, at).steps == approval.steps + 1
    narrowed = replace(CONTRACT, purposes={"pricing": CONTRACT.purposes["pricing"]})
    with pytest.raises(StepNotPossible, match="may no longer be used for 'claims'"):
        stepped(approval, step, WHO[step], "why", narrowed, at)


def test_revoking_needs_no_contract_that_still_allows_the_purpose() -> None:
    approval, at = _in(State.ACTIVE)
    changed = replace(CONTRACT, major=2, purposes={})
    assert stepped(approval, ApprovalAction.REVOKE, PAM, "over", changed, at).state_at(at) is State.REVOKED
    assert stepped(approval, ApprovalAction.REVOKE, ANN, "over", None, at).state_at(at) is State.REVOKED


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"purpose": "research"}, "journeys may not be used for 'research': it may for: claims, pricing"),
        ({"purpose": "nonsense"}, "may not be used for 'nonsense'"),
        ({"reason": " \n"}, "reason is empty"),
        ({"reason": "x" * 2_001}, "more than 2000 characters"),
        ({"reason": "a\0b"}, "a character that no text has"),
        ({"reason": "a\ud800b"}, "a character that no text has"),
        ({"valid_to": NOW.replace(tzinfo=None)}, "has no time zone"),
        ({"valid_to": NOW}, "end before it begins"),
        ({"valid_from": NOW - timedelta(days=9), "valid_to": NOW - timedelta(days=2)}, "has ended"),
        ({"valid_to": NOW + timedelta(days=101)}, "too long: ask for at most 100 days"),
    ],
)
def test_what_nobody_can_approve_cannot_be_requested(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestInvalid, match=told):
        _requested(**changes)


def test_one_asks_for_a_domain_of_ones_own() -> None:
    assert _requested(domain="fleet").domain == "fleet"
    with pytest.raises(StepNotTheirs, match="static:ann does not work for domain 'privacy'"):
        _requested(domain="privacy")


def test_a_decision_says_why_and_an_acknowledgement_may() -> None:
    approval = _requested()
    for step in (ApprovalAction.APPROVE, ApprovalAction.REJECT):
        with pytest.raises(RequestInvalid, match="why is empty"):
            stepped(approval, step, PAM, "", CONTRACT, DURING)
    approved, at = _in(State.APPROVED)
    stepped(approved, ApprovalAction.ACKNOWLEDGE, ANN, "seen", CONTRACT, at)
    with pytest.raises(RequestInvalid, match="more than"):
        stepped(approved, ApprovalAction.ACKNOWLEDGE, ANN, "x" * 2_001, CONTRACT, at)


def test_a_reason_is_not_shown_by_accident() -> None:
    assert WISH.reason not in repr(_requested())


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("person", [ANN, BOB, EVE, OLGA, PAM, PER])
def test_the_permitted_steps_are_those_that_are_accepted(state: State, person: Person) -> None:
    approval, at = _in(state)
    for contract in (CONTRACT, replace(CONTRACT, version="2.0.0", major=2), None):
        accepted = []
        for step in ApprovalAction:
            with contextlib.suppress(StepNotTheirs, StepNotPossible):
                stepped(approval, step, person, "why", contract, at)
                accepted.append(step)
        assert permitted_steps(approval, person, contract, at) == tuple(accepted)
