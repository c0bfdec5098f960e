"""How a car drives along a route, second by second, and what its receiver makes of it. Compiled."""

from __future__ import annotations

import math
from typing import Final

from numba import types

from journeymesh.fleets.portable import bell, metres_per_degree_at, sine_cosine
from journeymesh.kernels.compiled import F64_IN, I64_IN, compiled, entry

LENGTH, HEADING, TURN, WIGGLE, LIMIT, CRUISE, STOP_S, CORNER = range(8)
"""Columns of a route's legs: metres, radians clockwise from north at its start, radians turned over it, amplitude of
its bends in radians, posted limit and speed aimed at in m/s, seconds to stand at its end (-1: go on), and 1 where a
harsh cornering is planted."""
LEG_COLUMNS: Final = 8

LAT, LON, SPEED, COURSE, ALONG, ACROSS, POSTED = range(7)
"""Rows of a drive: degrees, degrees, m/s, radians, m/s² forward, m/s² to the right, m/s."""
DRIVE_ROWS: Final = 7

BRAKING, ACCELERATION, CORNERING = 1, 2, 3

COMFORT_BRAKING_MPS2: Final = 1.7
COMFORT_ACCELERATION_MPS2: Final = 1.5
_PI: Final = math.pi
_TWO_PI: Final = 2.0 * math.pi
_CORNER_TAG_MPS2: Final = 3.5

_F64_2D_IN: Final = types.Array(types.float64, 2, "C", readonly=True)
_F64_2D: Final = types.Array(types.float64, 2, "C")
_F64: Final = types.Array(types.float64, 1, "C")
_I8: Final = types.Array(types.int8, 1, "C")
_U64: Final = types.Array(types.uint64, 1, "C")


@compiled
def _course(legs, i, s):  # type: ignore[no-untyped-def]
    share = s / legs[i, LENGTH]
    course = legs[i, HEADING] + legs[i, TURN] * share
    if legs[i, WIGGLE] != 0.0:
        course += legs[i, WIGGLE] * sine_cosine(_TWO_PI * share)[0]
    return course


@compiled
def _exits(legs, exits):  # type: ignore[no-untyped-def]
    """The speed at which each leg may be left, so that everything after it can be obeyed with comfort."""
    n = len(legs)
    exits[n - 1] = 0.0
    for i in range(n - 2, -1, -1):
        if legs[i, STOP_S] >= 0.0:
            exits[i] = 0.0
            continue
        ahead = math.sqrt(exits[i + 1] * exits[i + 1] + 2.0 * COMFORT_BRAKING_MPS2 * legs[i + 1, LENGTH])
        exits[i] = min(ahead, legs[i, CRUISE], legs[i + 1, CRUISE])


@compiled
def _obeying(v, to_end_m, exit_mps):  # type: ignore[no-untyped-def]
    """The highest speed in a second's time from which comfortable braking still obeys the end of the leg."""
    b = COMFORT_BRAKING_MPS2
    root = b * b + 4.0 * (exit_mps * exit_mps + 2.0 * b * to_end_m - b * v)
    if root <= 0.0:
        return 0.0
    return max(0.0, 0.5 * (math.sqrt(root) - b))


@compiled
def _record(out, t, at, v, course, along, across, posted):  # type: ignore[no-untyped-def]
    out[LAT, t], out[LON, t] = at[0], at[1]
    out[SPEED, t], out[COURSE, t], out[ALONG, t], out[ACROSS, t], out[POSTED, t] = v, course, along, across, posted


@compiled
def _advance(at, metres, course):  # type: ignore[no-untyped-def]
    sin, cos = sine_cosine(course)
    north, east = metres_per_degree_at(at[0])
    at[0] += metres * cos / north
    at[1] += metres * sin / east


