"""Distance, against Karney's geodesics on WGS84."""

from __future__ import annotations

import numpy as np
import pytest
from tests.support.builders import changed, drive, geodesic_m, made, moved, onwards, parked

from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED

WINDING = ((8.0, 40, 4.0), (14.0, 60), (20.0, 60, -1.5), (30.0, 120), (12.0, 30, 6.0), (5.5, 20))


@pytest.mark.parametrize("lat", [0.0, 10.0, 25.0, 40.0, 52.0, 60.0, 70.0, 80.0, -33.0, -55.0])
@pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=["always_on", "engine_switched"])
def test_distance_is_within_a_thousandth_of_the_geodesic(lat, rules):
    fixes = drive(*WINDING, lat=lat, lon=20.0, heading=30.0)
    (journey,) = made(fixes, rules)
    assert journey["distance_m"] == pytest.approx(geodesic_m(fixes), rel=1e-3)


@pytest.mark.parametrize("every_s", [0.1, 0.2, 0.5, 2.0, 5.0, 10.0, 30.0])
@pytest.mark.parametrize("speeds", [True, False])
def test_distance_of_a_straight_drive_does_not_depend_on_the_sampling(every_s, speeds):
    fixes = drive((15.0, 300), every_s=every_s, speeds=speeds)
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(4500, rel=1e-3)
    assert journey["driving_s"] == pytest.approx(300, abs=1)


def test_distance_over_the_antimeridian_is_as_short_as_anywhere():
    fixes = drive((25.0, 120), lat=-16.8, lon=179.99)
    assert fixes.lon_deg[-1] < 0
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(geodesic_m(fixes), rel=1e-3)


def test_a_long_sparse_step_is_still_within_a_thousandth():
    fixes = drive((33.0, 900), every_s=60.0, lat=64.0, heading=45.0)
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(geodesic_m(fixes), rel=1e-3)


def test_creeping_with_trembling_positions_is_not_made_longer():
    """Walking pace for five minutes; each position is off by 1 m per axis on its own."""
    fixes = drive((1.6, 300))
    rng = np.random.default_rng(5)
    noisy = moved(fixes, slice(None), north_m=rng.normal(0, 1, len(fixes)), east_m=rng.normal(0, 1, len(fixes)))
    (journey,) = made(noisy, ENGINE_SWITCHED)
    assert geodesic_m(noisy) > 1.35 * 480
    assert journey["distance_m"] == pytest.approx(480, rel=0.1)


def test_rounded_coordinates_of_a_fast_recorder_do_not_make_the_drive_longer():
    """10 Hz with five decimals: each step is a stair of 1.1 m."""
    fixes = drive((9.0, 200), every_s=0.1, heading=40.0)
    rounded = changed(fixes, slice(None), lat_deg=fixes.lat_deg.round(5), lon_deg=fixes.lon_deg.round(5))
    (journey,) = made(rounded, ENGINE_SWITCHED)
    assert geodesic_m(rounded) > 1.1 * 1800
    assert journey["distance_m"] == pytest.approx(1800, rel=0.015)


def test_standing_at_a_light_adds_nothing_and_loses_nothing():
    fixes = onwards(onwards(drive((12.0, 100)), (0.0, 80)), (12.0, 100))
    rng = np.random.default_rng(3)
    drift = np.cumsum(rng.normal(0, 0.3, 80))
    fixes = moved(fixes, slice(102, 182), north_m=drift - np.linspace(0, drift[-1], 80))
    (journey,) = made(fixes, ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(2400 - 12, abs=15)


def test_a_speed_sensor_stuck_at_zero_does_not_hide_the_drive():
    (journey,) = made(changed(drive((15.0, 300)), slice(None), speed_mps=0.0), ENGINE_SWITCHED)
    assert journey["distance_m"] == pytest.approx(4500, rel=0.02)


@pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=["always_on", "engine_switched"])
@pytest.mark.parametrize("speeds", [True, False])
@pytest.mark.parametrize(("noise_m", "correlation_s"), [(3.0, 20.0), (5.0, 60.0), (7.0, 120.0), (8.0, 600.0)])
def test_a_car_parked_over_night_makes_at_most_fifty_metres(rules, speeds, noise_m, correlation_s):
    """Positions within about 15–20 m of the car for ten hours, each fix near the one before."""
    for seed in range(3):
        night = parked(36_000, noise_m=noise_m, correlation_s=correlation_s, seed=seed, speeds=speeds, every_s=5.0)
        assert sum(j["distance_m"] for j in made(night, rules)) <= 50
