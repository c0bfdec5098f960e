"""Texts of clocks: ISO 8601 as systems really write it, and Python's formats."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import Final

from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.zones import UnknownZone, zone

DIRECTIVES: Final = frozenset("aAwdbBmyYHIpMSfzjUWcxXGuV%")
"""What Python's ``strptime`` reads on every machine alike."""
_INSTEAD: Final = {
    "s": "clock: epoch_s",
    "D": "%m/%d/%y",
    "F": "%Y-%m-%d",
    "T": "%H:%M:%S",
    "R": "%H:%M",
    "r": "%I:%M:%S %p",
    "e": "%d",
    "k": "%H",
    "l": "%I",
    "h": "%b",
    "C": "%Y or %y for the year",
    "Z": "%z for offsets, or zone for the name of a time zone",
}
_SHOWN: Final = 60
_ISO: Final = re.compile(
    r"(\d{4})-?(\d\d)-?(\d\d)"
    r"(?:(?:[Tt]|\s+|_|)(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?)?"
    r"(?:\s*([Zz]|[+-]\d\d(?::?\d\d)?))?"
    r"(?:\s*\[([^\]]+)\]|\s+(\S.*))?"
)
_LONG_FRACTION: Final = re.compile(r"([.,]\d{6})\d+")


def format_fault(clock_format: str) -> tuple[str, str] | None:
    """(what is wrong with a strftime format, what to write instead); None where it can be read."""
    directives = re.findall(r"%(.?)", clock_format, re.DOTALL)
    for directive in directives:
        if directive not in DIRECTIVES:
            todo = f"use {_INSTEAD[directive]}" if directive in _INSTEAD else "use the directives of Python's strptime"
            return f"format {clock_format!r} has %{directive}, which cannot be read", todo
    if not set(directives) & set("YyGcx"):
        return f"format {clock_format!r} has no year", "give the directives of a whole date and time"
    if "I" in directives and "p" not in directives:
        return f"format {clock_format!r} has %I without %p", "use %H for hours up to 23, or add %p"
    if "p" in directives and "H" in directives:
        return f"format {clock_format!r} has %p, which means nothing beside %H", "use %I with %p"
    return None


def wall_of_iso(text: str, expected: str = "an ISO 8601 time") -> tuple[datetime, str | None]:
    """(wall clock, the name of the zone that the text gives) of an ISO 8601 text; an aware one where it has an offset.

    Understood besides: a blank for T, a comma for the point, ``z``, digits without signs between them, more digits
    than microseconds, ``[Europe/Paris]`` or a zone's name at the end.

    Raises:
        Unconvertible: it is none.
    """
    fits = _ISO.fullmatch(text.strip())
    if fits is None:
        raise Unconvertible(f"expected {expected}, found {text[:_SHOWN]!r}")
    year, month, day, hour, minute, second, fraction, offset, bracket, name = fits.groups()
    try:
        wall = datetime(  # noqa: DTZ001 - its zone is applied below
            int(year), int(month), int(day), int(hour or 0) % 24, int(minute or 0), int(second or 0),
            int(((fraction or "") + "000000")[:6]),
        )  # fmt: skip
        if hour is not None and int(hour) >= 24:
            if int(hour) > 24 or wall.minute or wall.second or wall.microsecond:
                raise ValueError("hour")
            wall += timedelta(days=1)
        if offset is not None:
            return wall.replace(tzinfo=_offset(offset)), None
        named = bracket or name
        if named is not None:
            zone(named)
        return wall, named
    except (ValueError, OverflowError, UnknownZone):
        raise Unconvertible(f"expected {expected}, found {text[:_SHOWN]!r}") from None


@lru_cache(256)
def _offset(text: str) -> timezone:
    if text in ("Z", "z"):
        return timezone.utc  # noqa: UP017 - the type is timezone
    digits = text[1:].replace(":", "").ljust(4, "0")
    shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    if int(digits[2:]) > 59:
        raise ValueError("minutes")
    return timezone(-shift if text[0] == "-" else shift)


def wall_of_format(text: str, clock_format: str) -> datetime:
    """The wall clock of a text in a format; aware where the format has an offset.

    Raises:
        Unconvertible: it is not written so.
    """
    plain = text.strip()
    if "%f" in clock_format:
        plain = _LONG_FRACTION.sub(r"\1", plain)
    try:
        return datetime.strptime(plain, clock_format.strip())  # noqa: DTZ007 - its zone is applied by the caller
    except (ValueError, OverflowError):
        raise Unconvertible(f"expected a time as {clock_format}, found {text[:_SHOWN]!r}") from None
