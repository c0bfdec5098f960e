"""What a journey adds up to: one interval between two accepted fixes after the other, every reported speed believed.

``doubting.py`` adds an interval up where reported speeds are held against the way travelled.
"""

from __future__ import annotations

import math
from typing import Final

from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S, local_hour
from journeymesh.journeys.movement_state import DRIVING, SLOTS
from journeymesh.kernels.compiled import compiled, compiled_apart

PLAUSIBLE_ACCEL_MPS2: Final = 12.0
"""A speed counts towards the maximum when a neighbour's is within this acceleration of it: one bad fix does not."""


@compiled
def _is_night(limits, hour_of_week):
    hour = hour_of_week % 24
    if limits.night_from_hour <= limits.night_to_hour:
        return limits.night_from_hour <= hour < limits.night_to_hour
    return hour >= limits.night_from_hour or hour < limits.night_to_hour


@compiled
def flush_slots(state, hours):
    for k in range(state.slots):
        hour = state.slot_hour[k]
        hours[hour, 0] += state.slot_m[k]
        hours[hour, 1] += state.slot_s[k]
        state.hours_used = 1
    state.slots = 0


@compiled
def to_hour(state, hours, hour, metres, seconds):
    if state.mode == DRIVING and state.halted == 0:
        hours[hour, 0] += metres
        hours[hour, 1] += seconds
        state.hours_used = 1
        return
    k = state.slots - 1
    if k < 0 or state.slot_hour[k] != hour:
        if state.slots == SLOTS:
            flush_slots(state, hours)
        k = state.slots
        state.slots += 1
        state.slot_hour[k] = hour
        state.slot_m[k] = 0.0
        state.slot_s[k] = 0.0
    state.slot_m[k] += metres
    state.slot_s[k] += seconds


@compiled
def over_hours(state, sums, hours, limits, zones, from_us, to_us, metres, driving_s):
    """Add an interval to the hours of the week it falls into, in proportion to time, and to the night's sums."""
    if from_us < state.hour_until_us and to_us <= state.hour_until_us and state.hour_zone == sums.zone:
        if state.is_night == 1:
            sums.night_s += (to_us - from_us) / US_PER_S
            sums.night_distance_m += metres
        if metres > 0.0 or driving_s > 0.0:
            to_hour(state, hours, state.hour, metres, driving_s)
        return
    length_us = to_us - from_us
    at = from_us
    while at < to_us:
        if at >= state.hour_until_us or state.hour_zone != sums.zone:
            state.hour, state.hour_until_us = local_hour(sums.zone, at, zones[0], zones[1], zones[2])
            state.hour_zone = sums.zone
            state.is_night = _is_night(limits, state.hour)
        until = min(to_us, state.hour_until_us)
        share = (until - at) / length_us
        if state.is_night == 1:
            sums.night_s += (until - at) / US_PER_S
            sums.night_distance_m += metres * share
        if metres > 0.0 or driving_s > 0.0:
            to_hour(state, hours, state.hour, metres * share, driving_s * share)
        at = until


@compiled
def is_limit(limit):
    """Whether a fix reports a speed limit. 0 and infinity say that none is known."""
    return 0.0 < limit < math.inf


@compiled
def take_limit(state, sums, limit, metres):
    """Note whether the limit of the interval that ends here is known. Whether it was broken is for ``speeding``."""
    state.limit_known = is_limit(limit)
    if state.limit_known == 1:
        sums.limit_known_distance_m += metres


@compiled
def speeding(state, sums, limits, now_us, speed, limit, dt, metres):
    if is_limit(limit):
        over = speed > limit + limits.over_posted_mps
    else:
        over = speed > limits.absolute_mps
    if not over:
        state.over_limit = 0
        return
    if state.over_limit == 0 and (state.over_at_us == 0 or now_us - state.over_at_us > limits.speeding_merge_us):
        state.over_s = state.over_m = state.over_known_m = 0.0
        state.speeding_counts = 0
    elif state.over_limit == 1:
        state.over_s += dt
        state.over_m += metres
        if is_limit(limit):
            state.over_known_m += metres
    state.over_limit = 1
    state.over_at_us = now_us
    if state.over_s >= limits.speeding_min_s or state.speeding_counts == 1:
        sums.speeding_s += state.over_s
        sums.speeding_distance_m += state.over_m
        sums.over_limit_distance_m += state.over_known_m
        state.over_s = state.over_m = state.over_known_m = 0.0
        state.speeding_counts = 1


