"""Reported speed, heading, accuracy and ignition are believed as far as the positions bear them out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.builders import (
    NOW_US,
    after,
    changed,
    drive,
    made,
    moved,
    parked,
    refusals,
    with_column,
)  # fmt: skip

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.rules import ALWAYS_ON, ALWAYS_ON_2026_1, ENGINE_SWITCHED, JourneyRules

UNITS = {"km/h as m/s": 3.6, "mph as m/s": 2.237, "knots as m/s": 1.944, "km/h as mph": 1.609, "mph as km/h": 0.621,
         "m/s as km/h": 0.278, "knots as km/h": 0.54}  # fmt: skip


def town(**options: Any) -> Fixes:
    """Ten minutes with turns and halts, and a stand before and behind."""
    return drive(
        (0.0, 30), (8.0, 60), (12.0, 60, 3.0), (0.0, 40), (6.0, 40, -4.0), (14.0, 120), (10.0, 90, 2.0), (0.0, 60),
        (13.0, 100, -1.0), (0.0, 400), headings=True, **options,
    )  # fmt: skip


TOWN_M = 8 * 60 + 12 * 60 + 6 * 40 + 14 * 120 + 10 * 90 + 13 * 100


def one(fixes: Fixes, rules: JourneyRules = ALWAYS_ON) -> dict[str, Any]:
    (journey,) = made(fixes, rules)
    return journey


def doubted(fixes: Fixes, rules: JourneyRules = ALWAYS_ON) -> int:
    return make_journeys(fixes, rules, (), NOW_US).counts.speed_doubted


@pytest.mark.parametrize("every_s", [1.0, 2.0, 5.0])
@pytest.mark.parametrize("speed", [5.0, 12.0, 20.0, 35.0])
def test_a_speed_that_is_always_zero_is_not_believed(every_s, speed):
    fixes = with_column(drive((0.0, 30), (speed, 300), (0.0, 400), every_s=every_s), "speed_mps", 0.0)
    journey = one(fixes)
    assert journey["distance_m"] == pytest.approx(speed * 300, abs=0.02 * speed * 300 + 15)
    assert journey["driving_s"] == pytest.approx(300, abs=15)
    assert journey["mean_speed_mps"] == pytest.approx(speed, rel=0.06)
    assert journey["max_speed_mps"] == pytest.approx(speed, rel=0.06)
    assert journey["max_speed_mps"] >= journey["mean_speed_mps"]
    assert doubted(fixes) > 200 / every_s
    assert journey["speed_doubted"] is True


def test_rules_2026_1_go_on_to_believe_it():
    journey = one(with_column(drive((0.0, 30), (20.0, 300), (0.0, 400)), "speed_mps", 0.0), ALWAYS_ON_2026_1)
    assert journey["max_speed_mps"] == 0.0
    assert journey["driving_s"] < 120
    assert journey["speed_doubted"] is False


@pytest.mark.parametrize("every_s", [1.0, 10.0, 60.0])
def test_a_speed_that_is_repeated_while_parked_does_not_drive(every_s):
    """Two journeys, each as long as it was."""
    there = drive((15.0, 300), every_s=every_s)
    place = {"lat": float(there.lat_deg[-1]), "lon": float(there.lon_deg[-1])}
    stands = with_column(drive((0.0, 3600), every_s=every_s, **place), "speed_mps", 15.0)
    on = drive((15.0, 300), every_s=every_s, **place)
    journeys = made(after(there, stands, on, pause_s=every_s), ALWAYS_ON)
    assert [journey["duration_s"] for journey in journeys] == [300.0, pytest.approx(300.0, abs=every_s)]
    assert [journey["distance_m"] for journey in journeys] == pytest.approx([4500, 4500], rel=0.01)
    assert [journey["idle_s"] for journey in journeys] == [0.0, pytest.approx(0.0, abs=every_s)]


def test_a_speed_that_changes_while_the_position_is_held_is_believed():
    """A receiver without reception in a tunnel, and the speed from the wheels."""
    fixes = drive((15.0, 120), (15.0, 90), (15.0, 120))
    speeds = 15.0 + np.sin(np.arange(len(fixes)) / 3.0)
    held = np.arange(len(fixes))
    held[120:210] = 120
    fixes = replace(fixes, speed_mps=speeds, lat_deg=fixes.lat_deg[held], lon_deg=fixes.lon_deg[held])
    journey = one(fixes)
    assert journey["idle_s"] <= 2
    assert journey["driving_s"] >= 325


@pytest.mark.parametrize(("unit", "times"), UNITS.items())
def test_a_speed_in_a_wrong_unit_is_not_believed(unit, times):
    right, wrong = town(), replace(town(), speed_mps=np.asarray(town().speed_mps) * times)
    journey, true = one(wrong), one(right)
    assert journey["distance_m"] == pytest.approx(TOWN_M, rel=0.02)
    assert journey["max_speed_mps"] == pytest.approx(true["max_speed_mps"], rel=0.12), unit
    assert journey["driving_s"] == pytest.approx(true["driving_s"], abs=30)
    assert journey["harsh_braking"] <= true["harsh_braking"]
    assert doubted(wrong) > 200
    assert (journey["speed_doubted"], true["speed_doubted"]) == (True, False)


def test_a_sound_speed_is_believed_through_noise_and_halts():
    rng = np.random.default_rng(4)
    fixes = town()
    noisy = moved(fixes, slice(None), north_m=rng.normal(0, 2, len(fixes)), east_m=rng.normal(0, 2, len(fixes)))
    assert doubted(fixes) == 0
    assert doubted(noisy) < 20
    assert one(noisy)["max_speed_mps"] == 14.0
    assert one(noisy)["speed_doubted"] is False


def test_a_parked_car_whose_position_jumps_once_does_not_drive():
    fixes = drive((0.0, 600))
    assert made(moved(fixes, [300], north_m=45.0), ALWAYS_ON) == []
    assert made(parked(3600, noise_m=12.0, correlation_s=300.0), ALWAYS_ON) == []


def test_dropouts_of_speed_make_no_event():
    fixes = drive((8.0, 300), headings=True)
    for width in (1, 2, 3):
        gone = [row + k for row in range(30, 300, 60) for k in range(width)]
        journey = one(changed(fixes, gone, speed_mps=0.0))
        assert (journey["harsh_braking"], journey["harsh_acceleration"]) == (0, 0), width
    (old,) = made(changed(fixes, [30], speed_mps=0.0), ALWAYS_ON_2026_1)
    assert (old["harsh_braking"], old["harsh_acceleration"]) == (1, 1)


def test_single_high_samples_of_speed_make_no_event():
    fixes = drive((8.0, 300), headings=True)
    journey = one(changed(fixes, slice(30, 300, 60), speed_mps=14.0))
    assert (journey["harsh_braking"], journey["harsh_acceleration"]) == (0, 0)


@pytest.mark.parametrize("bad", [-1.0, 511.0, 655.35, np.inf, 0.0, 200.0])
def test_headings_that_are_none_or_alone_make_no_event(bad):
    journey = one(changed(drive((6.0, 300), headings=True), slice(10, 300, 20), heading_deg=bad))
    assert journey["harsh_cornering"] == 0


def test_real_braking_starting_and_cornering_count_still():
    fixes = drive((15.0, 60), (10.0, 1), (5.0, 1), (0.0, 30), (4.0, 1), (8.0, 1), (12.0, 60), headings=True)
    journey = one(fixes)
    assert [(event["kind"], event["severity"]) for event in journey["harsh_events"]] == [
        ("braking", "high"),
        ("acceleration", "medium"),
    ]
    turning = drive((10.0, 60), (10.0, 3, 28.0), (10.0, 60), headings=True)
    assert [event["kind"] for event in one(turning)["harsh_events"]] == ["cornering"]


def test_a_hard_brake_to_a_lower_speed_counts_with_noise_on_the_positions():
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(20):
        fixes = drive((20.0, 60), (16.0, 1), (12.0, 60), headings=True)
        noisy = moved(fixes, slice(None), north_m=rng.normal(0, 1.0, len(fixes)), east_m=rng.normal(0, 1.0, len(fixes)))
        found += one(noisy)["harsh_braking"]
    assert found == 20


def test_the_accelerometer_counts_where_the_speed_column_is_always_zero():
    fixes = with_column(drive((0.0, 20), (15.0, 300), (0.0, 20)), "speed_mps", 0.0)
    braking = np.zeros(len(fixes))
    braking[200:203] = -6.0
    journey = one(with_column(fixes, "accel_longitudinal_mps2", braking))
    assert journey["harsh_braking"] == 1


def test_positions_that_are_worth_nothing_by_their_own_word_are_refused():
    fixes = with_column(drive((10.0, 600), every_s=5.0, speeds=False), "accuracy_m", 8.0)
    far = slice(3, len(fixes), 6)
    bad = changed(moved(fixes, far, east_m=1800.0), far, accuracy_m=2400.0)
    bad = changed(bad, [9], accuracy_m=np.inf)
    assert one(bad)["distance_m"] == pytest.approx(6000, rel=0.01)
    assert {reason for reason, _ in refusals(bad, ALWAYS_ON)} == {"position_inaccurate"}
    assert len(refusals(bad, ALWAYS_ON)) == 20
    assert refusals(changed(fixes, [4], accuracy_m=np.nan), ALWAYS_ON) == []
    assert "position_inaccurate" not in {reason for reason, _ in refusals(bad, ALWAYS_ON_2026_1)}


def test_an_inaccurate_fix_does_not_stand_in_the_way_of_a_good_one_of_its_instant():
    fixes = with_column(drive((10.0, 60)), "accuracy_m", 5.0)
    double = changed(moved(fixes.take(slice(30, 31)), [0], north_m=-700.0), [0], accuracy_m=900.0)
    found = refusals(Fixes.concat([fixes, double]), ALWAYS_ON)
    assert [reason for reason, _ in found] == ["position_inaccurate"]


def test_ignition_that_is_always_off_is_not_believed():
    fixes = with_column(drive((0.0, 20), (12.0, 300), (0.0, 20)), "ignition", 0)
    journey = one(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(3600, rel=0.01)
    assert journey["driving_s"] == pytest.approx(300, abs=3)
    assert made(with_column(drive((0.0, 900)), "ignition", 0), ENGINE_SWITCHED) == []


def test_ignition_that_goes_on_and_off_is_believed():
    fixes = drive((12.0, 120), (0.0, 30), (12.0, 120))
    state = np.ones(len(fixes), np.int8)
    state[122:150] = 0
    journeys = made(with_column(fixes, "ignition", state), ENGINE_SWITCHED)
    assert [journey["distance_m"] for journey in journeys] == pytest.approx([1440, 1440], rel=0.02)
    towed = np.r_[np.ones(60, np.int8), np.zeros(len(fixes) - 60, np.int8)]
    (journey,) = made(with_column(drive((12.0, 270)), "ignition", towed), ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(720, rel=0.02)
