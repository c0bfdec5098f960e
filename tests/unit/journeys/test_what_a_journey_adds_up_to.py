"""Idle and driving, maximum speed, night, hours of the week, speeding."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from tests.support.builders import changed, drive, made, onwards, with_column, without

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, ENGINE_SWITCHED_2026_1

BOTH = pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=["always_on", "engine_switched"])


def _policy(zone: str) -> Policy:
    return Policy(number="P", device="V1", valid_from=datetime(2010, 1, 1, tzinfo=UTC), zone=zone)


@BOTH
def test_driving_and_idling_add_up_to_the_duration(rules):
    (journey,) = made(onwards(drive((12.0, 100)), (0.0, 60), (12.0, 40)), rules)
    assert journey["idle_s"] == pytest.approx(60, abs=2)
    assert journey["driving_s"] + journey["idle_s"] == journey["duration_s"] == 201
    assert journey["mean_speed_mps"] == pytest.approx(journey["distance_m"] / journey["driving_s"], abs=1e-3)


@BOTH
@pytest.mark.parametrize("every_s", [0.1, 1.0, 10.0, 30.0])
@pytest.mark.parametrize("bad", [45.0, 69.0, 255 / 3.6])
def test_one_bad_speed_is_not_the_maximum(rules, every_s, bad):
    fixes = changed(drive((14.0, 600), every_s=every_s), [7], speed_mps=bad)
    (journey,) = made(fixes, rules)
    assert journey["max_speed_mps"] == pytest.approx(14.0)


def test_a_short_burst_of_real_speed_is_the_maximum():
    (journey,) = made(drive((14.0, 60), (20.0, 1), (26.0, 1), (31.0, 3), (22.0, 1), (14.0, 60)), ENGINE_SWITCHED)
    assert journey["max_speed_mps"] == 31.0


def test_a_sparse_recorder_that_was_waiting_still_knows_its_motorway_speed():
    (journey,) = made(drive((0.0, 60), (33.0, 600), every_s=30.0), ENGINE_SWITCHED)
    assert journey["max_speed_mps"] == 33.0


def test_the_speed_before_a_stop_is_not_the_next_journeys():
    fixes = onwards(drive((30.0, 100), speeds=False), (0.0, 400), (8.0, 100), speeds=False)
    assert made(fixes, ALWAYS_ON)[1]["max_speed_mps"] == pytest.approx(8.0, abs=1)


def test_night_is_local_and_goes_over_midnight():
    """22:30 to 00:30 in Berlin, in winter."""
    fixes = drive((20.0, 7200), start=datetime(2024, 1, 10, 21, 30, tzinfo=UTC))
    (journey,) = made(fixes, ENGINE_SWITCHED, _policy("Europe/Berlin"))
    assert journey["night_s"] == 5400
    assert journey["night_distance_m"] == pytest.approx(108_000, rel=1e-3)


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        (datetime(2024, 3, 30, 19, tzinfo=UTC), 5),
        (datetime(2024, 10, 26, 19, tzinfo=UTC), 7),
        (datetime(2024, 6, 1, 19, tzinfo=UTC), 6),
    ],
)
def test_a_night_of_clock_change_is_an_hour_shorter_or_longer(start, hours):
    """Night is 23:00–05:00 on the wall; the clock jumps at 01:00 UTC."""
    fixes = drive((15.0, 13 * 3600), every_s=20.0, start=start)
    (journey,) = made(fixes, ENGINE_SWITCHED, _policy("Europe/Paris"))
    assert journey["night_s"] == hours * 3600
    assert sum(h["driving_s"] for h in journey["hours"]) == pytest.approx(13 * 3600)
    twice = {h["hour_of_week"]: h["driving_s"] for h in journey["hours"]}
    assert max(twice.values()) == (7200 if hours == 7 else 3600)
    assert len(twice) == (12 if hours == 7 else 13)


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Adelaide", "America/St_Johns"])
def test_hours_of_the_week_are_right_in_zones_off_the_full_hour(zone):
    start = datetime(2024, 6, 3, 12, tzinfo=UTC)
    (journey,) = made(drive((20.0, 5400), start=start), ENGINE_SWITCHED, _policy(zone))
    from zoneinfo import ZoneInfo

    expected: dict[int, float] = {}
    for second in range(5400):
        local = (start + timedelta(seconds=second)).astimezone(ZoneInfo(zone))
        hour = local.weekday() * 24 + local.hour
        expected[hour] = expected.get(hour, 0.0) + 1.0
    assert {h["hour_of_week"]: h["driving_s"] for h in journey["hours"]} == expected
    assert journey["zone"] == zone


@BOTH
@pytest.mark.parametrize("speeds", [True, False])
@pytest.mark.parametrize("every_s", [0.1, 1.0, 30.0])
def test_the_hour_of_week_profile_adds_up_to_the_journey(rules, speeds, every_s):
    start = datetime(2024, 6, 2, 23, 40, tzinfo=UTC)  # over midnight from Sunday to Monday
    fixes = onwards(drive((13.0, 1200), start=start, every_s=every_s, speeds=speeds), (0.0, 120), (7.0, 600),
                    pause_s=every_s, every_s=every_s, speeds=speeds)  # fmt: skip
    for journey in made(fixes, rules):
        assert sum(h["distance_m"] for h in journey["hours"]) == pytest.approx(journey["distance_m"], abs=0.01)
        assert sum(h["driving_s"] for h in journey["hours"]) == pytest.approx(journey["driving_s"], abs=0.01)
        assert {h["hour_of_week"] for h in journey["hours"]} == {0, 167}


def test_speeding_is_counted_against_the_posted_limit():
    fixes = with_column(drive((13.0, 60), (18.0, 30), (13.0, 60)), "speed_limit_mps", 13.9)
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["speeding_s"] == 29
    assert journey["speeding_distance_m"] == pytest.approx(29 * 18, rel=0.01)


def test_the_tolerance_over_a_posted_limit_is_no_speeding():
    fixes = with_column(drive((16.3, 120)), "speed_limit_mps", 13.9)
    assert made(fixes, ENGINE_SWITCHED)[0]["speeding_s"] == 0


@pytest.mark.parametrize("limit", [float("nan"), 0.0, float("inf")])
def test_where_no_limit_is_posted_the_absolute_one_holds(limit):
    fixes = with_column(drive((33.0, 60), (40.0, 20), (33.0, 60)), "speed_limit_mps", limit)
    assert made(fixes, ENGINE_SWITCHED)[0]["speeding_s"] == 19


@BOTH
@pytest.mark.parametrize("every_s", [0.5, 1.0, 10.0])
def test_the_whole_way_has_a_known_limit_where_each_fix_reports_one(rules, every_s):
    fixes = drive((0.0, 20), (13.0, 300), (0.0, 40), (18.0, 200), (9.0, 100), every_s=every_s)
    for journey in made(with_column(fixes, "speed_limit_mps", 13.9), rules):
        assert journey["limit_known_distance_m"] == journey["distance_m"]
        assert journey["over_limit_distance_m"] == journey["speeding_distance_m"] > 0


@BOTH
@pytest.mark.parametrize("limit", [None, float("nan"), 0.0, float("inf")])
def test_no_way_has_a_known_limit_where_no_fix_reports_one(rules, limit):
    fixes = drive((33.0, 60), (40.0, 20), (33.0, 60))
    (journey,) = made(fixes if limit is None else with_column(fixes, "speed_limit_mps", limit), rules)
    assert (journey["limit_known_distance_m"], journey["over_limit_distance_m"]) == (0.0, 0.0)
    assert journey["speeding_distance_m"] > 0


@pytest.mark.parametrize("rules", [ENGINE_SWITCHED, ENGINE_SWITCHED_2026_1])
def test_only_the_way_to_fixes_that_report_a_limit_has_a_known_one(rules):
    limits = np.r_[np.full(61, 27.0), np.full(60, np.nan), np.full(60, 50.0)]
    fixes = drive((40.0, 180))
    (journey,) = made(with_column(fixes, "speed_limit_mps", limits[: len(fixes)]), rules)
    assert journey["limit_known_distance_m"] == pytest.approx(120 * 40, abs=81)
    assert journey["over_limit_distance_m"] == pytest.approx(60 * 40, abs=81)
    assert journey["speeding_distance_m"] == pytest.approx(120 * 40, abs=81)


def test_two_seconds_over_the_limit_are_no_speeding():
    assert made(drive((33.0, 60), (40.0, 3), (33.0, 60)), ENGINE_SWITCHED)[0]["speeding_s"] == 0


def test_speeding_interrupted_for_four_seconds_is_one_episode():
    apart = drive((33.0, 60), (40.0, 3), (33.0, 4), (40.0, 3), (33.0, 60))
    assert made(apart, ENGINE_SWITCHED)[0]["speeding_s"] == 4
    further = drive((33.0, 60), (40.0, 3), (33.0, 9), (40.0, 3), (33.0, 60))
    assert made(further, ENGINE_SWITCHED)[0]["speeding_s"] == 0


@pytest.mark.parametrize("every_s", [0.1, 10.0, 30.0])
@pytest.mark.parametrize("speeds", [True, False])
def test_speeding_is_found_whatever_the_sampling(every_s, speeds):
    fixes = drive((20.0, 300), (42.0, 300), (20.0, 300), every_s=every_s, speeds=speeds)
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["speeding_s"] == pytest.approx(300, abs=max(every_s, 2.0) + 1)
    assert journey["speeding_distance_m"] == pytest.approx(12_600, rel=0.11)


def test_a_halt_that_ends_a_journey_takes_none_of_its_time():
    fixes = onwards(drive((12.0, 300)), (0.0, 900))
    (journey,) = made(fixes, ALWAYS_ON)
    assert journey["duration_s"] == pytest.approx(301, abs=1)
    assert sum(h["driving_s"] for h in journey["hours"]) == pytest.approx(journey["driving_s"], abs=0.01)


def test_night_hours_come_from_the_rules():
    rules = replace(ENGINE_SWITCHED, night=replace(ENGINE_SWITCHED.night, from_hour=12, to_hour=13))
    assert made(drive((20.0, 7200)), rules)[0]["night_s"] == 3600


def test_a_bridged_gap_counts_as_driving_and_is_named():
    (journey,) = made(without(drive((20.0, 200)), slice(50, 90)), ENGINE_SWITCHED)
    assert (journey["bridged_s"], journey["driving_s"]) == (41, 200)