@compiled
def begin(state, sums, hours, now_us, lat, lon):
    """A journey may begin at this fix: everything before it is none of it."""
    if state.hours_used == 1:
        hours[:, :] = 0.0
        state.hours_used = 0
    state.slots = 0
    state.held_s = state.pending_m = 0.0
    state.over_at_us = 0
    state.over_limit = 0
    state.counted_lat_deg, state.counted_lon_deg = lat, lon
    sums.started_at_us = now_us
    sums.start_lat_deg, sums.start_lon_deg = lat, lon
    sums.distance_m = sums.driving_s = sums.idle_s = sums.max_speed_mps = 0.0
    sums.night_distance_m = sums.night_s = sums.speeding_distance_m = sums.speeding_s = 0.0
    sums.bridged_s = sums.bridged_distance_m = sums.extent_m = 0.0
    sums.limit_known_distance_m = sums.over_limit_distance_m = 0.0
    sums.said_m = sums.way_m = sums.doubted_s = sums.max_by_way_mps = 0.0
    state.doubted = state.contradictions = 0
    state.said_m = state.way_mps = state.still_s = state.stood_s = state.stood_m = 0.0
    state.counted_at_us = now_us
    sums.fixes = 1
    sums.policy, sums.zone = state.policy, state.zone


@compiled
def take_fastest(state, sums, scale, speed_now, dt, lat, lon, reported):
    """Let a speed count towards the maximum when the fix before bears it out, or the distance driven since then."""
    fastest = max(speed_now, state.speed_mps)
    if fastest > sums.max_speed_mps:
        near = abs(speed_now - state.speed_mps) <= PLAUSIBLE_ACCEL_MPS2 * min(max(dt, 1.0), 2.0)
        if near or (reported and fastest * dt <= 2.0 * step_m(scale, state.lat_deg, state.lon_deg, lat, lon)):
            sums.max_speed_mps = fastest


@compiled
def take_interval(state, sums, hours, limits, zones, now_us, limit, dt, metres, driven_s):
    """Add what every interval adds, whatever its speed: ``dt`` seconds of which it drove ``driven_s`` and ``metres``,
    to the fix at ``now_us``."""
    sums.driving_s += driven_s
    sums.idle_s += dt - driven_s
    if dt > limits.bridged_s:
        sums.bridged_s += dt
        sums.bridged_distance_m += metres
    over_hours(state, sums, hours, limits, zones, state.at_us, now_us, metres, driven_s)
    take_limit(state, sums, limit, metres)
    sums.fixes += 1


@compiled_apart
def add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit):
    """Add the interval from the fix before to this one. Returns whether the vehicle stands.

    Distance is counted from the last counted position to this one, once it is more than noise: with a reported speed
    from ``min_step_m`` on, standing from ``stop_radius_m`` on; without one from ``jitter_radius_m`` on if it moved
    there at more than the standstill's speed.
    """
    dt = (now_us - state.at_us) / US_PER_S
    away = step_m(scale, state.counted_lat_deg, state.counted_lon_deg, lat, lon)
    reported = speed == speed
    interval_s = dt
    driven_s = 0.0
    if reported:
        standing = speed < limits.standstill_mps
        was_moving = state.speed_mps >= limits.standstill_mps
        if standing:
            counts = was_moving or away > limits.stop_m
        else:
            counts = away >= limits.min_step_m
        if not standing or was_moving or (counts and away >= limits.standstill_mps * dt):
            driven_s = dt
        state.held_s = 0.0
    else:
        interval_s += state.held_s
        moving = away >= limits.standstill_mps * interval_s
        counts = away > limits.stop_m or (moving and away > limits.jitter_m)
        standing = not counts and (
            not moving or step_m(scale, state.lat_deg, state.lon_deg, lat, lon) < limits.standstill_mps * dt
        )
        if counts:
            speed = away / interval_s
            if moving:
                driven_s = interval_s
        state.held_s = 0.0 if counts else interval_s
    metres = 0.0
    state.pending_m = 0.0
    if counts:
        metres = away
        state.counted_lat_deg, state.counted_lon_deg = lat, lon
        sums.distance_m += metres
        if sums.extent_m < limits.min_extent_m:
            sums.extent_m = max(sums.extent_m, step_m(scale, sums.start_lat_deg, sums.start_lon_deg, lat, lon))
    elif not standing:
        state.pending_m = away
    take_interval(state, sums, hours, limits, zones, now_us, limit, dt, metres, driven_s)
    if speed == speed:
        if state.speed_mps == state.speed_mps:
            take_fastest(state, sums, scale, speed, interval_s, lat, lon, reported)
        speeding(state, sums, limits, now_us, speed, limit, interval_s, metres)
        state.speed_mps = speed
    return standing


@compiled
def count_pending(state, sums, hours):
    """The journey ends while the vehicle moves: what is not counted yet is driven, too."""
    if state.pending_m > 0.0:
        sums.distance_m += state.pending_m
        driven_s = state.held_s - state.stood_s
        sums.driving_s += driven_s
        sums.idle_s -= driven_s
        if state.is_night == 1:
            sums.night_distance_m += state.pending_m
        if state.limit_known == 1:
            sums.limit_known_distance_m += state.pending_m
        to_hour(state, hours, state.hour, state.pending_m, driven_s)
    state.held_s = state.pending_m = 0.0
