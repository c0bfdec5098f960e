"""Fixes that the pass refused, as quarantine keeps them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason

Describe = Callable[[I64], list[str]]
"""Where inputs are, by the numbers that the source gave them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DETAIL: Final = {
    Reason.CLOCK_IMPOSSIBLE: "device clock {fixed_at} is before any recorder was built",
    Reason.CLOCK_FUTURE: "device clock {fixed_at} is ahead of its receipt or of now",
    Reason.POSITION_MISSING: "latitude {lat_deg}, longitude {lon_deg}",
    Reason.POSITION_OUTSIDE_WORLD: "latitude {lat_deg}, longitude {lon_deg}",
    Reason.POSITION_NULL_ISLAND: "latitude and longitude are exactly 0",
    Reason.POSITION_ZERO: "latitude {lat_deg}, longitude {lon_deg}: a zero that implies an impossible jump",
    Reason.POSITION_SPIKE: "latitude {lat_deg}, longitude {lon_deg}: an impossible jump that was not confirmed",
    Reason.CONFLICTING_FIX: "another fix at {fixed_at} comes first",
    Reason.FIXES_NOT_KEPT: "a late fix touches a journey whose own fixes are no longer kept",
}


def refusals_of(fixes: Fixes, reasons: npt.NDArray[np.uint8], describe: Describe) -> list[Refusal]:
    """One refusal per fix. ``fixes.origin`` below 0 means a fix that the store kept, or one of unknown origin."""
    if not len(fixes):
        return []
    origins = _origins(fixes, describe)
    columns = {name: column.tolist() for name, column in fixes.columns() if name not in ("vehicle", "origin")}
    refusals = []
    for row, (code, reason) in enumerate(zip(fixes.vehicle.tolist(), reasons.tolist(), strict=True)):
        content = {name: _plain(values[row]) for name, values in columns.items()}
        content["vehicle"] = fixes.vehicles[code]
        fixed_at = _instant(columns["fixed_at_us"][row])
        shown = {name: "absent" if value is None else value for name, value in content.items()}
        shown["fixed_at"] = fixed_at.isoformat() if fixed_at else content["fixed_at_us"]
        refusals.append(
            Refusal(
                reason=Reason(reason).code,
                origin=origins[row],
                detail=_DETAIL[Reason(reason)].format(**shown),
                vehicle=fixes.vehicles[code],
                fixed_at=fixed_at,
                lat_deg=content["lat_deg"],
                lon_deg=content["lon_deg"],
                content=json.dumps({k: v for k, v in content.items() if v is not None}, ensure_ascii=False),
            )
        )
    return refusals


def _origins(fixes: Fixes, describe: Describe) -> list[str]:
    names = ["unknown"] * len(fixes)
    if fixes.origin is None:
        return names
    known = np.flatnonzero(fixes.origin >= 0)
    for row, name in zip(known.tolist(), describe(fixes.origin[known]) if len(known) else [], strict=True):
        names[row] = name
    for row in np.flatnonzero(fixes.origin < -1).tolist():
        names[row] = "kept fixes"
    return names


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if value == NOT_REPORTED_US else value


def _instant(at_us: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return None
