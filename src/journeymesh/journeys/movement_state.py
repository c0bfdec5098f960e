"""What is remembered of a vehicle's movement, what a journey adds up to, and the limits both are judged by."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from journeymesh.journeys.fields import FIELDS, FLOAT
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.rules import JourneyRules

NOWHERE: Final = 0
PARKED: Final = 1
DRIVING: Final = 2
HOURS_OF_WEEK: Final = 168
SLOTS: Final = 3
SUMS: Final = np.dtype(
    [
        ("started_at_us", np.int64),
        ("ended_at_us", np.int64),
        *((field.name, np.float64 if field.kind == FLOAT else np.int64) for field in FIELDS if field.measured),
        ("extent_m", np.float64),  # the furthest from the start, as far as min_extent_m is not reached
        ("said_m", np.float64),  # how far the reported speed says it drove, where the positions can tell,
        ("way_m", np.float64),  # and how far it drove there by positions
        ("doubted_s", np.float64),  # a speed was reported and not used
        ("max_by_way_mps", np.float64),  # the highest speed by positions, of the time whose reported speed was not used
        ("vehicle", np.int32),
        ("policy", np.int32),
        ("zone", np.int32),
    ],
    align=True,
)
"""What a journey adds up to: per vehicle the sums so far and those at its latest halt; and one per journey found."""

MOVEMENT_STATE: Final = np.dtype(
    [
        ("mode", np.int8),
        ("halted", np.int8),
        ("was_standing", np.int8),
        ("hours_used", np.int8),
        ("speeding_counts", np.int8),
        ("at_us", np.int64),
        ("lat_deg", np.float64),
        ("lon_deg", np.float64),
        ("speed_mps", np.float64),
        ("over_limit", np.int8),
        ("counted_lat_deg", np.float64),  # the position up to which distance is counted
        ("counted_lon_deg", np.float64),
        ("held_s", np.float64),  # idle since then, without a reported speed: driving if it turns out to have moved
        ("pending_m", np.float64),  # moved since then, too little to count yet
        ("anchor_lat_deg", np.float64),  # where it parked or halted
        ("anchor_lon_deg", np.float64),
        ("halted_at_us", np.int64),
        ("over_at_us", np.int64),  # speeding: the last fix over the limit, and what is not counted yet
        ("over_s", np.float64),
        ("over_m", np.float64),
        ("over_known_m", np.float64),  # of it over a reported limit
        ("limit_known", np.int8),  # whether the latest fix reports one
        ("policy", np.int32),  # the policy in force at the latest fix
        ("zone", np.int32),
        ("policy_until_us", np.int64),
        ("hour_zone", np.int32),  # the local hour of the week that holds until hour_until_us
        ("hour", np.int32),
        ("hour_until_us", np.int64),
        ("is_night", np.int8),  # whether that hour is of the night
        ("slots", np.int8),  # hours of the part that may turn out not to belong to the journey
        ("doubted", np.int8),  # the reported speed is not believed; how many fixes in a row contradict it
        ("contradictions", np.int8),
        ("doubts_speed", np.int8),  # the latest fix's reported speed was not used
        ("was_on", np.int8),  # the ignition has been on since the last silence
        ("halted_by_place", np.int8),  # the halt under way was seen by the position alone
        ("told_mps", np.float64),  # the latest reported speed
        ("said_m", np.float64),  # how far it says that the vehicle drove since the position counted last
        ("counted_at_us", np.int64),
        ("way_mps", np.float64),  # the latest speed by positions where the reported one is not used
        ("still_s", np.float64),  # by positions alone: it has not moved for so long, and so much of held_s it stood
        ("stood_s", np.float64),
        ("stood_m", np.float64),  # how far from the position counted last
        ("stuck_s", np.float64),  # for so long position and reported speed have been repeated
        ("slot_hour", np.int32, (SLOTS,)),
        ("slot_m", np.float64, (SLOTS,)),
        ("slot_s", np.float64, (SLOTS,)),
    ],
    align=True,
)
"""What is carried per vehicle from chunk to chunk. Zeros are a vehicle not seen yet."""


class MovementLimits(NamedTuple):
    """``JourneyRules`` as the kernel takes them."""

    always_on: bool
    max_silence_us: int
    min_stop_us: int
    min_distance_m: float
    min_duration_s: float
    min_extent_m: float
    standstill_mps: float
    jitter_m: float
    min_step_m: float
    stop_m: float
    bridged_s: float
    night_from_hour: int
    night_to_hour: int
    over_posted_mps: float
    absolute_mps: float
    speeding_min_s: float
    speeding_merge_us: int
    speed_ratio: float
    stuck_s: float
    ignition_doubt_m: float

    @classmethod
    def of(cls, rules: JourneyRules) -> MovementLimits:
        """The limits of these rules."""
        return cls(
            always_on=rules.profile == "always_on",
            max_silence_us=round(rules.max_silence_s * US_PER_S),
            min_stop_us=round(rules.min_stop_s * US_PER_S),
            min_distance_m=rules.min_distance_m,
            min_duration_s=rules.min_duration_s,
            min_extent_m=rules.min_extent_m,
            standstill_mps=rules.movement.standstill_speed_mps,
            jitter_m=rules.movement.jitter_radius_m,
            min_step_m=rules.movement.min_step_m,
            stop_m=rules.movement.stop_radius_m,
            bridged_s=rules.movement.bridged_gap_s,
            night_from_hour=rules.night.from_hour,
            night_to_hour=rules.night.to_hour,
            over_posted_mps=rules.speeding.over_posted_limit_mps,
            absolute_mps=rules.speeding.absolute_limit_mps,
            speeding_min_s=rules.speeding.min_duration_s,
            speeding_merge_us=round(rules.speeding.merge_s * US_PER_S),
            speed_ratio=rules.sensors.speed_ratio,
            stuck_s=rules.sensors.stuck_s or math.inf,
            ignition_doubt_m=rules.sensors.ignition_doubt_m,
        )
