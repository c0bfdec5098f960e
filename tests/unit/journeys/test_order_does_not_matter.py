"""Shuffled, duplicated, re-chunked and split input gives byte-identical journeys and the same refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOON, NOW_US, US, by_time, in_chunks, in_order, refused_rows, shuffled, us

from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED

_POLICIES = (
    Policy(number="P1", device="V0", valid_from=NOON - timedelta(days=9), valid_to=NOON + timedelta(minutes=7),
           zone="Europe/London"),
    Policy(number="P2", device="V0", valid_from=NOON + timedelta(minutes=7), zone="Asia/Kolkata"),
)  # fmt: skip

_EPISODES = st.tuples(
    st.sampled_from(
        ["drive", "drive", "drive", "stand", "wander", "silence", "long_silence", "spike", "spikes", "zero", "null",
         "nan", "relocate", "ignition_off", "tie", "bad_clock", "future", "no_speed", "brake", "limit", "signs", "hold"]
    ),
    st.integers(1, 40),
)  # fmt: skip


def _hostile(episodes: list[tuple[str, int]], vehicle: str, seed: int, every_s: float) -> Fixes:
    """A recording in which everything happens that the episodes say."""
    rng = np.random.default_rng(seed)
    t, lat, lon, speed, heading, limit, ignition = float(us(NOON)) / US, 51.5, -0.01, 10.0, 90.0, 14.0, 1
    rows: list[tuple[float, ...]] = []

    def put(at: float, la: float, lo: float, v: float, on: int = 1, received: float = np.nan) -> None:
        rows.append((at, la, lo, v, heading, limit, on, received))

    for kind, amount in episodes:
        match kind:
            case "silence" | "long_silence":
                t += amount * (3 if kind == "silence" else 40)
            case "relocate":
                lat += amount * 0.05
            case "spike" | "spikes":
                for k in range(1 if kind == "spike" else amount):
                    t += every_s
                    put(t, lat + 1.0 + 0.0001 * k, lon, speed)
            case "zero":
                t += every_s
                put(t, 0.0 if amount % 2 else lat, lon if amount % 2 else 0.0, speed)
            case "null":
                t += every_s
                put(t, 0.0, 0.0, 0.0)
            case "nan":
                t += every_s
                put(t, np.nan, lon, speed)
            case "tie" if rows:
                put(t, lat + amount * 1e-5, lon, speed)
                put(t, lat, lon, np.nan)
            case "signs" if rows:
                put(t, 0.0, -0.0, speed)
                put(t, -0.0, 0.0, speed)
            case "hold":
                for _ in range(amount):
                    t += every_s
                    put(t, lat, lon, speed)
                lat += speed * amount * every_s / 111_250
            case "bad_clock":
                put(amount * 1e6, lat, lon, speed)
            case "future":
                put(NOW_US / US + amount * 100, lat, lon, speed)
                put(t, lat, lon, speed, received=t - amount * 60)
            case "limit":
                limit = float(amount)
            case _:
                if kind == "brake":
                    speed = float(amount) / 2
                for _ in range(amount * 3):
                    t += every_s
                    v = {"stand": 0.2, "wander": 0.5}.get(kind, speed)
                    lat += v * every_s * rng.normal(0.7, 0.3) / 111_250
                    heading += rng.normal(0, 5)
                    put(t, lat, lon + (rng.normal(0, 1e-4) if kind == "wander" else 0.0),
                        np.nan if kind == "no_speed" else v, 0 if kind == "ignition_off" else 1)  # fmt: skip
    columns = np.array(rows or [(t, lat, lon, speed, heading, limit, ignition, np.nan)]).T
    received = np.where(np.isnan(columns[7]), NOT_REPORTED_US, np.nan_to_num(columns[7]) * US).astype(np.int64)
    return Fixes(
        (vehicle,), np.zeros(columns.shape[1], np.int32), np.round(columns[0] * US).astype(np.int64),
        columns[1].copy(), columns[2].copy(), received_at_us=received, speed_mps=columns[3].copy(),
        heading_deg=columns[4] % 360.0, speed_limit_mps=columns[5].copy(), ignition=columns[6].astype(np.int8),
    )  # fmt: skip


@st.composite
def recordings(draw: st.DrawFn) -> Fixes:
    """One to three vehicles' recordings, one after the other, with nothing in order but each one's time."""
    every_s = draw(st.sampled_from([0.1, 1.0, 1.0, 10.0, 45.0]))
    parts = []
    for v in range(draw(st.integers(1, 3))):
        episodes = draw(st.lists(_EPISODES, min_size=1, max_size=12))
        parts.append(_hostile(episodes, f"V{v}", draw(st.integers(0, 99)), every_s))
    return Fixes.concat(parts)


_RULES = st.sampled_from([ALWAYS_ON, ENGINE_SWITCHED])


@settings(max_examples=150, deadline=None)
@given(recordings(), _RULES, st.integers(0, 999), st.floats(0.0, 0.5))
def test_shuffled_and_duplicated_input_gives_the_same_bytes(fixes, rules, seed, share):
    """And says how many duplicates there were."""
    clean = make_journeys(fixes, rules, _POLICIES, NOW_US)
    again = np.flatnonzero(np.random.default_rng(seed).random(len(fixes)) < share)
    mixed = make_journeys(shuffled(Fixes.concat([fixes, fixes.take(again)]), seed), rules, _POLICIES, NOW_US)
    assert mixed.journeys.equals(clean.journeys)
    assert refused_rows([mixed]) == refused_rows([clean])
    assert mixed.counts == replace(clean.counts, duplicates=clean.counts.duplicates + len(again))


@settings(max_examples=150, deadline=None)
@given(recordings(), _RULES, st.lists(st.integers(1, 800), max_size=12))
def test_however_a_stream_of_vehicles_is_cut_it_gives_the_same_bytes(fixes, rules, cuts):
    """The stream is by time, its vehicles interleaved."""
    clean = make_journeys(fixes, rules, _POLICIES, NOW_US)
    parts = in_chunks(by_time(fixes), cuts, rules, _POLICIES)
    assert in_order([part.journeys for part in parts]).equals(in_order([clean.journeys]))
    assert refused_rows(parts) == refused_rows([clean])
    assert sum((part.counts for part in parts[1:]), parts[0].counts) == clean.counts


@settings(max_examples=100, deadline=None)
@given(recordings(), _RULES)
def test_stretches_between_silences_give_the_same_journeys_on_their_own(fixes, rules):
    """What a late fix re-opens is the stretch it falls into: so nothing may reach across a silence."""
    clean = make_journeys(fixes, rules, _POLICIES, NOW_US)
    timeline = clean.timeline
    same = timeline.vehicle[1:] == timeline.vehicle[:-1]
    silent = np.diff(timeline.fixed_at_us) > round(rules.max_silence_s * US)
    bounds = [0, *(np.flatnonzero(~same | silent) + 1).tolist(), len(timeline)]
    parts = [make_journeys(timeline.take(slice(a, b)), rules, _POLICIES, NOW_US) for a, b in pairwise(bounds)]
    assert in_order([part.journeys for part in parts]).equals(in_order([clean.journeys]))


@settings(max_examples=60, deadline=None)
@given(recordings(), _RULES)
def test_the_timeline_is_all_that_is_needed_to_make_the_journeys_again(fixes, rules):
    """The store keeps the timeline, not the input."""
    first = make_journeys(fixes, rules, _POLICIES, NOW_US)
    again = make_journeys(first.timeline, rules, _POLICIES, NOW_US)
    assert again.journeys.equals(first.journeys)
    assert again.counts.duplicates == 0


@pytest.mark.parametrize("silence", [86_400.0, 7200.0])
def test_rules_with_hardly_any_minimum_and_long_silences_stay_within_memory(silence):
    """One journey for every two fixes, a day between them: the most that can come out."""
    rules = replace(ENGINE_SWITCHED, max_silence_s=silence, min_distance_m=0.0, min_duration_s=0.0, min_extent_m=0.0)
    n = 400
    pauses = np.where(np.arange(n) % 2 == 1, silence, silence + 1)
    at = us(datetime(2010, 1, 1, tzinfo=UTC)) + np.cumsum(pauses * US).astype(np.int64)
    still = np.full(n, 52.0)
    fixes = Fixes(("V",), np.zeros(n, np.int32), at, still, still.copy(), speed_mps=np.full(n, 5.0))
    result = make_journeys(fixes, rules, (), NOW_US)
    assert len(result.journeys) == n // 2
    assert result.counts.outside_journey == 0
