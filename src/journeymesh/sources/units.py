"""The units that a mapping may name, and what they are in SI."""

from __future__ import annotations

from typing import Final, Literal

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
