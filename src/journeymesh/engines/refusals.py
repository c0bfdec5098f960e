"""Fixes that the pass refused, as quarantine keeps them."""

from __future__ import annotations

import json
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
_REASONS: Final = {int(reason): reason for reason in Reason}
_json = json.JSONEncoder(ensure_ascii=False).encode
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
    columns = {name: _plain(column) for name, column in fixes.columns() if name not in ("vehicle", "origin")}
    names = (*columns, "vehicle")
    vehicles = [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
    instants = [_instant(at_us) for at_us in fixes.fixed_at_us.tolist()]
    rows = zip(*columns.values(), vehicles, strict=True)
    refusals = []
    for row, origin, fixed_at, given in zip(rows, origins, instants, reasons.tolist(), strict=True):
        content = {name: value for name, value in zip(names, row, strict=True) if value is not None}
        reason = _REASONS[given]
        refusals.append(
            Refusal(
                reason=reason.code,
                origin=origin,
                detail=_DETAIL[reason].format(
                    lat_deg=content.get("lat_deg", "absent"),
                    lon_deg=content.get("lon_deg", "absent"),
                    fixed_at=fixed_at.isoformat() if fixed_at else content.get("fixed_at_us"),
                ),
                vehicle=content["vehicle"],
                fixed_at=fixed_at,
                lat_deg=content.get("lat_deg"),
                lon_deg=content.get("lon_deg"),
                content=_json(content),
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


def _plain(column: npt.NDArray[np.generic]) -> list[Any]:
    """The values as JSON has them; None where there is none."""
    values: list[Any] = column.tolist()
    absent = ~np.isfinite(column) if column.dtype == np.float64 else column == NOT_REPORTED_US
    for row in np.flatnonzero(absent).tolist():
        values[row] = None
    return values


def _instant(at_us: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(microseconds=at_us)
    except OverflowError:
        return None
