"""One clock at a time, in Python: what the mapping's clocks mean. Readers with columns use it where they are unsure."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from journeymesh.journeys.fixes import F64, I64
from journeymesh.journeys.local_time import transitions
from journeymesh.sources import zones
from journeymesh.sources.clock_texts import wall_of_format, wall_of_iso
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, is_nan, kind_of, number, shown
from journeymesh.sources.mapping_fields import BaseClock, ClockField
from journeymesh.sources.zones import is_zone

FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_999_999
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - wall clocks are counted, in no zone
_US: Final = timedelta(microseconds=1)
_MIXED: Final = "mixed"
_MIXED_UNITS: Final = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))
"""(below which number, µs in one of it) of numbers since 1970 that do not say their unit: seconds up to the year 5138,
then milliseconds, which are as large from 1973 on, and so forth."""
_UNITS_US: Final = {
    "epoch_s": 1e6,
    "epoch_ms": 1e3,
    "epoch_us": 1.0,
    "epoch_ns": 1e-3,
    "excel_days": 86_400e6,  # rounded to the milliseconds that spreadsheets have
    "offset_s": 1e6,
    "offset_ms": 1e3,
    "offset_min": 60e6,
}
_EXCEL_US: Final = -25_569 * 86_400_000_000


def unit_us(clock: ClockField | BaseClock) -> float:
    """How many µs one of the clock's number is, for the clocks that are numbers of one unit."""
    return _UNITS_US[clock.clock]


def counted_us(numbers: F64, clock: ClockField | BaseClock) -> F64:
    """Whole µs since 1970 (or since the base, or on the wall) of a clock's numbers; NaN stays."""
    if clock.clock == "excel_days":
        return np.rint(numbers * 86_400e3) * 1e3 + _EXCEL_US
    if clock.clock == _MIXED:
        size = np.searchsorted([most for most, _ in _MIXED_UNITS], np.abs(numbers), "right")
        units = np.array([unit for _, unit in _MIXED_UNITS])
        return np.rint(numbers * units[np.minimum(size, len(units) - 1)])  # type: ignore[no-any-return]
    return np.rint(numbers * unit_us(clock))


def is_number(clock: ClockField | BaseClock) -> bool:
    """Whether the clock is written as a number."""
    return clock.clock in _UNITS_US or clock.clock == _MIXED


def is_local(clock: ClockField | BaseClock) -> bool:
    """Whether the clock's dates and numbers are wall clocks of its zone, not instants: dates are where a zone is
    given for them, days of a spreadsheet always."""
    zoned = clock.zone is not None or clock.zone_path is not None
    return clock.clock == "excel_days" or (clock.clock == "bson_date" and zoned)


