"""identityapi's routes, each asked by those who may and those who may not."""

from __future__ import annotations

import base64
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from journeymesh.ledger.audit import RecordQuery
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.routes import OPEN_ROUTES
from journeymesh.services.identityapi.dependencies import IdentityDependencies
from tests.support.identity_served import PEOPLE, Served, identity_served

BEARER_ROUTES = {"/v1/me", "/v1/me/capabilities", "/v1/me/offers", "/v1/forward-auth"}
ASK = {"product": "journeys", "capability": "product:read"}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with identity_served(tmp_path) as found:
        yield found


def test_every_route_declares_a_capability_of_the_platform_or_is_named_here(served: Served) -> None:
    routes = served.app.routes
    assert len(routes) >= 18
    for route in routes:
        if route.capability is not None:
            assert route.product == "platform", route.path
        elif route.bearer:
            assert route.path in BEARER_ROUTES
        else:
            assert route.path in OPEN_ROUTES, route.path


@pytest.mark.parametrize("who", [None, "garbage", "bare"])
def test_no_route_tells_anything_without_a_token_or_without_its_capability(served: Served, who: str | None) -> None:
    walked = 0
    for route in served.app.routes:
        path = route.path
        if path in OPEN_ROUTES or (who == "bare" and path in BEARER_ROUTES):
            continue
        place = re.sub(r"\{[^}]*\}", "x1", path)
        headers = {"authorization": "Bearer garbage"} if who == "garbage" else served.bearing(who)
        answer = served.client.request(route.method, place, headers=headers, json={"asks": [ASK], **ASK})
        assert answer.status_code == (403 if who == "bare" else 401), (path, answer.text)
        assert set(answer.json()) <= {"type", "title", "status", "detail", "reason", "decision_id", "request_id"}
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("www-authenticate" in answer.headers) == (who != "bare")
        walked += 1
    assert walked >= 11


def test_a_capability_taken_away_closes_its_route_alone(tmp_path: Path) -> None:
    for path, capability in (
        ("/v1/audit", "audit:read"),
        ("/v1/audit:checkpoint", "audit:operate"),
        ("/v1/audit:verify", "audit:operate"),
        ("/v1/providers", "providers:read"),
    ):
        held = [name for name in PEOPLE["officer"]["capabilities"]["platform"] if name != capability]
        people = {"officer": {"tenant": "north", "capabilities": {"platform": held}}}
        folder = tmp_path / path.replace("/", "-").replace(":", "-")
        folder.mkdir()
        with identity_served(folder, people) as served:
            said = (served.post if capability == "audit:operate" else served.get)("officer", path)
            assert said.status_code == 403
            assert said.json()["reason"] == "capability_missing"
            assert served.post("officer", "/v1/decisions", ASK).status_code == 200


def test_me_is_who_the_token_says_and_nobody_else(served: Served) -> None:
    said = served.get("analyst", "/v1/me?tenant=south", **{"journeymesh-subject": "officer"})
    assert said.status_code == 200
    held = said.json()
    assert held.pop("expires_at").endswith("Z")
    assert held == {"provider": "static", "subject": "analyst", "tenant": "north", "domains": ["claims", "pricing"]}
    assert said.headers["cache-control"] == "private, no-store"


def test_capabilities_are_those_held_of_the_product_asked_for(served: Served) -> None:
    said = served.get("analyst", "/v1/me/capabilities?product=journeys").json()
    assert [(each["name"], each["personal"]) for each in said["capabilities"]] == [
        ("product:read", False),
        ("summaries:read", True),
    ]
    platform = served.get("analyst", "/v1/me/capabilities?product=platform").json()
    assert "approvals:request" in {each["name"] for each in platform["capabilities"]}
    assert served.get("bare", "/v1/me/capabilities").json() == {"product": "journeys", "capabilities": []}
    assert served.get("analyst", "/v1/me/capabilities?product=weather").status_code == 404
    assert served.get("analyst", "/v1/me/capabilities?who=officer").status_code == 400


def test_a_gateway_is_told_who_asks_in_headers_that_cannot_be_broken_out_of(tmp_path: Path) -> None:
    subject = "zoë\r\nx: y, é"
    people = {subject: {"tenant": "no,rth", "domains": ["a,b", "c"]}}
    with identity_served(tmp_path, people) as served:
        said = served.get(subject, "/v1/forward-auth")
    assert said.status_code == 200
    assert said.content == b""
    assert said.headers["journeymesh-provider"] == "static"
    assert said.headers["journeymesh-subject"] == "zo%C3%AB%0D%0Ax:%20y%2C%20%C3%A9"
    assert said.headers["journeymesh-tenant"] == "no%2Crth"
    assert said.headers["journeymesh-domains"] == "a%2Cb,c"
    assert "x" not in said.headers


