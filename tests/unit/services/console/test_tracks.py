"""A track as columns: what is marked on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from journeymesh.journeys import rules as journey_rules
from journeymesh.journeys.rules import ALWAYS_ON, SpeedingRules
from journeymesh.services.console import charts
from journeymesh.services.console.tracks import columns, over, sampled, speeding_rules

NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)

RULES = SpeedingRules()


def fixes(*speeds_mps: float | None, limit_mps: float | None = 10.0) -> list[dict[str, Any]]:
    return [
        {"fixed_at": NOON + timedelta(seconds=k), "lat_deg": 52.0, "lon_deg": 5.0, "speed_mps": speed,
         "speed_limit_mps": limit_mps}
        for k, speed in enumerate(speeds_mps)
    ]  # fmt: skip


def test_a_moment_over_the_limit_is_no_speeding_and_three_seconds_are() -> None:
    assert over(fixes(9, 13, 13, 13, 9), RULES) == [0, 0, 0, 0, 0]
    assert over(fixes(9, 13, 13, 13, 13), RULES) == [0, 1, 1, 1, 1]
    assert over(fixes(13, 13, 13, 13, 9, 13), RULES) == [1, 1, 1, 1, 0, 0]


def test_within_the_tolerance_without_a_limit_and_without_a_speed_nothing_is_over() -> None:
    assert over(fixes(12, 12, 12, 12, 12), RULES) == [0] * 5
    assert over(fixes(40, 40, 40, 40, limit_mps=None), RULES) == [0] * 4
    assert over(fixes(None, None, None, None), RULES) == [0] * 4
    assert over([], RULES) == []


def test_a_long_track_is_thinned_out_and_keeps_its_ends() -> None:
    rows = fixes(*range(1_000))
    found = sampled(rows, [0] * 1_000, 100)
    assert len(found) <= 100
    assert found[0][0] is rows[0]
    assert found[-1][0] is rows[-1]
    assert len(sampled(rows, [0] * 1_000, 1_000)) == 1_000


def test_what_a_fix_does_not_say_is_null() -> None:
    found = columns(fixes(None, 1.234), RULES)
    assert found["speed"] == [None, 1.23]
    assert found["accel"] == [None, None]


def test_speeding_is_marked_by_the_rules_that_made_the_journey(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient = replace(ALWAYS_ON, version="lenient", speeding=replace(RULES, over_posted_limit_mps=5.0))
    monkeypatch.setitem(journey_rules.VERSIONS, "lenient", lenient)
    fast = fixes(14, 14, 14, 14)
    assert columns(fast, speeding_rules(ALWAYS_ON.version))["over"] == [1, 1, 1, 1]
    assert columns(fast, speeding_rules("lenient"))["over"] == [0, 0, 0, 0]


def test_by_rules_whose_numbers_are_not_known_nothing_is_marked() -> None:
    for version in ("ours-2026.1", None):
        assert speeding_rules(version) is None
        assert columns(fixes(40, 40, 40, 40), speeding_rules(version))["over"] == [0, 0, 0, 0]


@pytest.mark.parametrize(("lat_deg", "lon_deg"), [(1e308, 0.0), (0.0, -1e308), (90.5, 0.0), (0.0, 181.0), (None, 0.0)])
def test_a_refused_fix_outside_the_world_is_not_drawn(lat_deg: float | None, lon_deg: float) -> None:
    began = datetime(2024, 3, 1, tzinfo=UTC)
    fixes = [
        {"lat_deg": 51.0 + k / 1e4, "lon_deg": 0.0, "speed_mps": 10.0, "fixed_at": began + timedelta(seconds=k)}
        for k in range(3)
    ]
    wrong, right = (
        {"lat_deg": lat, "lon_deg": lon, "explanation": "elsewhere", "reason": "position_outside_world"}
        for lat, lon in ((lat_deg, lon_deg), (51.0, 0.001))
    )
    drawn = charts.track(fixes, [], [wrong, right])
    assert drawn is not None
    assert len(drawn.refused) == 1