def clock_us(value: object, clock: ClockField | BaseClock, zone: str | None = None, base_us: int = 0) -> int | None:
    """The instant in µs since 1970 UTC; None where the value is missing.

    ``value`` is a datetime (one without a zone is local time), a number, or a text (several paths' joined by a
    space); ``zone`` is what the document itself names at ``zone_path``; ``base_us`` what offsets count from.

    Raises:
        Unconvertible: saying what was expected and found.
    """
    if value is None or (isinstance(value, str) and not value.strip()) or is_nan(value):
        return None
    if clock.missing and Markers.of(clock.missing).has(value):
        return None
    if isinstance(value, date):
        return _date_us(value, clock, zone)
    if is_number(clock) and not (clock.clock == _MIXED and isinstance(value, str) and _is_text_of_time(value)):
        return _counted_us(value, clock, zone, base_us)
    if isinstance(value, int | float | Decimal) and clock.clock in ("iso8601", "strftime"):
        value = identifier(value)  # 20240506, refused where it has a fraction
    if not isinstance(value, str):
        expected = "a date" if clock.clock == "bson_date" else "a text"
        raise Unconvertible(f"expected {expected}, found {kind_of(value)}")
    named: str | None = None
    if clock.clock == "strftime":
        wall = wall_of_format(value, clock.format or "")
    else:
        wall, named = wall_of_iso(value, "a date" if clock.clock == "bson_date" else "an ISO 8601 time")
    if wall.tzinfo is not None:
        utc_us = (wall - _EPOCH.replace(tzinfo=UTC)) // _US
        if not FIRST_US <= utc_us <= LAST_US:  # the first or the last day, by its offset
            raise Unconvertible(f"{shown(value)} lies outside the calendar")
        return utc_us
    return _utc((wall - _EPOCH) // _US, named or zone_of(clock, zone), clock.fold, value)


def _is_text_of_time(text: str) -> bool:
    """Whether a text under ``mixed`` is no number."""
    try:
        number(text)
    except Unconvertible:
        return True
    return False


def marked_us(clock: ClockField | BaseClock) -> list[int]:
    """The instants that the clock's missing markers say, where it is a text or a date: 0001-01-01, 1970-01-01."""
    plain = replace(clock, missing=())
    found = []
    for word in () if is_number(clock) else Markers.of(clock.missing).words:
        with contextlib.suppress(Unconvertible):
            if (at := clock_us(word, plain)) is not None:
                found.append(at)
    return found


def clock_us_at(value_at: Callable[[str], object], clock: ClockField | BaseClock, base_us: int = 0) -> int | None:
    """The instant of a clock whose values, and the name of its time zone, are reached by their paths; as `clock_us`."""
    zone = None if clock.zone_path is None else value_at(clock.zone_path)
    value = joined([value_at(path) for path in clock.all_paths])
    return clock_us(value, clock, None if zone is None else str(zone), base_us)


def joined(parts: Sequence[object]) -> object:
    """The value of a clock: of one path what is there, of several their texts joined by a space, None where one lacks.

    Raises:
        Unconvertible: a part is neither a text, a whole number nor a date.
    """
    if len(parts) == 1:
        return parts[0]
    texts: list[str] = []
    for part in parts:
        if part is None or is_nan(part) or (isinstance(part, str) and not part.strip()):
            return None
        if isinstance(part, datetime) or not isinstance(part, str | int | date | time) or isinstance(part, bool):
            raise Unconvertible(f"expected texts to join, found {kind_of(part)}")
        texts.append(
            part if isinstance(part, str) else part.isoformat() if isinstance(part, date | time) else str(part)
        )
    return " ".join(texts)


def _date_us(value: date, clock: ClockField | BaseClock, zone: str | None) -> int:
    at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if at.tzinfo is not None and not is_local(clock):
        return (at - _EPOCH.replace(tzinfo=UTC)) // _US
    wall = at if at.tzinfo is None else at.astimezone(UTC).replace(tzinfo=None)
    return _utc((wall - _EPOCH) // _US, zone_of(clock, zone), clock.fold, value)


def _counted_us(value: object, clock: ClockField | BaseClock, zone: str | None, base_us: int) -> int | None:
    with np.errstate(over="ignore"):
        counted = float(counted_us(np.float64(number(value)), clock))  # type: ignore[arg-type]
    if math.isnan(counted):
        return None
    if not FIRST_US <= counted <= LAST_US or not FIRST_US <= counted + base_us <= LAST_US:
        raise Unconvertible(f"{shown(value)} lies outside the calendar")
    if is_local(clock):
        return _utc(int(counted), zone_of(clock, zone), clock.fold, value)
    return int(counted) + base_us


def _utc(wall_us: int, zone: str, fold: str, value: object) -> int:
    utc, skipped = utc_of_local(np.array([wall_us], np.int64), zone, fold)
    if skipped[0]:
        raise Unconvertible(f"{str(value)[:60]!r} does not exist in {zone}: clocks were put forward over it")
    if not FIRST_US <= utc[0] <= LAST_US:
        raise Unconvertible(f"{str(value)[:60]!r} lies outside the calendar")
    return int(utc[0])


def zone_of(clock: ClockField | BaseClock, zone: str | None) -> str:
    """The zone of the clock's local times, given what the document names.

    Raises:
        Unconvertible: it names none and the mapping has no other, or one that does not exist.
    """
    name = (zone or "").strip() or clock.zone
    if name is None:
        if clock.zone_path is not None:
            raise Unconvertible(f"{clock.zone_path}: the time zone is missing")
        return "UTC"
    if not is_zone(name):
        raise Unconvertible(f"{clock.zone_path}: unknown time zone {name[:40]!r}")
    return name


@cache
def _wall_table(zone: str, fold: str) -> tuple[I64, I64]:
    """Where on the wall clock each offset begins; an offset of int64's minimum marks time that clocks skip."""
    known = zones.zone(zone)
    if not isinstance(known, ZoneInfo):  # an offset
        offset = known.utcoffset(None)
        assert offset is not None
        return np.array([np.iinfo(np.int64).min], np.int64), np.array([offset // _US], np.int64)
    starts, offsets = transitions(str(known))
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
    """(UTC, skipped) of wall clock times in a zone: int64[n] in µs since 1970, and bool[n].

    ``skipped`` where no such time exists there; its UTC is then the wall clock's own number. ``fold`` is which of two
    equal wall clock times is meant, ``earlier`` or ``later``. Offsets change as they do from 1990 to 2060: before and
    after that, the first and the last of them hold.

    Raises:
        UnknownZone: there is no such zone.
    """
    if zone == "UTC":
        return local_us, np.zeros(len(local_us), np.bool_)
    walls, shifts = _wall_table(zone, fold)
    shift = shifts[np.searchsorted(walls, local_us, "right") - 1]
    skipped = shift == np.iinfo(np.int64).min
    return local_us - np.where(skipped, 0, shift), skipped
