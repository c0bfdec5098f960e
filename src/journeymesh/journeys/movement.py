"""Where journeys begin and end, and what they add up to: one accepted fix after the other. The second half of the pass.

    (nothing) ──first fix──▶ PARKED ──leaves the stop radius──▶ DRIVING ──stayed in it for min_stop_s──▶ PARKED
        ▲                                                          │
        └──────────────────────── a silence, ignition off ◀────────┘        (engine_switched goes straight to DRIVING)

Leaving is known only after it happened, and so is stopping. So a journey is tentative while the vehicle is still near
where it was parked: every fix that stands there begins it anew. And when a vehicle halts, the sums so far are set
aside: they are the journey's if the halt turns out to be its end.
"""

from __future__ import annotations

import numpy as np

from journeymesh.journeys.adding import add, begin, count_pending, flush_slots
from journeymesh.journeys.doubting import add_doubting, stays_put
from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.movement_state import DRIVING, HOURS_OF_WEEK, NOWHERE, PARKED
from journeymesh.kernels.compiled import compiled


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
            count_pending(state, sums, hours)
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
        flush_slots(state, hours)
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
            flush_slots(state, hours)
        elif not (standing and state.was_standing == 0 and away > limits.jitter_m):
            return
    if standing:
        _halt(state, sums, at_halt, hours, now_us, lat, lon)


@compiled
def _halt(state, sums, at_halt, hours, at_us, lat, lon):
    """A halt begins; the sums so far are set aside."""
    flush_slots(state, hours)
    state.halted = 1
    state.halted_by_place = 0
    state.halted_at_us = at_us
    state.anchor_lat_deg, state.anchor_lon_deg = lat, lon
    at_halt[0] = sums[0]
    _end_at(at_halt[0], at_us, lat, lon)


@compiled
def _follow_place(state, sums, at_halt, hours, limits, speed, stays):
    """A vehicle whose recorder repeats position and speed may have halted where the position came up; one whose speed
    changes has not."""
    if stays and state.mode == DRIVING and state.halted == 0:
        _halt(state, sums, at_halt, hours, state.at_us, state.lat_deg, state.lon_deg)
        state.halted_by_place = 1
    elif not stays and state.halted == 1 and state.halted_by_place == 1:
        state.halted_by_place = 0
        if speed >= limits.standstill_mps:
            state.halted = 0
            flush_slots(state, hours)


@compiled
def _add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays):
    """Add the interval since the fix before, as the rules have it. Returns whether the vehicle stands."""
    if limits.speed_ratio > 0.0:
        return add_doubting(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays)
    return add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit)


@compiled
def _halt_lasted(state, limits, scale, now_us, lat, lon):
    if state.mode != DRIVING or state.halted == 0 or now_us - state.halted_at_us < limits.min_stop_us:
        return False
    return step_m(scale, state.anchor_lat_deg, state.anchor_lon_deg, lat, lon) <= limits.stop_m


@compiled
def _never_on(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays):
    """The ignition has been off since the last silence. A vehicle that leaves its place all the same drives: such an
    ignition is not believed."""
    if state.mode == NOWHERE:
        if state.was_on == 0 and limits.ignition_doubt_m > 0.0:
            _park(state, sums, hours, now_us, lat, lon)
            state.speed_mps = speed
        return
    standing = _add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays)
    if step_m(scale, state.anchor_lat_deg, state.anchor_lon_deg, lat, lon) > limits.ignition_doubt_m:
        state.mode = DRIVING
        state.halted = 0
        flush_slots(state, hours)
    elif standing:
        begin(state, sums, hours, now_us, lat, lon)
        state.speed_mps = speed


@compiled
def _move_switched(
    state, sums, hours, limits, zones, scale, found, found_hours, counts, vehicle, now_us, lat, lon, speed, limit,
    ignition, stays,
):  # fmt: skip
    if state.mode != DRIVING:
        if ignition != 0:
            state.mode = DRIVING
            state.halted = 0
            state.was_on = 1
            begin(state, sums, hours, now_us, lat, lon)
            state.speed_mps = speed
        else:
            _never_on(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays)
        return False
    _add(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays)
    if ignition != 0:
        state.was_on = 1
    elif state.was_on == 1:
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
        state.said_m = np.nan
    stays = False
    if gap_us > limits.max_silence_us:
        state.was_on = 0
        state.stuck_s = 0.0
        state.told_mps = np.nan
    if limits.speed_ratio > 0.0:
        state.doubts_speed = 0
        stays = stays_put(state, limits, scale, now_us, lat, lon, speed)
    if state.mode != NOWHERE and gap_us > limits.max_silence_us:
        close(state, sums[0], at_halt[0], hours, limits, found, found_hours, counts, vehicle)
    if not limits.always_on:
        ended = _move_switched(state, sums[0], hours, limits, zones, scale, found, found_hours, counts, vehicle,
                               now_us, lat, lon, speed, limit, ignition, stays)  # fmt: skip
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
        if limits.speed_ratio > 0.0:
            _follow_place(state, sums, at_halt, hours, limits, speed, stays)
        standing = _add(state, sums[0], hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays)
        if state.mode == PARKED:
            _while_parked(state, sums[0], hours, limits, scale, standing, now_us, lat, lon, speed)
        else:
            _while_driving(state, sums, at_halt, hours, limits, scale, standing, now_us, lat, lon)
        state.was_standing = standing
    state.at_us, state.lat_deg, state.lon_deg = now_us, lat, lon
    state.told_mps = speed
    return ended
