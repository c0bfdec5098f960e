"""Tracks as few points as the eye needs: Douglas and Peucker's simplification, compiled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.journeys.fixes import F64
from journeymesh.kernels.compiled import F64_IN, entry


@entry(types.void, F64_IN, F64_IN, types.float64, types.Array(types.boolean, 1, "C"), types.Array(types.int64, 2, "C"))
def _keep(x, y, tolerance, kept, stack):  # type: ignore[no-untyped-def]
    n = len(x)
    if n == 0:
        return
    kept[0] = kept[n - 1] = True
    stack[0, 0], stack[0, 1] = 0, n - 1
    depth = 1
    limit = tolerance * tolerance
    while depth > 0:
        depth -= 1
        a, b = stack[depth, 0], stack[depth, 1]
        dx, dy = x[b] - x[a], y[b] - y[a]
        length = dx * dx + dy * dy
        worst, at = limit, -1
        for k in range(a + 1, b):
            px, py = x[k] - x[a], y[k] - y[a]
            along = min(1.0, max(0.0, (px * dx + py * dy) / length)) if length > 0.0 else 0.0
            ex, ey = px - along * dx, py - along * dy
            away = ex * ex + ey * ey
            if away > worst:
                worst, at = away, k
        if at >= 0:
            kept[at] = True
            stack[depth, 0], stack[depth, 1] = a, at
            stack[depth + 1, 0], stack[depth + 1, 1] = at, b
            depth += 2


def simplify(x: F64, y: F64, tolerance: float) -> npt.NDArray[np.bool_]:
    """Which points of a line to keep so that none left out is further than ``tolerance`` from it (bool[n]).

    Douglas and Peucker, Algorithms for the reduction of the number of points, 1973. First and last are kept.
    """
    kept = np.zeros(len(x), np.bool_)
    stack = np.empty((len(x) + 1, 2), np.int64)
    _keep(np.ascontiguousarray(x), np.ascontiguousarray(y), tolerance, kept, stack)
    return kept