@compiled
def _roll(legs, exits, at, i, s, metres):  # type: ignore[no-untyped-def]
    """Roll on from ``s`` metres into leg i: (leg, metres into it, seconds to stand now, whether the route is over)."""
    while metres > 0.0:
        piece = min(metres, legs[i, LENGTH] - s)
        _advance(at, piece, _course(legs, i, s + 0.5 * piece))
        s += piece
        metres -= piece
        if s < legs[i, LENGTH] - 1e-9:
            continue
        if i == len(legs) - 1:
            return i, s, 0, True
        i += 1
        s = 0.0
        if exits[i - 1] == 0.0:
            return i, s, int(legs[i - 1, STOP_S]), False
    return i, s, 0, False


@compiled
def _planted_mps2(planted, p, i, s, v, legs):  # type: ignore[no-untyped-def]
    """The acceleration of planted event p if it begins here, else 0."""
    kind, peak, lasts = planted[p, 1], planted[p, 2], planted[p, 3]
    if planted[p, 0] != i:
        return 0.0
    if kind == BRAKING and s > 0.35 * legs[i, LENGTH] and v - peak * lasts >= 2.0:
        return -peak
    room = legs[i, LENGTH] - s
    if kind == ACCELERATION and v >= 4.0 and v + peak * lasts <= legs[i, CRUISE] and room > 150.0 + 12.0 * v:
        return peak
    return 0.0


@entry(
    types.Tuple((types.int64, types.float64, types.int64, types.int64)),
    _F64_2D_IN, _F64_2D_IN, types.int64, types.int64, _U64, _F64, _F64, _F64_2D, _I8,
)  # fmt: skip
def drive(legs, planted, before_s, after_s, random, at, exits, out, tags):  # type: ignore[no-untyped-def]
    """Drive the legs (float64[m, 8]) from ``at`` (float64[2]: lat, lon; left at the end), a column of ``out`` a second.

    ``planted``: float64[k, 4] rows (leg, kind, peak m/s², seconds), by leg, the last one (-1, …). ``tags`` (int8)
    has the kind of the planted event at each second. Returns (seconds recorded, metres, first and last standing
    second: those at which the car leaves and arrives).
    """
    _exits(legs, exits)
    room, t, i, s, v, mood, total, wait, p = out.shape[1] - after_s - 1, 0, 0, 0.0, 0.0, 0.0, 0.0, before_s, 0
    event_a, event_s = 0.0, 0
    course = _course(legs, 0, 0.0)
    _record(out, t, at, 0.0, course, 0.0, 0.0, legs[0, LIMIT])
    tags[0] = 0
    arrived = False
    while not arrived and t < room:
        t += 1
        tags[t] = 0
        if wait > 0:
            wait -= 1
            _record(out, t, at, 0.0, course, 0.0, 0.0, legs[i, LIMIT])
            continue
        mood += 0.05 * (bell(random) - mood)
        aim = legs[i, CRUISE] * (1.0 + 0.03 * mood) if legs[i, TURN] == 0.0 else legs[i, CRUISE]
        after = min(v + COMFORT_ACCELERATION_MPS2 * (1.0 - 0.6 * v / 40.0), aim)
        after = max(after, v - 1.2)
        to_end = legs[i, LENGTH] - s
        if event_s == 0 and planted[p, 0] >= 0.0:
            while planted[p, 0] >= 0.0 and planted[p, 0] < i:
                p += 1
            event_a = _planted_mps2(planted, p, i, s, v, legs) if planted[p, 0] >= 0.0 else 0.0
            if event_a != 0.0:
                event_s = int(planted[p, 3])
                p += 1
        tag = 0
        if event_s > 0:
            event_s -= 1
            after = v + event_a
            tag = BRAKING if event_a < 0.0 else ACCELERATION
        allowed = _obeying(v, to_end, exits[i])
        if tag != 0 and after > allowed:
            tag, event_s = 0, 0
        after = max(0.0, min(after, allowed))
        metres = 0.5 * (v + after)
        if exits[i] == 0.0 and (metres >= to_end or (after < 0.9 and to_end - metres < 0.5)):
            metres, after = to_end, 0.0
        total += metres
        course_before = course
        i, s, wait, arrived = _roll(legs, exits, at, i, s, metres)
        course = _course(legs, i, s)
        turned = course - course_before
        turned -= _TWO_PI * math.floor((turned + _PI) / _TWO_PI)
        across = 0.5 * (v + after) * turned
        if tag == 0 and abs(across) >= _CORNER_TAG_MPS2:
            tag = CORNERING
        tags[t] = tag
        _record(out, t, at, after, course, after - v, across, legs[i, LIMIT])
        v = after
    arrived_t = t
    for _ in range(after_s):
        t += 1
        tags[t] = 0
        _record(out, t, at, 0.0, course, 0.0, 0.0, legs[i, LIMIT])
    return t + 1, total, before_s, arrived_t


