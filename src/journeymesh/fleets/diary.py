"""When and where a vehicle's driver goes: home, work and errands by the local clock, some nights, some far trips."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

_FAR_M: Final = (40_000.0, 120_000.0)


@dataclass(frozen=True, slots=True)
class Errand:
    """Leave for a place, in metres east and north of the town's middle, not before this instant (epoch s)."""

    leave_s: int
    east_m: float
    north_m: float


@dataclass(frozen=True, slots=True)
class Driver:
    """One vehicle's habits. Places are metres east and north of the town's middle."""

    home: tuple[float, float]
    work: tuple[float, float] | None
    shops: tuple[tuple[float, float], ...]
    night_owl: bool
    tilt: float
    style: float

    @classmethod
    def of(cls, rng: np.random.Generator) -> Driver:
        """A driver by chance: three of four commute, one of ten goes out at night, one of eight speeds."""
        home = _around(rng, (0.0, 0.0), 500.0, 9_000.0)
        work = _around(rng, home, 3_000.0, 18_000.0) if rng.random() < 0.75 else None
        shops = tuple(_around(rng, home, 700.0, 5_000.0) for _ in range(4))
        fast = rng.random() < 0.125
        style = rng.uniform(1.12, 1.25) if fast else rng.uniform(0.88, 1.02)
        return cls(home, work, shops, bool(rng.random() < 0.1), rng.uniform(0.0, 1.5), style)

    def day(self, rng: np.random.Generator, day: date, zone: ZoneInfo, *, changes_clock: bool) -> list[Errand]:
        """The day's errands by time; ``changes_clock``: the driver is on the road in a night of changing clocks."""
        u = rng.random(12)
        errands: list[Errand] = []

        def go(hour: float, place: tuple[float, float]) -> None:
            errands.append(Errand(_instant_s(day, hour, zone), *place))

        if changes_clock:
            go(0.7 + 0.3 * u[0], _around(rng, self.home, 9_000.0, 15_000.0))
            go(1.5 + 1.3 * u[1], self.home)
        weekday = day.weekday() < 5
        if weekday and self.work and u[2] < 0.93:
            go(6.8 + 1.6 * u[3], self.work)
            if u[4] < 0.15:
                go(12.2 + 0.5 * u[5], self.shops[0])
                go(12.9 + 0.4 * u[5], self.work)
            go(16.2 + 2.0 * u[6], self.shops[1] if u[7] < 0.2 else self.home)
            if u[7] < 0.2:
                go(18.6, self.home)
        elif not weekday and u[2] < 0.12:
            go(8.5 + 2.0 * u[3], _around(rng, self.home, *_FAR_M))
            go(16.0 + 2.5 * u[4], self.home)
        else:
            outings = int(u[3] * 3.2)
            for k in range(outings):
                go(9.3 + 3.2 * k + 1.5 * u[4 + k], self.shops[k])
                go(10.2 + 3.2 * k + 1.9 * u[4 + k], self.home)
        if u[8] < (0.5 if self.night_owl else 0.06):
            go(20.0 + 1.5 * u[9], self.shops[3])
            go(22.6 + 1.3 * u[10], self.home)
        return errands


def _around(
    rng: np.random.Generator, middle: tuple[float, float], least_m: float, most_m: float
) -> tuple[float, float]:
    """A place at some distance, from a square ring: no sine needed, so the bits are the same everywhere."""
    away = rng.uniform(least_m, most_m)
    across = rng.uniform(-away, away)
    match int(rng.integers(4)):
        case 0:
            offset = (away, across)
        case 1:
            offset = (-away, across)
        case 2:
            offset = (across, away)
        case _:
            offset = (across, -away)
    return middle[0] + 0.7 * offset[0], middle[1] + 0.7 * offset[1]


def _instant_s(day: date, hour: float, zone: ZoneInfo) -> int:
    local = datetime.combine(day, time(), zone) + timedelta(seconds=int(hour * 3600))
    return int(local.timestamp())


def clock_changes(day: date, zone: ZoneInfo) -> bool:
    """Whether the zone's clocks change between this local midnight and noon."""
    midnight, noon = (datetime.combine(day, time(hour), zone) for hour in (0, 12))
    return midnight.utcoffset() != noon.utcoffset()
