"""What journeyapi answers about a whole book of policies, and to whom."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.access.decision import Ask
from journeymesh.errors import JourneymeshError, RulesConflict, StoreUnavailable
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import summarise
from journeymesh.services.journeyapi import book_routes
from journeymesh.services.journeyapi.book import JUDGED_ANEW_S, KnownPolicies
from journeymesh.services.journeyapi.ports import EachPolicy
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, StoreBatch
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, Served

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
MEDIA = ("application/json", "application/x-ndjson", ARROW, PARQUET, "text/csv")
OWN = Obligations(rows=RowPredicate(tenants=frozenset({"default"})))


def book(most: int = 6, *, hidden: bool = True) -> MemoryStore:
    """Policies P-0 … of product gold or basic, each with a journey in March and one in April; where ``hidden``, one of
    another tenant beside each."""
    store = MemoryStore()
    policies, rows = [], []
    for n in range(most):
        product = ("gold", "basic")[n % 2]
        own = records.policy(f"P-{n}", device=f"d{n}", vehicle=None, product=product,
                             status="lapsed" if n == 4 else "active")  # fmt: skip
        policies.append(own)
        rows += [
            records.journey(f"d{n}", NOON + timedelta(days=30 * k), policy=own.number, distance_m=1000.0 * (n + 1 + k),
                            product=product, night_distance_m=100.0 * (n + 1))
            for k in range(2)
        ]  # fmt: skip
        if hidden:
            policies.append(records.policy(f"P-{n}x", device=f"x{n}", vehicle=None, tenant="other"))
            rows.append(records.journey(f"x{n}", policy=f"P-{n}x", tenant="other"))
    store.write(StoreBatch(policies=policies, journeys=records.journeys(*rows)))
    return store


def served(store: MemoryStore | None = None, obligations: Obligations = OWN) -> Served:
    return Served(store or book(), decisions=Told(obligations))


def walked(api: Served, path: str, limit: int) -> list[Any]:
    """All pages' items."""
    seen, cursor, pages = [], "", 0
    while cursor is not None:
        sign = "&" if "?" in path else "?"
        page = api.get(f"{path}{sign}limit={limit}" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["items"]) <= limit
        seen += page["items"]
        cursor, pages = page["next"], pages + 1
        assert pages < 100
    return seen


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
def test_policies_are_listed_page_by_page_by_number(limit: int) -> None:
    with served() as api:
        found = walked(api, "/v1/policies", limit)
        assert [row["policy"] for row in found] == [f"P-{n}" for n in range(6)]
        assert found[0] == {
            "policy": "P-0", "tenant": "default", "product": "gold", "status": "active", "device": "d0",
            "vehicle": None, "valid_from": "2023-12-02T12:00:00Z", "valid_to": None, "zone": "UTC",
            "declared_annual_distance_m": None,
        }  # fmt: skip
        assert [row["policy"] for row in walked(api, "/v1/policies?product=basic", limit)] == ["P-1", "P-3", "P-5"]
        assert [row["policy"] for row in walked(api, "/v1/policies?status=lapsed", limit)] == ["P-4"]


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("period", ["day", "month", "term"])
def test_pages_of_summaries_are_what_each_policy_adds_up_to(limit: int, period: Any) -> None:
    with served() as api:
        found = walked(api, f"/v1/summaries?period={period}", limit)
        expected: list[Any] = []
        for policy in api.store.policies():
            if policy.tenant == "default":
                table = summarise(api.store.journeys(JourneyQuery(policy=policy.number)), policy, period, ScoreRules())
                expected += table.to_pylist()
        assert [(row["policy"], row["period_from"], row["distance_m"]) for row in found] == [
            (row["policy"], row["period_from"].isoformat(), row["distance_m"]) for row in expected
        ]
        alone = api.get(f"/v1/policies/P-3/summary?period={period}").json()["items"]
        assert [row for row in found if row["policy"] == "P-3"] == alone


