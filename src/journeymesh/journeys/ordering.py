"""The canonical order of fixes: by vehicle, instant, then every value. It makes arrival order irrelevant."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.journeys.fixes import I64, OPTIONAL_FLOATS, U32, Fixes
from journeymesh.kernels.compiled import I32_IN, I64_IN, compiled, entry

_STREAK: Final = 8
_OUTLIERS: Final = 32
_BLOCK: Final = 64


def in_canonical_order(fixes: Fixes) -> Fixes:
    """The fixes by (vehicle code, ``fixed_at_us``), ties by every reported value, receipt last.

    Of two different fixes at one instant the first in this order is kept; of two equal ones that with the earliest
    receipt, or of equal receipts the one that stands first. The same fixes in any order come out as the same rows,
    ``origin`` aside where two are equal. Sorted input is returned as it is.
    """
    order = canonical_rows(fixes)
    if len(order) and (order[0] != 0 or (np.diff(order) != 1).any()):
        return fixes.rearranged(order)
    return fixes


def canonical_rows(fixes: Fixes) -> U32:
    """The row numbers (uint32[n]) in canonical order, of fewer than 2³² fixes."""
    if len(fixes) > np.iinfo(np.uint32).max:
        raise OverflowError(f"{len(fixes):,} fixes are too many for one call: pass them in parts")
    order = np.empty(len(fixes), np.uint32)
    ties = _sorted_rows(fixes.vehicle, fixes.fixed_at_us, max(len(fixes.vehicles), 1), order)
    if len(ties):
        _order_ties(fixes, order, np.unique(np.r_[ties - 1, ties]))
    return order


def _order_ties(fixes: Fixes, order: U32, tied: I64) -> None:
    """Bring rows that share vehicle and instant, which stand together in ``order`` at ``tied``, into their order."""
    part = fixes.take(order[tied])
    keys: list[npt.NDArray[np.generic]] = [
        column
        for name in ("received_at_us", "ignition", *reversed(OPTIONAL_FLOATS), "lon_deg", "lat_deg")
        if (column := getattr(part, name)) is not None
    ]
    # -0.0 equals 0.0 and is written differently: last of all, the sign decides which of two equal fixes is kept.
    signs = [np.signbit(column) for name, column in part.columns() if column.dtype == np.float64]
    arrival = order[tied]
    order[tied] = arrival[np.lexsort((arrival, *signs, *keys, part.fixed_at_us, part.vehicle))]


@compiled
def end_of(order, vehicle, first):
    """The place behind the last of the vehicle whose first fix is at this place."""
    v = vehicle[order[first]]
    step = 1
    while first + step < len(order) and vehicle[order[first + step]] == v:
        step *= 2
    low, high = first + step // 2, min(first + step, len(order))
    while high - low > 1:
        middle = (low + high) // 2
        if vehicle[order[middle]] == v:
            low = middle
        else:
            high = middle
    return high


@compiled
def _rising(at_us, row, last):
    """How many rows from this one on, before ``last``, have rising instants."""
    first, one, block = row, np.uint64(1), np.uint64(_BLOCK)
    while row + block < last:
        falls = False
        for k in range(block):
            falls |= at_us[row + k] >= at_us[row + k + one]
        if falls:
            break
        row += block
    while row + one < last and at_us[row] < at_us[row + one]:
        row += one
    return np.int64(row + one - first)


@compiled
def _set_aside(rows, at_us, aside, ties, is_whole):
    """Bring the rows that are in order, nearly all, to the front of ``rows``, and the others into ``aside``. Returns
    how many are in front, and how many of them share the instant of the one before: their places are in ``ties``.
    ``is_whole`` says that ``rows`` are numbers one after the other.

    As drop-merge sort does (Haahr, 2017): what is older than its predecessor is late, unless leaving out the
    predecessors shows that it was they who were ahead of their time.
    """
    out = streak = n_ties = 0
    kept = k = 1
    tip_us = at_us[rows[0]]
    while k < len(rows):
        row = rows[np.uint64(k)]
        now = at_us[row]
        if tip_us <= now:
            if tip_us == now:
                ties[n_ties] = kept
                n_ties += 1
            run = 1
            if is_whole:
                run = _rising(at_us, row, row + np.uint64(len(rows) - k))
            if kept < k:
                for j in range(run):
                    rows[np.uint64(kept + j)] = row + np.uint64(j)
            kept += run
            k += run
            streak = 0
            tip_us = at_us[rows[kept - 1]]
            continue
        k += 1
        if kept > 1 and at_us[rows[kept - 2]] <= now:
            aside[out] = rows[kept - 1]
            out += 1
            rows[kept - 1] = row
            if at_us[rows[kept - 2]] == now:
                ties[n_ties] = kept - 1
                n_ties += 1
            streak = 0
            tip_us = now
            continue
        aside[out] = row
        out += 1
        streak += 1
        if streak == _STREAK:
            streak = 0
            newest = now
            for late in range(out - _STREAK, out):
                newest = max(newest, at_us[aside[late]])
            ahead = 0
            while ahead < min(kept, _OUTLIERS) and at_us[rows[kept - 1 - ahead]] > newest:
                ahead += 1
            if ahead < min(kept, _OUTLIERS):
                # Few were ahead of their time: they are set aside, and the rows taken for late are seen again.
                k -= _STREAK
                out -= _STREAK
                for _ in range(ahead):
                    kept -= 1
                    aside[out] = rows[kept]
                    out += 1
                while n_ties > 0 and ties[n_ties - 1] >= kept:
                    n_ties -= 1
                tip_us = at_us[rows[kept - 1]]
    return kept, n_ties


@compiled
def _merge(rows, kept, late, at_us, ties, n_ties):
    """Bring the sorted rows set aside in among those in front, and their ties; returns how many there are then."""
    front, moved = kept, n_ties
    for j in range(len(late) - 1, -1, -1):
        now = at_us[late[j]]
        low, high = 0, front
        while low < high:
            middle = (low + high) // 2
            if at_us[rows[middle]] <= now:
                low = middle + 1
            else:
                high = middle
        for place in range(front - 1, low - 1, -1):
            rows[np.uint64(place + j + 1)] = rows[np.uint64(place)]
        while moved > 0 and ties[moved - 1] > low:
            moved -= 1
            ties[moved] += j + 1
        front = low
        rows[low + j] = late[j]
        if (low > 0 and at_us[rows[low - 1]] == now) or (j > 0 and at_us[late[j - 1]] == now):
            ties[n_ties] = low + j
            n_ties += 1
    return n_ties


@compiled
def _by_vehicle(vehicle, place, order):
    """Put the row numbers by vehicle into ``order``; ``place`` has zeros, one more than vehicles. Returns whether
    they are in order as they are."""
    n = len(vehicle)
    for row in range(n):
        order[row] = row
    falls = False
    for row in range(1, n):
        falls |= vehicle[row - 1] > vehicle[row]
    if not falls:
        return True
    for v in vehicle:
        place[v + 1] += 1
    for v in range(len(place) - 1):
        place[v + 1] += place[v]
    for row in range(n):
        v = vehicle[row]
        order[place[v]] = row
        place[v] += 1
    return False


@entry(types.int64[::1], I32_IN, I64_IN, types.int64, types.uint32[::1], allocates=True)
def _sorted_rows(vehicle, at_us, n_vehicles, order):
    """Put the row numbers by (vehicle, instant) into ``order``; returns the places whose row shares both with the row
    before it. Quick where rows are nearly in order."""
    is_whole = _by_vehicle(vehicle, np.zeros(n_vehicles + 1, np.int64), order)
    n = len(order)
    aside = np.empty(n, np.uint32)
    ties = np.empty(n, np.int64)
    all_ties = 0
    first = 0
    while first < n:
        last = end_of(order, vehicle, first)
        rows, here = order[first:last], ties[all_ties:]
        kept, n_ties = _set_aside(rows, at_us, aside, here, is_whole)
        if kept < len(rows):
            late = aside[: len(rows) - kept]
            times = np.empty(len(late), np.int64)
            for k in range(len(late)):
                times[k] = at_us[late[k]]
            n_ties = _merge(rows, kept, late[np.argsort(times, kind="mergesort")], at_us, here, n_ties)
        for k in range(n_ties):
            here[k] += first
        all_ties += n_ties
        first = last
    return ties[:all_ties].copy()
