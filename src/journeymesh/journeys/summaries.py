"""Summaries: what a policy's journeys add up to in each day, week, month or term of the policy's time zone."""

from __future__ import annotations

from typing import Final, Literal

import pyarrow as pa

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules

Period = Literal["day", "week", "month", "term"]

SCORE_PART_TYPE: Final = pa.struct(
    [
        pa.field("part", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
    ]
)

SUMMARY_SCHEMA: Final = pa.schema(
    [
        pa.field("policy", pa.string(), nullable=False),
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("product", pa.string(), nullable=False),
        pa.field("zone", pa.string(), nullable=False),
        pa.field("period", pa.string(), nullable=False),
        pa.field("period_from", pa.date32(), nullable=False),  # local dates, half-open
        pa.field("period_to", pa.date32(), nullable=False),
        pa.field("observed_days", pa.float64(), nullable=False),
        pa.field("journeys", pa.int64(), nullable=False),
        pa.field("active_days", pa.int64(), nullable=False),
        pa.field("distance_m", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("driving_s", pa.float64(), nullable=False),
        pa.field("idle_s", pa.float64(), nullable=False),
        pa.field("mean_speed_mps", pa.float64(), nullable=False),
        pa.field("max_speed_mps", pa.float64(), nullable=False),
        pa.field("night_distance_m", pa.float64(), nullable=False),
        pa.field("night_s", pa.float64(), nullable=False),
        pa.field("night_share", pa.float64(), nullable=False),  # of distance
        pa.field("speeding_distance_m", pa.float64(), nullable=False),
        pa.field("speeding_s", pa.float64(), nullable=False),
        pa.field("speeding_share", pa.float64(), nullable=False),  # of distance
        pa.field("harsh_braking", pa.int64(), nullable=False),
        pa.field("harsh_acceleration", pa.int64(), nullable=False),
        pa.field("harsh_cornering", pa.int64(), nullable=False),
        pa.field("harsh_events_per_100km", pa.float64(), nullable=False),
        pa.field("annualised_distance_m", pa.float64(), nullable=False),
        pa.field("declared_annual_distance_m", pa.float64()),
        pa.field("mileage_ratio", pa.float64()),  # annualised / declared
        pa.field("fixes", pa.int64(), nullable=False),
        pa.field("quarantined", pa.int64(), nullable=False),
        pa.field("bridged_s", pa.float64(), nullable=False),
        pa.field("score", pa.float64(), nullable=False),
        pa.field("score_parts", pa.list_(SCORE_PART_TYPE), nullable=False),
        pa.field("rules_version", pa.string(), nullable=False),
    ]
)


def summarise(journeys: pa.Table, policy: Policy, period: Period, rules: ScoreRules) -> pa.Table:
    """One row of ``SUMMARY_SCHEMA`` per period in which the policy has journeys, oldest first."""
    raise NotImplementedError
