"""The types of rows of answers. Generated from the code by `make reference`."""

from datetime import date, datetime
from typing import TypedDict

class HarshEvent(TypedDict):
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
    hour_of_week: int
    distance_m: float
    driving_s: float

class ScorePart(TypedDict):
    part: str
    value: float | None
    score: float
    weight: float

class Move(TypedDict):
    measure: str
    before: float
    after: float
    change: float

class Journey(TypedDict, total=False):
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

class Summary(TypedDict, total=False):
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
    policy_from: datetime | None
    moved: list[Move] | None

class ListedPolicy(TypedDict, total=False):
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

class RefusedFix(TypedDict, total=False):
    refusal_id: str | None
    reason: str | None
    explanation: str | None
    fixed_at: datetime | None
    lat_deg: float | None
    lon_deg: float | None