def test_a_page_that_looked_at_enough_policies_goes_on_though_it_has_few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_routes, "MOST_POLICIES_READ", 2)
    with served() as api:
        page = api.get("/v1/summaries?period=term&from=2030-01-01T00:00:00Z").json()
        assert page["items"] == []
        assert page["next"] is not None
        assert walked(api, "/v1/summaries?period=term&from=2030-01-01T00:00:00Z", 100) == []
        assert len(walked(api, "/v1/summaries", 100)) == 12


@pytest.mark.parametrize("path", ["/v1/policies", "/v1/summaries"])
def test_every_media_type_has_the_same_rows(path: str) -> None:
    with served() as api:
        rows = walked(api, path, 100)
        name = "policy"
        numbers = [row[name] for row in rows]
        lines = api.get(path, accept="application/x-ndjson").text.splitlines()
        assert [json.loads(line) for line in lines] == rows
        arrow = pa.ipc.open_stream(api.get(path, accept=ARROW).content).read_all()
        assert arrow[name].to_pylist() == numbers
        assert pq.read_table(io.BytesIO(api.get(path, accept=PARQUET).content)).equals(arrow)
        csv = api.get(path, accept="text/csv").text.splitlines()
        assert csv[0].startswith('"policy","tenant"')
        assert len(csv) == len(rows) + 1


@pytest.mark.parametrize("path", ["/v1/policies?product=nothing", "/v1/summaries?product=nothing"])
@pytest.mark.parametrize("media", MEDIA)
def test_no_policy_is_an_empty_answer_in_every_media_type(path: str, media: str) -> None:
    with served() as api:
        answer = api.get(path, accept=media)
        assert answer.status_code == 200
        if media == "application/json":
            assert answer.json() == {"items": [], "next": None}
        if media == ARROW:
            assert len(pa.ipc.open_stream(answer.content).read_all()) == 0


@pytest.mark.parametrize("path", ["/v1/policies", "/v1/summaries"])
@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("limit", ["", "?limit=1", "?limit=3"])
def test_policies_that_may_not_be_known_change_nothing_in_an_answer(path: str, media: str, limit: str) -> None:
    with served(book(hidden=True)) as among, served(book(hidden=False)) as alone:
        one, other = among.get(path + limit, accept=media), alone.get(path + limit, accept=media)
        assert "P-0x" not in one.text
        assert len(one.headers.get("next-cursor", "")) == len(other.headers.get("next-cursor", ""))
        if media == "application/json":
            assert one.json()["items"] == other.json()["items"]
            assert len(one.json()["next"] or "") == len(other.json()["next"] or "")
        else:
            assert one.content == other.content


def test_a_page_reads_no_journey_of_a_policy_that_may_not_be_known() -> None:
    with served() as api:
        asked: list[JourneyQuery] = []
        store = api.reads.store

        class Watched:
            def journeys(self, query: JourneyQuery) -> pa.Table:
                asked.append(query)
                return store.journeys(query)

        object.__setattr__(api.app.state["dependencies"], "book_reads", Watched())
        walked(api, "/v1/summaries", 2)
        named = {number for query in asked for number in query.policies or ()}
        assert named == {f"P-{n}" for n in range(6)}


def test_whether_a_policy_may_be_known_is_looked_at_once_for_the_policies_at_hand() -> None:
    with served() as api:
        judged: list[str] = []
        decide = api.decisions.decide

        def counting(token: Any, ask: Any) -> Any:
            decision = decide(token, ask)
            admits = decision.admits
            return msgspec.structs.replace(decision, admits=lambda p: judged.append(p.number) or admits(p))

        api.decisions.decide = counting  # type: ignore[method-assign]
        walked(api, "/v1/policies", 1)
        assert sorted(judged) == sorted(policy.number for policy in api.store.policies())
        judged.clear()
        api.book.refresh()
        api.get("/v1/policies?limit=1")
        assert judged == []  # the same policies, by the same decision
        changed = dataclasses.replace(api.store.policies()[0], product="another")
        api.store.write(StoreBatch(policies=[changed]))
        api.book.refresh()
        api.get("/v1/policies?limit=1")
        assert sorted(judged) == sorted(policy.number for policy in api.store.policies())


