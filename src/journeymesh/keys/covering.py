"""What of fixes, refusals and places tombstones cover: the one rule, for stores and for sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.keys.tombstones import Intervals, Tombstones

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def uncovered_fixes(fixes: Fixes, tombstones: Tombstones) -> Mask:
    """bool[n]: which fixes no tombstone covers."""
    covered = tombstones.refused_intervals_of(fixes.vehicles)
    kept = np.ones(len(fixes), np.bool_)
    for code, name in enumerate(fixes.vehicles):
        for since, until in covered.get(name, ()):
            at = fixes.fixed_at_us
            kept &= ~((fixes.vehicle == code) & (at >= since) & (at < until))
    return kept


def covers_refusal(refusal: Refusal, covered: Mapping[str, Intervals]) -> bool:
    """Whether the intervals of its vehicle cover it. Without an instant it may be of any time, so it is covered."""
    intervals = () if refusal.vehicle is None else covered.get(refusal.vehicle, ())
    if refusal.fixed_at is None:
        return bool(intervals)
    at = to_us(refusal.fixed_at)
    return any(since <= at < until for since, until in intervals)


def covers_span(intervals: Intervals, first_us: int, last_us: int) -> bool:
    """Whether one of the intervals has all of this span, both ends included."""
    return any(since <= first_us and last_us < until for since, until in intervals)
