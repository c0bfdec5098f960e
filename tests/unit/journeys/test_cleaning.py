"""Each reason for which the pass refuses a fix, and what it must not refuse."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.support.builders import (
    NOW_US,
    US,
    after,
    changed,
    drive,
    duplicated,
    made,
    moved,
    refusals,
    us,
    with_column,
)

from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.rules import ALWAYS_ON, ALWAYS_ON_2026_1, ENGINE_SWITCHED, ENGINE_SWITCHED_2026_1

RULES = [ALWAYS_ON, ENGINE_SWITCHED]
TOWN = drive((10.0, 120))


def test_a_clock_before_the_earliest_year_is_impossible():
    fixes = changed(TOWN, [3], fixed_at_us=us(datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC)))
    assert [reason for reason, _ in refusals(fixes, ENGINE_SWITCHED)] == ["clock_impossible"]


def test_a_clock_ahead_of_its_receipt_beyond_the_tolerance_is_refused():
    late = with_column(TOWN, "received_at_us", TOWN.fixed_at_us + 5 * US)
    fixes = changed(late, [5, 6], received_at_us=[TOWN.fixed_at_us[5] - 300 * US, TOWN.fixed_at_us[6] - 301 * US])
    assert refusals(fixes, ENGINE_SWITCHED) == [("clock_future", 6.0)]


def test_a_clock_ahead_of_now_is_refused_where_the_receipt_is_not_known():
    fixes = drive((10.0, 10), start=datetime.fromtimestamp(NOW_US / US, UTC) + timedelta(seconds=295))
    result = make_journeys(fixes, ENGINE_SWITCHED, (), NOW_US)
    assert len(result.refused) == 5
    assert result.refused.fixed_at_us.min() == NOW_US + 301 * US


def test_a_clock_thrown_back_1024_weeks_is_impossible_where_the_receipt_is_known():
    fixes = with_column(TOWN, "received_at_us", TOWN.fixed_at_us + 90 * 86_400 * US)
    fixes = changed(fixes, slice(10, 20), fixed_at_us=TOWN.fixed_at_us[10:20] - 1024 * 7 * 86_400 * US)
    assert [reason for reason, _ in refusals(fixes, ENGINE_SWITCHED)] == ["clock_impossible"] * 10
    assert made(fixes, ENGINE_SWITCHED)[0]["distance_m"] == pytest.approx(1200, abs=1)


def test_a_fix_without_a_position_is_refused_and_the_drive_goes_on():
    fixes = changed(TOWN, [20, 21], lat_deg=[np.nan, np.inf])
    fixes = changed(fixes, [22], lon_deg=np.nan)
    assert refusals(fixes, ENGINE_SWITCHED) == [("position_missing", t) for t in (20.0, 21.0, 22.0)]
    assert made(fixes, ENGINE_SWITCHED)[0]["quarantined"] == 3


def test_a_position_outside_the_world_is_refused():
    fixes = changed(changed(TOWN, [20], lat_deg=90.1), [30], lon_deg=-180.1)
    assert [reason for reason, _ in refusals(fixes, ENGINE_SWITCHED)] == ["position_outside_world"] * 2


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_null_island_is_refused_even_as_the_first_fix_and_the_last(rules):
    fixes = changed(TOWN, [0, 60, 120], lat_deg=0.0, lon_deg=0.0)
    assert refusals(fixes, rules) == [("position_null_island", t) for t in (0.0, 60.0, 120.0)]


@pytest.mark.parametrize("first", [0, 1, 50, 117])
@pytest.mark.parametrize("column", ["lat_deg", "lon_deg"])
def test_four_zero_coordinates_in_a_row_are_refused_as_such(first, column):
    fixes = changed(TOWN, slice(first, first + 4), **{column: 0.0})
    assert refusals(fixes, ENGINE_SWITCHED) == [("position_zero", float(t)) for t in range(first, first + 4)]


def test_thirty_zero_coordinates_in_a_row_do_not_become_a_place():
    fixes = changed(drive((10.0, 300)), slice(100, 130), lat_deg=0.0)
    assert {reason for reason, _ in refusals(fixes, ENGINE_SWITCHED)} == {"position_zero"}
    assert len(made(fixes, ENGINE_SWITCHED)) == 1


def test_the_greenwich_meridian_is_real():
    fixes = drive((10.0, 100), lat=51.48, lon=0.0, heading=0.0)
    fixes = changed(fixes, slice(None), lon_deg=0.0)
    assert refusals(fixes, ENGINE_SWITCHED) == []
    across = drive((20.0, 60), lat=51.48, lon=-600 / 69_000)
    nearest = int(np.argmin(np.abs(across.lon_deg)))
    assert refusals(changed(across, [nearest], lon_deg=0.0), ENGINE_SWITCHED) == []


def test_the_equator_is_real():
    fixes = changed(drive((10.0, 100), lat=0.0, lon=36.8), slice(None), lat_deg=0.0)
    assert refusals(fixes, ENGINE_SWITCHED) == []
    assert made(fixes, ENGINE_SWITCHED)[0]["distance_m"] == pytest.approx(1000, rel=1e-3)


@pytest.mark.parametrize("rules", RULES, ids=str)
@pytest.mark.parametrize("row", [0, 1, 2, 3, 60, 119, 120])
def test_one_spike_is_refused_wherever_it_is_and_nothing_else_is(rules, row):
    assert refusals(moved(TOWN, [row], north_m=20_000), rules) == [("position_spike", float(row))]


@pytest.mark.parametrize("run", [2, 5, 15])
def test_a_run_of_bad_fixes_does_not_take_what_follows_with_it(run):
    fixes = moved(TOWN, slice(40, 40 + run), north_m=3000, east_m=500)
    assert refusals(fixes, ENGINE_SWITCHED) == [("position_spike", 40.0 + k) for k in range(run)]
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(1200, abs=2)


def test_alternating_bad_fixes_are_all_refused():
    rows = np.arange(40, 60, 2)
    assert refusals(moved(TOWN, rows, north_m=3000), ENGINE_SWITCHED) == [("position_spike", float(r)) for r in rows]


def test_a_burst_of_a_ten_hertz_recorder_is_a_spike_and_no_place():
    fixes = moved(drive((10.0, 60), every_s=0.1), slice(200, 320), north_m=2000)
    assert len(refusals(fixes, ENGINE_SWITCHED)) == 120
    assert len(made(fixes, ENGINE_SWITCHED)) == 1


def test_a_vehicle_that_was_carried_elsewhere_is_believed_and_no_distance_is_credited():
    fixes = after(drive((10.0, 60)), drive((10.0, 60), lat=52.6, lon=4.0))
    assert refusals(fixes, ENGINE_SWITCHED) == []
    assert sum(j["distance_m"] for j in made(fixes, ENGINE_SWITCHED)) == pytest.approx(1200, abs=2)


def test_a_cold_start_at_the_last_parking_place_does_not_lengthen_the_drive():
    """The receiver repeats where it was switched off until it has found the satellites."""
    fixes = after(drive((0.0, 9), lat=51.9, lon=4.9), drive((10.0, 60)))
    assert sum(j["distance_m"] for j in made(fixes, ENGINE_SWITCHED)) == pytest.approx(600, abs=2)


def test_a_position_repeated_in_a_tunnel_does_not_split_the_drive():
    """The receiver repeats its last position for 40 s at 25 m/s, then is 1 km further."""
    fixes = drive((25.0, 200))
    fixes = changed(fixes, slice(60, 100), lat_deg=fixes.lat_deg[60], lon_deg=fixes.lon_deg[60])
    assert refusals(fixes, ENGINE_SWITCHED) == []
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(5000, abs=5)


def test_a_silence_gives_a_far_place_the_benefit_of_the_doubt():
    fixes = after(drive((10.0, 60)), drive((10.0, 60), lat=40.0), pause_s=500)
    assert refusals(fixes, ENGINE_SWITCHED) == []


def test_of_two_fixes_at_one_instant_the_first_in_canonical_order_is_kept_whatever_came_first():
    other = moved(TOWN.take(slice(50, 51)), [0], north_m=10)
    for parts in ([TOWN, other], [other, TOWN]):
        result = make_journeys(Fixes.concat(parts), ENGINE_SWITCHED, (), NOW_US)
        assert refusals(Fixes.concat(parts), ENGINE_SWITCHED) == [("conflicting_fix", 50.0)]
        assert result.refused.lat_deg[0] == other.lat_deg[0]


@pytest.mark.parametrize("rules", [*RULES, ALWAYS_ON_2026_1, ENGINE_SWITCHED_2026_1])
@pytest.mark.parametrize("lost", [("speed_mps",), ("heading_deg",), ("speed_mps", "heading_deg")])
def test_a_fix_that_says_nothing_beyond_the_one_of_its_instant_is_no_conflict(rules, lost):
    """As one whose optional value could not be read. Rules 2026.1 go on to refuse it."""
    full = with_column(TOWN, "heading_deg", 90.0)
    less = changed(full.take(slice(50, 51)), [0], **dict.fromkeys(lost, np.nan))
    agrees = rules in RULES
    for parts in ([full, less], [less, full], [less, full, less]):
        fixes = Fixes.concat(parts)
        assert refusals(fixes, rules) == ([] if agrees else [("conflicting_fix", 50.0)])
        result = make_journeys(fixes, rules, (), NOW_US)
        assert result.counts.accepted == len(TOWN) + agrees
        assert result.counts.duplicates == len(parts) - 2
        assert len(result.timeline) == len(TOWN) + 1
        assert made(fixes, rules)[0]["fixes"] == made(full, rules)[0]["fixes"]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize(
    "other", [{"speed_mps": 9.0}, {"heading_deg": 91.0}, {"lat_deg": 52.0001}, {"accuracy_m": 3.0}]
)
def test_a_fix_that_says_something_else_of_its_instant_is_one(rules, other):
    full = with_column(with_column(TOWN, "heading_deg", 90.0), "accuracy_m", np.nan)
    less = changed(full.take(slice(50, 51)), [0], **{"speed_mps": np.nan, **other})
    assert refusals(Fixes.concat([full, less]), rules) == [("conflicting_fix", 50.0)]


def test_a_good_fix_is_kept_beside_one_without_a_position_at_the_same_instant():
    bad = changed(TOWN.take(slice(50, 51)), [0], lat_deg=np.nan)
    assert refusals(Fixes.concat([bad, TOWN]), ENGINE_SWITCHED) == [("position_missing", 50.0)]


def test_exact_duplicates_are_counted_and_not_quarantined():
    fixes = duplicated(TOWN, [3, 3, 3, 80])
    result = make_journeys(fixes, ENGINE_SWITCHED, (), NOW_US)
    assert (result.counts.duplicates, result.counts.accepted, len(result.refused)) == (4, 121, 0)
    assert result.journeys["fixes"].to_pylist() == [121]


def test_the_same_fix_received_twice_is_a_duplicate_and_the_earlier_receipt_is_kept():
    once = with_column(TOWN, "received_at_us", TOWN.fixed_at_us + 9 * US)
    again = with_column(TOWN, "received_at_us", TOWN.fixed_at_us + 2 * US)
    result = make_journeys(Fixes.concat([once, again]), ENGINE_SWITCHED, (), NOW_US)
    assert result.counts.duplicates == 121
    assert (result.timeline.received_at_us == TOWN.fixed_at_us + 2 * US).all()


def test_a_refused_fix_counts_in_the_journey_of_its_time_only():
    fixes = after(TOWN, TOWN, pause_s=1000)
    fixes = moved(fixes, [200], north_m=50_000)
    assert [j["quarantined"] for j in made(fixes, ENGINE_SWITCHED)] == [0, 1]


def test_a_speed_that_cannot_be_is_as_good_as_none():
    """-1 is a phone's, 255 km/h an on-board diagnosis's way to say that the speed is not known."""
    for unknown in (-1.0, 255 / 3.6, np.inf):
        (journey,) = made(changed(TOWN, slice(30, 50), speed_mps=unknown), ENGINE_SWITCHED)
        assert journey["max_speed_mps"] == pytest.approx(10.0, abs=0.1)
        assert journey["distance_m"] == pytest.approx(1200, abs=1)
        assert journey["harsh_events"] == []


def test_an_empty_input_makes_nothing():
    result = make_journeys(Fixes.empty(), ALWAYS_ON, (), NOW_US)
    assert (len(result.journeys), len(result.timeline), result.counts.accepted) == (0, 0, 0)


def test_fixes_of_which_none_is_possible_make_nothing():
    result = make_journeys(changed(TOWN, slice(None), lat_deg=95.0), ALWAYS_ON, (), NOW_US)
    assert (len(result.journeys), len(result.refused)) == (0, 121)


def test_not_reported_receipts_are_judged_by_now():
    fixes = with_column(TOWN, "received_at_us", NOT_REPORTED_US)
    assert refusals(fixes, ENGINE_SWITCHED) == []


def held(speed_mps: float | None) -> Fixes:
    """A recorder that waits ten seconds for each new position and repeats the old one, in a car at 20 m/s."""
    fixes = drive((20.0, 120))
    first = (np.arange(len(fixes)) // 10) * 10
    speeds = None if speed_mps is None else np.full(len(fixes), speed_mps)
    return replace(fixes, lat_deg=fixes.lat_deg[first], lon_deg=fixes.lon_deg[first], speed_mps=speeds)


@pytest.mark.parametrize("speed_mps", [20.0, None])
def test_a_repeated_position_waits_for_the_next_one_and_is_no_spike(speed_mps):
    assert refusals(held(speed_mps), ENGINE_SWITCHED) == []


def test_a_car_that_says_it_stands_does_not_jump_when_its_position_was_repeated():
    fixes = held(0.0)
    assert {reason for reason, *_ in refusals(fixes, ENGINE_SWITCHED)} == {"position_spike"}
