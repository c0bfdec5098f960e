"""How the last whole period differs from the one before."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from journeymesh.services.console.trends import Trend, trends


def month(number: int, **values: Any) -> dict[str, Any]:
    between = {"period_from": date(2026, number, 1), "period_to": date(2026, number + 1, 1)}
    return {**between, "observed_days": 30.0, **values}


def test_the_month_that_is_not_over_is_not_compared() -> None:
    rows = [month(8, score=70.0), month(9, score=80.0), month(10, score=10.0)]
    found = trends(rows, date(2026, 10, 20))
    assert found is not None
    assert (found.period_from, found.before_from) == (date(2026, 9, 1), date(2026, 8, 1))
    assert found.measures == [Trend("Score", "10.0 points more", 1)]


@pytest.mark.parametrize(
    ("field", "before", "now", "said", "direction"),
    [
        ("distance_m", 1000.0, 900.0, "10 % less", -1),
        ("distance_m", 0.0, 900.0, "more, from none", 1),
        ("journeys", 0, 0, "the same", 0),
        ("distance_m", 1000.0, 1001.0, "the same", 0),
        ("night_share", 0.10, 0.125, "2.5 percentage points more", 1),
        ("harsh_events_per_100km", 3.0, 2.5, "0.5 less", -1),
        ("score", 71.2, 71.24, "the same", 0),
    ],
)
def test_each_measure_is_compared_in_its_own_terms(
    field: str, before: float, now: float, said: str, direction: int
) -> None:
    found = trends([month(3, **{field: before}), month(4, **{field: now})], date(2026, 5, 1))
    assert found is not None
    assert [(each.difference, each.direction) for each in found.measures] == [(said, direction)]


def test_amounts_are_compared_for_each_day_observed() -> None:
    rows = [month(3, distance_m=3000.0, observed_days=30.0), month(4, distance_m=700.0, observed_days=7.0)]
    found = trends(rows, date(2026, 5, 1))
    assert found is not None
    assert found.measures == [Trend("Distance a day observed", "the same", 0)]
    for days in (0.0, None):
        rows[1]["observed_days"] = days
        found = trends(rows, date(2026, 5, 1))
        assert found is not None
        assert found.measures == []


def test_what_is_masked_or_does_not_follow_is_not_compared() -> None:
    assert trends([month(3, score=1.0), month(5, score=2.0)], date(2026, 7, 1)) is None
    assert trends([month(3, score=1.0)], date(2026, 7, 1)) is None
    assert trends([], date(2026, 7, 1)) is None
    found = trends([month(3, score=None, night_share=0.1), month(4, score=2.0, night_share=None)], date(2026, 7, 1))
    assert found is not None
    assert found.measures == []