@pytest.mark.parametrize(
    ("who", "query", "status"),
    [
        (None, "", 401),
        ("analyst", "", 200),
        ("bare", "", 200),
        ("analyst", "?capability=summaries:read", 200),
        ("analyst", "?capability=tracks:read", 403),
        ("analyst", "?capability=nonsense", 403),
        ("analyst", "?product=platform&capability=summaries:read", 403),
        ("bare", "?capability=summaries:read", 403),
    ],
)
def test_a_gateway_gets_200_401_or_403(served: Served, who: str | None, query: str, status: int) -> None:
    said = served.get(who, f"/v1/forward-auth{query}")
    assert said.status_code == status
    assert ("journeymesh-subject" in said.headers) == (status == 200)


def test_where_nobody_can_say_who_asks_the_gateway_gets_503(served: Served) -> None:
    headers = served.bearing("analyst")
    (served.folder / "people.yaml").write_text("people: [")
    for path in ("/v1/forward-auth", "/v1/me", "/v1/me/capabilities", "/v1/providers"):
        said = served.client.get(path, headers=headers)
        assert said.status_code == 503
        assert int(said.headers["retry-after"]) >= 1
        assert "journeymesh-subject" not in said.headers


def test_guessing_tokens_is_slowed_down(tmp_path: Path) -> None:
    config = HttpConfig(strangers_per_s=0.001, strangers_burst=3)
    with identity_served(tmp_path, config=config) as served:
        for _ in range(5):
            assert served.get("analyst", "/v1/me").status_code == 200
        codes = [served.client.get("/v1/me", headers={"authorization": f"Bearer x{n}"}).status_code for n in range(5)]
    assert codes == [401, 401, 401, 429, 429]


def decisions_in_audit(served: Served) -> list[dict[str, Any]]:
    return [dict(record.body) for record in served.parts.audit.query(RecordQuery(limit=1000))]


def test_a_decision_for_another_is_about_the_tokens_bearer_and_is_audited_before_it_is_told(served: Served) -> None:
    token = served.static.mint("analyst")
    said = served.post("officer", "/v1/decisions", {**ASK, "token": token})
    assert said.status_code == 200
    held = said.json()
    assert (held["allowed"], held["reason"]) == (True, "allowed")
    assert held["obligations"]["rows"] == {"tenants": ["north"], "products": None, "statuses": None}
    records = decisions_in_audit(served)
    assert [record["capability"] for record in records] == ["decisions:make", "product:read"]
    assert records[1]["decision_id"] == held["decision_id"]
    assert records[0]["subject"] != records[1]["subject"]
    assert token not in str(records)


def test_a_denial_is_a_decision_too_and_obliges_to_nothing(served: Served) -> None:
    token = served.static.mint("bare")
    said = served.post("officer", "/v1/decisions", {**ASK, "token": token}).json()
    assert (said["allowed"], said["reason"], said["obligations"]) == (False, "capability_missing", None)
    forged = served.post("officer", "/v1/decisions", {**ASK, "token": "forged"}).json()
    assert (forged["allowed"], forged["reason"]) == (False, "token_refused")
    assert [record["reason"] for record in decisions_in_audit(served)] == [
        "allowed", "capability_missing", "allowed", "token_refused",
    ]  # fmt: skip


def test_an_empty_token_is_not_taken_for_the_callers(served: Served) -> None:
    said = served.post("officer", "/v1/decisions", {**ASK, "token": ""}).json()
    assert said["reason"] == "token_missing"


def test_a_policy_of_another_tenant_is_forbidden(served: Served) -> None:
    ask = {**ASK, "token": served.static.mint("analyst"), "policy": {"number": "P-4711", "tenant": "south"}}
    said = served.post("officer", "/v1/decisions", ask).json()
    assert (said["allowed"], said["reason"]) == (False, "policy_forbids")
    assert "P-4711" not in str(decisions_in_audit(served))


