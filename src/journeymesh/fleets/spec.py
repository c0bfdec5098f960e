"""What fleet to make: size, clock, recorder, faults. One seed and one spec give one fleet, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import date
from typing import Final, get_args

from journeymesh.errors import UsageError
from journeymesh.journeys.rules import Profile

CITIES: Final[dict[str, tuple[float, float]]] = {
    "Africa/Casablanca": (33.5731, -7.5898),
    "America/Chicago": (41.2565, -95.9345),
    "America/New_York": (40.7357, -74.1724),
    "America/Sao_Paulo": (-23.5505, -46.6333),
    "Asia/Kolkata": (18.5204, 73.8567),
    "Asia/Tokyo": (35.6762, 139.6503),
    "Australia/Sydney": (-33.8688, 151.0209),
    "Europe/Berlin": (52.5200, 13.4050),
    "Europe/Lisbon": (38.7223, -9.1393),
    "Europe/London": (51.5072, -0.1276),
    "Europe/Paris": (48.8566, 2.3522),
    "UTC": (50.4501, 5.1234),
}
"""Where a fleet of a time zone lives: (lat_deg, lon_deg)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRates:
    """How often each fault happens: per fix while driving, except where the name says otherwise."""

    spikes: float = 6e-5
    """A run of 1 to 5 fixes 10 to 300 km away."""
    duplicates: float = 1e-4
    """A fix delivered twice, byte for byte."""
    conflicts: float = 3e-5
    """A second, different fix at the same instant."""
    reordered: float = 1e-4
    """A fix that arrives some seconds late, behind its successors."""
    late_runs: float = 1e-5
    """A run of up to 60 fixes that arrives ten minutes to two days late."""
    clock_impossible: float = 3e-5
    clock_future: float = 3e-5
    clock_unparseable: float = 3e-5
    """A clock that is no clock: a text such as ``0000-00-00T24:61:61Z``. Parquet cannot hold it and goes without."""
    null_island: float = 3e-5
    zero_coordinate: float = 2e-5
    positions_missing: float = 3e-5
    tunnels: float = 6e-5
    """A gap of 20 to 76 s inside a drive."""
    receiver_jitter: float = 5e-5
    """A stretch of up to 76 s with three times the position noise."""
    parked_drift_per_stop: float = 0.1
    """always_on: a parked car whose position wanders by up to 32 m for hours."""
    drives_per_dst_night: float = 0.3
    """Share of vehicles that drive through a night in which the clocks change."""

    @classmethod
    def none(cls) -> FaultRates:
        """No faults at all."""
        return cls(**{f.name: 0.0 for f in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSpec:
    """A fleet to make. ``zones``, ``tenants`` and ``products`` go round over the vehicles.

    - ``interval_s``: whole seconds between fixes while driving
    - ``renewals``: share of devices whose policy is renewed inside the period
    - ``harsh_per_100km``: how many harsh events are planted where the road allows them
    - ``accelerometer``: whether fixes carry acceleration

    Raises:
        UsageError: when a number or a name cannot be used, naming it.
    """

    seed: int = 1
    vehicles: int = 20
    days: int = 28
    first_day: date = date(2025, 3, 10)
    profile: Profile = "always_on"
    interval_s: int = 1
    zones: tuple[str, ...] = ("Europe/London",)
    tenants: tuple[str, ...] = ("northgate",)
    products: tuple[str, ...] = ("car-standard", "car-young-driver")
    renewals: float = 0.3
    harsh_per_100km: float = 6.0
    accelerometer: bool = True
    faults: FaultRates = field(default_factory=FaultRates)

    def __post_init__(self) -> None:
        for name, least, most in (
            ("vehicles", 1, 999_999),
            ("days", 1, 3660),
            ("interval_s", 1, 30),
            ("seed", 0, 2**63),
        ):
            if not least <= getattr(self, name) <= most:
                raise UsageError(f"fleet: {name} is {getattr(self, name)}", todo=f"give {least} to {most}")
        if self.profile not in get_args(Profile):
            raise UsageError(f"fleet: profile is {self.profile!r}", todo=f"use one of {', '.join(get_args(Profile))}")
        for name in ("zones", "tenants", "products"):
            if not getattr(self, name):
                raise UsageError(f"fleet: {name} is empty", todo="name at least one")
        for zone in self.zones:
            if zone not in CITIES:
                raise UsageError(f"fleet: no city in time zone {zone!r}", todo=f"use one of {', '.join(CITIES)}")
        for f in fields(self.faults):
            if not 0.0 <= getattr(self.faults, f.name) <= 1.0:
                raise UsageError(f"fleet: fault rate {f.name} is {getattr(self.faults, f.name)}", todo="give 0 to 1")
