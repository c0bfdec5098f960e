"""Whole vehicles from parts: however they are cut, what is given out is each vehicle once and whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeymesh.engines.grouping import NotClustered, clustered
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.ordering import in_canonical_order

SMALLEST_WINDOW = 1  # holds 10,000 fixes
DAY_US = 86_400_000_000


def disordered(seed: int, sizes: list[int], late: int, tied: int) -> Fixes:
    """Vehicles of so many fixes, each together; some fixes late, some at one instant with others, some missing."""
    chance = np.random.default_rng(seed)
    rows = sum(sizes)
    at_us = np.concatenate([np.arange(n) * 1_000_000 + DAY_US for n in sizes])
    columns = {name: chance.normal(size=rows).round(1) for name in ("lat_deg", "lon_deg", "speed_mps")}
    columns["speed_mps"][chance.random(rows) < 0.2] = np.nan
    fixes = Fixes(
        vehicles=tuple(f"V{k}" for k in range(len(sizes))),
        vehicle=np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        fixed_at_us=at_us,
        origin=np.arange(rows),
        **columns,
    )
    order = np.arange(rows)
    for row in chance.integers(0, rows, late):
        last = np.searchsorted(fixes.vehicle, fixes.vehicle[row], side="right") - 1
        to = min(row + int(chance.integers(1, 3_000)), last)
        order[row:to], order[to] = order[row + 1 : to + 1].copy(), order[row]
    at_us = at_us.copy()
    for row in chance.integers(1, rows, tied):
        if fixes.vehicle[row] == fixes.vehicle[row - 1]:
            at_us[row] = at_us[row - 1]
    return replace(fixes, fixed_at_us=at_us).take(order)


def cut(fixes: Fixes, places: list[int], bare: int) -> list[Fixes]:
    """The fixes in parts, each with a dictionary of its own; every ``bare``-th part has no speeds in it."""
    bounds = sorted({0, len(fixes), *(place % len(fixes) for place in places)})
    parts = []
    for k, (first, last) in enumerate(pairwise(bounds)):
        part = fixes.take(slice(first, last))
        names, codes = np.unique(part.vehicle, return_inverse=True)
        part = replace(part, vehicles=tuple(f"V{name}" for name in names), vehicle=codes.astype(np.int32))
        parts.append(replace(part, speed_mps=None) if bare and k % bare == 0 else part)
    return parts


def rows_of(fixes: Fixes) -> Iterator[tuple[object, ...]]:
    """Each fix by its vehicle's name, without what the source called it."""
    names = (fixes.vehicles[code] for code in fixes.vehicle.tolist())
    speeds = fixes.speed_mps if fixes.speed_mps is not None else np.full(len(fixes), np.nan)
    shown = np.where(np.isnan(speeds), -1.0, speeds).tolist()
    yield from zip(
        names, fixes.fixed_at_us.tolist(), fixes.lat_deg.tolist(), fixes.lon_deg.tolist(), shown, strict=True
    )


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(2, 9_000), min_size=1, max_size=8),
    late=st.integers(0, 40),
    tied=st.integers(0, 40),
    places=st.lists(st.integers(0, 2**20), max_size=12),
    bare=st.integers(0, 3),
)
def test_each_vehicle_comes_out_once_and_whole(seed, sizes, late, tied, places, bare):
    parts = cut(disordered(seed, sizes, late, tied), places, bare)
    wanted = list(rows_of(in_canonical_order(Fixes.concat(parts))))
    found, groups = [], []
    for group in chain.from_iterable(clustered(iter(parts), SMALLEST_WINDOW)):
        found += rows_of(in_canonical_order(group))
        groups.append(set(group.vehicles))
    assert found == wanted
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(sizes)


def test_a_vehicle_that_comes_back_is_noticed_before_it_is_given_out_twice():
    fixes = disordered(1, [9_000, 9_000, 9_000], 0, 0)
    back = replace(fixes.take(slice(0, 10)), vehicles=("V0",))
    for where in (18_000, 26_999, 27_000):
        parts = [*cut(fixes.take(slice(0, where)), [9_000, 10_500], 0), back]
        given_out: list[str] = []
        groups = chain.from_iterable(clustered(iter(parts), SMALLEST_WINDOW))
        with pytest.raises(NotClustered):
            given_out.extend(name for group in groups for name in group.vehicles)
        assert len(given_out) == len(set(given_out))


def test_a_vehicle_larger_than_a_window_comes_out_whole():
    fixes = disordered(2, [35_000, 10], 5, 5)
    given_out = clustered(iter(cut(fixes, [9_000, 21_000, 30_000], 0)), SMALLEST_WINDOW)
    groups = [sorted(group.vehicles) for group in chain.from_iterable(given_out)]
    assert sorted(name for group in groups for name in group) == ["V0", "V1"]


def test_vehicles_that_lie_whole_inside_a_part_are_not_copied():
    fixes = disordered(3, [6_000, 2_000, 3_000, 9_000], 5, 5)
    parts = cut(fixes, [4_000, 15_000], 0)
    groups = {group.vehicles: group for group in chain.from_iterable(clustered(iter(parts), SMALLEST_WINDOW))}
    assert list(groups) == [("V0",), ("V1", "V2"), ("V3",)]
    assert np.shares_memory(groups["V1", "V2"].lat_deg, fixes.lat_deg)
