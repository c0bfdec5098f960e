"""Harsh events: from the accelerometer, else from speed and heading."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.support.builders import NOON, US, changed, drive, made, onwards, us, with_column

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED

CRUISE = drive((14.0, 120))


def _accelerated(values: dict[int, float], name: str = "accel_longitudinal_mps2", fixes: Fixes = CRUISE) -> Fixes:
    rows = list(values)
    return changed(with_column(fixes, name, 0.0), rows, **{name: list(values.values())})


def _events(fixes: Fixes, rules=ENGINE_SWITCHED) -> list[dict]:
    return [event for journey in made(fixes, rules) for event in journey["harsh_events"]]


def _at(event: dict, name: str) -> float:
    return (us(event[name]) - us(NOON)) / US


@pytest.mark.parametrize(
    ("name", "sign", "kind", "bands"),
    [
        ("accel_longitudinal_mps2", -1, "braking", (3.0, 4.0, 5.0)),
        ("accel_longitudinal_mps2", 1, "acceleration", (2.5, 3.5, 4.5)),
        ("accel_lateral_mps2", 1, "cornering", (3.5, 4.5, 5.5)),
        ("accel_lateral_mps2", -1, "cornering", (3.5, 4.5, 5.5)),
    ],
)
def test_each_kind_has_its_threshold_and_its_severities(name, sign, kind, bands):
    for value, severity in zip(bands, ("low", "medium", "high"), strict=True):
        (event,) = _events(_accelerated({60: sign * value}, name))
        assert (event["kind"], event["severity"], event["peak_mps2"]) == (kind, severity, value)
    assert _events(_accelerated({60: sign * (bands[0] - 0.01)}, name)) == []


def test_an_event_has_its_time_its_position_and_its_peak():
    (event,) = _events(_accelerated({59: -3.1, 60: -4.2, 61: -3.0}))
    assert (_at(event, "started_at"), _at(event, "peak_at"), _at(event, "ended_at")) == (59, 60, 61)
    assert (event["lat_deg"], event["lon_deg"]) == (CRUISE.lat_deg[60], CRUISE.lon_deg[60])
    assert (event["peak_mps2"], event["severity"], event["fixes"]) == (4.2, "medium", 3)


def test_an_event_goes_on_while_its_value_stays_near_the_threshold():
    assert len(_events(_accelerated({59: -3.5, 60: -2.6, 61: -2.6, 62: -2.6, 63: -2.6, 64: -3.5}))) == 1


def test_events_of_one_kind_three_seconds_apart_are_one():
    assert len(_events(_accelerated({60: -3.5, 63: -3.5}))) == 1
    assert len(_events(_accelerated({60: -3.5, 64: -3.5}))) == 2


def test_braking_and_cornering_at_once_are_two_events():
    fixes = _accelerated({60: 4.0}, "accel_lateral_mps2", _accelerated({60: -4.0}))
    assert sorted(event["kind"] for event in _events(fixes)) == ["braking", "cornering"]


def test_a_knock_shorter_than_the_minimum_is_no_event():
    fast = with_column(drive((14.0, 60), every_s=0.1), "accel_longitudinal_mps2", 0.0)
    assert _events(changed(fast, slice(300, 304), accel_longitudinal_mps2=-6.0)) == []
    (event,) = _events(changed(fast, slice(300, 306), accel_longitudinal_mps2=-6.0))
    assert event["fixes"] == 6


def test_nothing_is_harsh_at_walking_pace():
    slow = onwards(drive((14.0, 60)), (2.0, 60))
    assert _events(_accelerated({90: -6.0}, fixes=slow)) == []


def test_the_counts_are_those_of_the_events():
    fixes = _accelerated({20: 3.0, 40: -3.5, 60: -3.5, 80: 3.0, 100: -5.0})
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert (journey["harsh_braking"], journey["harsh_acceleration"], journey["harsh_cornering"]) == (3, 2, 0)


def test_braking_is_derived_from_speed_where_there_is_no_accelerometer():
    (event,) = _events(drive((20.0, 60), (16.0, 1), (12.0, 1), (10.0, 60)))
    assert (event["kind"], event["severity"]) == ("braking", "medium")
    assert event["peak_mps2"] == pytest.approx(4.0)


def test_cornering_is_derived_from_speed_and_heading():
    (event,) = _events(drive((12.0, 60), (12.0, 4, 22.0), (12.0, 60), headings=True))
    assert event["kind"] == "cornering"
    assert event["peak_mps2"] == pytest.approx(12.0 * np.radians(22.0), rel=1e-3)


def test_a_heading_that_passes_north_is_no_turn():
    assert _events(drive((12.0, 60, 1.0), heading=330.0, headings=True)) == []


def test_the_accelerometer_has_precedence_over_the_speed():
    assert _events(_accelerated({}, fixes=drive((20.0, 60), (14.0, 60)))) == []


@pytest.mark.parametrize("bad", [69.0, 255 / 3.6])
def test_one_bad_speed_makes_no_event(bad):
    assert _events(changed(drive((14.0, 120), headings=True), [60], speed_mps=bad)) == []


def test_whole_kilometres_per_hour_ten_times_a_second_make_no_event():
    """A gentle start, 1 m/s²: each step of the rounded speed looks like 2.8 m/s² between two fixes."""
    fixes = drive((14.0, 60), every_s=0.1)
    t = np.arange(len(fixes)) / 10
    rounded = np.round(np.minimum(5.0 + t, 20.0) * 3.6) / 3.6
    assert _events(changed(fixes, slice(None), speed_mps=rounded)) == []


def test_real_braking_is_found_at_ten_hertz():
    speeds = np.clip(20.0 - 4.5 * np.maximum(np.arange(600) / 10 - 30, 0), 5.0, 20.0)
    (event,) = _events(drive(*((speed, 0.1) for speed in speeds), every_s=0.1))
    assert (event["kind"], event["severity"]) == ("braking", "medium")


def test_a_sparse_recorder_derives_nothing():
    assert _events(drive((30.0, 120), (3.0, 60), (30.0, 120), every_s=30.0)) == []


def test_nothing_is_derived_across_a_relocation_or_a_silence():
    assert _events(onwards(drive((20.0, 60)), (8.0, 60), pause_s=200)) == []


def test_an_event_while_parked_belongs_to_no_journey():
    fixes = onwards(drive((14.0, 60)), (0.0, 900))
    fixes = _accelerated({600: -8.0}, fixes=changed(fixes, [600], speed_mps=4.0))
    assert _events(fixes, ALWAYS_ON) == []


def test_a_recorders_own_marks_can_be_had_by_rules():
    """No merging, no hysteresis: each run of fixes over the threshold is an event."""
    harsh = replace(ENGINE_SWITCHED.harsh, merge_s=0.0, hysteresis=0.0, min_speed_mps=0.0)
    rules = replace(ENGINE_SWITCHED, version="marks", harsh=harsh)
    events = _events(_accelerated({60: -3.5, 61: -3.5, 63: -3.5, 64: -2.9}), rules)
    assert [event["fixes"] for event in events] == [2, 1]


def test_accelerations_that_are_not_numbers_are_none():
    assert _events(_accelerated({60: -np.inf, 61: np.nan})) == []


@pytest.mark.parametrize("column", ["heading_deg", "accel_longitudinal_mps2", "accel_lateral_mps2"])
def test_what_is_infinite_is_not_reported(column):
    drives = drive((14.0, 60), (6.0, 4), (14.0, 60))
    turning = with_column(drives, "heading_deg", np.linspace(0.0, 90.0, len(drives)))
    fixes = with_column(_accelerated({20: -6.0, 21: -6.0}, fixes=turning), "accel_lateral_mps2", 0.5)
    infinite = changed(fixes, [20, 59, 60, 61], **{column: np.inf})
    unknown = changed(fixes, [20, 59, 60, 61], **{column: np.nan})
    assert _events(infinite) == _events(unknown) != []
