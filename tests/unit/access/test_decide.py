"""Decisions: each guard by itself, faults, and what the audit keeps."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from tests.support.access_twins import NOW, TwinApproval, TwinApprovals, Twins, ask, identity, policy

from journeymesh.access.cedar import CedarFile, CedarPolicies, shipped_files
from journeymesh.access.decide import narrowed
from journeymesh.access.decision import Ask
from journeymesh.access.explain import explain
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.identity.capabilities import of_product
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.ledger.port import AuditUnwritable
from journeymesh.wire.identity import Reason


def test_a_capable_identity_with_an_approved_purpose_is_allowed() -> None:
    twins = Twins()
    decision = twins.decider().decide("ana", ask())
    assert decision.allowed
    assert decision.determining == ("read-personal-data",)
    assert decision.approval_id == "A-1"
    assert decision.obligations.rows.tenants == {"north"}
    assert decision.obligations.mask == {"vehicle"}
    assert decision.recorded.result(0) is None


@pytest.mark.parametrize("token", [None, ""])
def test_no_token_is_denied(token: str | None) -> None:
    assert Twins().decider().decide(token, ask()).reason is Reason.TOKEN_MISSING


def test_a_refused_token_is_denied_and_nobody_is_identified() -> None:
    decision = Twins().decider().decide("forged", ask())
    assert (decision.reason, decision.identity) == (Reason.TOKEN_REFUSED, None)


def test_a_token_that_its_provider_takes_back_is_denied_and_nobody_is_identified() -> None:
    twins = Twins()
    twins.tokens.held["ana", "journeys"] = TokenRefused("withdrawn")
    decision = twins.decider().decide("ana", ask())
    assert (decision.reason, decision.identity) == (Reason.TOKEN_REFUSED, None)


def test_an_identity_whose_token_has_expired_is_denied_whatever_a_cache_says() -> None:
    twins = Twins()
    twins.tokens.identities["ana"] = identity(expires_at_s=NOW.timestamp())
    assert twins.decider().decide("ana", ask()).reason is Reason.TOKEN_REFUSED


def test_a_capability_that_does_not_exist_is_nobodys_even_if_a_provider_says_so() -> None:
    twins = Twins()
    twins.tokens.held["ana", "journeys"] = frozenset({"journeys:delete"})
    assert twins.decider().decide("ana", ask(capability="journeys:delete")).reason is Reason.CAPABILITY_UNKNOWN


def test_a_capability_of_another_product_is_unknown() -> None:
    assert Twins().decider().decide("ana", ask(product="platform")).reason is Reason.CAPABILITY_UNKNOWN


def test_a_capability_that_the_identity_lacks_is_denied() -> None:
    assert Twins().decider().decide("ana", ask(capability="tracks:read")).reason is Reason.CAPABILITY_MISSING


@pytest.mark.parametrize("purpose", [None, ""])
def test_personal_data_needs_a_purpose(purpose: str | None) -> None:
    assert Twins().decider().decide("ana", ask(purpose=purpose)).reason is Reason.PURPOSE_MISSING


@pytest.mark.parametrize("purpose", ["nosiness", "marketing"])
def test_a_purpose_outside_the_catalogue_or_the_contract_is_unknown(purpose: str) -> None:
    twins = Twins(approvals=TwinApprovals([TwinApproval(purpose=purpose)]))
    assert twins.decider().decide("ana", ask(purpose=purpose)).reason is Reason.PURPOSE_UNKNOWN


@pytest.mark.parametrize("capability", sorted(each.name for each in of_product("journeys") if each.personal))
def test_for_a_purpose_of_collecting_nothing_is_read(capability: str) -> None:
    twins = Twins()
    twins.tokens.held["ana", "journeys"] = frozenset({capability})
    twins.contracts.collecting = frozenset({"pricing"})
    for about in (policy(), None):
        decision = twins.decider().decide("ana", ask(capability=capability, policy=about))
        if capability == "fixes:write":
            assert decision.allowed
        else:
            assert (decision.reason, decision.determining) == (Reason.POLICY_FORBIDS, ("nothing-is-read-back",))


def test_a_product_without_a_contract_gives_out_nothing_personal() -> None:
    twins = Twins()
    twins.contracts.contracts.clear()
    assert twins.decider().decide("ana", ask()).reason is Reason.PURPOSE_UNKNOWN


def test_a_purpose_that_nobody_approved_is_denied() -> None:
    assert Twins().decider().decide("ana", ask(purpose="retention-study")).reason is Reason.APPROVAL_MISSING


@pytest.mark.parametrize(
    "approval",
    [
        TwinApproval(product_major=2),
        TwinApproval(product="claims"),
        TwinApproval(valid_to=NOW),
        TwinApproval(valid_from=NOW + timedelta(microseconds=1)),
    ],
)
def test_an_approval_of_another_version_or_time_counts_for_nothing_whatever_the_book_says(
    approval: TwinApproval,
) -> None:
    twins = Twins(approvals=TwinApprovals([approval], sloppy=True))
    assert twins.decider().decide("ana", ask()).reason is Reason.APPROVAL_MISSING


@pytest.mark.parametrize(
    ("approval", "by"),
    [
        (TwinApproval(purpose="marketing"), "approval-covers-the-purpose"),
        (TwinApproval(tenant="south"), "approval-is-of-the-tenant"),
        (TwinApproval(domain="claims"), "approval-is-for-a-domain-of-theirs"),
    ],
)
def test_cedar_looks_at_the_approval_once_more(approval: TwinApproval, by: str) -> None:
    twins = Twins(approvals=TwinApprovals([approval], sloppy=True))
    decision = twins.decider().decide("ana", ask())
    assert (decision.reason, decision.determining) == (Reason.POLICY_FORBIDS, (by,))


def test_another_tenants_policy_is_forbidden() -> None:
    decision = Twins().decider().decide("ana", ask(policy=policy(tenant="south")))
    assert (decision.reason, decision.determining) == (Reason.POLICY_FORBIDS, ("tenant-fence",))


def test_another_tenant_is_forbidden_where_no_policy_is_asked_about() -> None:
    decider = Twins().decider()
    assert decider.decide("ana", ask(policy=None, tenant="south")).determining == ("tenant-fence",)
    assert decider.decide("ana", ask(policy=None)).allowed


def test_fixes_are_written_for_the_own_tenant_only() -> None:
    decider = Twins().decider()
    assert decider.decide("ana", ask(capability="fixes:write", policy=None)).allowed
    denied = decider.decide("ana", ask(capability="fixes:write", policy=None, tenant="south"))
    assert denied.determining == ("tenant-fence", "writes-only-of-the-own-tenant")


@pytest.mark.parametrize("status", ["lapsed", "cancelled"])
def test_former_customers_are_left_alone_but_for_purposes_that_admit_them(status: str) -> None:
    twins = Twins(approvals=TwinApprovals([TwinApproval(), TwinApproval(purpose="retention-study")]))
    former = policy(status=status)
    denied = twins.decider().decide("ana", ask(policy=former))
    assert (denied.reason, denied.determining) == (Reason.POLICY_FORBIDS, ("former-customers",))
    assert twins.decider().decide("ana", ask(policy=former, purpose="retention-study")).allowed


def test_export_is_a_capability_and_a_permit_of_its_own() -> None:
    twins = Twins()
    exported = twins.decider().decide("ana", ask(capability="journeys:export"))
    assert exported.determining == ("export-personal-data",)
    twins.tokens.held["ana", "journeys"] = frozenset({"journeys:read"})
    assert twins.decider().decide("ana", ask(capability="journeys:export")).reason is Reason.CAPABILITY_MISSING


def test_an_open_capability_needs_no_purpose_and_lets_no_other_tenants_rows_out() -> None:
    twins = Twins(approvals=TwinApprovals())
    decision = twins.decider().decide("ana", ask(capability="product:read", purpose=None, policy=None))
    assert decision.allowed
    assert decision.approval_id is None
    assert decision.obligations.rows.tenants == {"north"}


def test_a_denial_admits_no_row_even_where_its_reason_is_not_looked_at() -> None:
    denied = Twins().decider().decide("ana", ask(policy=policy(tenant="south")))
    assert not denied.obligations.rows.admits(policy())


def test_a_provider_that_cannot_answer_denies_and_says_when_to_come_back() -> None:
    twins = Twins()
    twins.tokens.held["ana", "journeys"] = ProviderUnavailable("static", "down", retry_after_s=7.0)
    decision = twins.decider().decide("ana", ask())
    assert (decision.reason, decision.retry_after_s) == (Reason.FAULT, 7.0)
    twins.tokens.identities["ana"] = ProviderUnavailable("static", "down", retry_after_s=8.0)
    assert twins.decider().decide("ana", ask()).retry_after_s == 8.0


def test_any_fault_denies_and_decide_never_raises() -> None:
    for broken in ("tokens", "approvals", "contracts", "policies", "clock"):
        twins = Twins()
        setattr(twins, broken, None)
        decision = twins.decider().decide("ana", ask())
        assert (broken, decision.reason) == (broken, Reason.FAULT)
        assert decision.retry_after_s
        assert not decision.obligations.rows.admits(policy())
    assert Twins().decider().decide("ana", None).reason is Reason.FAULT  # type: ignore[arg-type]


class Panic(BaseException):
    """What a panic of an extension in Rust arrives as."""


def test_a_panic_of_an_engine_denies_too_and_an_interrupt_goes_on() -> None:
    twins = Twins()
    twins.tokens.held["ana", "journeys"] = Panic("index out of bounds")  # type: ignore[assignment]
    assert twins.decider().decide("ana", ask()).reason is Reason.FAULT
    twins.tokens.held["ana", "journeys"] = KeyboardInterrupt()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        twins.decider().decide("ana", ask())


def test_a_cedar_policy_that_errs_denies_though_another_permits() -> None:
    erring = CedarFile(
        "own.cedar",
        '@id("overflow") forbid (principal, action, resource) when { 9223372036854775807 + 1 == 0 };',
    )
    twins = Twins(policies=CedarPolicies.of([*shipped_files(), erring]))
    assert twins.decider().decide("ana", ask()).reason is Reason.FAULT


@pytest.mark.parametrize("broken", ["fails", "raises"])
def test_an_audit_that_cannot_be_written_fails_recorded(broken: str) -> None:
    twins = Twins()
    setattr(twins.audit, broken, True)
    decision = twins.decider().decide("ana", ask())
    with pytest.raises(AuditUnwritable):
        decision.recorded.result(0)


def test_denials_are_audited_too_and_found_by_the_decisions_id() -> None:
    twins = Twins()
    decisions = [twins.decider().decide(token, ask()) for token in (None, "forged", "ana")]
    assert [key for _, _, key in twins.audit.records] == [decision.decision_id for decision in decisions]
    assert len({decision.decision_id for decision in decisions}) == 3


def test_the_audit_holds_no_personal_data_and_no_free_text_of_the_callers() -> None:
    twins = Twins()
    for each in (
        ask(),
        ask(purpose="looking at Ana's neighbour"),
        ask(capability="P-1:read"),
        ask(policy=policy("P-1", tenant="south")),
    ):
        twins.decider().decide("ana", each)
    kept = json.dumps([body for _, body, _ in twins.audit.records])
    assert '"north"' in kept
    for secret in ('"P-1', '"ana"', '"V1"', "neighbour"):
        assert secret not in kept


def test_a_decision_is_explained_from_its_record_in_words() -> None:
    twins = Twins()
    twins.decider().decide("ana", ask(policy=policy(tenant="south")))
    explanation = explain(twins.audit.records[-1][1])
    assert not explanation.allowed
    assert "Cedar forbade it by tenant-fence." in explanation.lines
    assert explanation.lines[1] == "Asked: journeys:read on journeys for pricing, about one policy."


def test_every_record_can_be_explained() -> None:
    twins = Twins()
    for token, each in ((None, ask()), ("ana", ask()), ("ana", ask(purpose=None)), ("ana", ask(capability="x:y"))):
        decision = twins.decider().decide(token, each)
        assert explain(twins.audit.records[-1][1]).reason is decision.reason


def test_blocking_is_told_beforehand_and_a_fault_counts_as_blocking() -> None:
    twins = Twins()
    assert not twins.decider().would_block("ana", ask())
    twins.tokens.blocking = True
    assert twins.decider().would_block("ana", ask())
    assert not twins.decider().would_block(None, ask())
    twins.tokens = None  # type: ignore[assignment]
    assert twins.decider().would_block("ana", ask())


def test_a_contract_that_excludes_the_tenant_lets_no_row_of_its_out() -> None:
    held = Obligations(rows=RowPredicate(tenants=frozenset({"south"})))
    assert narrowed(held, "north").rows.tenants == frozenset()
    assert narrowed(held, "south").rows.tenants == {"south"}


def test_a_tenant_named_beside_a_policy_does_not_open_anothers_policy() -> None:
    asked: Ask = ask(policy=policy(tenant="south"), tenant="north")
    assert Twins().decider().decide("ana", asked).reason is Reason.POLICY_FORBIDS


def test_a_decision_about_a_book_admits_each_policy_as_a_decision_about_it_alone_would() -> None:
    forbids = """
    @id("not-this-one") forbid (principal, action, resource == Policy::"P-9");
    @id("no-vans") forbid (principal, action, resource is Policy) when { resource.product == "van" };
    """
    twins = Twins(policies=CedarPolicies.of([*shipped_files(), CedarFile("own.cedar", forbids)]))
    decider = twins.decider()
    whole = decider.decide("ana", ask(policy=None))
    assert whole.allowed
    for number in ("P-1", "P-9"):
        for tenant in ("north", "south"):
            for status in ("active", "lapsed", "cancelled"):
                for product in ("motor", "van"):
                    one = policy(number=number, tenant=tenant, status=status, product=product)
                    alone = decider.decide("ana", ask(policy=one))
                    known = alone.allowed and alone.obligations.rows.admits(one)
                    assert whole.admits(one) is known, one
    assert whole.admits(policy())
    assert not decider.decide("nobody", ask(policy=None)).admits(policy())


def test_a_fault_while_a_policy_of_a_book_is_judged_admits_it_not(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Twins().decider().decide("ana", ask(policy=None))
    assert whole.admits(policy())

    def burst(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CedarPolicies, "judge", burst)
    assert not whole.admits(policy())


CLAIMS = Obligations(rows=RowPredicate(statuses=frozenset({"active", "lapsed"})))


def _also_for_claims(**changes: object) -> Twins:
    twins = Twins(approvals=TwinApprovals([TwinApproval(), TwinApproval(id="A-2", purpose="claims")]))
    twins.contracts.contracts["journeys"].purposes["claims"] = CLAIMS  # type: ignore[index]
    twins.contracts.catalogue |= {"claims"}
    return twins


def test_who_may_know_a_hidden_policy_for_another_purpose_is_told_which() -> None:
    decider = _also_for_claims().decider()
    lapsed = decider.decide("ana", ask(policy=policy(status="lapsed")))
    assert (lapsed.reason, lapsed.determining) == (Reason.POLICY_FORBIDS, ("former-customers",))
    assert lapsed.known_for() == "claims"


@pytest.mark.parametrize("changes", [{"status": "cancelled"}, {"tenant": "south", "status": "lapsed"}])
def test_who_may_know_a_policy_for_no_purpose_is_told_nothing(changes: dict[str, str]) -> None:
    assert _also_for_claims().decider().decide("ana", ask(policy=policy(**changes))).known_for() is None


def test_a_purpose_without_a_live_approval_or_for_groups_only_makes_nothing_known() -> None:
    twins = _also_for_claims()
    twins.approvals = TwinApprovals([TwinApproval()])
    assert twins.decider().decide("ana", ask(policy=policy(status="lapsed"))).known_for() is None
    twins = _also_for_claims()
    groups = Obligations(rows=CLAIMS.rows, minimum_group_size=5)
    twins.contracts.contracts["journeys"].purposes["claims"] = groups  # type: ignore[index]
    assert twins.decider().decide("ana", ask(policy=policy(status="lapsed"))).known_for() is None


def test_a_fault_on_the_way_to_another_purpose_makes_nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    decision = _also_for_claims().decider().decide("ana", ask(policy=policy(status="lapsed")))

    def burst(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(CedarPolicies, "judge", burst)
    assert decision.known_for() is None