def test_what_a_passing_fault_denied_is_known_again_after_a_minute() -> None:
    now_s, away, judged = [0.0], {"P-2"}, []

    def admits(policy: Policy) -> bool:
        judged.append(policy.number)
        return policy.number not in away

    decision = msgspec.structs.replace(
        Told(OWN).decide("analyst", Ask(product="journeys", capability="summaries:read")), admits=admits
    )
    every = tuple(records.policy(f"P-{n}", vehicle=f"car-{n}") for n in range(4))
    known = KnownPolicies(clock_s=lambda: now_s[0])
    at_first = known.of(decision, every)
    assert [policy.number for policy in at_first] == ["P-0", "P-1", "P-3"]
    away.clear()
    now_s[0] = JUDGED_ANEW_S - 1
    assert known.of(decision, every) is at_first
    assert len(judged) == 4
    now_s[0] = JUDGED_ANEW_S
    after = known.of(decision, every)
    assert after == every
    for minute in (2, 3):
        now_s[0] = minute * JUDGED_ANEW_S
        assert known.of(decision, every) is after  # judged anew, with the same outcome
        assert len(judged) == 4 * (1 + minute)
    away.add("P-0")  # and what may be known no longer is not for longer either
    now_s[0] = 4 * JUDGED_ANEW_S
    assert known.of(decision, every) == every[1:]


def test_the_decision_about_a_page_is_one() -> None:
    with served() as api:
        api.get("/v1/summaries")
        assert [(ask.capability, ask.policy) for ask in api.decisions.asked] == [("summaries:read", None)]


@pytest.mark.parametrize("path", ["/v1/policies", "/v1/summaries"])
def test_a_purpose_for_groups_gets_no_single_policies(path: str) -> None:
    with served(obligations=Obligations(minimum_group_size=5)) as api:
        answer = api.get(path)
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "group-too-small")
        assert api.reads.reads == 0


def test_statuses_that_a_purpose_does_not_admit_are_left_out() -> None:
    active = Obligations(rows=RowPredicate(tenants=frozenset({"default"}), statuses=frozenset({"active"})))
    with served(obligations=active) as api:
        assert "P-4" not in api.get("/v1/policies").text
        assert {row["policy"] for row in walked(api, "/v1/summaries", 3)} == {"P-0", "P-1", "P-2", "P-3", "P-5"}
        assert walked(api, "/v1/policies?status=lapsed", 3) == []


def test_masked_fields_are_null_and_cursors_go_on_all_the_same() -> None:
    mask = Obligations(rows=OWN.rows, mask=frozenset({"policy", "period_from", "distance_m", "vehicle"}))
    with served(obligations=mask) as api:
        rows = walked(api, "/v1/summaries", 5)
        assert len(rows) == 12
        assert {(row["policy"], row["period_from"], row["distance_m"]) for row in rows} == {(None, None, None)}
        assert api.get("/v1/summaries?by=distance_m").status_code == 403
        policies = walked(api, "/v1/policies", 2)
        assert {(row["policy"], row["device"]) for row in policies} == {(None, None)}
        assert len(policies) == 6


@pytest.mark.parametrize("name", ["product", "status"])
@pytest.mark.parametrize("listing", ["/v1/policies", "/v1/summaries", "/v1/summaries?by=distance_m"])
def test_a_masked_field_does_not_filter(listing: str, name: str) -> None:
    with served(obligations=Obligations(rows=OWN.rows, mask=frozenset({name}))) as api:
        assert api.get(listing).status_code == 200
        answer = api.get(f"{listing}{'&' if '?' in listing else '?'}{name}=gold")
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "policy-forbids")
        assert f"{name} asks about {name}, which is masked" in answer.json()["detail"]


def test_what_is_older_than_the_retention_does_not_leave() -> None:
    with served(obligations=Obligations(rows=OWN.rows, retention_days=30)) as api:
        assert walked(api, "/v1/summaries", 5) == []


