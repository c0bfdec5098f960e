"""The one pass: every fix once, from verdict to journey, with carried state. Compiled; releases the interpreter's lock.

A chunk's rows stay where they are; ``order`` says which comes when (``ordering.py``), and a place in it is what
kernels go by: place k is row ``order[k]``. For each vehicle the kernel judges its fixes
(``cleaning.py``), then moves through the accepted ones (``movement.py``, ``harsh.py``). What it has to remember from
one chunk to the next is in ``STATE``'s columns; what it cannot decide yet is left UNDECIDED and given again.
"""

from __future__ import annotations

from typing import Any, Final, get_type_hints

import numba
import numpy as np
from numba import types

from journeymesh.journeys.cleaning import (
    ACCEPTED,
    AGREES,
    CLEANING_STATE,
    DUPLICATE,
    NEVER_US,
    RELOCATED,
    UNDECIDED,
    CleaningLimits,
    alone,
    clean_vehicle,
    received_at,
    same_fix,
    value_at,
)
from journeymesh.journeys.geodesy import forget
from journeymesh.journeys.harsh import EVENT, HARSH_STATE, HarshLimits, close_events, feel
from journeymesh.journeys.movement import close, find_policy, move
from journeymesh.journeys.movement_state import MOVEMENT_STATE, SUMS, MovementLimits
from journeymesh.journeys.ordering import end_of
from journeymesh.journeys.reasons import Reason
from journeymesh.kernels.compiled import F64_IN, I8_IN, I32_IN, I64_IN, U32_IN, compiled, entry

FOUND_HOUR: Final = np.dtype(
    [("journey", np.int64), ("hour_of_week", np.int64), ("distance_m", np.float64), ("driving_s", np.float64)]
)
_IMPOSSIBLE: Final = int(Reason.CLOCK_IMPOSSIBLE)
_FUTURE: Final = int(Reason.CLOCK_FUTURE)


def _limits_type(limits: type) -> Any:
    kinds = {int: types.int64, float: types.float64, bool: types.boolean}
    return types.NamedTuple([kinds[hint] for hint in get_type_hints(limits).values()], limits)


def _records(dtype: Any, dims: int = 1) -> Any:
    return types.Array(numba.from_dtype(dtype), dims, "C")


_SIGNATURE = (
    U32_IN,  # order; unsigned, so that no row is taken for one counted from the end
    I32_IN,  # vehicle
    types.int64,  # how many vehicles of the states are before the one with code 0
    I64_IN,  # fixed_at_us
    I64_IN,  # received_at_us
    types.UniTuple(F64_IN, 8),  # lat, lon, speed, heading, accelerations, speed limit, accuracy; absent ones empty
    I8_IN,  # ignition
    types.boolean,  # final
    types.Tuple([_limits_type(CleaningLimits), _limits_type(MovementLimits), _limits_type(HarshLimits)]),
    I64_IN,  # timeline: first span of each vehicle
    types.Tuple([I64_IN, I64_IN, I32_IN, I32_IN]),  # timeline: from, to, policy, zone
    types.UniTuple(I64_IN, 3),  # zones
    types.Tuple([_records(CLEANING_STATE), _records(MOVEMENT_STATE), _records(SUMS), _records(SUMS),
                 _records(HARSH_STATE), _records(EVENT, 2)]),
    types.float64[:, :, ::1],  # hours of the week
    types.Tuple([_records(SUMS), _records(FOUND_HOUR), _records(EVENT)]),  # found
    types.int64[::1],  # counts
    types.uint8[::1],  # verdict
    types.float64[::1],  # scale, float64[SCALE]
    types.int64[::1],  # scratch, int64[SCRATCH_ROWS]
)  # fmt: skip


@compiled
def _settled_until(limits, first, last, order, at_us, received_us):
    """Where the places that must wait for the next chunk begin: the vehicle's last possible instant, of which that
    may bring more."""
    newest = NEVER_US
    for place in range(last - 1, first - 1, -1):
        row = order[place]
        received = received_at(received_us, row)
        if alone(limits, at_us[row], received, 1.0, 1.0, np.nan) == ACCEPTED:
            newest = at_us[row]
            break
    ready = last
    while ready > first and at_us[order[ready - 1]] >= newest:
        ready -= 1
    return ready


@compiled
def _leave(limits, verdict, first, ready, last, order, at_us, received_us, floats, ignition):
    """Leave the places from ``ready`` on to the next chunk, but for clocks that are impossible whatever it brings."""
    newest_us = at_us[order[last - 1]]
    for place in range(ready, last):
        row = order[place]
        now = at_us[row]
        received = received_at(received_us, row)
        judged = alone(limits, now, received, floats[0][row], floats[1][row], np.nan)
        if now == newest_us or judged not in (_FUTURE, _IMPOSSIBLE):
            verdict[place] = UNDECIDED
            continue
        verdict[place] = judged
        if place > first:
            before = order[place - 1]
            if now == at_us[before] and same_fix(before, row, floats, ignition):
                verdict[place] = DUPLICATE


