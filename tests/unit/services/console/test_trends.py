"""How the last whole period differs from the one before, and what moved."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from journeymesh.journeys import moves as move_rules
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.services.console.trends import MOVES, Trend, moves, trends
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store
from tests.support import records
from tests.support.console_served import console_over, policy, write_databases


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
        ("distance_m", 1.0, 1200.0, "more, from next to none", 1),
        ("distance_m", 100.0, 1100.0, "more, from next to none", 1),
        ("distance_m", 100.0, 1099.0, "999 % more", 1),
        ("distance_m", 1200.0, 1.0, "100 % less", -1),
        ("journeys", 1, 60, "more, from next to none", 1),
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


def test_moves_are_said_with_direction_and_amount() -> None:
    row = {
        "moved": [
            {"measure": "distance_m_per_day", "before": 20_000.0, "after": 30_000.0, "change": 0.5},
            {"measure": "speeding_share", "before": 0.05, "after": 0.02, "change": -0.6},
        ]
    }
    assert moves(row) == ["Distance a day +50 %", "Over limit −3.0 points"]
    assert moves({"moved": [row["moved"][0] | {"before": 0.0}]}) == ["Distance a day from none"]
    assert moves({"moved": [row["moved"][0] | {"before": 25.0}]}) == ["Distance a day from next to none"]
    assert moves({"moved": [row["moved"][0] | {"before": 3_000.0}]}) == ["Distance a day +900 %"]
    assert moves({"moved": [row["moved"][0] | {"after": 0.0}]}) == ["Distance a day −100 %"]
    assert moves({"moved": []}) == []
    assert moves({"moved": None}) is moves({}) is None


@pytest.mark.parametrize("measure", [name for name, (_, said) in MOVES.items() if said == "share"])
@pytest.mark.parametrize("before", [0.0, 1e-9, 0.1, 1.0, 90.0])
def test_no_percentage_is_of_next_to_nothing(measure: str, before: float) -> None:
    for after in (before * 3, 50.0, 1e5):
        (said,) = moves({"moved": [{"measure": measure, "before": before, "after": after, "change": 1.0}]}) or ()
        number = re.search(r"[+−](\d+) %$", said)
        assert said.endswith("none") if number is None else int(number[1]) < 1_000


def test_each_measure_that_can_move_has_words() -> None:
    every = [{"measure": each, "before": 1.0, "after": 2.0, "change": 1.0} for each in move_rules.MEASURES]
    assert len(moves({"moved": every}) or ()) == len(move_rules.MEASURES)


def test_the_book_says_what_moved_since_the_month_before(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(day=1, hour=12, minute=0, second=0, microsecond=0)
    whole = (now - timedelta(days=1)).replace(day=1)
    before = (whole - timedelta(days=1)).replace(day=1)
    held = replace(policy("P-1", "northgate", "V1"), valid_from=before)
    write_databases(tmp_path, [held])
    rows = [
        records.journey(
            "V1", month + timedelta(days=day), policy="P-1", tenant="northgate", product=held.product,
            policy_from=before, rules_version=ALWAYS_ON.version, distance_m=distance_m, night_distance_m=0.0,
            harsh_braking=0, harsh_acceleration=0, harsh_cornering=0, limit_known_distance_m=None,
        )
        for month, distance_m in ((before, 300_000.0), (whole, 600_000.0))
        for day in (0, 9, 18)
    ]  # fmt: skip
    with closing(open_store(f"sqlite:///{tmp_path / 'journeys.db'}")) as store:
        store.write(StoreBatch(journeys=records.journeys(*rows)))
    with console_over(tmp_path) as world:
        world.approve("claims-handler", "claims-handling", "claims")
        browser = world.browser("claims-handler")
        for address in ("/policies", "/policies?sort=journeys", "/policies?policy=P-1"):
            page = browser.get(address).text
            assert '<th scope="col" class="text">What moved</th>' in page
            assert re.search(r"Distance a day \+\d+ %", page), address
