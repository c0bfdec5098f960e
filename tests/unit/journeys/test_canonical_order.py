"""Rows come into order by vehicle and instant, however few or many are out of place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.ordering import canonical_rows, in_canonical_order

SECOND_US = 1_000_000


def recorded(at_s: list[int], vehicle: list[int] | None = None) -> Fixes:
    """Fixes at these seconds in this order of arrival; the latitude tells those of one instant apart."""
    n = len(at_s)
    return Fixes(
        vehicles=("A", "B", "C"),
        vehicle=np.array(vehicle if vehicle is not None else [0] * n, np.int32),
        fixed_at_us=np.array(at_s, np.int64) * SECOND_US,
        lat_deg=np.random.default_rng(n).permutation(n).astype(np.float64),
        lon_deg=np.zeros(n),
    )


def test_one_fix_far_ahead_of_its_time_moves_alone_to_the_end():
    fixes = recorded([0, 10**9, *range(1, 100)])
    assert canonical_rows(fixes).tolist() == [0, *range(2, 101), 1]


def test_a_run_ahead_of_its_time_moves_to_the_end():
    ahead = [10**9 + k for k in range(20)]
    fixes = recorded([0, 1, *ahead, *range(2, 500)])
    assert canonical_rows(fixes).tolist() == [0, 1, *range(22, 520), *range(2, 22)]


def test_fixes_of_one_instant_ahead_of_their_time_move_to_the_end_and_are_told_apart():
    fixes = recorded([0, *[10**9] * 30, *range(1, 9)])
    rows = canonical_rows(fixes)
    assert rows[:9].tolist() == [0, *range(31, 39)]
    assert rows[9:].tolist() == sorted(range(1, 31), key=lambda row: fixes.lat_deg[row])


def test_a_run_that_arrives_late_goes_back_to_where_it_belongs():
    early, late = range(1000), range(400, 460)
    fixes = recorded([s for s in early if s not in late] + list(late))
    assert np.array_equal(fixes.fixed_at_us[canonical_rows(fixes)], np.arange(1000) * SECOND_US)


def test_of_equal_fixes_the_first_to_arrive_stands_first():
    fixes = recorded(list(range(200)) * 2)
    fixes = replace(fixes, lat_deg=np.tile(fixes.lat_deg[:200], 2))
    assert canonical_rows(fixes).tolist() == [row for k in range(200) for row in (k, k + 200)]


def test_fixes_in_order_are_given_back_as_they_are():
    fixes = recorded(list(range(50)))
    assert in_canonical_order(fixes) is fixes


@settings(max_examples=200)
@given(
    at_s=st.lists(st.integers(0, 60), max_size=80),
    rising=st.integers(0, 400),
    moved=st.lists(st.tuples(st.integers(0, 480), st.integers(1, 20), st.integers(-200, 200)), max_size=6),
    vehicles=st.lists(st.integers(0, 2), min_size=80, max_size=80),
    nearly=st.booleans(),
    together=st.booleans(),
)
def test_the_order_is_that_of_a_full_sort(at_s, rising, moved, vehicles, nearly, together):
    at_s = sorted(at_s) if nearly else at_s
    at_s[40:] = [*range(61, 61 + rising), *(s + rising for s in at_s[40:])]
    for first, rows, by_s in moved:
        at_s[first : first + rows] = [s + by_s for s in at_s[first : first + rows]]
    vehicle = (vehicles * 6)[: len(at_s)]
    fixes = recorded(at_s, sorted(vehicle) if together else vehicle)
    wanted = np.lexsort((fixes.lat_deg, fixes.fixed_at_us, fixes.vehicle))
    assert canonical_rows(fixes).tolist() == wanted.tolist()
