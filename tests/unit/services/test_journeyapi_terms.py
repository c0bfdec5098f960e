"""A policy renewed under its number, and a number that two tenants use, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, StoreBatch
from tests.support.deciding import ANALYST, Told
from tests.support.journeyapis import Served
from tests.support.records import BEGIN, NOON, ids, journey, journeys, policy

DAY = timedelta(days=1)
LAPSED = policy(valid_to=NOON, status="lapsed")
ACTIVE = policy(valid_from=NOON, product="premium")
FOREIGN = policy(tenant="other", vehicle="car-9")
ROWS = [
    journey(start=NOON - DAY),
    journey(start=NOON + DAY, policy_from=NOON, product="premium"),
    journey(start=NOON + 2 * DAY, policy_from=NOON, product="premium"),
    journey("car-9", start=NOON, tenant="other"),
]
OLD, FIRST, SECOND, OTHERS = (row["journey_id"] for row in ROWS)
ALL = Obligations(rows=RowPredicate(tenants=frozenset({"default"})))
ACTIVE_ONLY = replace(ALL, rows=replace(ALL.rows, statuses=frozenset({"active"})))
JOURNEYS, SUMMARY = "/v1/policies/P-1/journeys", "/v1/policies/P-1/summary"


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    made.write(StoreBatch(journeys=journeys(*ROWS), policies=[LAPSED, ACTIVE, FOREIGN]))
    assert len(ids(made.journeys(JourneyQuery(policy="P-1")))) == 4
    return made


def listed(served: Served, path: str = JOURNEYS) -> list[str]:
    return [row["journey_id"] for row in served.get(path).json()["items"]]


def test_a_number_means_the_callers_tenants_policy_with_all_its_terms(store: MemoryStore) -> None:
    with Served(store, Told(ALL)) as served:
        assert listed(served) == [OLD, FIRST, SECOND]
        (month,) = served.get(SUMMARY).json()["items"]
        assert (month["journeys"], month["tenant"], month["product"]) == (3, "default", "premium")
        terms = served.get(f"{SUMMARY}?period=term").json()["items"]
        assert [(term["period_from"], term["journeys"]) for term in terms] == [("2023-12-02", 1), ("2024-03-10", 2)]
        assert served.get(f"/v1/journeys/{OLD}").json()["policy_from"] == "2023-12-02T12:00:00Z"
        assert served.get(f"/v1/journeys/{OTHERS}").status_code == 404
        mine = served.get(JOURNEYS).headers["etag"]
    others = replace(ALL, rows=RowPredicate(tenants=frozenset({"other"})))
    with Served(store, Told(others, who=replace(ANALYST, tenant="other"))) as served:
        assert listed(served) == [OTHERS]
        assert served.get(f"/v1/journeys/{OTHERS}").status_code == 200
        assert served.get(f"/v1/journeys/{FIRST}").status_code == 404
        assert served.get(JOURNEYS).headers["etag"] != mine
        assert served.get(JOURNEYS, **{"if-none-match": mine}).status_code == 200


def test_each_journey_is_judged_by_its_own_terms_status(store: MemoryStore) -> None:
    with Served(store, Told(ACTIVE_ONLY)) as served:
        assert listed(served) == [FIRST, SECOND]
        page = served.get(f"{JOURNEYS}?limit=1").json()
        assert [row["journey_id"] for row in page["items"]] == [FIRST]
        assert listed(served, f"{JOURNEYS}?limit=1&cursor={page['next']}") == [SECOND]
        rows = served.get(JOURNEYS, accept="application/x-ndjson").text.splitlines()
        assert len(rows) == 2
        (month,) = served.get(SUMMARY).json()["items"]
        assert (month["journeys"], month["observed_days"]) == (2, 3)
        (listed_month,) = served.get("/v1/summaries").json()["items"]
        assert listed_month["journeys"] == 2
        for path in ("", "/track"):
            assert served.get(f"/v1/journeys/{OLD}{path}").status_code == 404
            assert served.get(f"/v1/journeys/{FIRST}{path}").status_code == 200


def test_a_term_that_lapses_takes_its_own_journeys_along_and_no_others(store: MemoryStore) -> None:
    with Served(store, Told(ACTIVE_ONLY)) as served:
        assert served.get(f"/v1/journeys/{FIRST}").status_code == 200
        store.write(StoreBatch(policies=[replace(ACTIVE, status="lapsed"), replace(LAPSED, status="active")]))
        served.book.refresh()
        assert served.get(f"/v1/journeys/{FIRST}").status_code == 404
        assert listed(served) == [OLD]
        store.write(StoreBatch(policies=[replace(LAPSED, status="lapsed")]))
        served.book.refresh()
        assert served.get(JOURNEYS).status_code == 404


def test_a_corrected_beginning_does_not_hide_the_journeys_of_a_policys_only_term() -> None:
    store = MemoryStore()
    store.write(StoreBatch(journeys=journeys(ROWS[0]), policies=[policy(valid_from=BEGIN + DAY)]))
    with Served(store, Told(ALL)) as served:
        assert listed(served) == [OLD]
        assert served.get(f"/v1/journeys/{OLD}").status_code == 200
