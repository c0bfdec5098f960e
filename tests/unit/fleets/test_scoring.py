"""Found against true journeys."""

from __future__ import annotations

import math

import pyarrow as pa

from journeymesh.fleets.scoring import score


def journeys(*spans: tuple[str, int, int]) -> pa.Table:
    at = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            "vehicle": pa.array([vehicle for vehicle, _, _ in spans], pa.string()),
            "started_at": pa.array([start * 1_000_000 for _, start, _ in spans], at),
            "ended_at": pa.array([end * 1_000_000 for _, _, end in spans], at),
            "distance_m": pa.array([float(end - start) for _, start, end in spans], pa.float64()),
        }
    )


def test_what_is_found_exactly_scores_one() -> None:
    same = journeys(("a", 0, 100), ("a", 500, 900), ("b", 0, 100))
    assert (score(same, same).f1, score(same, same).boundary_error_s) == (1.0, 0.0)


def test_a_journey_found_in_two_halves_is_missed_and_found_wrong_twice() -> None:
    result = score(journeys(("a", 0, 50), ("a", 60, 100)), journeys(("a", 0, 100)))
    assert (result.matched, result.precision, result.recall) == (0, 0.0, 0.0)
    assert result.unmatched_true == (0,)
    assert math.isnan(result.boundary_error_s)


def test_a_match_needs_nine_tenths_and_the_same_vehicle() -> None:
    true = journeys(("a", 0, 100), ("b", 0, 100))
    assert score(journeys(("a", 0, 90), ("b", 0, 89)), true).matched == 1
    assert score(journeys(("c", 0, 100)), true).matched == 0


def test_nothing_found_of_nothing_is_perfect() -> None:
    assert score(journeys(), journeys()).f1 == 1.0
