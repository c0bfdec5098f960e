"""Harsh events: braking, acceleration and cornering over a threshold. Runs beside the journeys, over every accepted fix.

From the accelerometer where a fix has it, else from the change of speed and of heading since the fix before, which the
next sample and the way between the two have to bear out (since rules 2026.2). An event begins at the low threshold,
goes on until its value falls below it by the hysteresis, is merged with the next of its kind when they are near, and
counts when it lasted long enough. Which journey it belongs to is found afterwards by its time.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.rules import JourneyRules
from journeymesh.kernels.compiled import compiled, compiled_apart

KINDS: Final = ("braking", "acceleration", "cornering")
SEVERITIES: Final = ("low", "medium", "high")

_WAY_RATIO: Final = 1.5
_WAY_M: Final = 3.0
"""A speed is contradicted by a way so many times and metres longer or shorter than it says."""
_BEARING_M: Final = 5.0
_BEARING_OFF_DEG: Final = 60.0
"""A heading is contradicted by a step of this length that goes so far off it."""

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
        ("lat_deg", np.float64),  # the latest fix
        ("lon_deg", np.float64),
        ("last_speed_mps", np.float64),
        ("waits", np.int8),  # a change of speed or heading that the next sample has to bear out
        ("waits_at_us", np.int64),
        ("waits_speed_mps", np.float64),
        ("waits_heading_deg", np.float64),
        ("waits_lat_deg", np.float64),
        ("waits_lon_deg", np.float64),
        ("waits_forward_mps2", np.float64),
        ("waits_side_mps2", np.float64),
        ("waits_held", np.int8),  # its position repeats the one before and says nothing
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
    borne_out_share: float

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
            borne_out_share=rules.sensors.borne_out_share,
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
def _take(events, limits, vehicle, forward, side, now_us, before_us, sample_us, lat, lon, found, counts):
    """Take a fix's values; NaN where there is none."""
    if -forward >= limits.braking_mps2 or (events[0].open == 1 and forward == forward):
        _follow(events[0:1], limits, vehicle, 0, limits.braking_mps2, -forward, now_us, before_us, sample_us, lat, lon,
                found, counts)  # fmt: skip
    if forward >= limits.acceleration_mps2 or (events[1].open == 1 and forward == forward):
        _follow(events[1:2], limits, vehicle, 1, limits.acceleration_mps2, forward, now_us, before_us, sample_us, lat,
                lon, found, counts)  # fmt: skip
    if abs(side) >= limits.cornering_mps2 or (events[2].open == 1 and side == side):
        _follow(events[2:3], limits, vehicle, 2, limits.cornering_mps2, abs(side), now_us, before_us, sample_us, lat,
                lon, found, counts)  # fmt: skip


@compiled
def _turn(from_deg, to_deg):
    turn = to_deg - from_deg
    return turn - 360.0 * math.floor(turn / 360.0 + 0.5)


@compiled
def _speed_borne_out(state, limits, seconds, speed, step):
    """Whether the waiting change of speed is kept by the next sample, and the way between them is not another's."""
    change = state.waits_speed_mps - state.speed_mps
    kept = speed - state.speed_mps if change > 0.0 else state.speed_mps - speed
    if not kept >= limits.borne_out_share * abs(change):
        return False
    return state.waits_held == 1 or not _contradicted(state.waits_speed_mps, speed, seconds, step)


@compiled
def _contradicted(speed1, speed2, seconds, step):
    """Whether a way is another's than that of a vehicle with these speeds at its ends. A repeated position says
    nothing."""
    if step == 0.0:
        return False
    least, most = min(speed1, speed2) * seconds, max(speed1, speed2) * seconds
    return step < least / _WAY_RATIO - _WAY_M or step > most * _WAY_RATIO + _WAY_M


@compiled
def _compare_with(state, scale, now_us, lat, lon, speed, heading):
    """Let the next sample be compared with this one; its speed only if the way from the fix before is not another's."""
    state.derived_at_us, state.speed_mps, state.heading_deg = now_us, speed, heading
    step = step_m(scale, state.lat_deg, state.lon_deg, lat, lon)
    if _contradicted(state.last_speed_mps, speed, (now_us - state.at_us) / US_PER_S, step):
        state.speed_mps = np.nan


@compiled
def _turn_borne_out(state, limits, scale, heading, lat, lon, step):
    """Whether the waiting change of heading is kept by the next sample, and the way between them goes there."""
    turn = _turn(state.heading_deg, state.waits_heading_deg)
    kept = _turn(state.heading_deg, heading)
    if not (kept if turn > 0.0 else -kept) >= limits.borne_out_share * abs(turn):
        return False
    if state.waits_held == 1 or step < _BEARING_M:
        return True
    north = step_m(scale, state.waits_lat_deg, lon, lat, lon)
    east = step_m(scale, lat, state.waits_lon_deg, lat, lon)
    dlon = lon - state.waits_lon_deg
    east = -east if (dlon < 0.0) != (abs(dlon) > 180.0) else east
    bearing = math.degrees(math.atan2(east, -north if lat < state.waits_lat_deg else north))
    off = min(abs(_turn(state.waits_heading_deg, bearing)), abs(_turn(heading, bearing)))
    return off <= _BEARING_OFF_DEG


