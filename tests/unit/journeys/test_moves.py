"""What is named as having moved from one period to the next."""

from __future__ import annotations

from typing import Any

import pytest

from journeymesh.journeys.moves import moved

MONTH: dict[str, Any] = {
    "rules_version": "a", "observed_days": 30.0, "distance_m": 900_000.0, "journeys": 60, "night_share": 0.10,
    "speeding_share": 0.04, "harsh_events_per_100km": 4.0, "score": 80.0,
}  # fmt: skip


def named(before: dict[str, Any] | None, after: dict[str, Any], *hidden: str) -> list[tuple[str, float]] | None:
    found = moved(before, after, hidden)
    return None if found is None else [(each["measure"], round(each["change"], 6)) for each in found]


def test_the_two_largest_changes_are_named_the_largest_first() -> None:
    after = MONTH | {"distance_m": 1_170_000.0, "night_share": 0.05, "score": 60.0}
    assert named(MONTH, after) == [("night_share", -0.5), ("distance_m_per_day", 0.3)]


def test_a_move_has_both_values_by_day_where_an_amount_is_of_days() -> None:
    assert moved(MONTH, MONTH | {"journeys": 90}) == [
        {"measure": "journeys_per_day", "before": 2.0, "after": 3.0, "change": 0.5}
    ]


def test_a_shorter_period_is_compared_by_day() -> None:
    half = MONTH | {"observed_days": 15.0, "distance_m": 450_000.0, "journeys": 30}
    assert named(MONTH, half) == []


def test_a_change_from_next_to_nothing_is_held_against_the_floor() -> None:
    assert named(MONTH | {"speeding_share": 0.0}, MONTH | {"speeding_share": 0.01}) == [("speeding_share", 0.5)]
    assert named(MONTH | {"speeding_share": 0.0}, MONTH | {"speeding_share": 0.001}) == []


def test_changes_below_a_tenth_are_not_named() -> None:
    assert named(MONTH, MONTH | {"score": 73.0}) == []
    assert named(MONTH, MONTH | {"score": 72.0}) == [("score", -0.1)]


@pytest.mark.parametrize("hidden", ["distance_m", "observed_days"])
def test_nothing_is_named_that_is_made_of_a_hidden_field(hidden: str) -> None:
    after = MONTH | {"distance_m": 1_800_000.0, "score": 40.0}
    assert named(MONTH, after, hidden) == [("score", -0.5)]


def test_what_is_not_known_in_one_of_both_is_not_named() -> None:
    assert named(MONTH | {"score": None}, MONTH | {"score": 10.0}) == []


@pytest.mark.parametrize("other", [None, MONTH | {"rules_version": "b"}, MONTH | {"observed_days": 6.0}])
def test_what_cannot_be_compared_says_nothing(other: dict[str, Any] | None) -> None:
    assert named(other, MONTH) is None
