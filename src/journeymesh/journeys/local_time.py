"""Local clocks as columns: the offset of a time zone at each instant, daylight saving right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from journeymesh.journeys.fixes import I64
from journeymesh.kernels.compiled import compiled

US_PER_S: Final = 1_000_000
HOUR_US: Final = 3600 * US_PER_S
DAY_US: Final = 24 * HOUR_US
_FIRST: Final = datetime(1990, 1, 1, tzinfo=UTC)
_LAST: Final = datetime(2060, 1, 1, tzinfo=UTC)
_PROBE: Final = timedelta(days=7)
_MONDAY_SHIFT_H: Final = 72  # 1970-01-01 was a Thursday


@cache
def transitions(zone: str) -> tuple[I64, I64]:
    """The instants (int64[n], µs) at which a zone's UTC offset changes, and the offset (int64[n], µs) from then on.

    The first entry stands for all earlier time. Found by probing the zone's offset each week from 1990 to 2060 and
    halving the intervals in which it changed, for the standard library does not give them away.
    """
    clock = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(clock).utcoffset() or timedelta(0)

    starts, offsets = [np.iinfo(np.int64).min], [offset(_FIRST)]
    probe = _FIRST
    while probe < _LAST:
        following = probe + _PROBE
        if offset(following) != offsets[-1]:
            low, high = int(probe.timestamp()), int(following.timestamp())
            while high - low > 1:
                middle = (low + high) // 2
                if offset(datetime.fromtimestamp(middle, UTC)) == offsets[-1]:
                    low = middle
                else:
                    high = middle
            starts.append(high * US_PER_S)
            offsets.append(offset(following))
        probe = following
    return np.array(starts, np.int64), np.array([o // timedelta(microseconds=1) for o in offsets], np.int64)


@dataclass(frozen=True, slots=True)
class ZoneTable:
    """The transitions of several zones, one after the other: zone z has entries ``first[z]:first[z + 1]``."""

    names: tuple[str, ...]
    first: I64
    start_us: I64
    offset_us: I64

    @staticmethod
    @lru_cache(64)
    def of(names: tuple[str, ...]) -> ZoneTable:
        """The table of these IANA zones."""
        parts = [transitions(name) for name in names]
        first = np.cumsum([0, *(len(starts) for starts, _ in parts)]).astype(np.int64)
        return ZoneTable(names, first, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))


def local_us(zone: str, instants_us: I64) -> I64:
    """Local wall clocks (int64[n], µs since 1970 local) of instants (int64[n], µs UTC)."""
    starts, offsets = transitions(zone)
    return instants_us + offsets[np.searchsorted(starts, instants_us, side="right") - 1]


@compiled
def local_hour(zone, at_us, zone_first, zone_start_us, zone_offset_us):
    """(hour of the local week 0–167 from Monday 00:00, the instant in µs until which it holds)."""
    low, high = zone_first[zone], zone_first[zone + 1]
    end = high
    while high - low > 1:
        middle = (low + high) // 2
        if zone_start_us[middle] <= at_us:
            low = middle
        else:
            high = middle
    offset = zone_offset_us[low]
    hours = (at_us + offset) // HOUR_US
    until = (hours + 1) * HOUR_US - offset
    if low + 1 < end and zone_start_us[low + 1] < until:
        until = zone_start_us[low + 1]
    return (hours + _MONDAY_SHIFT_H) % 168, until
