"""What of fixes, refusals and places tombstones cover: the one rule, for stores and for sources."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason
from journeymesh.keys.tombstones import Intervals, Tombstones

Mask = np.ndarray[Any, np.dtype[np.bool_]]
POLICY_REASONS: Final = (Reason.POLICY_UNUSABLE.code, Reason.POLICY_CONTRADICTS.code)
"""Why a policy is refused."""


def uncovered_fixes(fixes: Fixes, tombstones: Tombstones) -> Mask:
    """bool[n]: which fixes no tombstone covers."""
    covered = tombstones.refused_intervals_of(fixes.vehicles)
    kept = np.ones(len(fixes), np.bool_)
    for code, name in enumerate(fixes.vehicles):
        for since, until in covered.get(name, ()):
            at = fixes.fixed_at_us
            kept &= ~((fixes.vehicle == code) & (at >= since) & (at < until))
    return kept


def uncovered_refusals(refusals: Sequence[Refusal], tombstones: Tombstones, tenants: Sequence[str]) -> list[Refusal]:
    """Those that no tombstone covers, in their order.

    Refused policies name no vehicle: covered is one that has the number of a treated policy among its values, and its
    tenant there or among ``tenants``. When it was to be in force may be what could not be read.
    """
    covered = tombstones.refused_intervals_of([each.vehicle for each in refusals if each.vehicle is not None])
    left = [each for each in refusals if not covers_refusal(each, covered)]
    of_policies = [place for place, each in enumerate(left) if each.reason in POLICY_REASONS and each.content]
    if not of_policies:
        return left
    named = tombstones.naming_treated([list(texts_in(left[place].content or "")) for place in of_policies], tenants)
    going = {place for place, names_one in zip(of_policies, named, strict=True) if names_one}
    return [each for place, each in enumerate(left) if place not in going]


def texts_in(content: str) -> Iterator[str]:
    """The values of refused input, JSON or a line of values, as texts."""
    try:
        waiting = [json.loads(content)]
    except (ValueError, RecursionError):
        yield from re.split(r"[,;|\t\r\n\"']", content)
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list):
            waiting.extend(value.values() if isinstance(value, dict) else value)
        else:
            yield str(value)


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
