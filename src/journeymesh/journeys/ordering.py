"""The canonical order of fixes: by vehicle, instant, then every value. It makes arrival order irrelevant."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.journeys.compiled import I32_IN, I64_IN, compiled, entry
from journeymesh.journeys.fixes import I32, I64, OPTIONAL_FLOATS, Fixes

_STRICT: Final = 0
_UNSORTED: Final = 2


def in_canonical_order(fixes: Fixes) -> Fixes:
    """The fixes by (vehicle code, ``fixed_at_us``), ties by every reported value, receipt last.

    Of two different fixes at one instant the first in this order is kept; of two equal ones that with the earliest
    receipt. The same fixes in any order come out as the same rows, ``origin`` aside where two are equal. Sorted input
    is returned as it is.
    """
    order = canonical_rows(fixes)
    return fixes if order is None else fixes.rearranged(order)


def canonical_rows(fixes: Fixes) -> I64 | None:
    """The row numbers in canonical order; None where the fixes are in it."""
    state = _order_of(fixes.vehicle, fixes.fixed_at_us)
    if state == _STRICT:
        return None
    if state == _UNSORTED:
        order: I64 = _sorted_rows(fixes.vehicle, fixes.fixed_at_us, max(len(fixes.vehicles), 1))
        _order_ties(fixes, order, fixes.vehicle[order], fixes.fixed_at_us[order])
        return order
    order = np.arange(len(fixes))
    return order if _order_ties(fixes, order, fixes.vehicle, fixes.fixed_at_us) else None


def _order_ties(fixes: Fixes, order: I64, vehicle: I32, at_us: I64) -> bool:
    """Bring rows of one vehicle and instant, which stand together in ``order``, into their order there. Returns
    whether any moved."""
    same = np.flatnonzero((at_us[1:] == at_us[:-1]) & (vehicle[1:] == vehicle[:-1]))
    if not len(same):
        return False
    tied = np.unique(np.r_[same, same + 1])
    part = fixes.take(order[tied])
    keys: list[npt.NDArray[np.generic]] = [
        column
        for name in ("received_at_us", "ignition", *reversed(OPTIONAL_FLOATS), "lon_deg", "lat_deg")
        if (column := getattr(part, name)) is not None
    ]
    # -0.0 equals 0.0 and is written differently: last of all, the sign decides which of two equal fixes is kept.
    signs = [np.signbit(column) for name, column in part.columns() if column.dtype == np.float64]
    sorted_rows = np.lexsort((*signs, *keys, part.fixed_at_us, part.vehicle))
    order[tied] = order[tied[sorted_rows]]
    return bool((sorted_rows != np.arange(len(tied))).any())


@entry(types.int64, I32_IN, I64_IN)
def _order_of(vehicle, at_us):
    order = 0
    for row in range(1, len(vehicle)):
        if vehicle[row] < vehicle[row - 1]:
            return 2
        if vehicle[row] == vehicle[row - 1]:
            if at_us[row] < at_us[row - 1]:
                return 2
            if at_us[row] == at_us[row - 1]:
                order = 1
    return order


@compiled
def _inserted(rows, at_us):
    """Sort rows by instant where few are out of place, by insertion. False, with the rows still a stable order of
    equal instants, where that would take too many moves."""
    moves = 8 * len(rows)
    for k in range(1, len(rows)):
        row = rows[k]
        now = at_us[row]
        to = k
        while to > 0 and at_us[rows[to - 1]] > now:
            rows[to] = rows[to - 1]
            to -= 1
            moves -= 1
        rows[to] = row
        if moves < 0:
            return False
    return True


@entry(types.int64[::1], I32_IN, I64_IN, types.int64, allocates=True)
def _sorted_rows(vehicle, at_us, n_vehicles):
    """Row numbers by (vehicle, instant), stable: counted by vehicle where they do not stand together, then each
    vehicle sorted where it is not yet."""
    n = len(vehicle)
    order = np.arange(n)
    together = True
    for row in range(1, n):
        if vehicle[row] < vehicle[row - 1]:
            together = False
            break
    if not together:
        place = np.zeros(n_vehicles + 1, np.int64)
        for v in vehicle:
            place[v + 1] += 1
        for v in range(n_vehicles):
            place[v + 1] += place[v]
        for row in range(n):
            v = vehicle[row]
            order[place[v]] = row
            place[v] += 1
    first = 0
    while first < n:
        last = first + 1
        while last < n and vehicle[order[last]] == vehicle[order[first]]:
            last += 1
        rows = order[first:last]
        if not _inserted(rows, at_us):
            times = np.empty(len(rows), np.int64)
            for k in range(len(rows)):
                times[k] = at_us[rows[k]]
            order[first:last] = rows[np.argsort(times, kind="mergesort")]
        first = last
    return order
