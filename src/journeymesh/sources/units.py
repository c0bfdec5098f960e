"""The units that a mapping may name, and what they are in SI."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

SpeedUnit = Literal["km/h", "mph", "knots", "m/s"]
AccelUnit = Literal["g", "m/s2"]
AngleUnit = Literal["deg"]
DistanceUnit = Literal["miles", "km", "m"]
LengthUnit = Literal["m", "ft"]
DurationUnit = Literal["h", "min", "s", "ms"]

UNITS_TO_SI: Final[dict[str, float]] = {
    "km/h": 1 / 3.6,
    "mph": 0.44704,
    "knots": 1852 / 3600,
    "m/s": 1.0,
    "g": 9.80665,
    "m/s2": 1.0,
    "deg": 1.0,
    "miles": 1609.344,
    "km": 1000.0,
    "m": 1.0,
    "ft": 0.3048,
}
"""What one of the unit is in m/s, m/s², degrees or metres."""

UNITS_TO_S: Final[dict[str, float]] = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 0.001}
"""What one of the unit is in seconds."""

_WRITTEN: Final[dict[str, str]] = {
    "km/h": "km/h", "kmh": "km/h", "kph": "km/h", "kmph": "km/h", "km/hr": "km/h", "km/std": "km/h",
    "mph": "mph", "mi/h": "mph", "mi/hr": "mph", "miles/h": "mph",
    "kn": "knots", "kt": "knots", "kts": "knots", "knot": "knots", "knots": "knots",
    "m/s": "m/s", "mps": "m/s", "m/sec": "m/s",
    "g": "g", "m/s2": "m/s2", "m/s²": "m/s2", "m/s^2": "m/s2",
    "°": "deg", "º": "deg", "deg": "deg", "degree": "deg", "degrees": "deg",
    "m": "m", "meter": "m", "meters": "m", "metre": "m", "metres": "m", "ft": "ft", "feet": "ft",
}  # fmt: skip
"""How people write a unit behind a number, and which it is."""
_ALIKE: Final = (
    frozenset({"km/h", "mph", "knots", "m/s"}), frozenset({"g", "m/s2"}), frozenset({"deg"}), frozenset({"m", "ft"}),
)  # fmt: skip
"""Units of one kind each."""
_MEASURED: Final = re.compile(r"\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+))\s*([^\d\s.,+-][^,]{0,11}?)\.?\s*")
_POINTS: Final = (
    "n", "nne", "ne", "ene", "e", "ese", "se", "sse", "s", "ssw", "sw", "wsw", "w", "wnw", "nw", "nnw",
)  # fmt: skip


def measured(text: str) -> tuple[float, str] | None:
    """(number, unit) of a text such as ``54 km/h`` or ``33.5mph``; None for any other. A comma is a decimal one, unless
    three digits stand behind it, which may be thousands."""
    found = _MEASURED.fullmatch(text) if len(text) <= 40 else None
    unit = None if found is None else _WRITTEN.get(found[2].casefold())
    if found is None or unit is None:
        return None
    _, comma, decimals = found[1].partition(",")
    if comma and len(decimals) == 3:
        return None
    return float(found[1].replace(",", ".")), unit


def in_unit_of(field: Any, text: str) -> float | None:
    """The number that a field with this ``unit`` and ``scale`` would have for a text with a unit of its own; None where
    the text has none, or one that measures something else."""
    found = measured(text)
    if found is None:
        return None
    value, unit = found
    if not any({unit, field.unit} <= alike for alike in _ALIKE):
        return None
    same = 1.0 if unit == field.unit else UNITS_TO_SI[unit] / UNITS_TO_SI[field.unit]
    return value * same / float(field.scale)


def compass_point(text: str) -> float | None:
    """The degrees from north of ``NE`` or ``SSW``; None for any other text."""
    plain = text.strip().casefold()
    return _POINTS.index(plain) * 22.5 if plain in _POINTS else None
