"""Real recordings: 19 drives of a black box, seven trips of a light electric vehicle."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.builders import refused_rows
from tests.unit.journeys.test_pipeline_invariants import accepted_of, way_m
from tests.unit.journeys.test_pipeline_of_earlier_rules import NOT_THERE_IN_2026_1

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.harsh import SEVERITIES
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.pipeline import PassResult, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import (
    ALL_BELIEVED,
    ALWAYS_ON,
    ALWAYS_ON_2026_1,
    ENGINE_SWITCHED,
    ENGINE_SWITCHED_2026_1,
    JourneyRules,
)
from journeymesh.stores.used_rules import load_rules
from journeymesh.wiring import open_source

REPOSITORY = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("JOURNEYMESH_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
DUMP = RECORDINGS / "legacy-dump"
NOW_US = 1_767_225_600_000_000
METRES_PER_MILE = 1609.344
EVERY = (ALWAYS_ON, ENGINE_SWITCHED, ALWAYS_ON_2026_1, ENGINE_SWITCHED_2026_1)
WHEN_NEWEST = {
    ("blackbox", "always-on-2026.1"): "04373ceb06b7663f1b6991e63c318d9f",
    ("blackbox", "engine-switched-2026.1"): "48e49c9c22d5ce46f1a0f11a6d75e889",
    ("trips", "always-on-2026.1"): "b17b18bd32576b2e4606d948921967e9",
    ("trips", "engine-switched-2026.1"): "c72bf35e65ddd9fb1a6c337d2706983a",
}
"""Digests of what rules 2026.1 made of the recordings while they were the newest, by that program."""

pytestmark = pytest.mark.skipif(not DUMP.is_dir(), reason=f"no recordings at {RECORDINGS} (JOURNEYMESH_TEST_DATA)")


@dataclass(frozen=True)
class Recording:
    """What a collection holds, and where each fix of it is."""

    fixes: Fixes
    refusals: list[Refusal]
    policies: list[Policy]
    source: Any

    def made(self, rules: JourneyRules) -> PassResult:
        return make_journeys(self.fixes, rules, self.policies, NOW_US)


def _recording(mapping: str) -> Recording:
    source = open_source(str(DUMP), REPOSITORY / "examples" / "mappings" / f"{mapping}.yaml")
    batches = list(source.batches())
    refusals = [refusal for batch in batches for refusal in batch.refusals]
    return Recording(Fixes.concat([batch.fixes for batch in batches]), refusals, source.policies(), source)


def _truth(name: str) -> list[dict[str, str]]:
    with (DUMP / "truth" / f"{name}.csv").open() as rows:
        return list(csv.DictReader(rows))


@pytest.fixture(scope="module")
def blackbox() -> Recording:
    return _recording("blackbox")


@pytest.fixture(scope="module")
def trips() -> Recording:
    return _recording("trips")


@pytest.fixture(scope="module", params=[ENGINE_SWITCHED, ENGINE_SWITCHED_2026_1], ids=lambda rules: rules.version)
def rules(request: pytest.FixtureRequest) -> JourneyRules:
    found: JourneyRules = request.param
    return found


@pytest.fixture(scope="module")
def drives(blackbox: Recording, rules: JourneyRules) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = blackbox.made(rules).journeys.to_pylist()
    return rows


def test_the_nineteen_drives_are_recovered_to_the_second(drives):
    truth = _truth("blackbox_drives")
    assert len(drives) == len(truth) == 19
    for found, true in zip(drives, truth, strict=True):
        assert abs(found["started_at"].timestamp() - float(true["start"])) <= 2
        assert abs(found["ended_at"].timestamp() - float(true["end"])) <= 2
        assert found["fixes"] == int(true["fixes"])
        assert found["max_speed_mps"] / 0.44704 == pytest.approx(float(true["max_mph"]), abs=0.01)


def test_miles_are_within_three_per_cent_of_the_truth_in_the_median(drives):
    """The truth credits no distance to lost reception; we bridge it. Every drive more than 3.2 % off and longer than
    2 km in truth has a bridged gap (44 to 74 s each, 0.4 to 2 km)."""
    truth = [float(row["miles"]) * METRES_PER_MILE for row in _truth("blackbox_drives")]
    errors = np.array([found["distance_m"] / true - 1 for found, true in zip(drives, truth, strict=True)])
    assert np.median(np.abs(errors)) <= 0.03
    for found, true, error in zip(drives, truth, errors, strict=True):
        if abs(error) > 0.032 and true > 2000:
            assert found["bridged_s"] > 0
            assert (found["distance_m"] - found["bridged_distance_m"]) / true == pytest.approx(1, abs=0.032)


def test_the_rows_that_the_recorder_marked_are_inside_the_events(blackbox, rules):
    """Each marked row is a fix of an event and no other fix is. The recorder knows one kind of event: its band is the
    highest severity among ours that share its rows: a braking that turns into a cornering is one event to it."""
    marks = load_rules(str(REPOSITORY / "examples" / "rules" / "recorder-marks.yaml"))
    if rules.sensors == ALL_BELIEVED:
        marks = replace(marks, sensors=ALL_BELIEVED)
    result = blackbox.made(marks)
    truth = _truth("blackbox_harsh_rows")
    assert len(truth) == 93
    at_s = np.unique(blackbox.fixes.fixed_at_us) / 1e6
    severities: dict[float, set[str]] = {}
    for event in (event for journey in result.journeys.to_pylist() for event in journey["harsh_events"]):
        inside = (at_s >= event["started_at"].timestamp()) & (at_s <= event["ended_at"].timestamp())
        for at in at_s[inside].tolist():
            severities.setdefault(at, set()).add(event["severity"])
    assert set(severities) == {float(row["time_utc"]) for row in truth}
    bands: dict[tuple[str, str], str] = {}
    found: dict[tuple[str, str], set[str]] = {}
    for row in truth:
        key = (row["drive"], row["accel_event"])
        bands[key] = row["accel_event_cat"].replace("med", "medium")
        found.setdefault(key, set()).update(severities[float(row["time_utc"])])
    assert len(bands) == 79
    assert {key: max(kinds, key=SEVERITIES.index) for key, kinds in found.items()} == bands


def test_drives_belong_to_the_policy_in_force_across_the_renewal(drives):
    renewal = datetime(2019, 5, 27, tzinfo=UTC)
    by_policy = Counter(journey["policy"] for journey in drives)
    assert set(by_policy) == {"SBT-000101", "SBT-000102"}
    first_of_new = min(j["started_at"] for j in drives if j["policy"] == "SBT-000102")
    last_of_old = max(j["started_at"] for j in drives if j["policy"] == "SBT-000101")
    assert last_of_old < first_of_new
    assert abs((first_of_new - renewal).total_seconds()) < 2 * 86_400


def test_exactly_the_corrupt_dates_are_refused_for_their_clock(trips, rules):
    result = trips.made(rules)
    assert len(trips.fixes) + len(trips.refusals) == 43_056
    assert Counter(refusal.reason for refusal in trips.refusals) == {"clock_unparseable": 170}
    reasons = Counter(Reason(reason) for reason in result.reasons.tolist())
    assert reasons[Reason.CLOCK_FUTURE] == reasons[Reason.CLOCK_IMPOSSIBLE] == 0


def test_exactly_the_four_zero_latitudes_are_refused_for_their_position(trips, rules):
    result = trips.made(rules)
    zero = result.reasons == Reason.POSITION_ZERO
    origins = trips.source.describe(result.refused.origin[zero])
    assert sorted(origins) == [f"trips/T1_06_30_2021_2.samples[{k}]" for k in range(3204, 3208)]
    assert (result.refused.lat_deg[zero] == 0.0).all()


def test_every_other_refusal_is_named(trips, rules):
    """This recorder repeats a position for up to a minute and then catches up within a second. Twice it catches up by
    more than the vehicle drove meanwhile: by 191 m while it reports that it stands (and for two seconds only until it
    moves), and by 1.9 km, after four seconds at 15 m/s, with another 273 m two seconds later."""
    result = trips.made(rules)
    other = result.reasons != Reason.POSITION_ZERO
    assert set(result.reasons[other].tolist()) == {Reason.POSITION_SPIKE}
    assert sorted(trips.source.describe(result.refused.origin[other])) == [
        "trips/T1_06_30_2021_2.samples[4433]",
        "trips/T1_06_30_2021_2.samples[4434]",
        "trips/T2_03_29_2021.samples[3510]",
        "trips/T2_03_29_2021.samples[3511]",
    ]


def test_each_trip_is_one_journey_of_its_policy(trips, rules):
    journeys = trips.made(rules).journeys.to_pylist()
    assert {journey["policy"] for journey in journeys} == {"SBT-000201"}
    assert len({journey["started_at"].date() for journey in journeys}) == 5
    assert len(journeys) == 7


def _digest(recording: Recording, result: PassResult) -> str:
    """Of every journey, but for what was added to journeys since, and of every refused fix with its reason."""
    journeys = result.journeys.to_pylist()
    for journey in journeys:
        for name in NOT_THERE_IN_2026_1:
            del journey[name]
    journeys.sort(key=lambda journey: (journey["vehicle"], journey["started_at"]))
    told = json.dumps([journeys, refused_rows([result])], default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize("collection", ["blackbox", "trips"])
@pytest.mark.parametrize("earlier", [ALWAYS_ON_2026_1, ENGINE_SWITCHED_2026_1], ids=lambda rules: rules.version)
def test_2026_1_makes_of_recordings_what_it_made_when_it_was_the_newest(request, collection, earlier):
    recording = request.getfixturevalue(collection)
    assert _digest(recording, recording.made(earlier)) == WHEN_NEWEST[collection, earlier.version]


@pytest.mark.parametrize("collection", ["blackbox", "trips"])
@pytest.mark.parametrize("chosen", EVERY, ids=lambda rules: rules.version)
def test_sums_of_recorded_journeys_do_not_contradict_each_other(request, collection, chosen):
    """The way is added up again on the ellipsoid, by geographiclib, of the fixes that were not refused."""
    recording = request.getfixturevalue(collection)
    result, fixes = recording.made(chosen), recording.fixes
    counts = result.counts
    assert counts.accepted + counts.duplicates + len(result.refused) == len(fixes)
    accepted = accepted_of(fixes, chosen)
    journeys = result.journeys.to_pylist()
    assert journeys
    for journey in journeys:
        assert journey["max_speed_mps"] >= journey["mean_speed_mps"]
        assert journey["driving_s"] + journey["idle_s"] <= journey["duration_s"] + 0.002
        first, last = (round(journey[name].timestamp() * 1e6) for name in ("started_at", "ended_at"))
        assert journey["distance_m"] <= 1.02 * way_m(accepted, journey["vehicle"], first, last)
