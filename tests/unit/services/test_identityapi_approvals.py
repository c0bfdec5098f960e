"""Approvals over HTTP: who may take which step is settled by the token alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from journeymesh.governance.derivations import covered
from journeymesh.ledger.audit import RecordQuery
from journeymesh.ledger.port import AuditUnwritable
from tests.support.identity_served import Served, contracts, identity_served

WISH = {"purpose": "pricing", "domain": "pricing", "reason": "next year's tariff"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with identity_served(tmp_path) as found:
        yield found


def requested(served: Served, who: str = "analyst", **wish: Any) -> str:
    said = served.post(who, "/v1/approvals", {**WISH, **wish})
    assert said.status_code == 201, said.text
    found: str = said.json()["id"]
    return found


def step(served: Served, who: str | None, approval: str, name: str, why: str = "because") -> Any:
    return served.post(who, f"/v1/approvals/{approval}:{name}", {"why": why})


def may_price(served: Served) -> str:
    ask = {"product": "journeys", "capability": "summaries:read", "purpose": "pricing"}
    made: str = served.post("officer", "/v1/decisions", {**ask, "token": served.static.mint("analyst")}).json()[
        "reason"
    ]
    return made


def test_purposes_are_a_tree_with_the_vocabularys_names(served: Served) -> None:
    tree = served.get("analyst", "/v1/purposes").json()["items"]
    by_id = {each["id"]: each for each in tree}
    assert "claims-handling" in {each["id"] for each in by_id["service-provision"]["narrower"]}
    assert by_id["service-provision"]["dpv"] == "https://w3id.org/dpv#ServiceProvision"


def test_from_a_request_to_an_approval_that_counts_and_back(served: Served) -> None:
    assert may_price(served) == "approval_missing"
    said = served.post("analyst", "/v1/approvals", WISH)
    assert said.status_code == 201
    held = said.json()
    assert said.headers["location"] == f"/v1/approvals/{held['id']}"
    assert (held["state"], held["tenant"], held["product_major"]) == ("requested", "north", 1)
    assert held["requested_by"] == {"provider": "static", "subject": "analyst"}
    assert held["obligations"]["mask"] == sorted(covered(frozenset({"start_lat_deg"})))
    assert step(served, "officer", held["id"], "approve", "proportionate").json()["state"] == "approved"
    time.sleep(0.6)
    assert may_price(served) == "approval_missing"  # nobody has acknowledged the obligations
    assert step(served, "analyst", held["id"], "acknowledge").json()["state"] == "active"
    time.sleep(0.6)
    assert may_price(served) == "allowed"
    assert step(served, "officer", held["id"], "revoke", "the project ended").json()["state"] == "revoked"
    time.sleep(1.0)
    assert may_price(served) == "approval_missing"
    told = served.get("analyst", f"/v1/approvals/{held['id']}").json()
    assert told["approval"]["decided_by"] == {"provider": "static", "subject": "officer"}
    assert [(each["state"], each["by"]["subject"], each["why"]) for each in told["history"]] == [
        ("requested", "analyst", "next year's tariff"),
        ("approved", "officer", "proportionate"),
        ("acknowledged", "analyst", "because"),
        ("revoked", "officer", "the project ended"),
    ]
    audited = served.parts.audit.query(RecordQuery(kind="approval"))
    assert [each.body["step"] for each in audited] == ["request", "approve", "acknowledge", "revoke"]
    assert {each.body["approval"] for each in audited} == {held["id"]}
    text = repr([dict(each.body) for each in audited])
    assert not any(word in text for word in ("analyst", "officer", "proportionate", "tariff", "project"))


class StepsUnrecorded:
    """Where steps are recorded; decisions have the audit itself. ``recorded`` is when a step is durable."""

    def __init__(self, recorded: Future[None]) -> None:
        self.recorded, self.kinds = recorded, []

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:
        self.kinds.append(kind)
        return self.recorded

    def close(self) -> None:
        pass


def test_a_step_that_the_audit_cannot_record_is_answered_503(served: Served) -> None:
    made, recorded = requested(served), Future[None]()
    recorded.set_exception(AuditUnwritable("the disk is full"))
    writer, served.parts.writer = served.parts.writer, StepsUnrecorded(recorded)
    for who, path, body in (
        ("analyst", "/v1/approvals", WISH),
        ("officer", f"/v1/approvals/{made}:approve", {"why": "because"}),
    ):
        said = served.post(who, path, body)
        assert said.status_code == 503
        assert said.headers["retry-after"]
        assert "id" not in said.json()
    assert served.parts.writer.kinds == ["approval", "approval"]
    served.parts.writer = writer


def test_a_step_is_answered_once_its_record_is_durable(served: Served) -> None:
    recorded = Future[None]()
    writer, served.parts.writer = served.parts.writer, StepsUnrecorded(recorded)
    durable = threading.Timer(0.5, recorded.set_result, [None])
    durable.start()
    assert served.post("analyst", "/v1/approvals", WISH).status_code == 201
    assert recorded.done()
    served.parts.writer = writer


def test_the_requester_is_who_the_token_says_and_a_body_cannot_say_otherwise(served: Served) -> None:
    for name in ("requested_by", "tenant", "state", "decided_by", "product_major"):
        assert served.post("analyst", "/v1/approvals", {**WISH, name: "officer"}).status_code == 422
    made = requested(served)
    for name in ("by", "approver", "decided_by", "state"):
        said = served.post("officer", f"/v1/approvals/{made}:approve", {"why": "fine", name: "analyst"})
        assert said.status_code == 422
    assert served.get("officer", f"/v1/approvals/{made}").json()["approval"]["state"] == "requested"


def test_nobody_approves_what_they_requested(served: Served) -> None:
    made = requested(served, "officer", domain="privacy")
    for name in ("approve", "reject"):
        said = step(served, "officer", made, name)
        assert (said.status_code, said.json()["type"].rpartition("/")[2]) == (403, "not-yours")
    assert step(served, "second-officer", made, "approve").status_code == 200


def test_only_approvers_of_the_contract_approve_whatever_their_capabilities(served: Served) -> None:
    made = requested(served)
    assert step(served, "claims-lead", made, "approve").status_code == 403  # capable, and no approver
    said = step(served, "analyst", made, "approve")
    assert (said.status_code, said.json()["reason"]) == (403, "capability_missing")
    assert step(served, None, made, "approve").status_code == 401
    assert served.get("officer", f"/v1/approvals/{made}").json()["approval"]["state"] == "requested"


def test_one_asks_and_acknowledges_for_a_domain_of_ones_own(served: Served) -> None:
    assert served.post("analyst", "/v1/approvals", {**WISH, "domain": "privacy"}).status_code == 403
    made = requested(served)
    step(served, "officer", made, "approve")
    assert step(served, "claims-lead", made, "acknowledge").status_code == 403
    assert step(served, "analyst", made, "acknowledge").status_code == 200


def test_a_step_that_is_not_possible_is_a_conflict_and_changes_nothing(served: Served) -> None:
    made = requested(served)
    for name in ("acknowledge", "revoke"):
        assert step(served, "officer" if name == "revoke" else "analyst", made, name).status_code == 409
    assert step(served, "officer", made, "reject").json()["state"] == "rejected"
    said = step(served, "second-officer", made, "approve")
    assert said.status_code == 409
    assert "rejected" in said.json()["detail"]
    assert len(served.get("officer", f"/v1/approvals/{made}").json()["history"]) == 2


@pytest.mark.parametrize(
    "wish",
    [
        {"purpose": "nosiness"},
        {"purpose": "marketing"},
        {"product": "weather"},
        {"reason": " "},
        {"valid_to": "2020-01-01T00:00:00Z"},
        {"valid_to": "2199-01-01T00:00:00Z"},
        {"valid_to": "2026-12-01T00:00:00"},
        {"purpose": 3},
    ],
)
def test_what_nobody_could_approve_is_refused_at_once(served: Served, wish: dict[str, Any]) -> None:
    assert served.post("analyst", "/v1/approvals", {**WISH, **wish}).status_code == 422


def test_a_step_says_why(served: Served) -> None:
    made = requested(served)
    assert step(served, "officer", made, "approve", "").status_code == 422
    assert step(served, "officer", made, "approve", "x" * 2001).status_code == 422


def test_another_tenants_approvals_are_not_there(served: Served) -> None:
    made = requested(served)
    assert served.get("southerner", f"/v1/approvals/{made}").status_code == 404
    assert served.get("southerner", "/v1/approvals").json() == {"items": [], "next": None}
    for name in ("approve", "reject", "acknowledge", "revoke"):
        assert step(served, "southerner", made, name).status_code == 404
        assert step(served, "southerner", "0" * 24, name).status_code == 404
    assert served.get("southerner", f"/v1/approvals?after={made}").status_code == 400


def test_approvals_are_listed_page_by_page_and_by_state(served: Served) -> None:
    made = [requested(served, reason=f"reason {n}") for n in range(5)]
    step(served, "officer", made[2], "approve")
    found: list[str] = []
    after = ""
    while after is not None:
        said = served.get("analyst", f"/v1/approvals?limit=2{after and f'&after={after}'}").json()
        found += [each["id"] for each in said["items"]]
        after = said["next"]
    assert sorted(found) == sorted(made)
    approved = served.get("analyst", "/v1/approvals?state=approved&product=journeys&purpose=pricing").json()["items"]
    assert [each["id"] for each in approved] == [made[2]]
    assert served.get("analyst", "/v1/approvals?domain=claims").json()["items"] == []
    for wrong in ("state=open", "limit=0", "who=analyst", "after=nonsense"):
        assert served.get("analyst", f"/v1/approvals?{wrong}").status_code == 400, wrong


def test_an_approval_of_an_earlier_major_version_is_acknowledged_no_more(served: Served) -> None:
    made = requested(served)
    step(served, "officer", made, "approve")
    served.parts.contracts = contracts(major=2)
    served.parts.approvals._contracts = served.parts.contracts
    assert served.get("analyst", f"/v1/approvals/{made}").json()["approval"]["obligations"] is None
    assert step(served, "analyst", made, "acknowledge").status_code == 409


def test_only_the_four_steps_are_steps(served: Served) -> None:
    made = requested(served)
    for path in (f"/v1/approvals/{made}:delete", f"/v1/approvals/{made}/b:approve", "/v1/approvals/:approve",
                 f"/v1/approvals/{made}:approve/x", f"/v2/approvals/{made}:approve"):  # fmt: skip
        assert served.post("officer", path).status_code in (404, 405), path
    assert served.post("officer", f"/v1/approvals/{made}").status_code == 405
    assert step(served, "officer", made, "approve").status_code == 200


STEPS = ("approve", "reject", "acknowledge", "revoke")


@pytest.mark.parametrize("before", [(), ("approve",), ("approve", "acknowledge"), ("reject",), ("approve", "revoke")])
def test_an_approval_carries_the_steps_that_are_accepted_of_whoever_looks(
    served: Served, before: tuple[str, ...]
) -> None:
    for who in ("officer", "analyst", "claims-lead", "second-officer"):
        for tried in STEPS:
            made = requested(served)
            for name in before:
                step(served, "analyst" if name == "acknowledge" else "officer", made, name)
            shown = served.get(who, f"/v1/approvals/{made}").json()["approval"]["steps"]
            listed = served.get(who, "/v1/approvals?limit=1").json()["items"][0]
            assert (listed["id"], listed["steps"]) == (made, shown)
            assert (tried in shown) == (step(served, who, made, tried).status_code == 200), (who, tried)
