"""One clock at a time, in Python: what the mapping's clocks mean. Readers with columns use it where they are unsure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import I64
from journeymesh.journeys.local_time import transitions
from journeymesh.sources.mapping import BaseClock, ClockField

FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_999_999
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clocks are counted, in no zone
_UNITS_US: Final = {"epoch_s": 1e6, "epoch_ms": 1e3, "offset_s": 1e6, "offset_ms": 1e3}


class Unconvertible(ValueError):
    """A value that its mapping cannot make sense of; the text says why."""


def number(value: object) -> float:
    """A number, or the text of one; NaN where there is none.

    Raises:
        Unconvertible: for anything else.
    """
    match value:
        case None:
            return math.nan
        case bool():
            pass
        case Decimal() if value.is_nan():  # a signalling one refuses to be a float
            return math.nan
        case int() | float() | Decimal():
            return float(value)
        case str() if not value.strip():
            return math.nan
        case str() if "_" not in value:
            try:
                return float(value)
            except ValueError:
                raise Unconvertible(f"{value[:40]!r} is not a number") from None
    raise Unconvertible(f"{str(value)[:40]!r} is not a number")


def unit_us(clock: ClockField | BaseClock) -> float:
    """How many µs one of the clock's number is, for the clocks that are numbers."""
    return _UNITS_US[clock.clock]


def is_number(clock: ClockField | BaseClock) -> bool:
    """Whether the clock is written as a number."""
    return clock.clock in _UNITS_US


def clock_us(value: object, clock: ClockField | BaseClock, zone: str | None = None, base_us: int = 0) -> int | None:
    """The instant in µs since 1970 UTC; None where the value is missing.

    ``value`` is a datetime (one without a zone is in UTC), a number, or a text (several paths' joined by a space);
    ``zone`` is what the document itself names at ``zone_path``; ``base_us`` what offsets count from.

    Raises:
        Unconvertible: saying what was expected and found.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=UTC)
        return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    if is_number(clock):
        counted = number(value) * unit_us(clock)
        if math.isnan(counted):
            return None
        if not FIRST_US <= counted <= LAST_US or not FIRST_US <= counted + base_us <= LAST_US:
            raise Unconvertible(f"{str(value)[:40]} lies outside the calendar")
        return round(counted) + base_us
    if clock.clock == "bson_date" or not isinstance(value, str):
        expected = "a date" if clock.clock == "bson_date" else "a text"
        raise Unconvertible(f"expected {expected}, found {str(value)[:40]!r}")
    return _text_us(value, clock, zone)


def _text_us(text: str, clock: ClockField | BaseClock, zone: str | None) -> int:
    try:
        if clock.clock == "iso8601":
            wall = datetime.fromisoformat(text.strip())
        else:
            wall = datetime.strptime(text, clock.format or "")  # noqa: DTZ007 - its zone is applied below
    except (ValueError, OverflowError):
        expected = "an ISO 8601 time" if clock.clock == "iso8601" else f"a time as {clock.format}"
        raise Unconvertible(f"expected {expected}, found {text[:60]!r}") from None
    if wall.tzinfo is not None:
        return (wall - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    local = np.array([(wall - _EPOCH) // timedelta(microseconds=1)], np.int64)
    name = zone_of(clock, zone)
    utc, skipped = utc_of_local(local, name, clock.fold)
    if skipped[0]:
        raise Unconvertible(f"{text[:60]!r} does not exist in {name}: clocks were put forward over it")
    return int(utc[0])


def zone_of(clock: ClockField | BaseClock, zone: str | None) -> str:
    """The zone of the clock's local times, given what the document names.

    Raises:
        Unconvertible: it names none and the mapping has no other, or one that does not exist.
    """
    name = zone or clock.zone
    if name is None:
        if clock.zone_path is not None:
            raise Unconvertible(f"{clock.zone_path}: the time zone is missing")
        return "UTC"
    if not _is_zone(name):
        raise Unconvertible(f"{clock.zone_path}: unknown time zone {name[:40]!r}")
    return name


@cache
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@cache
def _wall_table(zone: str, fold: str) -> tuple[I64, I64]:
    """Where on the wall clock each offset begins; an offset of int64's minimum marks time that clocks skip."""
    starts, offsets = transitions(zone)
    walls = [np.iinfo(np.int64).min]
    shifts = [int(offsets[0])]
    for at, before, after in zip(starts[1:].tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        if after > before:
            walls += [at + before, at + after]
            shifts += [np.iinfo(np.int64).min, after]
        else:
            walls.append(at + (before if fold == "earlier" else after))
            shifts.append(after)
    return np.array(walls, np.int64), np.array(shifts, np.int64)


def utc_of_local(local_us: I64, zone: str, fold: str = "earlier") -> tuple[I64, npt.NDArray[np.bool_]]:
    """(UTC, skipped) of wall clock times in a zone, int64[n] in µs; skipped where no such time exists there."""
    if zone == "UTC":
        return local_us, np.zeros(len(local_us), np.bool_)
    walls, shifts = _wall_table(zone, fold)
    shift = shifts[np.searchsorted(walls, local_us, "right") - 1]
    skipped = shift == np.iinfo(np.int64).min
    return local_us - np.where(skipped, 0, shift), skipped