def test_a_batch_is_answered_in_its_order_and_each_decision_is_audited(served: Served) -> None:
    asks = [{**ASK, "token": served.static.mint(who)} for who in ("analyst", "bare", "analyst")]
    said = served.post("officer", "/v1/decisions:batch", {"asks": asks}).json()
    assert [each["allowed"] for each in said["items"]] == [True, False, True]
    audited = {record["decision_id"] for record in decisions_in_audit(served)}
    assert {each["decision_id"] for each in said["items"]} < audited
    assert len(audited) == 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({**ASK, "requester": "officer"}, 422),
        ({**ASK, "capability": ""}, 422),
        ({**ASK, "capability": 3}, 422),
        ([], 422),
        ({**ASK, "purpose": "a\x00b"}, 422),
    ],
)
def test_a_body_that_is_no_question_is_refused(served: Served, body: Any, status: int) -> None:
    assert served.post("officer", "/v1/decisions", body).status_code == status


def test_batches_are_bounded(served: Served) -> None:
    assert served.post("officer", "/v1/decisions:batch", {"asks": []}).status_code == 422
    assert served.post("officer", "/v1/decisions:batch", {"asks": [ASK] * 101}).status_code == 422


def test_a_body_that_is_no_json_is_refused(served: Served) -> None:
    headers = served.bearing("officer")
    assert served.client.post("/v1/decisions", headers=headers, content=b"{").status_code == 415
    headers["content-type"] = "application/json"
    assert served.client.post("/v1/decisions", headers=headers, content=b"{").status_code == 400


def test_no_decision_is_told_that_could_not_be_written_down(served: Served) -> None:
    served.post("officer", "/v1/decisions", ASK)
    with sqlite3.connect(served.folder / "audit.db") as raw:
        raw.execute("ALTER TABLE audit_records RENAME TO gone")
    said = served.post("officer", "/v1/decisions", ASK)
    assert said.status_code == 503
    assert "allowed" not in said.json()


def test_a_decision_is_explained_to_its_tenants_officers_and_to_no_others(served: Served) -> None:
    ask = {**ASK, "token": served.static.mint("bare")}
    made = served.post("officer", "/v1/decisions", ask).json()["decision_id"]
    said = served.get("officer", f"/v1/decisions/{made}/explain")
    assert said.status_code == 200
    assert (said.json()["allowed"], said.json()["reason"]) == (False, "capability_missing")
    assert said.json()["lines"]
    assert "bare" not in said.text
    assert served.get("southerner", f"/v1/decisions/{made}/explain").status_code == 404
    for nonsense in ("nonsense", "%00", "a%20b", "x" * 300):
        assert served.get("officer", f"/v1/decisions/{nonsense}/explain").status_code == 404


def test_the_audit_is_read_page_by_page_without_other_tenants_records(served: Served) -> None:
    for who in ("officer", "southerner", "officer", "southerner"):
        served.post(who, "/v1/decisions", ASK)
    found: list[dict[str, Any]] = []
    after, pages = "", 0
    while after is not None and pages < 50:
        said = served.get("southerner", f"/v1/audit?limit=3{after and f'&after={after}'}").json()
        found += said["items"]
        after, pages = said["next"], pages + 1
    assert after is None
    assert {each["body"]["tenant"] for each in found} == {"south"}
    assert len({each["number"] for each in found}) == len(found) >= 6
    assert all(len(each["digest"]) == 64 for each in found)


def test_a_page_of_the_audit_tells_nothing_of_other_tenants_records(served: Served) -> None:
    for _ in range(4):
        served.post("officer", "/v1/decisions", ASK)
        served.post("southerner", "/v1/decisions", ASK)
    writers = {each.writer for each in served.parts.audit.query(RecordQuery(limit=1000))}
    found, after = [], ""
    while after is not None:
        said = served.get("southerner", f"/v1/audit?limit=2&kind=decision{after and f'&after={after}'}").json()
        after = said["next"]
        found += said["items"]
        assert after is None or len(said["items"]) == 2  # full, whatever lies between
        raw = base64.urlsafe_b64decode((after or "") + "==")
        assert not any(writer.encode() in raw or writer in (after or "") for writer in writers)
    assert {each["body"]["tenant"] for each in found} == {"south"}
    held = served.get("southerner", "/v1/audit?limit=2&kind=decision").json()["next"]
    assert served.get("southerner", f"/v1/audit?limit=2&kind=decision&after={held}").status_code == 200
    for path, who in (
        (f"/v1/audit?limit=2&after={held}", "southerner"),
        (f"/v1/audit?kind=decision&after={held}", "officer"),
        (f"/v1/audit?kind=decision&after={held[:-3]}abc", "southerner"),
    ):
        said = served.get(who, path)
        assert (said.status_code, said.json()["type"].rpartition("/")[2]) == (400, "cursor-refused")


