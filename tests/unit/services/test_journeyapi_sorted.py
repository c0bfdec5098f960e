"""A book sorted by its numbers, to those who may know its policies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest

from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import summarise
from journeymesh.services.journeyapi import sorted_book
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, StoreBatch
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, Served
from tests.unit.services.test_journeyapi_book import MEDIA, OWN, book, walked

SORTED = "/v1/summaries?month=2024-03&sort="


@pytest.fixture(params=["kept", "computed"], autouse=True)
def kept(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Whether the store's own figures answer."""
    _KEPT[0] = request.param == "kept"
    yield _KEPT[0]
    _KEPT[0] = True


_KEPT = [True]


def served(store: MemoryStore | None = None, obligations: Obligations = OWN, told: Told | None = None) -> Served:
    return Served(store or book(), decisions=told or Told(obligations), keeps_figures=_KEPT[0])


def numbers(rows: list[Any]) -> list[str]:
    return [row["policy"] for row in rows]


@pytest.mark.parametrize("limit", [1, 2, 4, 100])
@pytest.mark.parametrize("few", [0, 1_000])
def test_a_book_is_sorted_page_by_page(limit: int, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_book, "FEW_POLICIES", few)
    with served() as api:
        assert numbers(walked(api, f"{SORTED}distance_m", limit)) == [f"P-{n}" for n in (5, 4, 3, 2, 1, 0)]
        assert numbers(walked(api, f"{SORTED}distance_m&order=lowest", limit)) == [f"P-{n}" for n in range(6)]
        # equal values go by number, and so do pages
        assert numbers(walked(api, f"{SORTED}journeys&order=lowest", limit)) == [f"P-{n}" for n in range(6)]
        assert numbers(walked(api, f"{SORTED}journeys", limit)) == [f"P-{n}" for n in (5, 4, 3, 2, 1, 0)]


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("period", ["month", "term"])
def test_a_row_is_what_the_term_adds_up_to(sort: str, period: Any) -> None:
    with served() as api:
        path = f"{SORTED}{sort}" if period == "month" else f"/v1/summaries?period=term&sort={sort}"
        found = walked(api, path, 100)
        for row in found:
            (policy,) = api.store.policies(row["policy"])
            assert row.pop("policy_from") == "2023-12-02T12:00:00Z"
            alone = api.get(f"/v1/policies/{policy.number}/summary?period={period}").json()["items"]
            assert row == alone[0]
        assert len(found) == (0 if sort == "mileage_ratio" else 6)  # nobody declared a mileage


def test_the_last_twelve_months_are_those_up_to_and_with_the_month() -> None:
    store = MemoryStore()
    policy = records.policy(valid_from=NOON - timedelta(days=800))
    begins = {"policy_from": policy.valid_from}
    rows = [records.journey(start=NOON - timedelta(days=30 * n), distance_m=10.0**n, **begins) for n in range(14)]
    store.write(StoreBatch(policies=[policy], journeys=records.journeys(*rows)))
    with served(store) as api:
        (row,) = walked(api, f"{SORTED}distance_m&period=last_12_months", 5)
        started = [row["started_at"].date().isoformat() for row in rows]
        within = [n for n, day in enumerate(started) if "2023-04-01" <= day < "2024-04-01"]
        assert row["distance_m"] == sum(10.0**n for n in within)
        assert (row["period_from"], row["period_to"], row["journeys"]) == ("2023-04-01", "2024-04-01", len(within))
        assert row["observed_days"] == 345.0  # up to the last journey, on 10 March
        (later,) = walked(api, "/v1/summaries?month=2024-11&sort=distance_m&period=last_12_months", 5)
        assert later["period_from"] == "2023-12-01"
        assert walked(api, "/v1/summaries?month=2025-03&sort=distance_m&period=last_12_months", 5) == []


def test_each_term_of_a_renewed_policy_is_a_row_of_its_own() -> None:
    first = records.policy(valid_to=NOON)
    second = records.policy(valid_from=NOON, product="gold")
    rows = [
        records.journey(start=NOON - timedelta(days=1), distance_m=5.0),
        records.journey(start=NOON, distance_m=7.0, policy_from=NOON, product="gold"),
    ]
    store = MemoryStore()
    store.write(StoreBatch(policies=[first, second], journeys=records.journeys(*rows)))
    with served(store) as api:
        found = walked(api, f"{SORTED}distance_m", 1)
        assert [(row["distance_m"], row["product"], row["policy_from"]) for row in found] == [
            (7.0, "gold", "2024-03-10T12:00:00Z"), (5.0, "default", "2023-12-02T12:00:00Z"),
        ]  # fmt: skip
    not_gold = Obligations(rows=replace(OWN.rows, products=frozenset({"default"})))
    with served(store, not_gold) as api:
        assert [row["distance_m"] for row in walked(api, f"{SORTED}distance_m", 1)] == [5.0]


def test_rows_are_filtered_by_numbers_product_status_and_number() -> None:
    with served() as api:
        within = f"{SORTED}distance_m&min_distance_m=2000&max_distance_m=4000"
        assert numbers(walked(api, within, 2)) == ["P-3", "P-2", "P-1"]
        assert numbers(walked(api, f"{within}&product=basic", 2)) == ["P-3", "P-1"]
        assert numbers(walked(api, f"{SORTED}score&status=lapsed", 2)) == ["P-4"]
        assert numbers(walked(api, f"{SORTED}score&policy=P-2", 2)) == ["P-2"]
        assert walked(api, f"{SORTED}score&policy=P-2x", 2) == []  # another tenant's
        assert walked(api, f"{SORTED}score&max_mileage_ratio=9", 2) == []  # none is known
        assert walked(api, "/v1/summaries?month=2020-01&sort=score", 2) == []


