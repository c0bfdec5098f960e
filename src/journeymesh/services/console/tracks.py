"""A journey's track as columns for scripts: the same answer of journeyapi that the page draws its picture from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from journeymesh.journeys.rules import SpeedingRules
from journeymesh.services.console.charts import SILENCE

_DEGREES_DIGITS: Final = 6
OVER_LIMIT_MPS: Final = SpeedingRules().over_posted_limit_mps
"""How much faster than the posted limit a fix is marked as speeding."""


def columns(fixes: Sequence[Any]) -> dict[str, Any]:
    """Columns by fix, in order of time: ``t`` in seconds since 1970 UTC, ``lat`` and ``lon`` in degrees, ``speed`` and
    ``limit`` in m/s, ``accel`` in m/s², None where a fix does not say; ``over``, 1 where the posted limit is broken.
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
        "over": [int(is_over(*each)) for each in zip(speed, limit, strict=True)],
        "topMps": max((each for each in speed if each is not None), default=0.0) or 1.0,
        "silentAfterS": SILENCE.total_seconds(),
    }


def is_over(speed_mps: float | None, limit_mps: float | None) -> bool:
    """Whether this is speeding, as far as one fix can say."""
    return speed_mps is not None and limit_mps is not None and speed_mps > limit_mps + OVER_LIMIT_MPS


def sampled(fixes: Sequence[Any], most: int) -> Sequence[Any]:
    """Every k-th fix and the last one: at most this many."""
    every = -(-len(fixes) // (most - 1)) if len(fixes) > most else 1
    return fixes if every == 1 else [*fixes[:-1][::every], fixes[-1]]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
