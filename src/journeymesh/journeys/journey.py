"""What a journey is: its Arrow schema, its id, and the refusal that stands beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import pyarrow as pa

from journeymesh.journeys.fields import FIELDS, INSTANT

JOURNEY_SCHEMA: Final = pa.schema(
    [
        pa.field(field.name, field.kind, nullable=field.journeys == "nullable")
        for field in FIELDS
        if field.journeys != "absent"
    ]
)
"""One row per journey. ``duration_s = driving_s + idle_s``; ``mean_speed_mps = distance_m / driving_s``.

``hours`` is the hour-of-week profile in the journey's ``zone`` (only hours driven in); ``zone`` is the policy's, or
UTC where no policy was in force at ``started_at`` (then ``policy``, ``tenant``, ``product`` and ``policy_from`` are
null). ``policy`` is the number, ``policy_from`` the ``valid_from`` of the policy's term that was in force.

``speeding_distance_m`` is over the limit that the source reports or, where it reports none, over the rules' absolute
one. ``limit_known_distance_m`` is the part of ``distance_m`` whose limit is reported, 0 where none ever is, and
``over_limit_distance_m`` the part of that which was over it. ``speed_doubted`` says that the speeds are of positions,
because the reported ones contradict them. These three are null in journeys made before they were recorded.
"""

RECORDED_LATER: Final = tuple(field.name for field in FIELDS if field.since)
"""The last columns of ``JOURNEY_SCHEMA``, null in journeys made before there were these: nobody knows then."""

REFUSED_FIX_SCHEMA: Final = pa.schema(
    [
        pa.field("refusal_id", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("explanation", pa.string(), nullable=False),
        pa.field("fixed_at", INSTANT),
        pa.field("lat_deg", pa.float64()),
        pa.field("lon_deg", pa.float64()),
    ]
)
"""What is told of a refused fix: its reason's code, what that means, and when and where the fix said it was. Never the
input itself."""


def journey_id(vehicle: str, started_at_us: int) -> str:
    """The id of the journey that this vehicle starts at this instant: stable over runs, stores and machines."""
    return hashlib.blake2b(f"{vehicle}\0{started_at_us}".encode(), digest_size=13).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused input, kept in quarantine.

    ``origin`` says where the input is: ``trips/T1_03_29_2021.samples[17]``, ``fixes.csv:42``. ``vehicle`` and
    ``fixed_at`` are given as far as they are known. ``content`` is the input itself as JSON text, so that nothing
    is lost. ``input_key`` tells the input from every other where ``origin`` does not; ``stored_id`` is the id under
    which a store has it.
    """

    reason: str
    origin: str
    detail: str
    vehicle: str | None = None
    fixed_at: datetime | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    content: str | None = None
    input_key: str | None = field(default=None, compare=False)
    stored_id: str | None = field(default=None, compare=False)

    @property
    def refusal_id(self) -> str:
        """Stable identity: the same input refused for the same reason in a later run is the same refusal.

        A document is known by its id, which its origin has; a row of a file by its content and its file
        (``sources/refused_rows.py``); a fix that the pass refused by what it reports (``fix_key``).
        """
        return self.stored_id or id_of_refusal(self.reason, self.input_key or self.origin)

    @property
    def former_id(self) -> str | None:
        """The id that a row of a file had while it was known by its origin alone; None where that did not change."""
        return None if self.input_key is None else id_of_refusal(self.reason, self.origin)


def id_of_refusal(reason: str, input_key: str) -> str:
    """The id of the refusal of this input for this reason."""
    return hashlib.blake2b(f"{reason}\0{input_key}".encode("utf-8", "surrogatepass"), digest_size=13).hexdigest()


def fix_key(vehicle: str, reported: Mapping[str, float]) -> str:
    """What tells a fix from every other: its vehicle and all that it reports, but for when it was received.

    Fixes that are equal in this are the same fix again, and the pass takes the first of them only; so whichever
    document brought it, and whether it comes from a source or was kept, it is the same refusal. ``reported`` has the
    values that are reported, by column of ``Fixes``; -0.0 is 0.0.
    """
    values = sorted((name, value + 0) for name, value in reported.items() if name != "received_at_us")
    return "\0".join((vehicle, *(f"{name}={value!r}" for name, value in values)))
