"""Where journeys begin and end, and what they add up to: one accepted fix after the other. The second half of the pass.

    (nothing) ──first fix──▶ PARKED ──leaves the stop radius──▶ DRIVING ──stayed in it for min_stop_s──▶ PARKED
        ▲                                                          │
        └──────────────────────── a silence, ignition off ◀────────┘        (engine_switched goes straight to DRIVING)

Leaving is known only after it happened, and so is stopping. So a journey is tentative while the vehicle is still near
where it was parked: every fix that stands there begins it anew. And when a vehicle halts, the sums so far are set
aside: they are the journey's if the halt turns out to be its end.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from journeymesh.journeys.compiled import compiled
from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S, local_hour
from journeymesh.journeys.movement_state import DRIVING, HOURS_OF_WEEK, NOWHERE, PARKED, SLOTS

_PLAUSIBLE_ACCEL_MPS2: Final = 12.0
"""A speed counts towards the maximum when a neighbour's is within this acceleration of it: one bad fix does not."""


@compiled
def find_policy(state, at_us, first, last, timeline):
    """Make ``state.policy`` and ``state.zone`` those in force at this instant; -1 and 0 (UTC) where there is none."""
    from_us, to_us, policy, zone = timeline
    state.policy, state.zone = -1, 0
    state.policy_until_us = np.iinfo(np.int64).max
    for span in range(first, last):
        if at_us < from_us[span]:
            state.policy_until_us = from_us[span]
            return
        if at_us < to_us[span]:
            state.policy, state.zone = policy[span], zone[span]
            state.policy_until_us = to_us[span]
            return


@compiled
def _is_night(limits, hour_of_week):
    hour = hour_of_week % 24
    if limits.night_from_hour <= limits.night_to_hour:
        return limits.night_from_hour <= hour < limits.night_to_hour
    return hour >= limits.night_from_hour or hour < limits.night_to_hour


@compiled
def _flush_slots(state, hours):
    for k in range(state.slots):
        hour = state.slot_hour[k]
        hours[hour, 0] += state.slot_m[k]
        hours[hour, 1] += state.slot_s[k]
        state.hours_used = 1
    state.slots = 0


@compiled
def _to_hour(state, hours, hour, metres, seconds):
    if state.mode == DRIVING and state.halted == 0:
        hours[hour, 0] += metres
        hours[hour, 1] += seconds
        state.hours_used = 1
        return
    k = state.slots - 1
    if k < 0 or state.slot_hour[k] != hour:
        if state.slots == SLOTS:
            _flush_slots(state, hours)
        k = state.slots
        state.slots += 1
        state.slot_hour[k] = hour
        state.slot_m[k] = 0.0
        state.slot_s[k] = 0.0
    state.slot_m[k] += metres
    state.slot_s[k] += seconds


@compiled
def _over_hours(state, sums, hours, limits, zones, from_us, to_us, metres, driving_s):
    """Add an interval to the hours of the week it falls into, in proportion to time, and to the night's sums."""
    if from_us < state.hour_until_us and to_us <= state.hour_until_us and state.hour_zone == sums.zone:
        if state.is_night == 1:
            sums.night_s += (to_us - from_us) / US_PER_S
            sums.night_distance_m += metres
        if metres > 0.0 or driving_s > 0.0:
            _to_hour(state, hours, state.hour, metres, driving_s)
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
            _to_hour(state, hours, state.hour, metres * share, driving_s * share)
        at = until


@compiled
def _speeding(state, sums, limits, now_us, speed, limit, dt, metres):
    if 0.0 < limit < math.inf:
        over = speed > limit + limits.over_posted_mps
    else:
        over = speed > limits.absolute_mps
    if not over:
        state.over_limit = 0
        return
    if state.over_limit == 0 and (state.over_at_us == 0 or now_us - state.over_at_us > limits.speeding_merge_us):
        state.over_s = state.over_m = 0.0
        state.speeding_counts = 0
    elif state.over_limit == 1:
        state.over_s += dt
        state.over_m += metres
    state.over_limit = 1
    state.over_at_us = now_us
    if state.over_s >= limits.speeding_min_s or state.speeding_counts == 1:
        sums.speeding_s += state.over_s
        sums.speeding_distance_m += state.over_m
        state.over_s = state.over_m = 0.0
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
    sums.fixes = 1
    sums.policy, sums.zone = state.policy, state.zone


