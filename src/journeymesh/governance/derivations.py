"""What a masked field could be derived from: a mask covers that too, for a value that can be computed is not hidden.

This is the one place that says so. A contract masks what must not be known; which other fields tell of it is no
decision of the contract's.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Final

POSITIONS: Final = frozenset({"lat_deg", "lon_deg", "start_lat_deg", "start_lon_deg", "end_lat_deg", "end_lon_deg"})
"""Where something was. The first and the last fix of a track are where its journey began and ended, and it ended where
the next begins."""

MOVEMENT: Final = frozenset(
    {
        "fixed_at", "received_at", "speed_mps", "heading_deg", "accel_longitudinal_mps2", "accel_lateral_mps2",
        "speed_limit_mps", "ignition", "accuracy_m",
    }
)  # fmt: skip
"""What a fix says besides where it was. Speed and heading over time are the way driven: laid on a map of roads it fits
in one place. So do the stops, the bends and the limits along it."""

CLOCKS: Final = frozenset({"started_at", "ended_at", "peak_at", "fixed_at", "received_at", "hours"})
"""When something was: a journey's fixes and events begin and end with it, and its hours of the week are counted."""

TELLS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        **dict.fromkeys(POSITIONS, POSITIONS | MOVEMENT),
        "vehicle": frozenset({"device"}),  # both name it in fixes
        "device": frozenset({"vehicle"}),
        "started_at": CLOCKS,
        "ended_at": CLOCKS,
        "duration_s": frozenset({"ended_at"}),
        "distance_m": frozenset(
            {
                "mean_speed_mps", "hours", "night_share", "speeding_share", "harsh_events_per_100km",
                "annualised_distance_m", "mileage_ratio", "speed_mps", *POSITIONS,
            }
        ),
        "max_speed_mps": frozenset({"speed_mps", *POSITIONS}),
        "mean_speed_mps": frozenset({"distance_m"}),
        "annualised_distance_m": frozenset({"mileage_ratio"}),
        "score": frozenset({"score_parts"}),
        **dict.fromkeys(
            ("night_share", "speeding_share", "harsh_events_per_100km", "mileage_ratio"), frozenset({"score_parts"})
        ),  # each part of a score has its value
    }
)  # fmt: skip
"""By field: the fields that it could be derived from."""


@lru_cache(maxsize=1024)
def covered(mask: frozenset[str]) -> frozenset[str]:
    """The mask with every field that one of its fields could be derived from, over any number of steps."""
    found, added = mask, mask
    while added:
        added = frozenset[str]().union(*(TELLS.get(name, frozenset()) for name in added)) - found
        found |= added
    return found
