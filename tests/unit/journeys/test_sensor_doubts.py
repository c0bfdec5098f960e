"""What looks wrong with a recorder's sensors is said, with the evidence; of a sound recording nothing is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.builders import after, changed, drive, onwards, parked, shuffled, with_column

from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FleetSpec
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.sensor_doubts import sensor_doubts


def round_the_town(**options: Any) -> Fixes:
    """Ten minutes with turns, halts and every speed of a town."""
    return drive(
        (0.0, 30), (8.0, 60), (12.0, 60, 3.0), (0.0, 40), (5.0, 40, -4.0), (14.0, 120), (10.0, 90, 2.0), (0.0, 60),
        (13.0, 100, -1.0), headings=True, **options,
    )  # fmt: skip


def said(fixes: Fixes) -> list[str]:
    return [f"{doubt.column}: {doubt.text}" for doubt in sensor_doubts(fixes)]


@pytest.mark.parametrize("every_s", [0.1, 1.0, 5.0, 10.0])
def test_of_a_sound_recording_nothing_is_said(every_s: float) -> None:
    assert said(round_the_town(every_s=every_s)) == []


@pytest.mark.parametrize("profile", ["always_on", "engine_switched"])
def test_of_a_fleet_with_faults_nothing_is_said(profile: Any) -> None:
    fleet = generate(FleetSpec(seed=3, vehicles=2, days=4, profile=profile))
    assert said(fleet.whole().readable().fixes) == []


def test_of_nothing_nothing_is_said() -> None:
    assert said(Fixes.empty()) == []
    assert said(round_the_town().take(slice(0, 1))) == []


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (3.6, "km/h mapped as m/s"),
        (1 / 3.6, "m/s mapped as km/h"),
        (1 / 0.44704, "mph mapped as m/s"),
        (1.609344, "km/h mapped as mph"),
        (1 / 1.609344, "mph mapped as km/h"),
        (1.852, "km/h mapped as knots"),
        (3600 / 1852, "knots mapped as m/s"),
    ],
)
@pytest.mark.parametrize("noise_m", [0.0, 2.0])
def test_a_wrong_unit_is_named(times: float, text: str, noise_m: float) -> None:
    fixes = round_the_town()
    rng = np.random.default_rng(1)
    fixes = replace(
        fixes,
        speed_mps=np.asarray(fixes.speed_mps) * times,
        lat_deg=fixes.lat_deg + rng.normal(0, noise_m / 2 / 111_200, len(fixes)),
    )
    (doubt,) = said(shuffled(fixes))
    assert doubt.startswith(f"speed_mps: speed looks like {text}: reported is ")
    assert " times the distance travelled, within a fifth in " in doubt


def test_a_scale_that_is_no_unit_is_told_as_a_factor() -> None:
    fixes = round_the_town()
    (doubt,) = said(replace(fixes, speed_mps=np.asarray(fixes.speed_mps) / 10))
    assert doubt.startswith("speed_mps: speed has a wrong unit or scale: reported is 0.1 times the distance travelled")


def test_a_speed_that_is_always_zero_is_told() -> None:
    (doubt,) = said(with_column(round_the_town(), "speed_mps", 0.0))
    assert doubt.startswith("speed_mps: speed looks like a column that is always 0: ")


def test_a_speed_that_is_always_the_same_is_told() -> None:
    (doubt,) = said(with_column(round_the_town(), "speed_mps", 25.0))
    assert "speed looks stuck at 25 m/s" in doubt


def test_a_last_speed_that_is_repeated_while_parked_is_told() -> None:
    there = drive((15.0, 300))
    stands = with_column(
        drive((0.0, 3600), every_s=60.0, lat=there.lat_deg[-1], lon=there.lon_deg[-1]), "speed_mps", 15
    )
    (doubt,) = said(after(there, stands, pause_s=60.0))
    assert doubt == (
        "speed_mps: speed looks stuck at its last value while the vehicle is parked: 61 fixes over 3,660 s repeat it "
        "where the position stays the same"
    )


def test_speeds_below_0_are_told() -> None:
    (doubt,) = said(changed(round_the_town(), slice(5, 400, 20), speed_mps=-1.0))
    assert doubt == ("speed_mps: speed lies below 0: 20 of 601 fixes (-1 m/s); they are treated as missing")
    (doubt,) = said(changed(round_the_town(), slice(0, None), speed_mps=-0.2778))
    assert doubt.startswith("speed_mps: speed lies below 0: 601 of 601 fixes (-0.278 m/s)")


def test_headings_that_are_none_are_told() -> None:
    fixes = changed(round_the_town(), slice(5, 400, 20), heading_deg=-1.0)
    (doubt,) = said(changed(fixes, [7], heading_deg=511.0))
    assert doubt == (
        "heading_deg: heading lies outside 0 to 360: 21 of 601 fixes (-1, 511); they are treated as missing"
    )


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (np.radians, "looks like radians"),
        (np.zeros_like, "looks like a column that is always 0"),
        (lambda heading: (90.0 - heading) % 360.0, "looks counted from east"),
        (lambda heading: (heading + 180.0) % 360.0, "does not follow the direction of travel"),
    ],
)
def test_a_heading_that_is_something_else_is_told(wrong: Any, text: str) -> None:
    fixes = round_the_town()
    (doubt,) = said(replace(fixes, heading_deg=wrong(fixes.heading_deg)))
    assert text in doubt


def test_swapped_coordinates_are_told_by_the_world_by_headings_and_by_speeds() -> None:
    far_east = round_the_town(lon=139.0, lat=35.0)
    (doubt,) = said(replace(far_east, lat_deg=far_east.lon_deg, lon_deg=far_east.lat_deg))
    assert doubt.startswith("lat_deg: lat and lon look swapped: lat is beyond 90 degrees in 601 of 601 fixes")
    near = round_the_town()
    swapped = replace(near, lat_deg=near.lon_deg, lon_deg=near.lat_deg)
    for fixes, evidence in (
        (swapped, "heading follows"),
        (replace(swapped, heading_deg=None), "speed matches"),
    ):
        (doubt,) = said(fixes)
        assert doubt.startswith("lat_deg: lat and lon look swapped: then the ")
        assert evidence in doubt


def test_ignition_that_is_always_off_is_told_and_one_that_goes_on_and_off_is_not() -> None:
    fixes = round_the_town()
    (doubt,) = said(with_column(fixes, "ignition", 0))
    assert doubt.startswith("ignition: ignition looks always off: it is off in ")
    stands = np.asarray(fixes.speed_mps) == 0.0
    assert said(with_column(fixes, "ignition", np.where(stands, 0, 1))) == []
    (doubt,) = said(with_column(fixes, "ignition", np.where(stands, 1, 0)))
    assert "the wrong way round" in doubt or "always off" in doubt


def test_positions_that_are_worth_nothing_are_counted() -> None:
    fixes = with_column(round_the_town(), "accuracy_m", 5.0)
    fixes = changed(fixes, slice(0, 600, 6), accuracy_m=2400.0)
    (doubt,) = said(changed(fixes, [3], accuracy_m=np.inf))
    assert doubt == (
        "accuracy_m: positions are useless (off by more than 100 m): 101 of 601 fixes, 1 of them marked invalid; "
        "they are refused"
    )


def test_accelerations_that_no_tyre_holds_and_gravity_are_told() -> None:
    fixes = round_the_town()
    noise = np.random.default_rng(2).normal(0, 1.0, len(fixes))
    assert said(with_column(fixes, "accel_longitudinal_mps2", noise)) == []
    (doubt,) = said(with_column(fixes, "accel_longitudinal_mps2", noise * 9.80665))
    assert "accel_longitudinal has a wrong unit or scale" in doubt
    (doubt,) = said(with_column(fixes, "accel_lateral_mps2", noise + 9.8))
    assert "accel_lateral looks like the vertical axis" in doubt


def test_a_parked_car_whose_position_wanders_gives_no_doubt() -> None:
    assert said(onwards(parked(3000, noise_m=6.0, correlation_s=60.0), (12.0, 300))) == []
