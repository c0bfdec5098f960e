"""A track as columns: what is marked on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from journeymesh.services.console.tracks import columns, over, sampled

NOON = datetime(2024, 6, 3, 12, tzinfo=UTC)


def fixes(*speeds_mps: float | None, limit_mps: float | None = 10.0) -> list[dict[str, Any]]:
    return [
        {"fixed_at": NOON + timedelta(seconds=k), "lat_deg": 52.0, "lon_deg": 5.0, "speed_mps": speed,
         "speed_limit_mps": limit_mps}
        for k, speed in enumerate(speeds_mps)
    ]  # fmt: skip


def test_a_moment_over_the_limit_is_no_speeding_and_three_seconds_are() -> None:
    assert over(fixes(9, 13, 13, 13, 9)) == [0, 0, 0, 0, 0]
    assert over(fixes(9, 13, 13, 13, 13)) == [0, 1, 1, 1, 1]
    assert over(fixes(13, 13, 13, 13, 9, 13)) == [1, 1, 1, 1, 0, 0]


def test_within_the_tolerance_without_a_limit_and_without_a_speed_nothing_is_over() -> None:
    assert over(fixes(12, 12, 12, 12, 12)) == [0] * 5
    assert over(fixes(40, 40, 40, 40, limit_mps=None)) == [0] * 4
    assert over(fixes(None, None, None, None)) == [0] * 4
    assert over([]) == []


def test_a_long_track_is_thinned_out_and_keeps_its_ends() -> None:
    rows = fixes(*range(1_000))
    found = sampled(rows, 100)
    assert len(found) <= 100
    assert found[0][0] is rows[0]
    assert found[-1][0] is rows[-1]
    assert len(sampled(rows, 1_000)) == 1_000


def test_what_a_fix_does_not_say_is_null() -> None:
    found = columns(fixes(None, 1.234))
    assert found["speed"] == [None, 1.23]
    assert found["accel"] == [None, None]
