"""A journey's track as columns for scripts: the same answer of journeyapi that the page draws its picture from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from journeymesh.journeys.rules import VERSIONS, SpeedingRules
from journeymesh.services.console.charts import SILENCE

_DEGREES_DIGITS: Final = 6


def speeding_rules(version: str | None) -> SpeedingRules | None:
    """How much faster than the posted limit, and for how long, is speeding by the rules that made a journey; None: they
    are rules of somebody's own, whose numbers are in no store, or the viewer may not know which."""
    rules = VERSIONS.get(version or "")
    return None if rules is None else rules.speeding


def columns(fixes: Sequence[Any], rules: SpeedingRules | None) -> dict[str, Any]:
    """Columns by fix, in order of time: ``t`` in seconds since 1970 UTC, ``lat`` and ``lon`` in degrees, ``speed`` and
    ``limit`` in m/s, ``accel`` in m/s², None where a fix does not say; ``over``, 1 where the posted limit is broken by
    these rules.
    ``topMps``: the highest speed; ``silentAfterS``: neighbours further apart than this have a silence between them.
    """
    speed = [row.get("speed_mps") for row in fixes]
    limit = [row.get("speed_limit_mps") for row in fixes]
    return {
        "t": [round(row["fixed_at"].timestamp(), 3) for row in fixes],
        "lat": [_rounded(row.get("lat_deg"), _DEGREES_DIGITS) for row in fixes],
        "lon": [_rounded(row.get("lon_deg"), _DEGREES_DIGITS) for row in fixes],
        "speed": [_rounded(each, 2) for each in speed],
        "limit": [_rounded(each, 2) for each in limit],
        "accel": [_rounded(row.get("accel_longitudinal_mps2"), 2) for row in fixes],
        "over": over(fixes, rules),
        "topMps": max((each for each in speed if each is not None), default=0.0) or 1.0,
        "silentAfterS": SILENCE.total_seconds(),
    }


def over(fixes: Sequence[Any], rules: SpeedingRules | None) -> list[int]:
    """1 for each fix of a part of the way that broke the posted limit for as long as the rules ask, else 0. Without
    rules nothing is marked."""
    found, first = [0] * len(fixes), 0
    if rules is None:
        return found
    tolerated_mps = rules.over_posted_limit_mps
    broken = [_breaks(row.get("speed_mps"), row.get("speed_limit_mps"), tolerated_mps) for row in fixes]
    for k in range(len(fixes) + 1):
        if k < len(fixes) and broken[k]:
            continue
        if k > first and (fixes[k - 1]["fixed_at"] - fixes[first]["fixed_at"]).total_seconds() >= rules.min_duration_s:
            found[first:k] = [1] * (k - first)
        first = k + 1
    return found


def _breaks(speed_mps: float | None, limit_mps: float | None, tolerated_mps: float) -> bool:
    return speed_mps is not None and limit_mps is not None and speed_mps > limit_mps + tolerated_mps


def sampled(fixes: Sequence[Any], marks: Sequence[int], most: int) -> list[tuple[Any, int]]:
    """Every k-th fix and the last one, at most this many, each with its mark: whether it is over the limit."""
    marked = list(zip(fixes, marks, strict=True))
    every = -(-len(fixes) // (most - 1)) if len(fixes) > most else 1
    return marked if every == 1 else [*marked[:-1][::every], marked[-1]]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