@compiled_apart
def feel_doubting(
    state, events, limits, scale, vehicle, fresh, now_us, lat, lon, speed, heading, accel_forward, accel_side, found,
    counts,
):  # fmt: skip
    """Take a fix that is not plainly calm. What the accelerometer says counts at once; a change of speed or heading
    waits for the next sample to bear it out, and is dropped if it does not."""
    if fresh:
        close_events(events, limits, vehicle, found, counts)
        state.waits = 0
        state.derived_at_us, state.speed_mps, state.heading_deg = now_us, speed, heading
    if state.waits == 1:
        since_us = now_us - state.waits_at_us
        if since_us >= limits.min_sample_us:
            state.waits = 0
            step = step_m(scale, state.waits_lat_deg, state.waits_lon_deg, lat, lon)
            near, seconds = since_us <= limits.max_sample_us, since_us / US_PER_S
            forward, side = state.waits_forward_mps2, state.waits_side_mps2
            kept = True
            if abs(forward) > 0.0 and not (near and _speed_borne_out(state, limits, seconds, speed, step)):
                forward, kept = np.nan, False
            if abs(side) > 0.0 and not (near and _turn_borne_out(state, limits, scale, heading, lat, lon, step)):
                side, kept = np.nan, False
            before_us, at_us = state.derived_at_us, state.waits_at_us
            _take(events, limits, vehicle, forward, side, at_us, before_us, at_us - before_us, state.waits_lat_deg,
                  state.waits_lon_deg, found, counts)  # fmt: skip
            if kept:
                state.derived_at_us, state.speed_mps, state.heading_deg = (
                    at_us, state.waits_speed_mps, state.waits_heading_deg
                )  # fmt: skip
    if math.isfinite(accel_forward) or math.isfinite(accel_side):
        fastest = speed if fresh or not state.speed_mps > speed else state.speed_mps
        slow = fastest < limits.min_speed_mps
        sample_us = US_PER_S if fresh else now_us - state.at_us
        ahead = accel_forward if math.isfinite(accel_forward) else np.nan
        aside = accel_side if math.isfinite(accel_side) else np.nan
        _take(events, limits, vehicle, 0.0 if slow else ahead, 0.0 if slow else aside, now_us, state.at_us, sample_us,
              lat, lon, found, counts)  # fmt: skip
    derived_us = now_us - state.derived_at_us
    if fresh or state.waits == 1 or derived_us < limits.min_sample_us:
        return
    forward = side = np.nan
    if derived_us <= limits.max_sample_us:
        forward, side = _derived(state, limits, derived_us / US_PER_S, speed, heading)
        if max(speed, state.speed_mps) < limits.min_speed_mps:
            forward = side = 0.0
    if math.isfinite(accel_forward) or not _matters(limits, forward, events[0].open + events[1].open > 0):
        forward = 0.0
    if math.isfinite(accel_side) or not (abs(side) >= limits.cornering_mps2 * _keep(limits, events[2].open == 1)):
        side = 0.0
    if forward == 0.0 and side == 0.0:
        _compare_with(state, scale, now_us, lat, lon, speed, heading)
        return
    state.waits = 1
    state.waits_at_us, state.waits_speed_mps, state.waits_heading_deg = now_us, speed, heading
    state.waits_lat_deg, state.waits_lon_deg = lat, lon
    state.waits_forward_mps2, state.waits_side_mps2 = forward, side
    state.waits_held = lat == state.lat_deg and lon == state.lon_deg


@compiled
def _keep(limits, is_open):
    return limits.keep_share if is_open else 1.0


@compiled
def _matters(limits, forward, is_open):
    """Whether a change of speed is of an event: over the threshold, or near it while one is under way."""
    share = _keep(limits, is_open)
    return -forward >= limits.braking_mps2 * share or forward >= limits.acceleration_mps2 * share


@compiled
def feel(
    state, events, limits, scale, vehicle, broken, now_us, lat, lon, speed, heading, accel_forward, accel_side, found,
    counts,
):  # fmt: skip
    """Take one accepted fix. ``events`` is the vehicle's EVENT[3]; NaN where a value is not reported. ``broken`` says
    that nothing goes on to this fix from the one before."""
    derived_us = now_us - state.derived_at_us
    fresh = broken or state.seen == 0 or now_us - state.at_us > limits.max_silence_us
    calm = -limits.braking_mps2 < accel_forward < limits.acceleration_mps2 and abs(accel_side) < limits.cornering_mps2
    if limits.borne_out_share > 0.0:
        if fresh or not calm or state.waits == 1 or events[0].open + events[1].open + events[2].open > 0:
            feel_doubting(state, events, limits, scale, vehicle, fresh, now_us, lat, lon, speed, heading, accel_forward,
                          accel_side, found, counts)  # fmt: skip
        elif derived_us >= limits.min_sample_us:
            state.derived_at_us, state.speed_mps, state.heading_deg = now_us, speed, heading
        state.seen = 1
        state.at_us, state.lat_deg, state.lon_deg, state.last_speed_mps = now_us, lat, lon, speed
        return
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
