"""Shuffled, duplicated, re-chunked and split input gives byte-identical journeys and the same refusals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.builders import NOON, NOW_US, US, by_time, in_chunks, in_order, refused_rows, shuffled, us
from tests.support.hostile_fixes import recordings

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED

_POLICIES = (
    Policy(number="P1", device="V0", valid_from=NOON - timedelta(days=9), valid_to=NOON + timedelta(minutes=7),
           zone="Europe/London"),
    Policy(number="P2", device="V0", valid_from=NOON + timedelta(minutes=7), zone="Asia/Kolkata"),
)  # fmt: skip

_RULES = st.sampled_from([ALWAYS_ON, ENGINE_SWITCHED])


@settings(max_examples=150)
@given(recordings(), _RULES, st.integers(0, 999), st.floats(0.0, 0.5))
def test_shuffled_and_duplicated_input_gives_the_same_bytes(fixes, rules, seed, share):
    """And says how many duplicates there were."""
    clean = make_journeys(fixes, rules, _POLICIES, NOW_US)
    again = np.flatnonzero(np.random.default_rng(seed).random(len(fixes)) < share)
    mixed = make_journeys(shuffled(Fixes.concat([fixes, fixes.take(again)]), seed), rules, _POLICIES, NOW_US)
    assert mixed.journeys.equals(clean.journeys)
    assert refused_rows([mixed]) == refused_rows([clean])
    assert mixed.counts == replace(clean.counts, duplicates=clean.counts.duplicates + len(again))


@settings(max_examples=150)
@given(recordings(), _RULES, st.lists(st.integers(1, 800), max_size=12))
def test_however_a_stream_of_vehicles_is_cut_it_gives_the_same_bytes(fixes, rules, cuts):
    """The stream is by time, its vehicles interleaved."""
    clean = make_journeys(fixes, rules, _POLICIES, NOW_US)
    parts = in_chunks(by_time(fixes), cuts, rules, _POLICIES)
    assert in_order([part.journeys for part in parts]).equals(in_order([clean.journeys]))
    assert refused_rows(parts) == refused_rows([clean])
    assert sum((part.counts for part in parts[1:]), parts[0].counts) == clean.counts


@settings(max_examples=100)
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


@settings(max_examples=60)
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