@compiled
def _fastest(state, sums, scale, speed_now, dt, lat, lon, reported):
    """Let a speed count towards the maximum when the fix before bears it out, or the distance driven since then."""
    fastest = max(speed_now, state.speed_mps)
    if fastest > sums.max_speed_mps:
        near = abs(speed_now - state.speed_mps) <= _PLAUSIBLE_ACCEL_MPS2 * min(max(dt, 1.0), 2.0)
        if near or (reported and fastest * dt <= 2.0 * step_m(scale, state.lat_deg, state.lon_deg, lat, lon)):
            sums.max_speed_mps = fastest


@compiled
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
    sums.driving_s += driven_s
    sums.idle_s += dt - driven_s
    if dt > limits.bridged_s:
        sums.bridged_s += dt
        sums.bridged_distance_m += metres
    _over_hours(state, sums, hours, limits, zones, state.at_us, now_us, metres, driven_s)
    if speed == speed:
        if state.speed_mps == state.speed_mps:
            _fastest(state, sums, scale, speed, interval_s, lat, lon, reported)
        _speeding(state, sums, limits, now_us, speed, limit, interval_s, metres)
        state.speed_mps = speed
    sums.fixes += 1
    return standing


@compiled
def _count_pending(state, sums, hours):
    """The journey ends while the vehicle moves: what is not counted yet is driven, too."""
    if state.pending_m > 0.0:
        sums.distance_m += state.pending_m
        sums.driving_s += state.held_s
        sums.idle_s -= state.held_s
        if state.is_night == 1:
            sums.night_distance_m += state.pending_m
        _to_hour(state, hours, state.hour, state.pending_m, state.held_s)
    state.held_s = state.pending_m = 0.0


@compiled
def _emit(sums, hours, limits, found, found_hours, counts, vehicle):
    """Put a finished journey out, unless it is below the minimum. ``counts``: journeys and hours put out so far."""
    seconds = (sums.ended_at_us - sums.started_at_us) / US_PER_S
    if (
        sums.fixes < 2
        or sums.distance_m < limits.min_distance_m
        or seconds < limits.min_duration_s
        or sums.extent_m < limits.min_extent_m
    ):
        return
    n = counts[0]
    found[n] = sums
    found[n].vehicle = vehicle
    for hour in range(HOURS_OF_WEEK):
        if hours[hour, 0] > 0.0 or hours[hour, 1] > 0.0:
            row = found_hours[counts[1]]
            row.journey, row.hour_of_week = n, hour
            row.distance_m, row.driving_s = hours[hour, 0], hours[hour, 1]
            counts[1] += 1
    counts[0] = n + 1


@compiled
def _end_at(sums, at_us, lat, lon):
    """Where a journey ends is known when it does: until then its latest fix is the vehicle's."""
    sums.ended_at_us, sums.end_lat_deg, sums.end_lon_deg = at_us, lat, lon


@compiled
def close(state, sums, at_halt, hours, limits, found, found_hours, counts, vehicle):
    """The journey under way, if any, is over: where it last halted, or at its last fix."""
    if state.mode == DRIVING:
        if state.halted == 1:
            state.slots = 0
            _emit(at_halt, hours, limits, found, found_hours, counts, vehicle)
        else:
            _end_at(sums, state.at_us, state.lat_deg, state.lon_deg)
            _count_pending(state, sums, hours)
            _emit(sums, hours, limits, found, found_hours, counts, vehicle)
    state.mode = NOWHERE
    state.halted = 0
    state.slots = 0


@compiled
def _park(state, sums, hours, now_us, lat, lon):
    state.mode = PARKED
    state.anchor_lat_deg, state.anchor_lon_deg = lat, lon
    begin(state, sums, hours, now_us, lat, lon)


@compiled
def _while_parked(state, sums, hours, limits, scale, standing, now_us, lat, lon, speed):
    away = step_m(scale, state.anchor_lat_deg, state.anchor_lon_deg, lat, lon)
    if away > limits.stop_m:
        state.mode = DRIVING
        state.halted = 0
        _flush_slots(state, hours)
    elif standing:
        begin(state, sums, hours, now_us, lat, lon)
        state.speed_mps = speed


