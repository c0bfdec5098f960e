"""The one table of the fields of journeys and of their summaries. Schemas, stores, answers, listings, reports, the data
contract and the reference are made from it.

A field that is added comes last, is nullable in journeys, and names in ``since`` the schema that stores have it from.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from datetime import date, datetime
from typing import Any, Final, Literal

import pyarrow as pa

INSTANT: Final = pa.timestamp("us", tz="UTC")
TEXT: Final = pa.string()
FLOAT: Final = pa.float64()
COUNT: Final = pa.int32()

HARSH_EVENT_TYPE: Final = pa.struct(
    [
        pa.field("kind", TEXT, nullable=False),  # braking | acceleration | cornering
        pa.field("severity", TEXT, nullable=False),  # low | medium | high
        pa.field("started_at", INSTANT, nullable=False),
        pa.field("ended_at", INSTANT, nullable=False),  # the last fix over the threshold
        pa.field("peak_at", INSTANT, nullable=False),
        pa.field("peak_mps2", FLOAT, nullable=False),
        pa.field("lat_deg", FLOAT, nullable=False),
        pa.field("lon_deg", FLOAT, nullable=False),
        pa.field("fixes", COUNT, nullable=False),  # fixes over the threshold
    ]
)
HOUR_TYPE: Final = pa.struct(
    [
        pa.field("hour_of_week", pa.int16(), nullable=False),  # 0 = Monday 00:00–01:00 local … 167
        pa.field("distance_m", FLOAT, nullable=False),
        pa.field("driving_s", FLOAT, nullable=False),
    ]
)
SCORE_PART_TYPE: Final = pa.struct(
    [
        pa.field("part", TEXT, nullable=False),
        pa.field("value", FLOAT),
        pa.field("score", FLOAT, nullable=False),
        pa.field("weight", FLOAT, nullable=False),
    ]
)

Presence = Literal["absent", "nullable", "required"]
Unit = Literal["", "m", "s", "mps", "deg", "share", "points"]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of journeys, of summaries, or of both.

    - ``kind``: its Arrow type in journeys; in summaries a whole number is an int64
    - ``journeys``, ``summaries``: whether it is there, and whether it may be null
    - ``in_groups``: whether summaries of groups of policies have it
    - ``summed``: how summaries have it of several journeys; "": not, or computed from other fields. A sum is of the
      journeys in which it is not null, and null where it is in all of them
    - ``summed_as``: its name in summaries, where that is another; a yes in a journey counts 1
    - ``measured``: the pass adds it up fix by fix, in a field of this name of ``SUMS``
    - ``since``: the schema version that stores have it from; "": from the first. It is null in older journeys
    - ``classification``: of the data contract, with ``meaning`` as the contract's description, and ``summary_meaning``
      where it means something else in summaries
    - ``label``: its heading in listings; ``rank`` and ``summary_rank``: which columns a narrow listing of journeys or
      summaries leaves out first (the highest); None: it is no column unless asked for
    - ``sorts``: a book of policies is sorted and filtered by it, so stores keep an index of it
    """

    name: str
    kind: pa.DataType
    unit: Unit = ""
    _: KW_ONLY
    journeys: Presence = "absent"
    summaries: Presence = "absent"
    in_groups: bool = False
    summed: Literal["", "sum", "max"] = ""
    summed_as: str = ""
    measured: bool = False
    since: str = ""
    classification: str = ""
    meaning: str = ""
    summary_meaning: str = ""
    label: str = ""
    rank: int | None = None
    summary_rank: int | None = None
    sorts: bool = False

    @property
    def summary_name(self) -> str:
        """Its name in summaries."""
        return self.summed_as or self.name


def _journey(name: str, kind: pa.DataType, unit: Unit = "", **more: Any) -> Field:
    """A field that only journeys have."""
    return Field(name, kind, unit, **{"journeys": "required", **more})


def _summary(name: str, kind: pa.DataType, unit: Unit = "", **more: Any) -> Field:
    """A field that only summaries have."""
    return Field(name, kind, unit, **{"summaries": "required", **more})


def _summed(name: str, kind: pa.DataType, unit: Unit = "", **more: Any) -> Field:
    """A field of journeys that summaries add up."""
    presence: Presence = "nullable" if more.get("since") else "required"
    defaults = {"journeys": presence, "summaries": presence, "in_groups": True, "summed": "sum"}
    return Field(name, kind, unit, **{**defaults, **more})


