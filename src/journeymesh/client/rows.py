"""What rows of answers hold. Units are in the names; instants are aware, in UTC.

Every value may be None: a decision's obligations can mask it. A row has the fields that were asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final, TypedDict, TypeVar

import pyarrow as pa

from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.policy_table import POLICY_SCHEMA
from journeymesh.journeys.summaries import SUMMARY_SCHEMA


class HarshEvent(TypedDict):
    """A harsh event of a journey; ``kind`` is braking, acceleration or cornering."""

    kind: str
    severity: str
    started_at: datetime
    ended_at: datetime
    peak_at: datetime
    peak_mps2: float
    lat_deg: float | None
    lon_deg: float | None
    fixes: int


class HourDriven(TypedDict):
    """What was driven in one hour of the week, 0 = Monday 00:00–01:00 local."""

    hour_of_week: int
    distance_m: float
    driving_s: float


class Journey(TypedDict, total=False):
    """A journey. ``duration_s = driving_s + idle_s``; ``mean_speed_mps = distance_m / driving_s``."""

    journey_id: str | None
    vehicle: str | None
    policy: str | None
    tenant: str | None
    product: str | None
    policy_from: datetime | None
    zone: str | None
    started_at: datetime | None
    ended_at: datetime | None
    start_lat_deg: float | None
    start_lon_deg: float | None
    end_lat_deg: float | None
    end_lon_deg: float | None
    distance_m: float | None
    duration_s: float | None
    driving_s: float | None
    idle_s: float | None
    mean_speed_mps: float | None
    max_speed_mps: float | None
    night_distance_m: float | None
    night_s: float | None
    speeding_distance_m: float | None
    speeding_s: float | None
    harsh_braking: int | None
    harsh_acceleration: int | None
    harsh_cornering: int | None
    fixes: int | None
    quarantined: int | None
    bridged_s: float | None
    bridged_distance_m: float | None
    rules_version: str | None
    hours: list[HourDriven] | None
    harsh_events: list[HarshEvent] | None
    limit_known_distance_m: float | None
    over_limit_distance_m: float | None
    speed_doubted: bool | None


class ScorePart(TypedDict):
    """A part of a score: 100 is best, 0 worst."""

    part: str
    value: float | None
    score: float
    weight: float


class Summary(TypedDict, total=False):
    """What a policy's journeys add up to in one period; ``period_from``/``period_to`` are local dates, half-open."""

    policy: str | None
    tenant: str | None
    product: str | None
    zone: str | None
    period: str | None
    period_from: date | None
    period_to: date | None
    observed_days: float | None
    journeys: int | None
    active_days: int | None
    distance_m: float | None
    duration_s: float | None
    driving_s: float | None
    idle_s: float | None
    mean_speed_mps: float | None
    max_speed_mps: float | None
    night_distance_m: float | None
    night_s: float | None
    night_share: float | None
    speeding_distance_m: float | None
    speeding_s: float | None
    speeding_share: float | None
    harsh_braking: int | None
    harsh_acceleration: int | None
    harsh_cornering: int | None
    harsh_events_per_100km: float | None
    annualised_distance_m: float | None
    declared_annual_distance_m: float | None
    mileage_ratio: float | None
    fixes: int | None
    quarantined: int | None
    bridged_s: float | None
    score: float | None
    score_parts: list[ScorePart] | None
    rules_version: str | None
    limit_known_distance_m: float | None
    over_limit_distance_m: float | None
    speed_doubted_journeys: int | None


class ListedPolicy(TypedDict, total=False):
    """An insurance policy, in force in ``[valid_from, valid_to)`` for its device or vehicle."""

    policy: str | None
    tenant: str | None
    product: str | None
    status: str | None
    device: str | None
    vehicle: str | None
    valid_from: datetime | None
    valid_to: datetime | None
    zone: str | None
    declared_annual_distance_m: float | None


class Fix(TypedDict, total=False):
    """A timestamped position report; ``fixed_at`` is the device's clock."""

    vehicle: str | None
    fixed_at: datetime | None
    lat_deg: float | None
    lon_deg: float | None
    received_at: datetime | None
    speed_mps: float | None
    heading_deg: float | None
    accel_longitudinal_mps2: float | None
    accel_lateral_mps2: float | None
    speed_limit_mps: float | None
    ignition: bool | None
    accuracy_m: float | None


Row = TypeVar("Row", bound=Mapping[str, object])


def _nullable(schema: pa.Schema) -> pa.Schema:
    plain = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    ]
    return pa.schema([field.with_nullable(True) for field in plain])


JOURNEYS: Final = _nullable(JOURNEY_SCHEMA)
SUMMARIES: Final = _nullable(SUMMARY_SCHEMA)
FIXES: Final = _nullable(FIX_SCHEMA)
POLICIES: Final = _nullable(
    pa.schema([field.with_name("policy") if field.name == "number" else field for field in POLICY_SCHEMA])
)
"""The schemas of answers: those of the columns inside, any of them null where it is masked."""


def table_of(rows: list[Any], schema: pa.Schema, fields: tuple[str, ...] | None = None) -> pa.Table:
    """The rows as an Arrow table with the named columns, or those that any of the rows has; all, where there is none.

    Nested harsh events may be masked in part, so nested fields are nullable as well.
    """
    present = set(fields) if fields is not None else {name for row in rows for name in row}
    kept = [_loose(field) for field in schema if not present or field.name in present]
    return pa.Table.from_pylist(rows, schema=pa.schema(kept))


def _loose(field: pa.Field) -> pa.Field:
    """The field with nothing required inside it."""
    if not pa.types.is_list(field.type):
        return field
    inside = [part.with_nullable(True) for part in field.type.value_type]
    return field.with_type(pa.list_(pa.struct(inside)))
