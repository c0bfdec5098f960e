"""Names of time zones as data has them: IANA's, Windows', and plain offsets."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OFFSET: Final = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_UTC: Final = ("utc", "gmt", "z", "zulu", "etc/utc")
_MOST_HOURS: Final = 18


class UnknownZone(ValueError):
    """No time zone has this name."""


@lru_cache(4096)
def zone(name: str) -> tzinfo:
    """The zone: an IANA name (``Europe/Paris``), a Windows name (``W. Europe Standard Time``), ``UTC``, or an offset
    (``+02:00``, ``UTC+2``).

    Raises:
        UnknownZone: none is called so.
    """
    plain = name.strip()
    if plain.casefold() in _UTC:
        return UTC
    if (offset := _OFFSET.fullmatch(plain)) is not None:
        sign, hours, minutes = offset.groups()
        shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if shift <= timedelta(hours=_MOST_HOURS):
            return timezone(-shift if sign == "-" else shift)
        raise UnknownZone(name)
    from tzlocal.windows_tz import win_tz

    try:
        return ZoneInfo(win_tz.get(plain, plain))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UnknownZone(name) from error


def iana_name(name: str) -> str:
    """The IANA name by which policies are kept: that of a Windows name, ``Etc/GMT-2`` of ``+02:00``; what is one
    already, or has none, as it is."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    else:
        return name
    try:
        found = zone(name)
    except UnknownZone:
        return name
    if isinstance(found, ZoneInfo):
        return found.key
    hours, rest = divmod(found.utcoffset(None) or timedelta(), timedelta(hours=1))
    if rest or not -12 <= hours <= 14:
        return name
    return f"Etc/GMT{-hours:+d}" if hours else "UTC"


def is_zone(name: str) -> bool:
    """Whether a time zone has this name."""
    try:
        zone(name)
    except UnknownZone:
        return False
    return True