@pytest.mark.parametrize("few", [0, 1_000])
@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("limit", ["", "&limit=1", "&limit=3"])
def test_policies_that_may_not_be_known_change_nothing(
    media: str, limit: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorted_book, "FEW_POLICIES", few)
    with served(book(hidden=True)) as among, served(book(hidden=False)) as alone:
        path = f"{SORTED}distance_m&order=lowest{limit}"
        one, other = among.get(path, accept=media), alone.get(path, accept=media)
        assert "P-0x" not in one.text
        assert len(one.headers.get("next-cursor", "")) == len(other.headers.get("next-cursor", ""))
        if media == "application/json":
            assert one.json()["items"] == other.json()["items"] != []
        else:
            assert one.content == other.content


@pytest.mark.parametrize("few", [0, 1_000])
def test_hidden_policies_of_the_own_tenant_make_no_page_shorter(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_book, "FEW_POLICIES", few)
    gold = Obligations(rows=RowPredicate(tenants=frozenset({"default"}), products=frozenset({"gold"})))
    with served(obligations=gold) as api:
        first = api.get(f"{SORTED}distance_m&limit=2").json()
        assert numbers(first["items"]) == ["P-4", "P-2"]
        assert numbers(walked(api, f"{SORTED}distance_m", 1)) == ["P-4", "P-2", "P-0"]


def test_a_masked_field_neither_sorts_nor_filters() -> None:
    mask = Obligations(rows=OWN.rows, mask=frozenset({"policy", "score", "product"}))
    with served(obligations=mask) as api:
        rows = walked(api, f"{SORTED}distance_m", 4)
        assert [(row["policy"], row["score"], row["distance_m"]) for row in rows[:1]] == [(None, None, 6000.0)]
        for path in ("score", "distance_m&min_score=1", "distance_m&max_score=1", "distance_m&policy=P-1",
                     "distance_m&product=gold"):  # fmt: skip
            answer = api.get(SORTED + path)
            assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "policy-forbids")
            assert "masked" in answer.json()["detail"]
        assert api.get("/v1/summaries?product=gold").status_code == 403
    with served(obligations=Obligations(rows=OWN.rows, mask=frozenset({"distance_m"}))) as api:
        assert api.get(f"{SORTED}night_share").status_code == 403  # the distance could be derived from it
        assert api.get(f"{SORTED}journeys").status_code == 200


def test_a_purpose_for_groups_gets_no_single_terms_and_retention_cuts_them() -> None:
    with served(obligations=Obligations(minimum_group_size=5)) as api:
        answer = api.get(f"{SORTED}score")
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (403, "group-too-small")
    with served(obligations=Obligations(rows=OWN.rows, retention_days=30)) as api:
        assert walked(api, f"{SORTED}score", 5) == []


@pytest.mark.parametrize(
    "query",
    ["sort=policy", "sort=zone", "sort=score&by=score", "sort=score&period=day", "sort=score&month=2024-13",
     "sort=score&month=03-2024", "sort=score&from=2024-01-01T00:00:00Z", "sort=score&period=term&month=2024-03",
     "month=2024-03", "policy=P-1", "min_score=3", "period=last_12_months", "sort=score&min_score=nan",
     "sort=score&min_score=-1", "sort=score&min_score=1e300", "sort=score&min_zone=1", "sort=score&cursor=AAAA"],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(query: str) -> None:
    with served() as api:
        assert api.get(f"/v1/summaries?{query}").status_code == 400


def test_a_cursor_is_of_one_sorting() -> None:
    with served() as api:
        cursor = api.get(f"{SORTED}score&limit=1").json()["next"]
        assert api.get(f"{SORTED}score&limit=2&cursor={cursor}").status_code == 200
        for path in (f"{SORTED}distance_m", f"{SORTED}score&order=lowest", f"{SORTED}score&min_score=1",
                     "/v1/summaries?sort=score&month=2024-04", "/v1/summaries?limit=1"):  # fmt: skip
            assert api.get(f"{path}&cursor={cursor}").status_code == 400


def test_a_term_of_two_rules_versions_is_a_conflict() -> None:
    store = book()
    changed = records.journey("d3", NOON + timedelta(days=1), policy="P-3", rules_version="r-2")
    store.write(StoreBatch(journeys=records.journeys(changed)))
    with served(store) as api:
        answer = api.get(f"{SORTED}score")
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "rules-conflict")


def test_the_book_is_that_of_the_callers_tenant_alone() -> None:
    store = book()
    with served(store, told=Told(Obligations())) as api:  # obligations that admit every tenant
        assert {row["tenant"] for row in walked(api, f"{SORTED}journeys", 3)} == {"default"}


def test_summaries_by_hand_agree() -> None:
    with served() as api:
        (policy,) = api.store.policies("P-5")
        table = summarise(api.store.journeys(JourneyQuery(policy="P-5")), policy, "month", ScoreRules())
        (row,) = api.get(f"{SORTED}distance_m&limit=1").json()["items"]
        assert isinstance(table, pa.Table)
        assert row["score"] == table["score"][0].as_py()
