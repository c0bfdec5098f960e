"""Which mapped field is to blame for a refusal, by the reason's code."""

from __future__ import annotations

from typing import Any, Final

from journeymesh.journeys.reasons import Reason
from journeymesh.sources.mapping import FieldMappings

POSITION: Final = ("lat", "lon")
_BLAMED: Final[dict[str, tuple[str, ...]]] = {
    Reason.CLOCK_IMPOSSIBLE.code: ("fixed_at",),
    Reason.CLOCK_FUTURE.code: ("fixed_at",),
    Reason.CLOCK_MISSING.code: ("fixed_at",),
    Reason.CLOCK_UNPARSEABLE.code: ("fixed_at",),
    Reason.VEHICLE_MISSING.code: ("vehicle",),
    Reason.POSITION_MISSING.code: POSITION,
    Reason.POSITION_UNPARSEABLE.code: POSITION,
    Reason.POSITION_OUTSIDE_WORLD.code: POSITION,
    Reason.POSITION_NULL_ISLAND.code: POSITION,
    Reason.POSITION_ZERO.code: POSITION,
    Reason.POSITION_SPIKE.code: POSITION,
    Reason.CONFLICTING_FIX.code: ("vehicle", "fixed_at"),
}
_SHOWS_A_PLACE: Final = (Reason.POSITION_ZERO.code, Reason.POSITION_SPIKE.code, Reason.CONFLICTING_FIX.code)
"""Their details name where or when a vehicle really was, which no message should."""


def paths_of_field(part: Any) -> tuple[str, ...]:
    """The paths that a mapped field reads, in their order; empty where it reads none."""
    several = tuple(getattr(part, "all_paths", ()) or ())
    path = getattr(part, "path", None)
    base = getattr(part, "base", None)
    if not several and path is None and base is not None:
        return paths_of_field(base)
    return several or ((path,) if path is not None else ())


def field_of(reason: str, detail: str, fields: FieldMappings) -> str | None:
    """The field that this refusal is about; None where the reason is about no single one of several."""
    present = fields.present()
    names = [name for name in _BLAMED.get(reason, tuple(present)) if name in present]
    stated = [name for name in names if any(detail.startswith(f"{p}:") for p in (_label(present[name]),))]
    if len(stated) == 1:
        return stated[0]
    return names[0] if len(names) == 1 else None


def blamed(reason: str, detail: str, fields: FieldMappings) -> str:
    """The field or fields to blame, with their paths: ``fixed_at at `ts```. Empty where no field is."""
    present = fields.present()
    one = field_of(reason, detail, fields)
    names = [one] if one is not None else [name for name in _BLAMED.get(reason, ()) if name in present]
    return " and ".join(f"{name} at `{_label(present[name])}`" for name in names)


def shown_detail(reason: str, detail: str) -> str:
    """The detail as a message may show it: without the place of a vehicle."""
    return "" if reason in _SHOWS_A_PLACE else detail


def _label(part: Any) -> str:
    return "+".join(paths_of_field(part))
