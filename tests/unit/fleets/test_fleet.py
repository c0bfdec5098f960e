"""A fleet is the same from one seed, drives within physics, and its truth is what the pass finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from journeymesh.errors import UsageError
from journeymesh.fleets.fleet import generate, night_s
from journeymesh.fleets.scoring import score
from journeymesh.fleets.spec import FaultRates, FleetSpec
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, JourneyRules

NOW_US = int(datetime(2026, 6, 1, tzinfo=UTC).timestamp()) * 1_000_000
PER_FIX = ("spikes", "duplicates", "conflicts", "reordered", "late_runs", "clock_impossible", "clock_future",
           "clock_unparseable", "null_island", "zero_coordinate", "positions_missing", "tunnels",
           "receiver_jitter")  # fmt: skip
MANY_FAULTS = replace(FaultRates(), **dict.fromkeys(PER_FIX, 3e-4))


def test_one_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    spec = FleetSpec(vehicles=2, days=5)
    first, again, other = (generate(s).whole() for s in (spec, spec, replace(spec, seed=2)))
    assert [c.tobytes() for _, c in first.fixes.columns()] == [c.tobytes() for _, c in again.fixes.columns()]
    assert first.truth.faults.equals(again.truth.faults)
    assert first.fixes.lat_deg.tobytes() != other.fixes.lat_deg.tobytes()


def test_a_vehicle_is_the_same_in_a_larger_fleet() -> None:
    small, large = generate(FleetSpec(vehicles=2, days=4)), generate(FleetSpec(vehicles=9, days=4))
    assert np.array_equal(small.vehicle(1).fixes.lat_deg, large.vehicle(1).fixes.lat_deg)


def test_where_nothing_harsh_is_planted_nothing_reaches_a_harsh_threshold() -> None:
    spec = FleetSpec(vehicles=4, days=10, faults=FaultRates.none(), harsh_per_100km=0.0, accelerometer=True)
    chunk = generate(spec).whole()
    assert chunk.truth.faults.num_rows == 0
    assert chunk.truth.harsh_events.num_rows == 0
    assert chunk.fixes.accel_longitudinal_mps2.min() > -3.0
    assert chunk.fixes.accel_longitudinal_mps2.max() < 2.5
    assert np.abs(chunk.fixes.accel_lateral_mps2).max() < 3.5
    assert chunk.fixes.speed_mps.max() < 45.0


@pytest.mark.parametrize(("profile", "least_s"), [("always_on", 420), ("engine_switched", 120)])
def test_drives_are_far_enough_apart_to_be_certain(profile: str, least_s: int) -> None:
    rows = generate(FleetSpec(vehicles=5, days=14, profile=profile)).whole().truth.journeys.to_pylist()  # type: ignore[arg-type]
    gaps = [(b["started_at"] - a["ended_at"]).total_seconds()
            for a, b in pairwise(rows) if a["vehicle"] == b["vehicle"]]  # fmt: skip
    assert len(gaps) > 50
    assert min(gaps) >= least_s


@pytest.mark.parametrize(("profile", "rules"), [("always_on", ALWAYS_ON), ("engine_switched", ENGINE_SWITCHED)])
def test_the_pass_finds_the_true_journeys_and_refuses_exactly_the_planted_faults(
    profile: str, rules: JourneyRules
) -> None:
    fleet = generate(FleetSpec(seed=3, vehicles=8, days=14, profile=profile, faults=MANY_FAULTS))  # type: ignore[arg-type]
    chunk = fleet.whole().readable()
    result = make_journeys(chunk.fixes, rules, fleet.policies, NOW_US)
    found = score(result.journeys, chunk.truth.journeys)
    assert found.f1 >= 0.99
    assert found.boundary_error_s <= 2.0
    assert found.distance_error < 0.005
    expected = Counter(reason for reason in chunk.truth.faults["reason"].to_pylist() if reason)
    given = Counter(Reason(int(reason)).code for reason in result.reasons)
    assert given + Counter(duplicate=result.counts.duplicates) == expected
    assert len(expected) == 8


def test_night_is_counted_by_the_local_clock_over_a_change_of_clocks() -> None:
    london = ZoneInfo("Europe/London")
    midnight, six = (int(datetime(2025, 3, 30, hour, tzinfo=london).timestamp()) for hour in (0, 6))
    assert night_s("Europe/London", midnight, six) == 4 * 3600
    assert night_s("UTC", midnight, six) == 5 * 3600


def test_every_vehicle_can_drive_through_the_night_of_changing_clocks() -> None:
    faults = replace(FaultRates.none(), drives_per_dst_night=1.0)
    chunk = generate(FleetSpec(vehicles=3, days=2, first_day=date(2025, 3, 29), faults=faults)).whole()
    assert Counter(chunk.truth.faults["fault"].to_pylist()) == {"dst_night": 6}


def test_a_renewed_policy_follows_its_predecessor_without_a_gap() -> None:
    fleet = generate(FleetSpec(vehicles=6, days=20, renewals=1.0))
    for earlier, later in fleet.policies_by_vehicle:
        assert earlier.valid_to == later.valid_from
        assert (earlier.status, later.status) == ("lapsed", "active")


def test_a_zone_without_a_city_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="Europe/Atlantis"):
        FleetSpec(zones=("Europe/Atlantis",))
