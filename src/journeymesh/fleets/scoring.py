"""How well found journeys match the true ones: pairs whose times overlap almost wholly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from journeymesh.journeys.fixes import F64, I64

_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class JourneyScore:
    """Found against true journeys at an intersection over union of their times.

    Errors are over matched pairs and NaN where there is none: ``boundary_error_s`` the median over all starts and
    ends, ``distance_error`` the median of |found - true| / true.
    """

    found: int
    true: int
    matched: int
    boundary_error_s: float
    distance_error: float
    unmatched_true: tuple[int, ...] = ()
    """Rows of the truth that no found journey matches."""
    unmatched_found: tuple[int, ...] = ()

    @property
    def precision(self) -> float:
        """Share of found journeys that are true; 1 where none was found."""
        return self.matched / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of true journeys that were found; 1 where there is none."""
        return self.matched / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.found + self.true
        return 2.0 * self.matched / both if both else 1.0


def score(found: pa.Table, true: pa.Table, *, least_iou: float = 0.9) -> JourneyScore:
    """Match journeys of one vehicle one to one where intersection over union is at least ``least_iou`` (over 0.5).

    Both tables need ``vehicle, started_at, ended_at, distance_m``: ``JOURNEY_SCHEMA`` and ``TRUE_JOURNEY_SCHEMA``
    have them. Over one half, with no two journeys of a vehicle at one time, no journey has two partners.
    """
    if not 0.5 < least_iou <= 1.0:
        raise ValueError(f"least_iou is {least_iou}, not over 0.5 and at most 1")
    codes: dict[str, int] = {}
    here, there = _columns(found, codes), _columns(true, codes)
    pairs = _pairs(here, there, least_iou)
    mine, theirs = pairs[:, 0], pairs[:, 1]
    boundary = np.concatenate([np.abs(here.started[mine] - there.started[theirs]),
                               np.abs(here.ended[mine] - there.ended[theirs])]) / _US_PER_S  # fmt: skip
    distance = np.abs(here.distance_m[mine] - there.distance_m[theirs]) / np.maximum(there.distance_m[theirs], 1e-9)
    return JourneyScore(
        found=found.num_rows,
        true=true.num_rows,
        matched=len(pairs),
        boundary_error_s=float(np.median(boundary)) if len(pairs) else float("nan"),
        distance_error=float(np.median(distance)) if len(pairs) else float("nan"),
        unmatched_true=tuple(np.setdiff1d(np.arange(true.num_rows), theirs).tolist()),
        unmatched_found=tuple(np.setdiff1d(np.arange(found.num_rows), mine).tolist()),
    )


@dataclass(frozen=True, slots=True)
class _Columns:
    vehicle: I64
    started: I64
    ended: I64
    distance_m: F64


def _columns(table: pa.Table, codes: dict[str, int]) -> _Columns:
    names = table["vehicle"].to_pylist()
    return _Columns(
        np.fromiter((codes.setdefault(name, len(codes)) for name in names), np.int64, len(names)),
        _instants(table["started_at"]),
        _instants(table["ended_at"]),
        np.asarray(table["distance_m"].to_numpy(), np.float64),
    )


def _instants(column: pa.ChunkedArray) -> I64:
    whole: I64 = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return whole


def _pairs(here: _Columns, there: _Columns, least_iou: float) -> npt.NDArray[np.int64]:
    """int64[k, 2] of (found row, true row), by two fingers over both in (vehicle, start) order."""
    mine = np.lexsort((here.started, here.vehicle))
    theirs = np.lexsort((there.started, there.vehicle))
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        a, b = mine[i], theirs[j]
        if here.vehicle[a] == there.vehicle[b]:
            overlap = min(here.ended[a], there.ended[b]) - max(here.started[a], there.started[b])
            union = max(here.ended[a], there.ended[b]) - min(here.started[a], there.started[b])
            if overlap > 0 and overlap >= least_iou * union:
                pairs.append((int(a), int(b)))
        if (here.vehicle[a], here.ended[a]) <= (there.vehicle[b], there.ended[b]):
            i += 1
        else:
            j += 1
    return np.array(pairs, np.int64).reshape(-1, 2)
