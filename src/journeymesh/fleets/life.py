"""The life of one vehicle: its drives and parked times as columns, before anything goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from journeymesh.fleets.diary import Driver, Errand, clock_changes
from journeymesh.fleets.driving import ACROSS, ALONG, DRIVE_ROWS, LAT, LON, SPEED, drive, wander
from journeymesh.fleets.portable import metres_per_degree_at
from journeymesh.fleets.routes import plan_route, plant_harsh
from journeymesh.fleets.spec import CITIES, FleetSpec
from journeymesh.journeys.fixes import F64, I8, I64

MIN_PARKED_S: Final = 480
"""always_on: shortest time between two drives, well over what ends a journey."""
MIN_ENGINE_OFF_S: Final = 125
"""engine_switched: shortest silence between two drives."""
_AWAKE_S: Final = 120
_HEARTBEAT_S: Final = 60
_LONGEST_DRIVE_S: Final = 6 * 3600
_DRIFT_M: Final = 32.0


@dataclass(slots=True)
class Drive:
    """One true drive. Instants in epoch seconds; ``rows`` is where its fixes lie in the life's columns."""

    started_s: int
    ended_s: int
    start: tuple[float, float]
    end: tuple[float, float]
    distance_m: float
    moving_s: float
    max_speed_mps: float
    rows: tuple[int, int]


@dataclass(slots=True)
class VehicleLife:
    """Columns of one vehicle by time: ``at_s`` int64[n], ``motion`` float64[7, n] (rows as in ``driving``)."""

    at_s: I64
    motion: F64
    drives: list[Drive]
    harsh: list[tuple[int, int, int, int, float]]  # kind, first, last and peak second, peak m/s²
    notable: list[
        tuple[str, int, int, int]
    ]  # fault, first and last second, fixes: drifts and nights of changing clocks


class Scratch:
    """Room for one drive, reused by all."""

    def __init__(self) -> None:
        self.motion = np.zeros((DRIVE_ROWS, _LONGEST_DRIVE_S))
        self.tags: I8 = np.zeros(_LONGEST_DRIVE_S, np.int8)
        self.exits = np.zeros(512)