FIELDS: Final = (
    _journey("journey_id", TEXT, label="journey", rank=0),
    _journey("vehicle", TEXT, classification="identifier", label="vehicle", rank=4),
    _journey(
        "policy", TEXT, journeys="nullable", summaries="required", classification="identifier", label="policy", rank=3
    ),
    _journey("tenant", TEXT, journeys="nullable", summaries="required"),
    _journey("product", TEXT, journeys="nullable", summaries="required"),
    _journey("policy_from", INSTANT, journeys="nullable"),
    _journey("zone", TEXT, summaries="required"),
    _journey("started_at", INSTANT, label="started (local)", rank=1),
    _journey("ended_at", INSTANT, label="ended", rank=6),
    _journey("start_lat_deg", FLOAT, "deg", measured=True, classification="position"),
    _journey("start_lon_deg", FLOAT, "deg", measured=True, classification="position"),
    _journey("end_lat_deg", FLOAT, "deg", measured=True, classification="position"),
    _journey("end_lon_deg", FLOAT, "deg", measured=True, classification="position"),
    _summary("period", TEXT, in_groups=True),
    _summary("period_from", pa.date32(), in_groups=True, label="from", summary_rank=0),  # local dates, half-open
    _summary("period_to", pa.date32(), in_groups=True, label="to", summary_rank=2),
    Field("policies", COUNT, in_groups=True, label="policies"),
    _summary("observed_days", FLOAT, in_groups=True),
    _summary("journeys", COUNT, in_groups=True, label="journeys", summary_rank=0, sorts=True),
    _summary("active_days", COUNT, label="days", summary_rank=3),
    _summed("distance_m", FLOAT, "m", measured=True, label="km", rank=1, summary_rank=0, sorts=True),
    _summed("duration_s", FLOAT, "s", label="duration", rank=1),
    _summed("driving_s", FLOAT, "s", measured=True, label="driving", summary_rank=2),
    _summed("idle_s", FLOAT, "s", measured=True, label="idle", rank=7),
    _summed("mean_speed_mps", FLOAT, "mps", summed=""),
    _summed("max_speed_mps", FLOAT, "mps", summed="max", measured=True, label="max km/h", rank=5),
    _summed("night_distance_m", FLOAT, "m", measured=True, label="night km", rank=7),
    _summed("night_s", FLOAT, "s", measured=True),
    _summary("night_share", FLOAT, "share", in_groups=True, label="night", summary_rank=1, sorts=True),  # of distance
    _summed("speeding_distance_m", FLOAT, "m", measured=True, label="speeding km", rank=7),
    _summed("speeding_s", FLOAT, "s", measured=True),
    _summary(  # over the limit, of distance whose limit is known
        "speeding_share", FLOAT, "share", summaries="nullable", in_groups=True, label="speeding", summary_rank=1,
        sorts=True,
    ),
    _summed("harsh_braking", COUNT, label="harsh b/a/c", rank=5, summary_rank=2),
    _summed("harsh_acceleration", COUNT),
    _summed("harsh_cornering", COUNT),
    _summary("harsh_events_per_100km", FLOAT, in_groups=True, label="harsh/100 km", summary_rank=1, sorts=True),
    _summary("annualised_distance_m", FLOAT, "m", in_groups=True, label="km a year", summary_rank=4),
    _summary("declared_annual_distance_m", FLOAT, "m", summaries="nullable", label="declared", summary_rank=4),
    _summary("mileage_ratio", FLOAT, "share", summaries="nullable", sorts=True),  # annualised / declared
    _summed("fixes", COUNT, measured=True, label="fixes", rank=8),
    _summed("quarantined", COUNT),
    _summed("bridged_s", FLOAT, "s", measured=True),
    _journey("bridged_distance_m", FLOAT, "m", measured=True),
    _summary("score", FLOAT, "points", in_groups=True, label="score", summary_rank=0, sorts=True),
    _summary("score_parts", pa.list_(SCORE_PART_TYPE)),
    _journey("rules_version", TEXT, summaries="required", in_groups=True),
    _journey("hours", pa.list_(HOUR_TYPE)),
    _journey("harsh_events", pa.list_(HARSH_EVENT_TYPE)),
    _summed(
        "limit_known_distance_m", FLOAT, "m", measured=True, since="0005",
        meaning="Part of distance_m whose speed limit the source reports. Null in journeys made before it was kept.",
        summary_meaning="Distance whose speed limit is known, of the journeys that say so; null where none does.",
    ),
    _summed(
        "over_limit_distance_m", FLOAT, "m", measured=True, since="0005",
        meaning="Part of limit_known_distance_m driven over that limit.",
    ),
    _summed(
        "speed_doubted", pa.bool_(), summed_as="speed_doubted_journeys", since="0005",
        meaning="Speeds are of positions, because the reported ones contradict them.",
        summary_meaning="Journeys whose reported speeds were not believed.",
    ),
)  # fmt: skip
"""Every field, in the order that schemas have them."""

SUMMED: Final = tuple(field for field in FIELDS if field.summed)
"""The fields that summaries have of the journeys themselves: sums and the highest."""

SORTS: Final = tuple(field.summary_name for field in FIELDS if field.sorts)
"""The numbers of summaries by which a book is sorted and filtered."""


def summary_field(field: Field) -> pa.Field:
    """The field as summaries have it."""
    whole = pa.types.is_integer(field.kind) or pa.types.is_boolean(field.kind)
    kind = pa.int64() if whole else field.kind
    return pa.field(field.summary_name, kind, nullable=field.summaries == "nullable")


def python_type(kind: pa.DataType) -> type:
    """What a value of this type is in Python. Of a dictionary: its values; of neither a list nor a struct."""
    if pa.types.is_dictionary(kind):
        return python_type(kind.value_type)
    for is_kind, python in (
        (pa.types.is_timestamp, datetime),
        (pa.types.is_date, date),
        (pa.types.is_floating, float),
        (pa.types.is_integer, int),
        (pa.types.is_boolean, bool),
    ):
        if is_kind(kind):
            return python
    return str