_STEADY: Final = 0.97
_MOVING_NOISE_M, _STANDING_NOISE_M = 1.8, 2.8
_E7: Final = 1e7


@entry(types.void, I64_IN, F64_IN, types.boolean, _U64, _F64, _F64, _F64, _F64, _F64, _F64)
def observe(at_s, noise, accelerometer, random, lat, lon, speed, course, along, across):  # type: ignore[no-untyped-def]
    """Turn the truth of one vehicle (n instants in whole seconds, by time) into what its recorder reports, in place.

    Position noise is correlated in time, about 2.5 m while driving and 4 m while standing, times ``noise``
    (float64[n]). Positions come out to 1e-7°, speed to 0.01 m/s, heading in degrees to 0.1°, m/s² to 0.01.
    """
    error_n = error_e = 0.0
    held = 0.0
    for t in range(len(at_s)):
        keep = 0.0
        if t > 0 and at_s[t] - at_s[t - 1] <= 60:
            keep = 1.0
            for _ in range(at_s[t] - at_s[t - 1]):
                keep *= _STEADY
        standing = speed[t] < 0.3
        fresh = math.sqrt(1.0 - keep * keep) * noise[t] * (_STANDING_NOISE_M if standing else _MOVING_NOISE_M)
        error_n = keep * error_n + fresh * bell(random)
        error_e = keep * error_e + fresh * bell(random)
        north, east = metres_per_degree_at(lat[t])
        lat[t] = math.floor((lat[t] + error_n / north) * _E7 + 0.5) / _E7
        lon[t] = math.floor((lon[t] + error_e / east) * _E7 + 0.5) / _E7
        if standing:
            seen = min(0.8, abs(0.2 * bell(random)))
        else:
            seen = max(0.0, speed[t] + 0.08 * bell(random))
            held = (course[t] + 0.08 / max(speed[t], 1.0) * bell(random)) * 180.0 / _PI
        held -= 360.0 * math.floor(held / 360.0)
        speed[t] = math.floor(seen * 100.0 + 0.5) / 100.0
        course[t] = math.floor(held * 10.0) / 10.0
        if accelerometer:
            along[t] = math.floor((along[t] + 0.08 * bell(random)) * 100.0 + 0.5) / 100.0
            across[t] = math.floor((across[t] + 0.08 * bell(random)) * 100.0 + 0.5) / 100.0


@entry(types.void, _U64, types.float64, _F64, _F64)
def wander(random, most_m, lat, lon):  # type: ignore[no-untyped-def]
    """Let a parked position drift, in place: a random walk that stays within ``most_m``."""
    if len(lat) == 0:
        return
    north, east = metres_per_degree_at(lat[0])
    n = e = 0.0
    for t in range(len(lat)):
        n = 0.98 * n + 2.5 * bell(random)
        e = 0.98 * e + 2.5 * bell(random)
        away = math.sqrt(n * n + e * e)
        if away > most_m:
            n *= most_m / away
            e *= most_m / away
        lat[t] += n / north
        lon[t] += e / east