@compiled
def _while_driving(state, sums, at_halt, hours, limits, scale, standing, now_us, lat, lon):
    """Follow halts: begin one, go on from one. The caller has seen to a halt that lasted."""
    if state.halted == 1:
        away = step_m(scale, state.anchor_lat_deg, state.anchor_lon_deg, lat, lon)
        if away > limits.stop_m:
            state.halted = 0
            _flush_slots(state, hours)
        elif not (standing and state.was_standing == 0 and away > limits.jitter_m):
            return
    if standing:
        _flush_slots(state, hours)
        state.halted = 1
        state.halted_at_us = now_us
        state.anchor_lat_deg, state.anchor_lon_deg = lat, lon
        at_halt[0] = sums[0]
        _end_at(at_halt[0], now_us, lat, lon)


@compiled
def _halt_lasted(state, limits, scale, now_us, lat, lon):
    if state.mode != DRIVING or state.halted == 0 or now_us - state.halted_at_us < limits.min_stop_us:
        return False
    return step_m(scale, state.anchor_lat_deg, state.anchor_lon_deg, lat, lon) <= limits.stop_m


@compiled
def _move_switched(
    state, sums, hours, limits, zones, scale, found, found_hours, counts, vehicle, now_us, lat, lon, speed, limit,
    ignition,
):  # fmt: skip
    if state.mode == NOWHERE:
        if ignition != 0:
            state.mode = DRIVING
            state.halted = 0
            begin(state, sums, hours, now_us, lat, lon)
            state.speed_mps = speed
        return False
    add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit)
    if ignition == 0:
        state.at_us, state.lat_deg, state.lon_deg = now_us, lat, lon
        close(state, sums, sums, hours, limits, found, found_hours, counts, vehicle)
        return True
    return False


@compiled
def move(
    state, sums, at_halt, hours, limits, zones, scale, found, found_hours, counts, vehicle, broken, now_us, lat, lon,
    speed, limit, ignition,
):  # fmt: skip
    """Take one accepted fix. ``broken`` says that the vehicle did not drive here from the one before: the journey goes
    on, or parking does, and no distance is credited. ``sums`` and ``at_halt`` are
    one-row views; ``hours`` is float64[168, 2] (metres, seconds driven). Returns whether a journey ended with it."""
    gap_us = now_us - state.at_us
    ended = False
    if state.mode == PARKED and broken:
        state.mode = NOWHERE
    if broken:
        state.counted_lat_deg, state.counted_lon_deg = lat, lon
    if state.mode != NOWHERE and gap_us > limits.max_silence_us:
        close(state, sums[0], at_halt[0], hours, limits, found, found_hours, counts, vehicle)
    if not limits.always_on:
        ended = _move_switched(state, sums[0], hours, limits, zones, scale, found, found_hours, counts, vehicle,
                               now_us, lat, lon, speed, limit, ignition)  # fmt: skip
    elif state.mode == NOWHERE:
        _park(state, sums[0], hours, now_us, lat, lon)
        state.was_standing = 1
        state.speed_mps = speed
    elif _halt_lasted(state, limits, scale, now_us, lat, lon):
        close(state, sums[0], at_halt[0], hours, limits, found, found_hours, counts, vehicle)
        _park(state, sums[0], hours, now_us, lat, lon)
        state.anchor_lat_deg, state.anchor_lon_deg = at_halt[0].end_lat_deg, at_halt[0].end_lon_deg
        state.was_standing = 1
        state.speed_mps = speed
        ended = True
    else:
        standing = add(state, sums[0], hours, limits, zones, scale, now_us, lat, lon, speed, limit)
        if state.mode == PARKED:
            _while_parked(state, sums[0], hours, limits, scale, standing, now_us, lat, lon, speed)
        else:
            _while_driving(state, sums, at_halt, hours, limits, scale, standing, now_us, lat, lon)
        state.was_standing = standing
    state.at_us, state.lat_deg, state.lon_deg = now_us, lat, lon
    return ended
