"""What is offered to somebody is what decisions then answer, capability by capability and purpose by purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from journeymesh.access.cedar import CedarPolicies
from journeymesh.access.decision import Ask
from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.identity import PLATFORM
from tests.support.identity_served import EVERYTHING, Served, identity_served

ALL_OF_JOURNEYS = [each.name for each in of_product(JOURNEYS)]
PEOPLE: dict[str, dict[str, Any]] = {
    "officer": {"tenant": "north", "domains": ["privacy"], "capabilities": {PLATFORM: EVERYTHING}},
    "analyst": {
        "tenant": "north",
        "domains": ["pricing", "claims"],
        "capabilities": {JOURNEYS: ["summaries:read", "product:read"], PLATFORM: ["approvals:request"]},
    },
    "everything": {
        "tenant": "north",
        "domains": ["pricing"],
        "capabilities": {JOURNEYS: ALL_OF_JOURNEYS, PLATFORM: EVERYTHING},
    },
    "of-no-domain": {"tenant": "north", "capabilities": {JOURNEYS: ALL_OF_JOURNEYS}},
    "bare": {"tenant": "north"},
    "southerner": {"tenant": "south", "domains": ["pricing"], "capabilities": {JOURNEYS: ALL_OF_JOURNEYS}},
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with identity_served(tmp_path, PEOPLE) as found:
        yield found


def approve(served: Served, purpose: str, domain: str) -> str:
    wish = {"product": JOURNEYS, "purpose": purpose, "domain": domain, "reason": "a tariff"}
    asked = served.post("analyst", "/v1/approvals", wish)
    assert asked.status_code == 201, asked.text
    approval: str = asked.json()["id"]
    assert served.post("officer", f"/v1/approvals/{approval}:approve", {"why": "agreed"}).status_code == 200
    assert served.post("analyst", f"/v1/approvals/{approval}:acknowledge", {"why": "read"}).status_code == 200
    served.parts.decisions._approvals.refresh()  # type: ignore[attr-defined]
    return approval


def offers_of(served: Served, who: str, product: str = JOURNEYS) -> dict[tuple[str, str | None], dict[str, Any]]:
    answer = served.get(who, f"/v1/me/offers?product={product}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "private, no-store"
    return {(each["capability"], each["purpose"]): each for each in answer.json()["items"]}


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("approved", [(), ("pricing",), ("pricing", "claims-handling")])
def test_each_offer_is_what_a_decision_answers(served: Served, who: str, approved: tuple[str, ...]) -> None:
    for purpose in approved:
        approve(served, purpose, "pricing")
    token = served.static.mint(who)
    for product in (JOURNEYS, PLATFORM):
        offers = offers_of(served, who, product)
        assert {name for name, _ in offers} == {each.name for each in of_product(product)}
        for (name, purpose), offer in offers.items():
            made = served.parts.decisions.decide(token, Ask(product=product, capability=name, purpose=purpose))
            if purpose is None and offer["personal"]:
                assert offer["reason"] == made.reason == "capability_missing"
                continue
            assert (offer["allowed"], offer["reason"]) == (made.allowed, made.reason), (name, purpose)
            assert offer["approval_id"] == made.approval_id
            assert offer["mask"] == (sorted(made.obligations.hidden) if made.allowed else [])


def test_an_offer_says_until_when_and_by_whom_it_is_approved(served: Served) -> None:
    denied = offers_of(served, "analyst")["summaries:read", "pricing"]
    assert (denied["allowed"], denied["reason"], denied["approved_until"]) == (False, "approval_missing", None)
    approval = approve(served, "pricing", "pricing")
    offer = offers_of(served, "analyst")["summaries:read", "pricing"]
    assert offer["allowed"]
    assert offer["approval_id"] == approval
    assert offer["approved_until"] == served.get("officer", f"/v1/approvals/{approval}").json()["approval"]["valid_to"]
    assert "start_lat_deg" in offer["mask"]
    assert served.get("analyst", "/v1/me/offers").json()["approvers"] == ["domain:privacy"]


def steps_told(served: Served, who: str) -> int | None:
    served.parts.decisions._approvals.refresh()  # type: ignore[attr-defined]
    found: int | None = served.get(who, f"/v1/me/offers?product={PLATFORM}").json()["approval_steps"]
    assert served.get(who, f"/v1/me/offers?product={JOURNEYS}").json()["approval_steps"] is None
    return found


def test_offers_say_that_approvals_of_the_tenant_had_a_step_to_those_who_may_read_them(served: Served) -> None:
    before = {who: steps_told(served, who) for who in ("analyst", "everything", "officer", "southerner", "bare")}
    approve(served, "pricing", "pricing")
    after = {who: steps_told(served, who) for who in before}
    assert before["officer"] is not None
    assert after["everything"] == after["officer"] == before["officer"] + 3
    for who in ("analyst", "southerner", "bare"):
        assert before[who] is after[who] is None


def test_looking_at_offers_is_no_decision_on_record(served: Served) -> None:
    def decisions() -> int:
        return len(served.get("officer", "/v1/audit?kind=decision&limit=1000").json()["items"])

    before = decisions()
    for who in PEOPLE:
        offers_of(served, who)
    assert decisions() == before + 1  # the officer's own look into the audit


def test_a_product_that_there_is_not_is_not_found(served: Served) -> None:
    assert served.get("analyst", "/v1/me/offers?product=weather").status_code == 404


def test_any_fault_denies_what_it_is_about(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    approve(served, "pricing", "pricing")
    monkeypatch.setattr(CedarPolicies, "judge", broken)
    offers = offers_of(served, "everything").values()
    assert {each["reason"] for each in offers if each["reason"] != "approval_missing"} == {"fault"}
    assert not any(each["allowed"] for each in offers)
