"""How far off a position may be, from what recorders say of it: metres, a dilution of precision, valid or not."""

from __future__ import annotations

import msgspec
import numpy as np

from journeymesh.journeys.fixes import F64, I8
from journeymesh.sources.units import UNITS_TO_SI, LengthUnit


class AccuracyField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How far off the position may be, by the recorder's own word: ``path`` and ``unit``."""

    path: str
    unit: LengthUnit = "m"
    scale: float = 1.0
    missing: tuple[str | int | float, ...] | None = None

    @property
    def to_si(self) -> float:
        """Factor to metres."""
        return UNITS_TO_SI[self.unit] * self.scale


class HdopField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The satellites' dilution of precision: ``path``, and the error in metres that 1.0 stands for. It is the accuracy
    where none is reported."""

    path: str
    error_m: float = 5.0
    missing: tuple[str | int | float, ...] | None = None

    @property
    def to_si(self) -> float:
        """Factor to metres."""
        return self.error_m


class ValidField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whether the recorder itself holds the position for valid: ``path``, and which values mean so and which not. Any
    other value is refused."""

    path: str
    valid: tuple[bool | int | float | str, ...] = (True, 1, "A", "valid", "true", "1")
    invalid: tuple[bool | int | float | str, ...] = (False, 0, "V", "invalid", "false", "0")
    missing: tuple[str | int | float, ...] | None = None

    @property
    def on(self) -> tuple[bool | int | float | str, ...]:
        """As of a switch: on is valid."""
        return self.valid

    @property
    def off(self) -> tuple[bool | int | float | str, ...]:
        """As of a switch: off is invalid."""
        return self.invalid


def accuracy_of(accuracy_m: F64 | None, by_hdop_m: F64 | None, valid: I8 | None) -> F64 | None:
    """``Fixes.accuracy_m``: what is reported in metres, else what the dilution comes to; infinite where the position
    is not valid (``valid``: 1 yes, 0 no, -1 not reported). None where nothing of it is reported."""
    known = accuracy_m
    if by_hdop_m is not None:
        known = by_hdop_m if known is None else np.where(np.isnan(known), by_hdop_m, known)
    if valid is not None:
        known = np.where(valid == 0, np.inf, np.nan if known is None else known)
    return known
