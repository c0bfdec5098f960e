"""A fleet: vehicles, policies and, in chunks of vehicles so that memory stays flat, fixes with their truth.

The order of making is visible in ``Fleet.vehicle``: life, receiver, faults, delivery, truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from journeymesh.fleets.driving import ACROSS, ALONG, COURSE, LAT, LON, POSTED, SPEED, observe
from journeymesh.fleets.faults import FaultFound, Reported, noise_of, plan_slots, spoil
from journeymesh.fleets.life import Drive, Scratch, VehicleLife, live
from journeymesh.fleets.spec import FleetSpec
from journeymesh.fleets.truth import TRUE_FAULT_SCHEMA, TRUE_HARSH_SCHEMA, TRUE_JOURNEY_SCHEMA, Truth
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.local_time import HOUR_US, local_us
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import NightRules

_US: Final = 1_000_000
_MILE_M: Final = 1609.344
_CHUNK_FIXES: Final = 500_000
_KIND_NAMES: Final = ("", "braking", "acceleration", "cornering")


@dataclass(frozen=True, slots=True)
class FleetChunk:
    """The fixes of some vehicles, vehicle after vehicle, each in the order of delivery, and their truth.

    A clock that cannot be read is ``NOT_REPORTED_US`` in ``fixes.fixed_at_us``.
    """

    fixes: Fixes
    truth: Truth

    def readable(self) -> FleetChunk:
        """The chunk without fixes whose clock cannot be read, for formats that cannot hold them."""
        reason = np.array(self.truth.faults["reason"].to_pylist(), object)
        kept = pa.array((reason != Reason.CLOCK_UNPARSEABLE.code).tolist(), pa.bool_())
        truth = Truth(self.truth.journeys, self.truth.harsh_events, self.truth.faults.filter(kept))
        return FleetChunk(self.fixes.take(self.fixes.fixed_at_us != NOT_REPORTED_US), truth)


@dataclass(frozen=True)
class Fleet:
    """A fleet that makes itself anew, the same, at each iteration."""

    spec: FleetSpec

    @cached_property
    def vehicles(self) -> tuple[str, ...]:
        """The devices' ids, by number."""
        return tuple(f"BB-{n + 1:06d}" for n in range(self.spec.vehicles))

    @cached_property
    def policies_by_vehicle(self) -> tuple[tuple[Policy, ...], ...]:
        """One or, where renewed inside the period, two policies per device, by time."""
        return tuple(self._policies_of(n) for n in range(self.spec.vehicles))

    @property
    def policies(self) -> list[Policy]:
        """All policies."""
        return [policy for held in self.policies_by_vehicle for policy in held]

    def chunks(self) -> Iterator[FleetChunk]:
        """All fixes once, about half a million at a time."""
        scratch = Scratch()
        held: list[FleetChunk] = []
        fixes = 0
        for n in range(self.spec.vehicles):
            held.append(self.vehicle(n, scratch))
            fixes += len(held[-1].fixes)
            if fixes >= _CHUNK_FIXES or n + 1 == self.spec.vehicles:
                yield joined(held)
                held, fixes = [], 0

    def whole(self) -> FleetChunk:
        """All of a small fleet at once."""
        return joined(list(self.chunks()))

    def vehicle(self, n: int, scratch: Scratch | None = None) -> FleetChunk:
        """Vehicle n alone; it is the same whatever the size of the fleet."""
        rng = _rng(self.spec.seed, n, 1)
        zone = self._zone(n)
        life, random = live(self.spec, rng, zone, scratch or Scratch())
        slots = plan_slots(rng, life, self.spec.faults)
        noise = noise_of(rng, slots, len(life.at_s))
        motion = life.motion
        observe(
            life.at_s, noise, self.spec.accelerometer, random,
            motion[LAT], motion[LON], motion[SPEED], motion[COURSE], motion[ALONG], motion[ACROSS],
        )  # fmt: skip
        delay_us = rng.integers(300, 900, len(life.at_s)) * 1000
        at_us = life.at_s * _US
        reported = Reported(
            life.at_s, at_us.copy(), at_us + delay_us, motion[LAT], motion[LON], self.spec.interval_s, rng
        )
        spoil(reported, slots, noise)
        fixes = self._delivered(n, life, reported)
        return FleetChunk(fixes, self._truth(n, zone, life, reported))

    def _delivered(self, n: int, life: VehicleLife, reported: Reported) -> Fixes:
        """The fixes in the order of their arrival, with what was delivered twice and without what never came."""
        motion = life.motion
        fixes = Fixes(
            self.vehicles,
            np.full(len(life.at_s), n, np.int32),
            reported.fixed_us,
            reported.lat,
            reported.lon,
            received_at_us=reported.received_us,
            speed_mps=motion[SPEED],
            heading_deg=motion[COURSE],
            accel_longitudinal_mps2=motion[ALONG] if self.spec.accelerometer else None,
            accel_lateral_mps2=motion[ACROSS] if self.spec.accelerometer else None,
            speed_limit_mps=np.floor(motion[POSTED] * 100.0 + 0.5) / 100.0,
        )
        rows = np.arange(len(fixes))
        if reported.gone:
            rows = np.setdiff1d(rows, np.fromiter(reported.gone, np.int64), assume_unique=True)
        if reported.extra:
            whole = fixes.take(np.concatenate([rows, np.array([row for row, _ in reported.extra], np.int64)]))
            received = whole.received_at_us
            assert received is not None
            for k, (_, changes) in enumerate(reported.extra, len(rows)):
                whole.lat_deg[k] = changes.get("lat", whole.lat_deg[k])
                received[k] = int(changes.get("received_us", float(received[k])))
            fixes = whole
        elif reported.gone:
            fixes = fixes.take(rows)
        arrival = fixes.received_at_us
        assert arrival is not None
        if np.all(arrival[1:] >= arrival[:-1]):
            return fixes
        return fixes.take(np.argsort(arrival, kind="stable"))

    def _zone(self, n: int) -> str:
        return self.spec.zones[n % len(self.spec.zones)]

    def _policies_of(self, n: int) -> tuple[Policy, ...]:
        spec, u = self.spec, _rng(self.spec.seed, n, 2).random(5)
        zone = ZoneInfo(self._zone(n))
        renewed = u[0] < spec.renewals and spec.days > 1
        first = _midnight(spec.first_day - timedelta(days=int(u[1] * 4)), zone)
        turn = _midnight(spec.first_day + timedelta(days=1 + int(u[2] * (spec.days - 1))), zone) if renewed else first
        spans = [(turn, _later(turn, 1 + spec.days // 300, zone))]
        if renewed:  # its first cover began with the recorder and was a short one
            spans.insert(0, (first, turn))
        return tuple(
            Policy(
                number=f"JM-{n + 1:06d}-{k + 1}",
                valid_from=valid_from,
                valid_to=valid_to,
                zone=self._zone(n),
                device=self.vehicles[n],
                tenant=spec.tenants[n % len(spec.tenants)],
                product=spec.products[n // len(spec.tenants) % len(spec.products)],
                status="lapsed" if renewed and k == 0 else "active",
                declared_annual_distance_m=round((5_000 + 500 * int(u[3 + k] * 16)) * _MILE_M, 3),
            )
            for k, (valid_from, valid_to) in enumerate(spans)
        )

    def _truth(self, n: int, zone: str, life: VehicleLife, reported: Reported) -> Truth:
        vehicle = self.vehicles[n]
        policies = self.policies_by_vehicle[n]
        journeys = [_journey_row(vehicle, zone, policies, drive) for drive in life.drives]
        harsh = [
            {
                "vehicle": vehicle, "kind": _KIND_NAMES[kind], "started_at": first * _US, "ended_at": last * _US,
                "peak_at": at * _US, "peak_mps2": peak,
            }
            for kind, first, last, at, peak in life.harsh
        ]  # fmt: skip
        found = [
            *(FaultFound(f, None, a * _US, b * _US, a * _US, np.nan, np.nan, c) for f, a, b, c in life.notable),
            *reported.found,
        ]
        faults = [
            {
                "vehicle": vehicle, "fault": f.fault, "reason": f.reason, "happened_at": f.happened_us,
                "until_at": f.until_us, "fixed_at": None if f.fixed_us == NOT_REPORTED_US else f.fixed_us,
                "lat_deg": None if np.isnan(f.lat_deg) else f.lat_deg,
                "lon_deg": None if np.isnan(f.lon_deg) else f.lon_deg, "fixes": f.fixes,
            }
            for f in found
        ]  # fmt: skip
        return Truth(
            pa.Table.from_pylist(journeys, TRUE_JOURNEY_SCHEMA),
            pa.Table.from_pylist(harsh, TRUE_HARSH_SCHEMA),
            pa.Table.from_pylist(faults, TRUE_FAULT_SCHEMA),
        )


def generate(spec: FleetSpec) -> Fleet:
    """The fleet of this spec. Nothing is made until its chunks are asked for."""
    return Fleet(spec)


def joined(chunks: list[FleetChunk]) -> FleetChunk:
    """Chunks of one fleet, one after the other."""
    if len(chunks) == 1:
        return chunks[0]
    return FleetChunk(Fixes.concat([c.fixes for c in chunks]), Truth.concat(c.truth for c in chunks))


def _journey_row(vehicle: str, zone: str, policies: tuple[Policy, ...], drive: Drive) -> dict[str, object]:
    started = datetime.fromtimestamp(drive.started_s, UTC)
    policy = next((p.number for p in policies if p.covers(vehicle, started)), None)
    return {
        "vehicle": vehicle, "policy": policy, "zone": zone, "started_at": drive.started_s * _US,
        "ended_at": drive.ended_s * _US, "start_lat_deg": drive.start[0], "start_lon_deg": drive.start[1],
        "end_lat_deg": drive.end[0], "end_lon_deg": drive.end[1], "distance_m": drive.distance_m,
        "moving_s": drive.moving_s, "max_speed_mps": drive.max_speed_mps,
        "night_s": night_s(zone, drive.started_s, drive.ended_s),
    }  # fmt: skip


def night_s(zone: str, started_s: int, ended_s: int, night: NightRules | None = None) -> float:
    """Seconds of [started, ended) in which the zone's clocks show night."""
    night = night or NightRules()
    hour = local_us(zone, np.arange(started_s, ended_s, dtype=np.int64) * _US) // HOUR_US % 24
    if night.from_hour <= night.to_hour:
        return float(np.count_nonzero((hour >= night.from_hour) & (hour < night.to_hour)))
    return float(np.count_nonzero((hour >= night.from_hour) | (hour < night.to_hour)))


def _rng(seed: int, n: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, n, purpose])))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _later(at: datetime, years: int, zone: ZoneInfo) -> datetime:
    local = at.astimezone(zone).date()
    last_good = min(local.day, 28)
    return _midnight(local.replace(year=local.year + years, day=last_good), zone)
