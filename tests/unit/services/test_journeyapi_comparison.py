"""A policy's figures beside those of the others that the caller may know."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import timedelta

import pytest

from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.services.journeyapi import comparison_route
from journeymesh.services.journeyapi.policy_answers import Admitted
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import RulesUsed, StoreBatch
from journeymesh.wire.identity import Reason
from tests.support import records
from tests.support.deciding import Told
from tests.support.journeyapis import NOON, Served

PATH = "/v1/policies/P-00/comparison"


def book(others: int, by_another: Collection[int] = ()) -> MemoryStore:
    """P-00, which drove 5,500 m, and others that drove 1,000 m, 2,000 m, …, some by another version of the rules; the
    last ones of another tenant."""
    store, policies, rows = MemoryStore(), [], []
    for k in range(others + 4):
        tenant = "other" if k > others else "default"
        number, vehicle = f"P-{k:02}", f"car-{k}"
        policies.append(Policy(number=number, valid_from=records.BEGIN, vehicle=vehicle, tenant=tenant))
        distance_m = 5_500.0 if k == 0 else 1e9 if k > others else 1_000.0 * k
        row = records.journey(vehicle, NOON, policy=number, tenant=tenant, distance_m=distance_m)
        rows.append({**row, "rules_version": "another" if k in by_another else ALWAYS_ON.version})
    used = RulesUsed.of(ALWAYS_ON)
    store.write(StoreBatch(policies=policies, journeys=records.journeys(*rows), rules=used))
    return store


def figures(answer: dict[str, object]) -> dict[str, dict[str, object]]:
    return {each["field"]: each for each in answer["figures"]}  # type: ignore[attr-defined]


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("period", ["term", "month&month=2024-03", "last_12_months&month=2024-03"])
def test_a_figure_is_told_with_its_tenth_and_the_median_of_the_others(kept: bool, period: str) -> None:
    with Served(book(10), keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(f"{PATH}?period={period}").json()
        assert answer["others"] == 10
        assert figures(answer)["distance_m"] == {
            "field": "distance_m", "value": 5_500.0, "decile": 6, "median": 5_500.0
        }  # fmt: skip
        assert set(figures(answer)) == set(comparison_route.COMPARED)
        assert "P-0" not in json.dumps(answer)


def test_among_fewer_than_ten_others_there_is_no_answer() -> None:
    with Served(book(9), keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(PATH)
        assert answer.status_code == 403
        assert answer.json()["type"].endswith("/group-too-small")


def test_those_that_may_not_be_known_do_not_count() -> None:
    told = Told()
    with Served(book(12), decisions=told, keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        assert served.get(PATH).json()["others"] == 12
    told = Told(Obligations(retention_days=30))
    with Served(book(12), decisions=told, keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        assert served.get(PATH).status_code == 403
    told = Told(Obligations(minimum_group_size=5))
    with Served(book(12), decisions=told, keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        assert served.get(PATH).json()["type"].endswith("/group-too-small")


@pytest.mark.parametrize("mask", ["distance_m", "score", "night_share"])
def test_what_is_masked_is_neither_told_nor_compared(mask: str) -> None:
    told = Told(Obligations(mask=frozenset({mask})))
    with Served(book(12), decisions=told, keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        found = figures(served.get(PATH).json())
        for name in told.obligations.hidden & set(found):
            assert found[name] == {"field": name, "value": None, "decile": None, "median": None}
        assert mask in told.obligations.hidden & set(found)


def test_of_many_as_many_are_taken_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_route, "MOST_OTHERS", 11)
    with Served(book(33), keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(PATH).json()
        assert answer["others"] == 11
        assert figures(answer)["distance_m"]["median"] == 17_000.0  # P-02, P-05, P-08, P-11, P-14, P-17, …


@pytest.mark.parametrize("kept", [True, False])
def test_terms_that_may_not_leave_take_nobodys_place(kept: bool) -> None:
    store, rows = book(10), []
    ends = NOON - timedelta(days=1)
    begin = ends - timedelta(days=365)
    former = Policy(
        number="P-00", valid_from=begin, valid_to=ends, vehicle="car-former", tenant="default", product="former"
    )
    for k in range(3):
        row = records.journey(
            "car-former", begin + timedelta(days=1 + k), policy="P-00", tenant="default", product="former",
            policy_from=begin, distance_m=9.0,
        )  # fmt: skip
        rows.append({**row, "rules_version": ALWAYS_ON.version})
    store.write(StoreBatch(policies=[former], journeys=records.journeys(*rows), rules=RulesUsed.of(ALWAYS_ON)))
    told = Told(Obligations(rows=RowPredicate(products=frozenset({"default"}))))
    with Served(store, decisions=told, keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        assert figures(served.get(PATH).json())["distance_m"]["value"] == 5_500.0


def test_others_are_taken_from_everywhere_in_a_large_book_with_all_their_terms() -> None:
    def term(k: int, years: int) -> Policy:
        begin = records.BEGIN + timedelta(days=365 * years)
        return Policy(number=f"P-{k:04}", valid_from=begin, vehicle="car", tenant="default")

    known = [term(k, years) for k in range(1_000) for years in range(1 + k % 3)]
    own = Admitted((known[0],), True)
    found = comparison_route._sample(known, own, 20)
    assert 18 <= len(found) <= 21
    assert found == comparison_route._sample(known, Admitted((known[700],), True), 20)
    assert {int(number[2:]) // 100 for number in found} == set(range(10))
    for number, terms in found.items():
        assert terms == [each for each in known if each.number == number]


@pytest.mark.parametrize("kept", [True, False])
def test_another_policy_with_journeys_of_two_rules_versions_is_left_out_and_counted(kept: bool) -> None:
    store = book(12)
    row = records.journey("car-3", NOON - timedelta(days=9), policy="P-03", distance_m=9.0)
    store.write(StoreBatch(journeys=records.journeys({**row, "rules_version": "another"})))
    with Served(store, keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(PATH).json()
        assert (answer["others"], answer["left_out"]) == (11, 1)
        assert figures(answer)["distance_m"]["median"] == 7_000.0
        own = served.get("/v1/policies/P-03/comparison")
        assert own.status_code == 409
        assert served.get("/v1/policies/P-04/comparison").json()["left_out"] == 1


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("period", ["term", "month&month=2024-03", "last_12_months&month=2024-03"])
def test_only_policies_by_the_same_rules_are_compared(kept: bool, period: str) -> None:
    store = book(22, by_another=(3, *range(13, 23)))
    with Served(store, keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(f"{PATH}?period={period}").json()
        assert (answer["others"], answer["left_out"]) == (11, 11)
        assert figures(answer)["distance_m"]["median"] == 7_000.0  # without P-03
        answer = served.get(f"/v1/policies/P-03/comparison?period={period}").json()
        assert (answer["others"], answer["left_out"]) == (10, 12)
        assert figures(answer)["distance_m"]["median"] == 18_000.0  # of P-13 to P-22


@pytest.mark.parametrize("kept", [True, False])
def test_among_fewer_than_ten_by_the_same_rules_there_is_no_answer(kept: bool) -> None:
    store = book(12, by_another=(3,))
    with Served(store, keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        assert (found := served.get(PATH).json())["others"] == 11
        assert found["left_out"] == 1
        refused = served.get("/v1/policies/P-03/comparison")
        assert refused.status_code == 403
        assert refused.json()["type"].endswith("/group-too-small")


def test_without_figures_of_its_own_a_policy_is_told_of_the_rules_that_most_others_are_by() -> None:
    rows = [{"rules_version": version} for version in ("r-1", "r-2", "r-2")]
    assert comparison_route._alike(rows, {}) == rows[1:]
    assert comparison_route._alike(rows, {"rules_version": "r-1"}) == rows[:1]
    assert comparison_route._alike(rows, {"rules_version": "r-3"}) == []
    assert comparison_route._alike([], {}) == []


@pytest.mark.parametrize("kept", [True, False])
def test_an_earlier_term_of_two_rules_versions_does_not_refuse_the_latest_ones_comparison(kept: bool) -> None:
    store, ends = book(10), records.BEGIN
    former = Policy(
        number="P-00", valid_from=ends - timedelta(days=365), valid_to=ends, vehicle="car-0", tenant="default"
    )
    rows = []
    for k, version in enumerate((ALWAYS_ON.version, "another")):
        start = former.valid_from + timedelta(days=1 + k)
        row = records.journey("car-0", start, policy="P-00", policy_from=former.valid_from, distance_m=9.0)
        rows.append({**row, "rules_version": version})
    store.write(StoreBatch(policies=[former], journeys=records.journeys(*rows)))
    with Served(store, keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        answer = served.get(PATH)
        assert answer.status_code == 200
        assert figures(answer.json())["distance_m"]["value"] == 5_500.0


@pytest.mark.parametrize("kept", [True, False])
def test_the_others_are_read_once_until_the_data_of_one_changes(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    of_many = comparison_route._latest_of_many

    def counted(*given: object) -> object:
        read.append(1)
        return of_many(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(comparison_route, "_latest_of_many", counted)

    def change(served: Served, number: str, distance_m: float) -> None:
        vehicle = f"car-{int(number[2:])}"
        row = records.journey(vehicle, NOON + timedelta(hours=2), policy=number, distance_m=distance_m)
        served.write(StoreBatch(journeys=records.journeys({**row, "rules_version": ALWAYS_ON.version})))

    def computed(served: Served, path: str) -> object:
        """What a service that has nothing remembered answers."""
        with Served(served.store, keeps_figures=False, config={"score": ALWAYS_ON.score}) as fresh:
            return fresh.get(path).json()

    with Served(book(12), keeps_figures=kept, config={"score": ALWAYS_ON.score}) as served:
        served.versions.clock_s = lambda: 1.0
        served.versions.tick()
        for number in ("P-00", "P-05", "P-00", "P-11"):
            path = f"/v1/policies/{number}/comparison"
            assert served.get(path).json() == computed(served, path)
        assert sum(read) - 4 == 1
        change(served, "P-07", 70_000.0)
        for number in ("P-00", "P-07", "P-07"):
            path = f"/v1/policies/{number}/comparison"
            assert served.get(path).json() == computed(served, path)
        assert sum(read) - 4 - 3 == 2
        gone = store_policy(served, "P-12")
        served.write(StoreBatch(policies_withdrawn=[gone.term]))
        assert served.get(PATH).json()["others"] == 11
        served.book.refresh()
        before = sum(read)
        assert served.get(PATH).json()["others"] == 11
        assert sum(read) == before


def store_policy(served: Served, number: str) -> Policy:
    (found,) = served.store.policies(number)
    return found


def test_an_unchanged_comparison_is_304() -> None:
    with Served(book(10), keeps_figures=True, config={"score": ALWAYS_ON.score}) as served:
        tag = served.get(PATH).headers["etag"]
        assert served.get(PATH, **{"if-none-match": tag}).status_code == 304
        assert served.get(PATH, **{"if-match": tag}).status_code == 412


def test_what_does_not_go_together_is_400_and_denials_are_those_of_summaries() -> None:
    with Served(book(10), decisions=Told(reasons={"summaries:read": Reason.PURPOSE_MISSING})) as served:
        assert served.get(PATH).status_code == 403
        assert served.reads.reads == 0
    with Served(book(10)) as served:
        for query in ("period=term&month=2024-03", "period=week", "period=month&month=2024-13", "what=1"):
            assert served.get(f"{PATH}?{query}").status_code == 400
        assert served.get("/v1/policies/P-12/comparison").status_code == 404
        assert served.get("/v1/policies/nowhere/comparison").status_code == 404