def test_the_audit_is_asked_by_kind_writer_and_time(served: Served) -> None:
    served.post("officer", "/v1/decisions", ASK)
    whole = served.get("officer", "/v1/audit").json()["items"]
    assert served.get("officer", "/v1/audit?kind=nothing").json()["items"] == []
    assert served.get("officer", "/v1/audit?writer=nobody").json()["items"] == []
    at = whole[-1]["at"]
    later = served.get("officer", f"/v1/audit?since={at}").json()["items"]
    assert whole[-1] in later
    assert whole[0] not in later
    for wrong in (
        "limit=0",
        "limit=1001",
        "since=yesterday",
        "since=2026-01-01T00:00:00",
        "after=%25",
        "after=bnVsbA",
        "x=1",
    ):
        assert served.get("officer", f"/v1/audit?{wrong}").status_code == 400, wrong


def test_the_audit_is_signed_and_verified_and_a_tampered_record_is_named(served: Served) -> None:
    for _ in range(3):
        served.post("officer", "/v1/decisions", ASK)
    signed = served.post("officer", "/v1/audit:checkpoint").json()
    assert [head["number"] for head in signed["heads"]] == [7]
    held = served.post("officer", "/v1/audit:verify").json()
    assert (held["holds"], held["chains"], held["checkpoints"], held["findings"]) == (True, 1, 1, [])
    assert held["records"] == held["unsigned"] + 7
    with sqlite3.connect(served.folder / "audit.db") as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("UPDATE audit_records SET kind = 'forged' WHERE number = 4")
    found = served.post("officer", "/v1/audit:verify").json()
    assert found["holds"] is False
    assert [each["number"] for each in found["findings"]] == [4]


def test_one_verification_runs_at_a_time_even_after_its_request_was_given_up(tmp_path: Path) -> None:
    with identity_served(tmp_path, config=HttpConfig(answer_within_s=0.3)) as served:
        whole, goes_on, started = served.parts.audit.verify, threading.Event(), []

        def slow(*given: Any) -> Any:
            started.append(given)
            goes_on.wait(10)
            return whole(*given)

        served.parts.audit.verify = slow  # type: ignore[method-assign]
        assert served.post("officer", "/v1/audit:verify").json()["type"].endswith("/too-slow")
        said = served.post("officer", "/v1/audit:verify")
        assert (said.status_code, said.json()["type"].rpartition("/")[2]) == (503, "overloaded")
        assert len(started) == 1
        goes_on.set()
        for _ in range(100):
            if served.post("officer", "/v1/audit:verify").status_code == 200:
                break
            time.sleep(0.02)
        assert len(started) == 2


def test_providers_are_shown_with_their_state(served: Served) -> None:
    said = served.get("officer", "/v1/providers").json()["items"]
    assert [(each["name"], each["kind"], each["ready"]) for each in said] == [("static", "static", True)]


def test_closed_parts_have_no_threads_left(tmp_path: Path) -> None:
    with identity_served(tmp_path) as served:
        parts: IdentityDependencies = served.parts
        served.get("officer", "/v1/audit")
    with pytest.raises(RuntimeError):
        parts.threads.submit(int)


def test_a_batch_counts_as_as_many_requests_as_it_has_questions(tmp_path: Path) -> None:
    with identity_served(tmp_path, config=HttpConfig(burst=150, requests_per_s=0.001)) as served:
        answers = [served.post("officer", "/v1/decisions:batch", {"asks": [ASK] * 100}) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        assert float(answers[1].headers["retry-after"]) > 1


def test_a_body_larger_than_any_honest_one_is_413_before_anything_is_made_of_it(served: Served) -> None:
    assert served.post("officer", "/v1/decisions", {**ASK, "purpose": "x" * 66_000}).status_code == 413
    assert served.post("officer", "/v1/decisions:batch", {"asks": [ASK] * 50_000}).status_code == 413
    asks = [{**ASK, "token": "t" * 16_384}] * 100
    assert served.post("officer", "/v1/decisions:batch", {"asks": asks}).status_code == 200


@pytest.mark.parametrize("nested", ['{"a":' * 200_000 + "1" + "}" * 200_000, "[" * 60_000 + "]" * 60_000])
def test_deeply_nested_json_is_refused_and_no_fault(served: Served, nested: str) -> None:
    for path in ("/v1/decisions", "/v1/decisions:batch", "/v1/approvals"):
        for body in (nested, f'{{"asks":{nested}}}'):
            headers = {**served.bearing("officer"), "content-type": "application/json"}
            assert served.client.post(path, content=body, headers=headers).status_code in (400, 413, 422)
