"""Summaries of many policies added up and ranked, page by page."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
from tests.support.records import NOON, journey, journeys, policy

from journeymesh.errors import RulesConflict
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import Period, summarise_each
from journeymesh.journeys.summary_groups import first_of, group_schema, summarise_groups

POLICIES = [
    policy(f"P-{n}", device=f"d{n}", vehicle=None, tenant=f"t{n % 2}", product=f"p{n % 3}", zone="UTC")
    for n in range(7)
]


def book(period: Period, **changed: object) -> pa.Table:
    rows = [
        journey(f"d{n}", NOON + timedelta(days=4 * k, hours=n), policy=f"P-{n}", tenant=f"t{n % 2}",
                distance_m=1_000.0 * (n + k), night_distance_m=100.0 * k, max_speed_mps=float(n), **changed)
        for n in range(7)
        for k in range(20)
    ]  # fmt: skip
    return summarise_each(journeys(*rows), POLICIES, period, ScoreRules())


@pytest.mark.parametrize("period", get_args(Period))
@pytest.mark.parametrize("by", [(), ("tenant",), ("tenant", "product")])
def test_a_group_is_the_sum_of_its_policies_however_the_pages_are_cut(period: Period, by: tuple) -> None:
    whole = book(period)
    found = summarise_groups([whole], by, period)
    assert found.schema.equals(group_schema(by))
    cut = [whole.filter(pa.compute.equal(whole["policy"], each.number)) for each in POLICIES]
    assert summarise_groups([whole.slice(0, 0), *cut], by, period).equals(found)
    rows = whole.to_pylist()
    for group in found.to_pylist():
        of = [
            row for row in rows
            if all(row[name] == group[name] for name in by)
            and (period == "term" or row["period_from"] == group["period_from"])
        ]  # fmt: skip
        distance = sum(row["distance_m"] for row in of)
        assert group["distance_m"] == pytest.approx(distance)
        assert group["journeys"] == sum(row["journeys"] for row in of)
        assert group["policies"] == len({row["policy"] for row in of})
        assert group["night_share"] == pytest.approx(sum(row["night_distance_m"] for row in of) / distance, abs=1e-6)
        assert group["max_speed_mps"] == max(row["max_speed_mps"] for row in of)
        assert group["score"] == pytest.approx(np.mean([row["score"] for row in of]), abs=0.051)
    assert sum(found["journeys"].to_pylist()) == 140


def test_a_group_of_two_rules_versions_is_refused() -> None:
    pages = [book("month", rules_version="r-1"), book("month", rules_version="r-2")]
    with pytest.raises(RulesConflict, match="r-1 and r-2"):
        summarise_groups(pages, ("tenant",), "month")


def test_groups_of_nothing_are_an_empty_table() -> None:
    assert len(summarise_groups([], ("tenant",), "month")) == 0
    assert first_of([], "score", 3) is None


@pytest.mark.parametrize("lowest", [False, True])
def test_the_first_of_many_pages_are_the_first_of_all_of_them(lowest: bool) -> None:
    whole = book("month")
    pages = [whole.slice(k, 3) for k in range(0, len(whole), 3)]
    found = first_of(pages, "distance_m", 5, lowest=lowest)
    assert found is not None
    values = sorted(whole["distance_m"].to_pylist(), reverse=not lowest)
    assert found["distance_m"].to_pylist() == values[:5]


def test_rows_whose_value_is_not_known_are_not_ranked() -> None:
    whole = book("term")
    assert whole["mileage_ratio"].null_count == len(whole)
    found = first_of([whole], "mileage_ratio", 5)
    assert found is not None
    assert len(found) == 0
