"""Journeys of an earlier rules version keep their bytes: the digests were taken when that version was the newest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from tests.support.builders import NOW_US, in_chunks, in_order, refused_rows
from tests.support.hostile_fixes import hostile

from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FaultRates, FleetSpec
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import RECORDED_LATER
from journeymesh.journeys.pipeline import PassResult, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON_2026_1, ENGINE_SWITCHED_2026_1, JourneyRules

OF_2026_1 = {"always_on": ALWAYS_ON_2026_1, "engine_switched": ENGINE_SWITCHED_2026_1}
NOT_THERE_IN_2026_1: tuple[str, ...] = ("policy_from", *RECORDED_LATER)
"""Columns of a journey that came later."""

_WORSE = FaultRates(
    spikes=2e-3, duplicates=1e-3, conflicts=1e-3, clock_impossible=1e-3, clock_future=1e-3, null_island=1e-3,
    zero_coordinate=1e-3, positions_missing=1e-3, tunnels=1e-3, receiver_jitter=1e-3,
)  # fmt: skip
_EPISODES = ("drive", "stand", "brake", "no_speed", "hold", "wander", "spikes", "zero", "relocate", "ignition_off",
             "tie", "signs", "silence", "null", "nan", "limit", "future", "drive")  # fmt: skip


def of_a_fleet(profile: str, *, accelerometer: bool, speeds: bool = True) -> tuple[Fixes, list[Policy]]:
    """Two vehicles' week, with more faults than a fleet has."""
    fleet = generate(
        FleetSpec(seed=7, vehicles=2, days=5, profile=profile, accelerometer=accelerometer, faults=_WORSE,  # type: ignore[arg-type]
                  zones=("Europe/London", "Asia/Kolkata"))
    )  # fmt: skip
    fixes = fleet.whole().readable().fixes
    return fixes if speeds else replace(fixes, speed_mps=None, heading_deg=None), fleet.policies


def of_episodes(every_s: float) -> tuple[Fixes, list[Policy]]:
    """Everything that a recorder may do wrong, over and over."""
    parts = []
    for seed in range(12):
        order = np.random.default_rng(seed)
        chosen = [(_EPISODES[k], int(order.integers(1, 40))) for k in order.integers(0, len(_EPISODES), 25)]
        parts.append(hostile(chosen, f"V{seed}", seed, every_s))
    return Fixes.concat(parts), []


INPUTS = {
    "fleet": lambda profile: of_a_fleet(profile, accelerometer=True),
    "fleet without accelerometer": lambda profile: of_a_fleet(profile, accelerometer=False),
    "fleet of positions alone": lambda profile: of_a_fleet(profile, accelerometer=False, speeds=False),
    "episodes each second": lambda _: of_episodes(1.0),
    "episodes ten times a second": lambda _: of_episodes(0.1),
    "episodes every ten seconds": lambda _: of_episodes(10.0),
}
DIGESTS = {
    ("fleet", "always_on"): "74a23850dcbe4decc3722974e2ef80d8",
    ("fleet", "engine_switched"): "c5506a07b96799a54d3a172d089eb9e3",
    ("fleet without accelerometer", "always_on"): "2f4e1960e6fc9399489a2c13f08ebe1b",
    ("fleet without accelerometer", "engine_switched"): "a2f7e0f330c629c66b37d64200b222dd",
    ("fleet of positions alone", "always_on"): "b30b0eb5083dac886fdcbd14fc7f5f8d",
    ("fleet of positions alone", "engine_switched"): "985fe74cfbced4ffb91b6a32b14869c6",
    ("episodes each second", "always_on"): "b0a3aa1e5e49fb804f17683f972aceb6",
    ("episodes each second", "engine_switched"): "f27e37a0f0c9731da5741052165e025c",
    ("episodes ten times a second", "always_on"): "33faed1bda4d6d3df62b621df3e26eda",
    ("episodes ten times a second", "engine_switched"): "c9ff8dc882c864a6bd68781424dceb73",
    ("episodes every ten seconds", "always_on"): "ff41effb6ae978277314fd5b25e4a5c1",
    ("episodes every ten seconds", "engine_switched"): "551b40a11a8e6007698724444bdd2c2e",
}


def digest_of(results: list[PassResult]) -> str:
    """Of every journey and every refusal."""
    journeys = in_order([result.journeys for result in results]).to_pylist()
    for journey in journeys:
        for name in NOT_THERE_IN_2026_1:
            del journey[name]
    told = json.dumps([journeys, refused_rows(results)], default=str)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def passed(inputs: str, rules: JourneyRules, cuts: tuple[int, ...] = ()) -> list[PassResult]:
    fixes, policies = INPUTS[inputs](rules.profile)
    if cuts:
        fixes = fixes.take(np.lexsort((fixes.fixed_at_us, fixes.vehicle)))
        return in_chunks(fixes, cuts, rules, policies)
    return [make_journeys(fixes, rules, policies, NOW_US)]


@pytest.mark.parametrize(("inputs", "profile"), [(name, profile) for name in INPUTS for profile in OF_2026_1])
def test_2026_1_makes_the_journeys_that_it_made(inputs: str, profile: str) -> None:
    results = passed(inputs, OF_2026_1[profile])
    assert len(results[0].journeys) > 5
    assert digest_of(results) == DIGESTS[inputs, profile]


@pytest.mark.parametrize("profile", OF_2026_1)
def test_2026_1_makes_them_in_chunks_too(profile: str) -> None:
    inputs = "episodes each second"
    assert digest_of(passed(inputs, OF_2026_1[profile], (500, 501, 4_000, 9_999))) == DIGESTS[inputs, profile]