@compiled
def _speed(column, row, fastest_mps):
    """The reported speed. A negative one or one no vehicle drives says that it is not known (-1, 255 km/h)."""
    speed = value_at(column, row)
    return speed if 0.0 <= speed <= fastest_mps else np.nan


@compiled
def _go(
    v, first, ready, order, at_us, floats, ignition, limits, first_span, timeline, zones, scale, movement, sums, at_halt,
    harsh, events, hours, found, counts, verdict,
):  # fmt: skip
    lat, lon, speeds, headings, forward, side, posted, _ = floats
    for place in range(first, ready):
        at = np.uint64(place)
        judged = verdict[at]
        if judged not in (ACCEPTED, RELOCATED):
            continue
        row = order[at]
        now = at_us[row]
        if now >= movement.policy_until_us or movement.at_us == 0:
            find_policy(movement, now, first_span[v], first_span[v + 1], timeline)
        if movement.policy < 0:
            counts[3] += 1
        speed = _speed(speeds, row, limits[0].max_speed_mps)
        on = ignition[row] if len(ignition) > 0 else -1
        broken = judged == RELOCATED
        heading = value_at(headings, row)
        ended = move(movement, sums, at_halt, hours, limits[1], zones, scale, found[0], found[1], counts, v, broken,
                     now, lat[row], lon[row], speed, value_at(posted, row), on)  # fmt: skip
        if limits[2].borne_out_share > 0.0:
            if not 0.0 <= heading <= 360.0:
                heading = np.nan
            if movement.doubted == 1:
                speed = np.nan
        counts[5] += movement.doubts_speed
        feel(harsh, events, limits[2], scale, v, broken, now, lat[row], lon[row], speed, heading,
             value_at(forward, row), value_at(side, row), found[2], counts)  # fmt: skip
        if ended:
            harsh.waits = 0
            close_events(events, limits[2], v, found[2], counts)


@entry(types.void, *_SIGNATURE)
def run_pass(
    order, vehicle, before, at_us, received_us, floats, ignition, final, limits, first_span, timeline, zones, state,
    hours, found, counts, verdict, scale, scratch,
):  # fmt: skip
    """Run the pass over one chunk.

    ``counts`` (int64[6]): journeys, hours of the week, harsh events put into ``found``; accepted fixes outside any
    policy; vehicles; fixes whose reported speed was not used. ``verdict`` (uint8[n]): a ``Reason`` per place, or RELOCATED.
    """
    cleaning, movement, sums, at_halt, harsh, events = state
    forget(scale)
    n = len(order)
    first = 0
    while first < n:
        v = before + vehicle[order[first]]
        last = end_of(order, vehicle, first)
        counts[4] += 1
        ready = last
        if not final:
            ready = _settled_until(limits[0], first, last, order, at_us, received_us)
            _leave(limits[0], verdict, first, ready, last, order, at_us, received_us, floats, ignition)
        clean_vehicle(cleaning[v], limits[0], scale, scratch, verdict, first, ready, final, order, at_us, received_us,
                      floats, ignition)  # fmt: skip
        _go(v, first, ready, order, at_us, floats, ignition, limits, first_span, timeline, zones, scale,
            movement[v], sums[v : v + 1], at_halt[v : v + 1], harsh[v], events[v], hours[v], found, counts, verdict)  # fmt: skip
        first = last


@entry(types.void, I32_IN, _SIGNATURE[8], *_SIGNATURE[12:16])
def finish_pass(vehicles, limits, state, hours, found, counts):
    """The input is over: put out what was still under way for these vehicles."""
    _, movement, sums, at_halt, _, events = state
    for v in vehicles:
        close(movement[v], sums[v], at_halt[v], hours[v], limits[1], found[0], found[1], counts, v)
        close_events(events[v], limits[2], v, found[2], counts)


@entry(types.int64, types.Array(types.uint8, 1, "C", readonly=True), types.int64[::1], types.int64[::1])
def tell(verdict, counts, refused):
    """Count verdicts (``counts``, int64[256]) and put the places of refusals into ``refused``; returns how many."""
    n = 0
    for place in range(len(verdict)):
        judged = verdict[place]
        if judged == ACCEPTED:
            continue
        counts[judged] += 1
        if judged not in (RELOCATED, AGREES, DUPLICATE, UNDECIDED):
            refused[n] = place
            n += 1
    counts[ACCEPTED] = len(verdict) - counts.sum()
    return n
