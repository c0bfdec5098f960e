"""What changed between two versions of a journey, in words and units for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from journeymesh.journeys.fields import FIELDS
from journeymesh.reports.units import Units, lasting, percent
from journeymesh.wire.journeys import FieldChange

_UNITS: Final = {field.name: field.unit for field in FIELDS}
_TITLES: Final = {
    field.name: (field.name.removesuffix(f"_{field.unit}") if field.unit else field.name).replace("_", " ")
    for field in FIELDS
}


def shown_changes(changes: Sequence[FieldChange], units: Units) -> list[tuple[str, str, str]]:
    """(what, before, after) of each change, in the units that the page has."""
    return [
        (
            _TITLES.get(each.field, each.field),
            _shown(each.field, each.before, units),
            _shown(each.field, each.after, units),
        )
        for each in changes
    ]


def _shown(name: str, value: Any, units: Units) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return f"{len(value)} entries"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_at") and isinstance(value, str):
        return units.second(datetime.fromisoformat(value))
    match _UNITS.get(name):
        case "m":
            return units.far_named(value)
        case "s":
            return lasting(value)
        case "mps":
            return f"{units.fast(value)} {units.speed}"
        case "share":
            return percent(value)
        case "deg":
            return f"{value:.5f}°"
    return f"{value:g}" if isinstance(value, float) else str(value)
