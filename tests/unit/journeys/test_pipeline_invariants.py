"""What holds for every journey, whatever the recorder did: over fleets and recordings in which everything happens."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from geographiclib.geodesic import Geodesic
from tests.support.builders import NOW_US, changed, with_column
from tests.unit.journeys.test_pipeline_of_earlier_rules import INPUTS

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, JourneyRules

HOSTILE = {
    "as it is": lambda fixes: fixes,
    "speed 0": lambda fixes: with_column(fixes, "speed_mps", 0.0),
    "speed stuck": lambda fixes: with_column(fixes, "speed_mps", 13.9),
    "km/h as m/s": lambda fixes: with_column(fixes, "speed_mps", speeds(fixes) * 3.6),
    "m/s as km/h": lambda fixes: with_column(fixes, "speed_mps", speeds(fixes) / 3.6),
    "every third speed missing": lambda fixes: changed(
        with_column(fixes, "speed_mps", speeds(fixes)), slice(0, None, 3), speed_mps=np.nan
    ),
    "every fifth speed 0": lambda fixes: changed(
        with_column(fixes, "speed_mps", speeds(fixes)), slice(0, None, 5), speed_mps=0.0
    ),
    "inaccurate": lambda fixes: with_column(fixes, "accuracy_m", np.arange(len(fixes)) % 200.0),
    "ignition off": lambda fixes: with_column(fixes, "ignition", 0),
}


def speeds(fixes: Fixes) -> np.ndarray:
    return np.full(len(fixes), 10.0) if fixes.speed_mps is None else fixes.speed_mps


def way_m(fixes: Fixes, vehicle: str, first_us: int, last_us: int) -> float:
    """The sum of the accepted steps of a journey, on the ellipsoid."""
    rows = np.flatnonzero(
        (fixes.vehicle == fixes.vehicles.index(vehicle))
        & (fixes.fixed_at_us >= first_us)
        & (fixes.fixed_at_us <= last_us)
    )
    points = list(zip(fixes.lat_deg[rows].tolist(), fixes.lon_deg[rows].tolist(), strict=True))
    return sum(Geodesic.WGS84.Inverse(*a, *b)["s12"] for a, b in pairwise(points) if a != b)


def accepted_of(fixes: Fixes, rules: JourneyRules) -> Fixes:
    """The fixes of the timeline that the pass did not refuse: each is told by vehicle, instant and every value."""
    result = make_journeys(fixes, rules, (), NOW_US)
    timeline, refused = result.timeline, result.refused

    def keys(part: Fixes) -> list[tuple[object, ...]]:
        columns = [np.asarray(column) for name, column in part.columns() if name not in ("vehicle", "origin")]
        return [
            (part.vehicles[v], *(repr(column[k].item()) for column in columns))
            for k, v in enumerate(part.vehicle.tolist())
        ]

    gone = set(keys(refused))
    return timeline.take(np.array([key not in gone for key in keys(timeline)], np.bool_))


@pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=lambda rules: rules.version)
@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("inputs", ["fleet", "episodes each second", "episodes every ten seconds"])
def test_sums_of_a_journey_do_not_contradict_each_other(inputs, hostile, rules):
    fixes = HOSTILE[hostile](INPUTS[inputs](rules.profile)[0])
    result = make_journeys(fixes, rules, (), NOW_US)
    counts = result.counts
    assert counts.accepted + counts.duplicates + len(result.refused) == len(fixes)
    assert len(result.journeys) or "ignition" in hostile
    for journey in result.journeys.to_pylist():
        assert journey["max_speed_mps"] >= journey["mean_speed_mps"]
        assert journey["driving_s"] + journey["idle_s"] <= journey["duration_s"] + 0.002
        assert min(journey["driving_s"], journey["idle_s"], journey["distance_m"]) >= 0.0
        assert journey["night_s"] <= journey["duration_s"] + 0.002
        assert sum(hour["driving_s"] for hour in journey["hours"]) <= journey["duration_s"] + 1.0


@pytest.mark.parametrize("hostile", HOSTILE)
def test_distance_is_no_longer_than_the_accepted_steps(hostile):
    fixes = HOSTILE[hostile](INPUTS["episodes each second"]("always_on")[0])
    accepted = accepted_of(fixes, ALWAYS_ON)
    journeys = make_journeys(fixes, ALWAYS_ON, (), NOW_US).journeys.to_pylist()
    for journey in journeys:
        first, last = (round(journey[name].timestamp() * 1e6) for name in ("started_at", "ended_at"))
        assert journey["distance_m"] <= 1.02 * way_m(accepted, journey["vehicle"], first, last) + 1.0
    assert journeys


def test_inaccurate_fixes_are_counted_among_the_refused():
    fixes = HOSTILE["inaccurate"](INPUTS["fleet"]("always_on")[0])
    reasons = make_journeys(fixes, ALWAYS_ON, (), NOW_US).reasons
    assert np.count_nonzero(reasons == Reason.POSITION_INACCURATE) > 0.4 * len(fixes)
