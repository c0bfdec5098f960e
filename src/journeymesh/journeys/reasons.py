"""Why an input is refused: the reason codes kept in quarantine.

Codes below 16 are given by the pass, one byte per fix; the others are given by a source while it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, unique
from typing import Final


@unique
class Reason(IntEnum):
    """A reason for refusing an input. ``.code`` is what users, stores and files see."""

    ACCEPTED = 0
    """Not refused."""
    DUPLICATE = 1
    """The same fix again. Counted per run, never quarantined."""
    CLOCK_IMPOSSIBLE = 2
    """The device clock is before the earliest instant the rules allow."""
    CLOCK_FUTURE = 3
    """The device clock is ahead of the receipt (or of now) by more than the rules tolerate."""
    POSITION_MISSING = 4
    """Latitude or longitude is absent or not a finite number."""
    POSITION_OUTSIDE_WORLD = 5
    """Latitude beyond ±90° or longitude beyond ±180°."""
    POSITION_NULL_ISLAND = 6
    """Exactly (0, 0): a receiver without a fix."""
    POSITION_ZERO = 7
    """One coordinate is exactly zero and implies an impossible jump."""
    POSITION_SPIKE = 8
    """An impossible jump that the following fixes do not confirm."""
    CONFLICTING_FIX = 9
    """Another fix of the vehicle at the same instant came first in the canonical order."""
    POSITION_INACCURATE = 10
    """The recorder itself says that the position is not valid, or may be further off than the rules allow."""

    UNDECIDED = 15
    """Inside the pass only: the next chunk decides."""

    CLOCK_MISSING = 16
    """The document has no device clock."""
    CLOCK_UNPARSEABLE = 17
    """The device clock cannot be read as the mapping says."""
    VEHICLE_MISSING = 18
    """The document names no vehicle or device."""
    POSITION_UNPARSEABLE = 19
    """A coordinate is there and is not a number."""
    VALUE_UNPARSEABLE = 20
    """A mapped optional field is there and has a type or text that cannot be converted: the fix is used without it."""
    DOCUMENT_CORRUPT = 21
    """The document's bytes are not well-formed."""
    FIXES_NOT_KEPT = 22
    """A late fix touches a journey whose own fixes are no longer kept, so it cannot be recomputed."""
    POLICY_UNUSABLE = 23
    """A policy has no number, no beginning, no device or vehicle, ends as it begins, or a field that cannot be read."""
    POLICY_CONTRADICTS = 24
    """A policy is in force for a device or vehicle at the same time as one that began before, or is given twice."""

    @property
    def code(self) -> str:
        """The code users see: ``position_spike``."""
        return self.name.lower()


USED_WITHOUT: frozenset[Reason] = frozenset({Reason.VALUE_UNPARSEABLE})
"""Reasons that keep a value in quarantine while the fix is used without it: nothing is refused."""

PASS_REASONS: frozenset[Reason] = frozenset(r for r in Reason if Reason.DUPLICATE < r < Reason.UNDECIDED)
"""Reasons that the pass gives. They are recomputed when a late fix re-opens their time."""

TOLD: Final[Mapping[str, str]] = {
    "clock_impossible": "device clock before any recorder existed",
    "clock_future": "device clock in the future",
    "clock_missing": "no device clock",
    "clock_unparseable": "device clock cannot be read",
    "position_missing": "no position",
    "position_outside_world": "position outside the world",
    "position_null_island": "position exactly (0, 0)",
    "position_zero": "one coordinate exactly zero, an impossible jump",
    "position_spike": "impossible jump and back",
    "position_unparseable": "position cannot be read",
    "position_inaccurate": "position not valid or too inaccurate, as the recorder itself says",
    "conflicting_fix": "another fix at the same instant",
    "vehicle_missing": "no vehicle or device named",
    "value_unparseable": "a value cannot be read",
    "document_corrupt": "document is not well-formed",
    "fixes_not_kept": "too late: the journey's fixes are no longer kept",
    "policy_unusable": "a policy without number, beginning or vehicle, or with a field that cannot be read",
    "policy_contradicts": "a policy at the same time as another of the same device or vehicle",
}
"""What each code means, for people, without anything of the input itself."""