@dataclass(slots=True)
class _Telling:
    spec: FleetSpec
    rng: np.random.Generator
    random: npt.NDArray[np.uint64]
    driver: Driver
    scratch: Scratch
    city: tuple[float, float]
    scale: tuple[float, float]
    at: F64
    free_s: int
    at_s: list[I64]
    motion: list[F64]
    life: VehicleLife
    rows: int = 0

    def add(self, at_s: I64, motion: F64) -> None:
        self.at_s.append(at_s)
        self.motion.append(motion)
        self.rows += len(at_s)

    def go(self, errand: Errand) -> None:
        """Drive to the errand's place, as soon as its time has come and the car has stood long enough."""
        always_on = self.spec.profile == "always_on"
        u = self.rng.random(4)
        leave_s = max(errand.leave_s, self.free_s + (int(600 * u[0]) if always_on else int(300 * u[0])))
        if always_on and self.rows:
            self._park(leave_s)
        north = (self.at[0] - self.city[0]) * self.scale[0]
        east = (self.at[1] - self.city[1]) * self.scale[1]
        legs = plan_route(self.rng, errand.east_m - east, errand.north_m - north, self.driver.tilt, self.driver.style)
        planted = plant_harsh(self.rng, legs, self.spec.harsh_per_100km)
        before_s = 2 + int(12 * u[1])
        after_s = _AWAKE_S if always_on else 2 + int(15 * u[2])
        start = (float(self.at[0]), float(self.at[1]))
        if len(self.scratch.exits) < len(legs):
            self.scratch.exits = np.zeros(2 * len(legs))
        seconds, metres, left, arrived = drive(
            legs, planted, before_s, after_s, self.random, self.at, self.scratch.exits, self.scratch.motion,
            self.scratch.tags,
        )  # fmt: skip
        motion = self.scratch.motion[:, :seconds]
        self._note_harsh(leave_s, motion, self.scratch.tags[:seconds])
        first, last = (left, arrived) if always_on else (0, seconds - 1)
        keep = np.arange(0, seconds, self.spec.interval_s)
        if keep[-1] != seconds - 1:
            keep = np.append(keep, seconds - 1)
        speed = motion[SPEED]
        self.life.drives.append(
            Drive(
                leave_s + first, leave_s + last, start, (float(self.at[0]), float(self.at[1])), metres,
                float(np.count_nonzero(speed > 0.3)), float(speed.max()),
                (self.rows, self.rows + int(np.searchsorted(keep, arrived, side="right"))),
            )
        )  # fmt: skip
        self.add(leave_s + keep, np.ascontiguousarray(motion[:, keep]))
        self.free_s = leave_s + seconds + (MIN_PARKED_S - _AWAKE_S if always_on else MIN_ENGINE_OFF_S)

    def _park(self, until_s: int) -> None:
        """Heartbeats until the recorder sleeps, perhaps drifting, or the car leaves."""
        last_s = int(self.at_s[-1][-1])
        awake_s = 3600 + int(7200 * self.rng.random())
        at_s = np.arange(last_s + _HEARTBEAT_S, min(last_s + awake_s, until_s - 20), _HEARTBEAT_S)
        if len(at_s) == 0:
            return
        motion = np.repeat(self.motion[-1][:, -1:], len(at_s), axis=1)
        if self.rng.random() < self.spec.faults.parked_drift_per_stop:
            motion = np.ascontiguousarray(motion)
            wander(self.random, _DRIFT_M, motion[LAT], motion[LON])
            self.life.notable.append(("parked_drift", int(at_s[0]), int(at_s[-1]), len(at_s)))
        self.add(at_s, motion)

    def _note_harsh(self, leave_s: int, motion: F64, tags: I8) -> None:
        edges = np.flatnonzero(np.diff(tags)) + 1
        for first, last in zip([0, *edges], [*edges, len(tags)], strict=True):
            kind = int(tags[first])
            if kind == 0:
                continue
            felt = np.abs(motion[ACROSS if kind == 3 else ALONG, first:last])
            peak = int(felt.argmax())
            self.life.harsh.append(
                (kind, leave_s + int(first), leave_s + int(last) - 1, leave_s + int(first) + peak, float(felt[peak]))
            )


def live(
    spec: FleetSpec, rng: np.random.Generator, zone_name: str, scratch: Scratch
) -> tuple[VehicleLife, npt.NDArray[np.uint64]]:
    """The life of one vehicle by chance, and the chance that its recorder goes on with."""
    random = rng.integers(0, 2**63, 1).astype(np.uint64)
    zone = ZoneInfo(zone_name)
    driver = Driver.of(rng)
    city = CITIES[zone_name]
    scale = metres_per_degree_at(city[0])
    at = np.array([city[0] + driver.home[1] / scale[0], city[1] + driver.home[0] / scale[1]])
    life = VehicleLife(np.empty(0, np.int64), np.empty((DRIVE_ROWS, 0)), [], [], [])
    telling = _Telling(spec, rng, random, driver, scratch, city, scale, at, 0, [], [], life)
    for n in range(spec.days):
        _live_day(telling, spec.first_day + timedelta(days=n), zone)
    if telling.rows:
        life.at_s = np.concatenate(telling.at_s)
        life.motion = np.concatenate(telling.motion, axis=1)
    return life, random


def _live_day(telling: _Telling, day: date, zone: ZoneInfo) -> None:
    changes = clock_changes(day, zone) and telling.rng.random() < telling.spec.faults.drives_per_dst_night
    before = len(telling.life.drives)
    for errand in telling.driver.day(telling.rng, day, zone, changes_clock=changes):
        telling.go(errand)
    if changes:
        for made in telling.life.drives[before : before + 2]:
            fixes = made.rows[1] - made.rows[0]
            telling.life.notable.append(("dst_night", made.started_s, made.ended_s, fixes))
