"""Harsh events: braking, acceleration and cornering over a threshold. Runs beside the journeys, over every accepted fix.

From the accelerometer where a fix has it, else from the change of speed and of heading since the fix before. An
event begins at the low threshold, goes on until its value falls below it by the hysteresis, is merged with the next
of its kind when they are near, and counts when it lasted long enough. Which journey it belongs to is found afterwards
by its time.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from journeymesh.journeys.compiled import compiled, compiled_apart
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.rules import JourneyRules

KINDS: Final = ("braking", "acceleration", "cornering")
SEVERITIES: Final = ("low", "medium", "high")

EVENT: Final = np.dtype(
    [
        ("vehicle", np.int32),
        ("kind", np.int32),
        ("started_at_us", np.int64),
        ("ended_at_us", np.int64),
        ("peak_at_us", np.int64),
        ("peak_mps2", np.float64),
        ("lat_deg", np.float64),
        ("lon_deg", np.float64),
        ("lasted_s", np.float64),
        ("fixes", np.int32),
        ("open", np.int32),
    ],
    align=True,
)
"""An event, under way (one per vehicle and kind, carried from chunk to chunk) or found."""

HARSH_STATE: Final = np.dtype(
    [
        ("at_us", np.int64),
        ("seen", np.int8),
        ("derived_at_us", np.int64),  # the fix that speed and heading are compared with
        ("speed_mps", np.float64),
        ("heading_deg", np.float64),
    ],
    align=True,
)


class HarshLimits(NamedTuple):
    """``HarshRules`` as the kernel takes them."""

    braking_mps2: float
    acceleration_mps2: float
    cornering_mps2: float
    keep_share: float
    min_duration_s: float
    min_sample_us: int
    max_sample_us: int
    max_sample_s: float
    max_derived_mps2: float
    merge_us: int
    max_silence_us: int
    min_speed_mps: float
    cornering_min_speed_mps: float

    @classmethod
    def of(cls, rules: JourneyRules) -> HarshLimits:
        """The limits of these rules."""
        harsh = rules.harsh
        return cls(
            braking_mps2=harsh.braking_mps2[0],
            acceleration_mps2=harsh.acceleration_mps2[0],
            cornering_mps2=harsh.cornering_mps2[0],
            keep_share=1.0 - harsh.hysteresis,
            min_duration_s=harsh.min_duration_s,
            min_sample_us=round(harsh.min_sample_s * US_PER_S),
            max_sample_us=round(harsh.max_sample_s * US_PER_S),
            max_sample_s=harsh.max_sample_s,
            max_derived_mps2=harsh.max_derived_mps2,
            merge_us=round(harsh.merge_s * US_PER_S),
            max_silence_us=round(rules.max_silence_s * US_PER_S),
            min_speed_mps=harsh.min_speed_mps,
            cornering_min_speed_mps=harsh.cornering_min_speed_mps,
        )


@compiled
def close_event(event, limits, vehicle, kind, found, counts):
    """The event under way, if any, is over: put it out if it lasted. ``event`` is a one-row view."""
    if event[0].open == 1:
        event[0].open = 0
        if event[0].lasted_s >= limits.min_duration_s:
            n = counts[2]
            found[n] = event[0]
            found[n].vehicle = vehicle
            found[n].kind = kind
            counts[2] = n + 1


@compiled
def close_events(events, limits, vehicle, found, counts):
    """The events under way of one vehicle, EVENT[3], are over: a journey ended."""
    for kind in range(3):
        close_event(events[kind : kind + 1], limits, vehicle, kind, found, counts)


@compiled
def _follow(event, limits, vehicle, kind, threshold, value, now_us, before_us, sample_us, lat, lon, found, counts):
    """Take a value that reaches the threshold, or the first ones after it: an event begins, goes on or is over."""
    one = event[0]
    sample_s = min(sample_us / US_PER_S, limits.max_sample_s)
    if one.open == 1:
        apart_us = now_us - one.ended_at_us
        unbroken = before_us == one.ended_at_us and apart_us <= limits.max_sample_s * US_PER_S
        if (value >= threshold * limits.keep_share and unbroken) or (
            value >= threshold and apart_us <= limits.merge_us
        ):
            one.ended_at_us = now_us
            one.lasted_s += sample_s
            one.fixes += 1
            if value > one.peak_mps2:
                one.peak_mps2, one.peak_at_us, one.lat_deg, one.lon_deg = value, now_us, lat, lon
            return
        if apart_us <= limits.merge_us:
            return
        close_event(event, limits, vehicle, kind, found, counts)
    if value >= threshold:
        one.open = 1
        one.started_at_us = one.ended_at_us = one.peak_at_us = now_us
        one.peak_mps2, one.lat_deg, one.lon_deg = value, lat, lon
        one.lasted_s = sample_s
        one.fixes = 1


@compiled
def _derived(state, limits, seconds, speed, heading):
    """(forward, sideways) acceleration from the change of speed and heading since a fix so long ago; NaN: unknown."""
    side = np.nan
    forward = (speed - state.speed_mps) / seconds
    if min(speed, state.speed_mps) >= limits.cornering_min_speed_mps:
        turn = heading - state.heading_deg
        turn -= 360.0 * math.floor(turn / 360.0 + 0.5)
        side = math.radians(turn) / seconds * 0.5 * (speed + state.speed_mps)
    if abs(forward) > limits.max_derived_mps2:
        return np.nan, np.nan
    return forward, side if abs(side) <= limits.max_derived_mps2 else np.nan


@compiled
def feel(
    state, events, limits, vehicle, broken, now_us, lat, lon, speed, heading, accel_forward, accel_side, found, counts
):
    """Take one accepted fix. ``events`` is the vehicle's EVENT[3]; NaN where a value is not reported. ``broken`` says
    that nothing goes on to this fix from the one before."""
    derived_us = now_us - state.derived_at_us
    fresh = broken or state.seen == 0 or now_us - state.at_us > limits.max_silence_us
    calm = -limits.braking_mps2 < accel_forward < limits.acceleration_mps2 and abs(accel_side) < limits.cornering_mps2
    if fresh or not calm or events[0].open + events[1].open + events[2].open > 0:
        if not _feel_closely(state, events, limits, vehicle, fresh, now_us, lat, lon, speed, heading, accel_forward,
                             accel_side, found, counts):  # fmt: skip
            return
    state.seen = 1
    state.at_us = now_us
    if fresh or derived_us >= limits.min_sample_us:
        state.derived_at_us, state.speed_mps, state.heading_deg = now_us, speed, heading


@compiled_apart
def _feel_closely(
    state, events, limits, vehicle, fresh, now_us, lat, lon, speed, heading, accel_forward, accel_side, found, counts
):
    """Take a fix that is not plainly calm. Returns whether it is the one that the next is compared with."""
    gap_us = now_us - state.at_us
    if fresh:
        close_events(events, limits, vehicle, found, counts)
    derived_us = now_us - state.derived_at_us
    accel_forward = accel_forward if math.isfinite(accel_forward) else np.nan
    accel_side = accel_side if math.isfinite(accel_side) else np.nan
    if accel_forward != accel_forward or accel_side != accel_side:
        if accel_forward != accel_forward and accel_side != accel_side and not fresh:
            if derived_us < limits.min_sample_us:
                return False
        forward = side = np.nan
        if not fresh and limits.min_sample_us <= derived_us <= limits.max_sample_us:
            forward, side = _derived(state, limits, derived_us / US_PER_S, speed, heading)
        if accel_forward == accel_forward:
            forward = accel_forward
        if accel_side == accel_side:
            side = accel_side
    else:
        forward, side = accel_forward, accel_side
    fastest = speed if fresh or not state.speed_mps > speed else state.speed_mps
    if fastest < limits.min_speed_mps:
        forward = side = 0.0
    before_us = state.at_us
    sample_us = gap_us if not fresh else US_PER_S
    if -forward >= limits.braking_mps2 or events[0].open == 1:
        _follow(events[0:1], limits, vehicle, 0, limits.braking_mps2, -forward, now_us, before_us, sample_us, lat, lon,
                found, counts)  # fmt: skip
    if forward >= limits.acceleration_mps2 or events[1].open == 1:
        _follow(events[1:2], limits, vehicle, 1, limits.acceleration_mps2, forward, now_us, before_us, sample_us, lat,
                lon, found, counts)  # fmt: skip
    if abs(side) >= limits.cornering_mps2 or events[2].open == 1:
        _follow(events[2:3], limits, vehicle, 2, limits.cornering_mps2, abs(side), now_us, before_us, sample_us, lat,
                lon, found, counts)  # fmt: skip
    return True
