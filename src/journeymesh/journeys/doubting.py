"""An interval of a journey where reported speeds are held against the way travelled.

A reported speed is used as long as the positions do not contradict it:

- The vehicle gets away from the position counted last by more than twice what the speed says, and at the next fix
  still: the speed is too low, as of a column that is always 0.
- Over the journey so far, from ``FIRST_COMPARED_M`` on, the way that the speed says and the way by positions differ
  by more than the rules' ratio: a wrong unit. It is believed again when the two have come together.
- Position and speed have been repeated to the last digit for so long as the rules say: the recorder is stuck.

While it is not believed, positions alone say whether and how far the vehicle moves, as where none is reported.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from journeymesh.journeys.adding import PLAUSIBLE_ACCEL_MPS2, speeding, take_fastest, take_interval
from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.kernels.compiled import compiled

FIRST_COMPARED_M: Final = 300.0
"""So far must a journey go until its reported and its travelled way are compared."""
_STAYS_SHARE: Final = 0.2
"""A step of less than this share of what the speed says is none."""
_STOOD_S: Final = 10.0
"""Without a believed speed: a vehicle that did not move for so long stood."""
_TOWN_MPS: Final = 25.0
_STEP_SHARE: Final = 0.7
"""A step of this share of a counted one, faster than a walk, contradicts a reported stand: no journey begins after it."""
_BELIEVED: Final = 0
_WAITS: Final = 1
_NOT_BELIEVED: Final = 2


@compiled
def stays_put(state, limits, scale, now_us, lat, lon, speed):
    """Whether the recorder repeats that the vehicle moves at the very same speed while its position stays."""
    if not (speed == state.told_mps and speed >= limits.standstill_mps):
        state.stuck_s = 0.0
        return False
    seconds = (now_us - state.at_us) / US_PER_S
    if step_m(scale, state.lat_deg, state.lon_deg, lat, lon) > min(limits.jitter_m, _STAYS_SHARE * speed * seconds):
        state.stuck_s = 0.0
        return False
    state.stuck_s += seconds
    return True


@compiled
def _judge(state, limits, speed, dt, away, since_s, stays):
    """Whether the reported speed is used for this interval; ``state.said_m`` is what it says of the way so far."""
    if speed != speed:
        state.said_m = np.nan
        return _BELIEVED
    mean = 0.5 * (state.told_mps + speed) if state.told_mps == state.told_mps else speed
    state.said_m = state.said_m + mean * dt if dt <= limits.bridged_s else np.nan
    if away > 2.0 * state.said_m + limits.jitter_m and away >= limits.standstill_mps * since_s:
        state.contradictions += 1
        if state.contradictions > 1:
            state.contradictions = 1
            state.doubted = 1
        elif state.doubted == 0:
            return _WAITS
    else:
        state.contradictions = 0
    if state.doubted == 1 or (stays and state.stuck_s >= limits.stuck_s):
        return _NOT_BELIEVED
    return _BELIEVED


@compiled
def _compare(state, sums, limits, away):
    """The way since the position counted last is settled: does the speed say the same of the journey so far?"""
    if state.said_m == state.said_m and away >= limits.min_step_m:
        sums.said_m += state.said_m
        sums.way_m += away
        if sums.way_m >= FIRST_COMPARED_M:
            agrees = sums.said_m <= limits.speed_ratio * sums.way_m and sums.way_m <= limits.speed_ratio * sums.said_m
            state.doubted = 0 if agrees else 1
    state.said_m = 0.0


@compiled
def _fastest_by_way(state, sums, speed, dt):
    if abs(speed - state.way_mps) <= PLAUSIBLE_ACCEL_MPS2 * min(max(dt, 1.0), 2.0):
        sums.max_by_way_mps = max(sums.max_by_way_mps, speed, state.way_mps)


@compiled
def _drive_off(state, away, dt):
    """The time in which a vehicle drove that now got away from the position counted last: not the time that it stood
    before, unless that is too short then, as after a position that was held."""
    since_s = dt + state.held_s - state.stood_s
    held = away > max(_TOWN_MPS, 2.0 * state.way_mps) * since_s
    return dt + state.held_s if held else since_s


@compiled
def add_doubting(state, sums, hours, limits, zones, scale, now_us, lat, lon, speed, limit, stays):
    """Add the interval from the fix before to this one. Returns whether the vehicle stands.

    Distance is counted as ``add`` does; an interval in which a vehicle stands, so it seems, is driven in if it turns
    out to have moved.
    """
    dt = (now_us - state.at_us) / US_PER_S
    away = step_m(scale, state.counted_lat_deg, state.counted_lon_deg, lat, lon)
    judged = _judge(state, limits, speed, dt, away, (now_us - state.counted_at_us) / US_PER_S, stays)
    was_told = speed == speed
    step = step_m(scale, state.lat_deg, state.lon_deg, lat, lon)
    interval_s = _drive_off(state, away, dt)
    moving = away >= limits.standstill_mps * interval_s
    driven_s, counts, standing = 0.0, False, False
    if judged != _BELIEVED:
        state.doubts_speed = 1
        sums.doubted_s += dt
        speed = np.nan
    if speed == speed:
        was_moving = state.speed_mps >= limits.standstill_mps
        standing = speed < limits.standstill_mps
        counts = (was_moving or away > limits.stop_m) if standing else away >= limits.min_step_m
        drove_on = was_moving and state.still_s == 0.0 and not standing
        if counts and moving and state.held_s > 0.0 and (drove_on or away > 2.0 * speed * dt + limits.jitter_m):
            driven_s = interval_s
        elif not standing or was_moving or (counts and away >= limits.standstill_mps * dt):
            driven_s = dt
        interval_s = dt
        standing = standing and not (step > _STEP_SHARE * limits.min_step_m and step > 3.0 * limits.standstill_mps * dt)
    elif judged != _WAITS:
        counts = away > limits.stop_m or (moving and away > limits.jitter_m)
        standing = not counts and (not moving or step < limits.standstill_mps * dt)
        if counts:
            speed = max(away - state.stood_m, 0.0) / interval_s
            if moving:
                driven_s = interval_s
    if counts or driven_s > 0.0:
        state.held_s = state.stood_s = state.stood_m = state.still_s = 0.0
    else:
        state.held_s += dt
        state.still_s = state.still_s + dt if step < limits.standstill_mps * dt else 0.0
        if state.still_s >= _STOOD_S:
            state.stood_s, state.stood_m = state.held_s, away
    metres = 0.0
    state.pending_m = 0.0
    if counts:
        metres = away
        state.counted_lat_deg, state.counted_lon_deg = lat, lon
        state.counted_at_us = now_us
        sums.distance_m += metres
        if sums.extent_m < limits.min_extent_m:
            sums.extent_m = max(sums.extent_m, step_m(scale, sums.start_lat_deg, sums.start_lon_deg, lat, lon))
        _compare(state, sums, limits, away)
    elif not standing:
        state.pending_m = away
    take_interval(state, sums, hours, limits, zones, now_us, limit, dt, metres, driven_s)
    if speed == speed:
        if state.speed_mps == state.speed_mps:
            if was_told and judged != _BELIEVED:
                _fastest_by_way(state, sums, speed, interval_s)
            else:
                take_fastest(state, sums, scale, speed, interval_s, lat, lon, was_told)
        if judged != _BELIEVED or not was_told:
            state.way_mps = speed
        speeding(state, sums, limits, now_us, speed, limit, interval_s, metres)
        state.speed_mps = speed
    return standing
