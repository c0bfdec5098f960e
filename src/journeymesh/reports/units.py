"""How numbers are shown to people: kilometres or miles, the policy's local time, hours and minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

DistanceUnit = Literal["km", "miles"]


@dataclass(frozen=True, slots=True)
class Units:
    """The units of a page. ``zone`` is an IANA time zone name."""

    distance: DistanceUnit = "km"
    zone: str = "UTC"

    @property
    def metres(self) -> float:
        """Metres in one unit of distance."""
        return 1609.344 if self.distance == "miles" else 1000.0

    @property
    def speed(self) -> str:
        """The name of the unit of speed."""
        return "mph" if self.distance == "miles" else "km/h"

    def far(self, metres: float) -> str:
        """A distance without its unit: 0.42, 12.3, 1,234."""
        value = metres / self.metres
        return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2f}"

    def far_named(self, metres: float) -> str:
        """A distance with its unit."""
        return f"{self.far(metres)} {self.distance}"

    def fast(self, mps: float) -> str:
        """A speed without its unit."""
        return f"{mps * 3600 / self.metres:.0f}"

    def local(self, at: datetime) -> datetime:
        """The instant on the policy's clock."""
        return at.astimezone(ZoneInfo(self.zone))

    def moment(self, at: datetime) -> str:
        """Date and minute on the policy's clock: 2025-03-10 08:16."""
        return f"{self.local(at):%Y-%m-%d %H:%M}"

    def second(self, at: datetime) -> str:
        """Date and second on the policy's clock: 2025-03-10 08:16:05."""
        return f"{self.local(at):%Y-%m-%d %H:%M:%S}"


def lasting(seconds: float) -> str:
    """A duration for people: 45 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"


def percent(share: float) -> str:
    """A share for people: 0 %, 0.4 %, 12 %."""
    value = 100.0 * share
    return f"{value:.1f} %" if 0 < value < 9.95 else f"{value:.0f} %"


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 journey``, ``2,345 journeys``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
