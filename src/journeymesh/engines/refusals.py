"""Fixes that the pass refused, as quarantine keeps them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from journeymesh.instants import from_us
from journeymesh.journeys.fixes import I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.journey import Refusal, fix_key
from journeymesh.journeys.reasons import Reason
from journeymesh.stores.port import RefusalQuery, Store

Describe = Callable[[I64], list[str]]
"""Where inputs are, by the numbers that the source gave them."""

_IDS_AT_ONCE: Final = 5_000
_CODES: Final = {int(reason): reason.code for reason in Reason}
_json = json.JSONEncoder(ensure_ascii=False).encode
_DETAIL: Final[dict[int, str]] = {
    Reason.CLOCK_IMPOSSIBLE: "device clock {fixed_at} is before any recorder was built",
    Reason.CLOCK_FUTURE: "device clock {fixed_at} is ahead of its receipt or of now",
    Reason.POSITION_MISSING: "latitude {lat_deg}, longitude {lon_deg}",
    Reason.POSITION_OUTSIDE_WORLD: "latitude {lat_deg}, longitude {lon_deg}",
    Reason.POSITION_NULL_ISLAND: "latitude and longitude are exactly 0",
    Reason.POSITION_ZERO: "latitude {lat_deg}, longitude {lon_deg}: a zero that implies an impossible jump",
    Reason.POSITION_SPIKE: "latitude {lat_deg}, longitude {lon_deg}: an impossible jump that was not confirmed",
    Reason.POSITION_INACCURATE: "by the recorder's own word the position is not valid, or too far off to be of use",
    Reason.CONFLICTING_FIX: "another fix at {fixed_at} comes first",
    Reason.FIXES_NOT_KEPT: "a late fix touches a journey whose own fixes are no longer kept",
}


def refusals_of(fixes: Fixes, reasons: npt.NDArray[np.uint8], describe: Describe) -> list[Refusal]:
    """One refusal per fix. ``fixes.origin`` below 0 means a fix that the store kept, or one of unknown origin."""
    if not len(fixes):
        return []
    reported = {name: _plain(column) for name, column in fixes.columns() if name not in ("vehicle", "origin")}
    vehicles = [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
    contents = zip(
        *(_cells(name, values) for name, values in reported.items()), _cells("vehicle", vehicles), strict=True
    )
    return [
        Refusal(
            reason=_CODES[given],
            origin=origin,
            detail=_detail(given, fixed_at, lat_deg, lon_deg),
            vehicle=vehicle,
            fixed_at=fixed_at if isinstance(fixed_at, datetime) else None,
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            content="{" + ", ".join(filter(None, content)) + "}",
            input_key=key,
        )
        for given, origin, vehicle, fixed_at, lat_deg, lon_deg, content, key in zip(
            reasons.tolist(),
            _origins(fixes, describe),
            vehicles,
            map(_instant, fixes.fixed_at_us.tolist()),
            reported["lat_deg"],
            reported["lon_deg"],
            contents,
            _keys(fixes, vehicles),
            strict=True,
        )
    ]


def former_ids(refusals: Sequence[Refusal], store: Store) -> list[str]:
    """The ids under which the store has these very inputs since rows of files were known by their line alone. They are
    to be withdrawn where these refusals are put: nothing is to be in quarantine twice."""
    former = {refusal.former_id: refusal for refusal in refusals}
    former.pop(None, None)
    ids = [each for each in former if each is not None]
    found = []
    for start in range(0, len(ids), _IDS_AT_ONCE):
        query = RefusalQuery(among=tuple(ids[start : start + _IDS_AT_ONCE]))
        found += [each for each, stands in store.refusals(query) if stands.content == former[each].content]
    return found


def _keys(fixes: Fixes, vehicles: Sequence[str]) -> Iterator[str]:
    """``fix_key`` of each fix."""
    columns = {name: column for name, column in fixes.columns() if name not in ("vehicle", "origin", "received_at_us")}
    for vehicle, *values in zip(vehicles, *(column.tolist() for column in columns.values()), strict=True):
        named = zip(columns, values, strict=True)
        yield fix_key(vehicle, {n: v for n, v in named if v == v and (v != -1 or n != "ignition")})  # noqa: PLR0124


def _detail(given: int, fixed_at: datetime | int, lat_deg: float | None, lon_deg: float | None) -> str:
    """What is wrong with a fix, in words."""
    text = _DETAIL[given]
    if "{fixed_at}" in text:
        return text.format(fixed_at=fixed_at.isoformat() if isinstance(fixed_at, datetime) else fixed_at)
    return text.format(
        lat_deg="absent" if lat_deg is None else lat_deg, lon_deg="absent" if lon_deg is None else lon_deg
    )


def _cells(name: str, values: Sequence[str | float | None]) -> list[str]:
    """``"name": value`` of each value as JSON has it; empty where there is none."""
    quoted = {value: _json(value) for value in set(values) if isinstance(value, str)}
    return ["" if v is None else f'"{name}": {quoted[v] if isinstance(v, str) else repr(v)}' for v in values]


def _origins(fixes: Fixes, describe: Describe) -> list[str]:
    names = ["unknown"] * len(fixes)
    origins = fixes.origins
    if origins is None:
        return names
    known = np.flatnonzero(origins >= 0)
    for row, name in zip(known.tolist(), describe(origins[known]) if len(known) else [], strict=True):
        names[row] = name
    for row in np.flatnonzero(origins < -1).tolist():
        names[row] = "kept fixes"
    return names


def _plain(column: npt.NDArray[np.generic]) -> list[Any]:
    """The values as JSON has them; None where there is none."""
    values: list[Any] = column.tolist()
    absent = ~np.isfinite(column) if column.dtype == np.float64 else column == NOT_REPORTED_US
    for row in np.flatnonzero(absent).tolist():
        values[row] = None
    return values


def _instant(at_us: int) -> datetime | int:
    """The instant; as it was given where a calendar does not reach."""
    try:
        return from_us(at_us)
    except OverflowError:
        return at_us
