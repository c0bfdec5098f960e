"""Policies that are sought by number: what may not be known of is decided about as what is not there."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.support.access_twins import NOW, Twins, ask, policy

from journeymesh.access.decision import Concealed
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.ledger.port import AuditUnwritable


def test_of_a_number_that_two_tenants_use_the_bearer_means_their_own_tenants_policy() -> None:
    own, foreign = policy(), policy(tenant="south")
    twins = Twins()
    for terms in ((own, foreign), (foreign, own)):
        decision = twins.decider().decide("ana", ask(policy=None, terms=terms))
        assert decision.allowed
        assert (decision.ask.policy, decision.terms, decision.all_terms) == (own, (own,), True)


def _seen_by(tenant: str, twins: Twins) -> list[tuple[str, dict[str, Any]]]:
    """The records that this tenant's auditor reads, without ids."""
    found = []
    for kind, body, _ in twins.audit.records:
        if body["tenant"] in (None, tenant):
            found.append((kind, {name: value for name, value in body.items() if name != "decision_id"}))
    return found


@pytest.mark.parametrize(
    "changes", [{}, {"purpose": None}, {"capability": "tracks:read"}, {"purpose": "retention-study"}]
)
@pytest.mark.parametrize("token", ["ana", "forged", None])
def test_another_tenants_policy_is_decided_and_recorded_as_one_that_is_not_there(
    token: str | None, changes: dict[str, Any]
) -> None:
    unknown, foreign = Twins(), Twins()
    missing = unknown.decider().decide(token, ask(policy=None, terms=(), **changes))
    decision = foreign.decider().decide(token, ask(policy=None, terms=(policy(tenant="south"),), **changes))
    for name in ("reason", "identity", "obligations", "determining", "approval_id", "terms", "all_terms", "concealed"):
        assert getattr(decision, name) == getattr(missing, name), name
    assert decision.ask.policy is None
    assert not decision.terms
    assert decision.known_for() is missing.known_for() is None
    assert _seen_by("north", foreign) == _seen_by("north", unknown)
    assert len(foreign.audit.records) == len(unknown.audit.records) == (2 if token == "ana" else 1)


def test_the_tenant_of_a_policy_sees_that_another_one_sought_it() -> None:
    twins = Twins()
    terms = (policy(tenant="south"), policy(tenant="west"), policy(tenant="south", valid_from=NOW))
    twins.decider().decide("ana", ask(policy=None, terms=terms))
    for tenant in ("south", "west"):
        ((kind, body),) = _seen_by(tenant, twins)
        assert (kind, body["by_tenant"], body["resource"], body["reason"]) == (
            "attempt", "north", "pseudonym-of-policy", "policy_forbids",
        )  # fmt: skip
        assert (body["capability"], body["purpose"]) == ("journeys:read", "pricing")
        assert "ana" not in json.dumps(body)
    assert [kind for kind, _ in _seen_by("north", twins)] == ["decision"]


def test_a_policy_of_the_own_tenant_that_may_not_be_known_of_is_decided_as_one_that_is_not_there() -> None:
    for hidden, determining in ((policy(status="lapsed"), ("former-customers",)), (policy(product="van"), ())):
        twins = Twins()
        held = twins.contracts.contracts["journeys"].purposes
        cars = RowPredicate(statuses=frozenset({"active"}), products=frozenset({"default"}))
        twins.contracts.contracts["journeys"].purposes = {**held, "pricing": Obligations(rows=cars)}
        decision = twins.decider().decide("ana", ask(policy=None, terms=(hidden,)))
        missing = twins.decider().decide("ana", ask(policy=None, terms=()))
        assert (decision.reason, decision.determining) == (missing.reason, missing.determining)
        assert (decision.terms, decision.ask.policy) == ((), None)
        assert decision.concealed == Concealed(hidden, determining)
        attempt, told, *_ = twins.audit.records
        assert (attempt[0], attempt[1]["tenant"], attempt[1]["determining"]) == ("attempt", "north", list(determining))
        assert (told[0], told[1]["resource_kind"]) == ("decision", "product")


def test_an_attempt_that_cannot_be_recorded_lets_nothing_leave() -> None:
    twins = Twins()
    twins.audit.fails = True
    decision = twins.decider().decide("ana", ask(policy=None, terms=()))
    with pytest.raises(AuditUnwritable):
        decision.recorded.result(0)


def test_what_is_sought_in_vain_has_no_policy_of_another_tenant_in_the_answer() -> None:
    decision = Twins().decider().decide("ana", ask(policy=None, terms=(policy(tenant="south"),)))
    assert not any(decision.obligations.rows.admits(each) for each in decision.ask.others("north"))
    assert decision.ask.others("south") == ()


def test_each_term_of_a_renewed_policy_is_judged_by_its_own_status() -> None:
    lapsed = policy(valid_to=NOW, status="lapsed")
    active = policy(valid_from=NOW)
    decider = Twins().decider()
    decision = decider.decide("ana", ask(policy=None, terms=(active, lapsed)))
    assert (decision.terms, decision.all_terms, decision.ask.policy) == ((active,), False, active)
    again = policy(valid_from=NOW + timedelta(days=9), status="lapsed")
    decision = decider.decide("ana", ask(policy=None, terms=(lapsed, active, again)))
    assert (decision.terms, decision.all_terms, decision.ask.policy) == ((active,), False, active)
    denied = decider.decide("ana", ask(policy=None, terms=(lapsed, again)))
    assert (denied.terms, denied.ask.policy) == ((), None)
    assert denied.concealed == Concealed(again, ("former-customers",))
