"""Where journeys begin and end, in both profiles."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.builders import (
    NOON,
    US,
    after,
    changed,
    drive,
    made,
    moved,
    onwards,
    parked,
    us,
    with_column,
    without,
)

from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED

BOTH = pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=["always_on", "engine_switched"])


def _seconds(journey: dict, name: str) -> float:
    return (us(journey[name]) - us(NOON)) / US


@pytest.mark.parametrize("speeds", [True, False])
def test_a_stop_of_five_minutes_separates_two_journeys_of_an_always_on_recorder(speeds):
    fixes = onwards(drive((12.0, 100), speeds=speeds), (0.0, 310), (12.0, 100), speeds=speeds)
    first, second = made(fixes, ALWAYS_ON)
    assert _seconds(first, "started_at") == pytest.approx(0, abs=2)
    assert _seconds(first, "ended_at") == pytest.approx(100, abs=2 if speeds else 15)
    assert _seconds(second, "started_at") == pytest.approx(411, abs=2)
    assert first["distance_m"] + second["distance_m"] == pytest.approx(2400, abs=30)
    assert first["idle_s"] <= 2


@pytest.mark.parametrize("speeds", [True, False])
def test_a_stop_of_four_minutes_is_waiting(speeds):
    fixes = onwards(drive((12.0, 100), speeds=speeds), (0.0, 240), (12.0, 100), speeds=speeds)
    (journey,) = made(fixes, ALWAYS_ON)
    assert journey["idle_s"] == pytest.approx(240, abs=15)


@BOTH
def test_traffic_lights_do_not_split_a_journey(rules):
    fixes = drive((12.0, 60))
    for _ in range(4):
        fixes = onwards(fixes, (0.0, 75), (12.0, 60))
    (journey,) = made(fixes, rules)
    assert journey["idle_s"] == pytest.approx(300, abs=8)
    assert journey["driving_s"] + journey["idle_s"] == journey["duration_s"]


def test_standing_with_the_engine_on_is_idling_however_long():
    fixes = onwards(drive((12.0, 60)), (0.0, 1200), (12.0, 60))
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["idle_s"] == pytest.approx(1200, abs=3)


@BOTH
def test_a_silence_ends_a_journey_and_no_distance_is_credited_across_it(rules):
    pause = rules.max_silence_s + 1
    far = drive((12.0, 100), lat=52.05)
    first, second = made(after(drive((12.0, 100)), far, pause_s=pause), rules)
    assert first["distance_m"] == pytest.approx(1200, abs=2)
    assert second["distance_m"] == pytest.approx(1200, abs=2)
    assert first["bridged_s"] == second["bridged_s"] == 0


@BOTH
def test_a_tunnel_is_bridged_and_counted_as_bridged(rules):
    fixes = without(drive((20.0, 300)), slice(100, 175))
    (journey,) = made(fixes, rules)
    assert journey["distance_m"] == pytest.approx(6000, abs=6)
    assert journey["bridged_s"] == 76
    assert journey["bridged_distance_m"] == pytest.approx(1520, abs=2)


def test_a_silence_of_exactly_the_limit_does_not_split():
    fixes = without(drive((12.0, 300)), slice(100, 199))
    assert len(made(fixes, ENGINE_SWITCHED)) == 1
    assert len(made(without(drive((12.0, 300)), slice(100, 200)), ENGINE_SWITCHED)) == 2


@BOTH
def test_ninety_two_metres_in_forty_four_seconds_are_a_journey(rules):
    fixes = drive((0.0, 10), (3.6, 25), (0.4, 5), (0.0, 4))
    (journey,) = made(fixes, rules)
    assert journey["distance_m"] == pytest.approx(90, abs=5)


@BOTH
def test_less_than_the_minimum_is_no_journey(rules):
    assert made(drive((3.0, 15)), rules) == []  # too short
    assert made(drive((12.0, 15)), rules) == []  # too brief


@BOTH
def test_shunting_on_a_car_park_is_no_journey(rules):
    fixes = drive((2.0, 8))
    for k in range(5):
        fixes = onwards(fixes, (0.0, 3), (2.0, 8), heading=270.0 if k % 2 == 0 else 90.0)
    assert made(fixes, rules) == []


def test_parking_belongs_to_the_journey_and_the_stay_does_not():
    fixes = onwards(drive((12.0, 100)), (3.0, 10), (0.0, 6), (-0.0, 1), (1.5, 12), (0.0, 400))
    (journey,) = made(fixes, ALWAYS_ON)
    assert _seconds(journey, "ended_at") == pytest.approx(130, abs=3)


def test_creeping_traffic_is_one_journey():
    """Half a minute standing, ten seconds at walking pace, for twenty minutes."""
    fixes = drive((12.0, 60))
    for _ in range(30):
        fixes = onwards(fixes, (0.0, 30), (2.5, 10))
    fixes = onwards(fixes, (12.0, 60))
    (journey,) = made(fixes, ALWAYS_ON)
    assert journey["distance_m"] == pytest.approx(720 + 750 + 720, rel=0.03)


def test_ignition_off_ends_a_journey_and_the_next_begins_at_ignition_on():
    fixes = with_column(onwards(drive((12.0, 60)), (0.0, 60), (12.0, 60)), "ignition", 1)
    fixes = changed(fixes, slice(61, 120), ignition=0)
    first, second = made(fixes, ENGINE_SWITCHED)
    assert _seconds(first, "ended_at") == 61
    assert _seconds(second, "started_at") == 120


def test_an_ignition_that_is_not_reported_changes_nothing():
    fixes = drive((12.0, 60))
    assert made(with_column(fixes, "ignition", -1), ENGINE_SWITCHED) == made(fixes, ENGINE_SWITCHED)


@pytest.mark.parametrize("every_s", [30.0, 60.0])
@BOTH
def test_a_sparse_recorder_makes_one_journey_of_one_drive(rules, every_s):
    fixes = onwards(drive((14.0, 900), every_s=every_s), (0.0, 120), (14.0, 900), every_s=every_s, pause_s=every_s)
    (journey,) = made(fixes, rules)
    assert journey["distance_m"] == pytest.approx(2 * 12_600, rel=0.01)
    assert journey["max_speed_mps"] == pytest.approx(14.0)


def test_a_sparse_recorder_that_parks_for_ten_minutes_makes_two():
    fixes = onwards(drive((14.0, 600), every_s=30.0), (0.0, 600), (14.0, 600), every_s=30.0, pause_s=30.0)
    assert len(made(fixes, ALWAYS_ON)) == 2


@BOTH
def test_a_phone_that_reports_no_speed_makes_the_same_journey(rules):
    fixes = onwards(drive((14.0, 300), speeds=False), (0.0, 60), (10.0, 300), speeds=False)
    rng = np.random.default_rng(2)
    fixes = moved(fixes, slice(None), north_m=rng.normal(0, 1.0, len(fixes)), east_m=rng.normal(0, 1.0, len(fixes)))
    (journey,) = made(fixes, rules)
    assert journey["distance_m"] == pytest.approx(7200, rel=0.01)
    assert journey["idle_s"] == pytest.approx(60, abs=15)
    assert journey["max_speed_mps"] == pytest.approx(15.5, abs=2.0)


def test_an_e_scooter_at_ten_seconds_makes_one_journey():
    (journey,) = made(drive((4.5, 600), every_s=10.0, speeds=False), ALWAYS_ON)
    assert journey["distance_m"] == pytest.approx(2700, rel=0.01)
    assert journey["driving_s"] == pytest.approx(600, abs=10)


def test_a_parked_car_in_the_middle_of_a_day_ends_the_drives_around_it():
    stay = parked(3600, noise_m=6.0, correlation_s=90.0, seed=4)
    home = changed(drive((12.0, 300)), slice(None), lat_deg=drive((12.0, 300), heading=270.0).lat_deg[::-1],
                   lon_deg=drive((12.0, 300), heading=270.0).lon_deg[::-1])  # fmt: skip
    day = after(home, stay, drive((12.0, 300)))
    first, second = made(day, ALWAYS_ON)
    assert _seconds(first, "ended_at") == pytest.approx(301, abs=5)
    assert _seconds(second, "started_at") == pytest.approx(3901, abs=5)
    assert first["distance_m"] + second["distance_m"] == pytest.approx(7200, abs=60)


@BOTH
def test_one_fix_is_no_journey_and_is_counted_as_outside_one(rules):
    result = make_journeys(drive((0.0, 0)), rules, (), 2**62)
    assert (len(result.journeys), result.counts.outside_journey) == (0, 1)


def test_the_id_follows_from_vehicle_and_start_alone():
    (one,) = made(drive((12.0, 100)), ENGINE_SWITCHED)
    (longer,) = made(drive((12.0, 200)), ENGINE_SWITCHED)
    (other,) = made(drive((12.0, 100), vehicle="V2"), ENGINE_SWITCHED)
    assert one["journey_id"] == longer["journey_id"] != other["journey_id"]
    assert one["rules_version"] == ENGINE_SWITCHED.version
