"""What every store must answer about figures: what they are computed to be, whatever was written in which batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pytest

from journeymesh.errors import RulesConflict
from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.period_sums import FigurePeriod
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScorePart, ScoreRules
from journeymesh.journeys.summaries import SEVERAL_VERSIONS
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.figures import computed_figures, place_of
from journeymesh.stores.port import RulesUsed, Store, StoreBatch, Superseded
from tests.support.records import DAY, NOON, NOT_RECORDED, ODD_NAMES, journey, journeys, policy

PLAIN = ScoreRules()
STRICT = ScoreRules(night_share=ScorePart(best=0.0, worst=0.1, weight=0.9))
MONTHS = [date(2023, 11, 1), date(2024, 2, 1), date(2024, 3, 1), date(2024, 9, 1)]
_TERM = 60 * DAY


def questions(tenants: tuple[str, ...] = ("default", "north")) -> Iterator[FiguresQuery]:
    """Each number, by turns in each order, over every period and month."""
    turn = 0
    for tenant in tenants:
        for period in get_args(FigurePeriod):
            for month in [None] if period == "term" else MONTHS:
                turn += 1
                sort = SORTS[turn % len(SORTS)]
                yield FiguresQuery(tenant, period, month, sort, descending=turn % 2 == 0, limit=1_000)


def kept(store: Store, query: FiguresQuery, rules: ScoreRules = PLAIN) -> pa.Table:
    """What the store keeps."""
    found = store.figures(query, rules)
    assert found is not None
    return found


def assert_equal_to_computed(store: Store, rules: ScoreRules = PLAIN) -> int:
    """How many rows were compared."""
    rows, policies = 0, store.policies()
    for query in questions():
        found = kept(store, query, rules)
        assert found.to_pylist() == computed_figures(store, policies, query, rules).to_pylist(), query
        rows += len(found)
    return rows


class FigureSuite:
    """Inherited by the tests of stores that keep figures."""

    def test_an_empty_store_keeps_no_figures(self, store: Store) -> None:
        assert assert_equal_to_computed(store) == 0

    @pytest.mark.parametrize("seed", [1, 2])
    def test_figures_are_what_they_are_computed_to_be_after_any_batches(self, store: Store, seed: int) -> None:
        rows = 0
        for batch in random_batches(seed, 8):
            store.write(batch)
            rows += assert_equal_to_computed(store)
        assert rows > 50

    def test_pages_go_on_and_filters_hold(self, store: Store) -> None:
        policies = [policy(f"P-{n}", device=f"d{n}", vehicle=None) for n in range(9)]
        put = [journey(f"d{n}", policy=f"P-{n}", distance_m=float(n // 3), night_distance_m=n / 30) for n in range(9)]
        store.write(StoreBatch(policies=policies, journeys=journeys(*put)))
        for sort in ("distance_m", "night_share", "journeys"):
            for descending in (False, True):
                query = FiguresQuery("default", "month", date(2024, 3, 1), sort, descending, limit=2)
                seen, page = [], kept(store, query)
                while len(page):
                    seen += page["policy"].to_pylist()
                    page = kept(store, replace(query, after=place_of(page, len(page) - 1, sort)))
                assert seen == kept(store, replace(query, limit=100))["policy"].to_pylist()
                assert len(seen) == 9
                named = replace(query, numbers=("P-3", "P-8", "P-99"), limit=100)
                assert kept(store, named)["policy"].to_pylist() == [n for n in seen if n in ("P-3", "P-8")]
        between = FiguresQuery(
            "default", "month", date(2024, 3, 1), "journeys", least={"distance_m": 1.0}, most={"night_share": 0.12}
        )
        assert kept(store, between).equals(computed_figures(store, policies, between, PLAIN))
        assert 0 < len(kept(store, between)) < 6

    def test_odd_numbers_and_tenants_have_their_figures(self, store: Store) -> None:
        policies = [policy(name, device=f"d{n}", vehicle=None, tenant=name) for n, name in enumerate(ODD_NAMES)]
        put = [journey(f"d{n}", policy=name, tenant=name) for n, name in enumerate(ODD_NAMES)]
        store.write(StoreBatch(policies=policies, journeys=journeys(*put)))
        for name in ODD_NAMES:
            (row,) = kept(store, FiguresQuery(name, "term", None, "journeys")).to_pylist()
            assert (row["policy"], row["tenant"], row["journeys"]) == (name, name, 1)

    def test_a_batch_that_fails_leaves_the_figures_as_they_were(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(StoreBatch(policies=[policy()], journeys=journeys(journey(distance_m=5.0))))
        self.break_next_write(store, monkeypatch)  # type: ignore[attr-defined]
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the adapter's tests break
            store.write(StoreBatch(journeys=journeys(journey(distance_m=7.0))))
        monkeypatch.undo()
        query = FiguresQuery("default", "term", None, "distance_m")
        assert kept(store, query)["distance_m"].to_pylist() == [5.0]

    def test_another_score_is_by_its_own_rules_once_they_are_used(self, store: Store) -> None:
        put = [journey(night_distance_m=0.9, distance_m=10.0)]
        store.write(StoreBatch(policies=[policy()], journeys=journeys(*put), rules=RulesUsed("r-1", "d1")))
        assert assert_equal_to_computed(store) > 0
        assert store.figures(FiguresQuery("default", "term", None, "score"), STRICT) is None
        store.write(StoreBatch(rules=RulesUsed("r-1", "d1", STRICT)))
        assert assert_equal_to_computed(store, STRICT) > 0
        store.write(StoreBatch(rules=RulesUsed("r-1", "d1")))  # who does not know them changes nothing
        assert assert_equal_to_computed(store, STRICT) > 0

    def test_a_term_of_two_rules_versions_is_refused(self, store: Store) -> None:
        put = [journey(), journey(start=NOON - 40 * DAY, rules_version="r-2")]
        store.write(StoreBatch(policies=[policy()], journeys=journeys(*put)))
        for query in (FiguresQuery("default", "term", None, "score"),
                      FiguresQuery("default", "month", date(2024, 3, 1), "score")):  # fmt: skip
            with pytest.raises(RulesConflict, match="policy P-1 has journeys of rules r-1 and r-2"):
                store.figures(query, PLAIN)

    def test_a_term_of_two_rules_versions_is_marked_for_who_says_so(self, store: Store) -> None:
        terms = [policy(), policy("P-2", device="d2", vehicle=None), policy("P-3", device="d3", vehicle=None)]
        put = [
            journey(), journey(start=NOON - 40 * DAY, rules_version="r-2"), journey("d2", policy="P-2"),
            journey("d3", policy="P-3", rules_version="r-2"),
        ]  # fmt: skip
        store.write(StoreBatch(policies=terms, journeys=journeys(*put)))
        for period, month in (("term", None), ("month", date(2024, 3, 1)), ("last_12_months", date(2024, 3, 1))):
            query = FiguresQuery("default", period, month, "score", marks_mixed=True)
            versions = {row["policy"]: row["rules_version"] for row in kept(store, query).to_pylist()}
            assert versions == {"P-1": SEVERAL_VERSIONS, "P-2": "r-1", "P-3": "r-2"}
            assert kept(store, query).to_pylist() == computed_figures(store, terms, query, PLAIN).to_pylist()


def random_batches(seed: int, count: int) -> Iterator[StoreBatch]:
    """Batches that put, change, re-attribute and take away journeys, and put, change and withdraw policies."""
    random = np.random.default_rng(seed)
    policies = [
        policy(f"P-{n // 2 % 4}", device=f"d{n}", vehicle=None, tenant=("default", "north")[n % 3 == 0],
               valid_from=NOON - 200 * DAY + (n % 2) * _TERM, zone=("UTC", "Asia/Tokyo", "America/New_York")[n % 3],
               declared_annual_distance_m=[None, 9e6][n % 2])
        for n in range(10)
    ]  # fmt: skip
    present: dict[str, dict[str, Any]] = {}
    in_force: dict[Any, Policy] = {}
    for _ in range(count):
        given = [_changed(random, policies[k]) for k in random.choice(10, int(random.integers(0, 4)), replace=False)]
        withdrawn = [term for term in in_force if random.random() < 0.1 and term not in [each.term for each in given]]
        for term in withdrawn:
            del in_force[term]
        in_force |= {each.term: each for each in given}
        put = [_journey(random, policies) for _ in range(int(random.integers(0, 12)))]
        again = [row for row in present.values() if random.random() < 0.15]
        put += [row | _attributed(random, policies) | {"distance_m": random.random() * 1e4} for row in again]
        rows = {row["journey_id"]: row for row in put}
        gone = [name for name in present if random.random() < 0.1]
        superseded = [Superseded(name, name if name in rows else None) for name in gone]
        for name in gone:
            present.pop(name)
        present |= rows
        yield StoreBatch(
            journeys=journeys(*rows.values()) if rows else None, superseded=superseded, policies=given,
            policies_withdrawn=withdrawn,
        )  # fmt: skip


def _changed(random: np.random.Generator, given: Policy) -> Policy:
    zones, products = ("UTC", "Europe/London", "Asia/Tokyo"), ("gold", "basic")
    ends = [None, given.valid_from + _TERM][int(random.integers(2))]
    declared = [None, 1e7 * random.random()][int(random.integers(2))]
    return replace(given, zone=zones[int(random.integers(3))], product=products[int(random.integers(2))],
                   valid_to=ends, declared_annual_distance_m=declared)  # fmt: skip


def _attributed(random: np.random.Generator, policies: list[Policy]) -> dict[str, Any]:
    if random.random() < 0.1:
        return {"policy": None, "tenant": None, "product": None, "policy_from": None}
    of = policies[int(random.integers(len(policies)))]
    return {"policy": of.number, "tenant": of.tenant, "product": of.product, "policy_from": of.valid_from}


def _journey(random: np.random.Generator, policies: list[Policy]) -> dict[str, Any]:
    # some at the turn of months, which is another instant on each clock
    start = NOON - timedelta(days=int(random.integers(0, 190)), microseconds=int(random.integers(10**9)))
    if random.random() < 0.3:
        start = start.replace(day=1, hour=int(random.integers(0, 24)))
    values = {name: float(random.random() * 1e4) for name in ("distance_m", "driving_s", "night_distance_m")}
    later = NOT_RECORDED if random.random() < 0.3 else {"limit_known_distance_m": random.random() * 1e3}
    speeding = {"speeding_distance_m": random.random() * 1e3 * (random.random() < 0.5)}
    return journey(f"car-{random.integers(9)}", start, **values, **later, **speeding, **_attributed(random, policies))