def test_the_first_by_a_field_come_first() -> None:
    with served() as api:
        rows = api.get("/v1/summaries?period=term&by=distance_m&limit=2").json()
        assert [row["policy"] for row in rows["items"]] == ["P-5", "P-4"]
        assert rows["next"] is None
        rows = api.get("/v1/summaries?period=term&by=distance_m&limit=1&order=lowest").json()
        assert [row["policy"] for row in rows["items"]] == ["P-0"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "cursor=AAAA", "colour=red", "period=year", "by=zone", "order=up", "product=" + "x" * 201,
     "from=2024-01-01", "limit=-1"],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused(query: str) -> None:
    with served() as api:
        assert api.get(f"/v1/summaries?{query}").status_code == 400


def test_a_cursor_of_another_listing_or_tenant_is_refused() -> None:
    with served() as api:
        cursor = api.get("/v1/policies?limit=1").json()["next"]
        assert api.get(f"/v1/policies?limit=2&cursor={cursor}").status_code == 200
        for path in ("/v1/summaries?", "/v1/policies?product=gold&"):
            answer = api.get(f"{path}cursor={cursor}")
            assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (400, "cursor-refused")


def test_an_unchanged_page_is_not_sent_again() -> None:
    with served() as api:
        for path in ("/v1/policies", "/v1/summaries"):
            tag = api.get(path).headers["etag"]
            assert api.get(path, **{"if-none-match": tag}).status_code == 304


def test_a_store_that_fails_is_a_problem_and_no_part_of_an_answer() -> None:
    with served() as api:
        api.reads.fault = StoreUnavailable("the store is away")
        answer = api.get("/v1/summaries")
        assert answer.status_code == 503
        assert "items" not in answer.text


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize(
    ("fault", "status"), [(StoreUnavailable("the store is away"), 503), (RulesConflict("two rules versions"), 409)]
)
def test_what_stops_an_answer_from_beginning_is_a_problem_in_every_media_type(
    fault: JourneymeshError, status: int, media: str
) -> None:
    with served() as api:
        api.reads.fault = fault
        answer = api.get("/v1/summaries", accept=media)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_behind_a_door_each_policy_is_asked_for_alone() -> None:
    with served() as api:
        asked: list[str | None] = []

        class OneByOne:
            def journeys(self, query: JourneyQuery) -> pa.Table:
                assert query.policies is None
                asked.append(query.policy)
                return api.store.journeys(query)

        expected = walked(api, "/v1/summaries", 100)
        object.__setattr__(api.app.state["dependencies"], "book_reads", EachPolicy(OneByOne()))  # type: ignore[arg-type]
        assert walked(api, "/v1/summaries", 100) == expected
        assert asked == [f"P-{n}" for n in range(6)]


@pytest.mark.parametrize("path", ["/v1/policies/P-4/summary", "/v1/policies/P-4/journeys"])
def test_a_lapsed_policy_is_not_there_and_who_may_know_it_is_told_which_rule_hides_it(path: str) -> None:
    by_cedar = Told(OWN, forbids_statuses=frozenset({"lapsed"}), determining=("former-customers",))
    active = Obligations(rows=RowPredicate(tenants=frozenset({"default"}), statuses=frozenset({"active"})))
    for told, rule in ((by_cedar, "the access policy former-customers"), (Told(active), "the product's contract")):
        with Served(book(), decisions=told) as api:
            plain = api.get(path, **{"data-purpose": "pricing"})
            unknown = api.get(path.replace("P-4", "P-99"), **{"data-purpose": "pricing"})
            bodies = [{**answer.json(), "request_id": ""} for answer in (plain, unknown)]
            assert plain.status_code == 404
            assert bodies[0] == bodies[1]
            told.known_for = "claims-handling"
            answer = api.get(path, **{"data-purpose": "pricing"})
            assert answer.status_code == 404
            assert answer.json()["detail"] == (
                f"{rule} hides this policy, with its status lapsed, for the purpose pricing: "
                "you may know it for claims-handling"
            )


def test_of_another_tenants_policy_nobody_is_told_anything() -> None:
    told = Told(OWN, forbids_tenants=frozenset({"other"}), known_for="claims-handling")
    with Served(book(), decisions=told) as api:
        answer = api.get("/v1/policies/P-4x/summary")
        assert (answer.status_code, answer.json().get("detail", "")) == (404, "")
