"""Cleaning: which fixes are impossible, one verdict per fix. The first half of the pass.

A fix is refused for what it is (clock, position) or for what it contradicts (its neighbours). To contradict is
mutual: two fixes that imply an impossible speed cannot both be right. The fixes that follow decide: a run of fixes
that agree with what was before wins over what stood out; a run of ``relocation_fixes`` (``relocation_s`` long) that
agree with each other is believed instead. At the beginning of a stretch of fixes, where nothing was before, the
longer run wins.
A silence longer than ``max_silence_s`` ends a stretch: nothing is compared across it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from journeymesh.journeys.geodesy import step_squared
from journeymesh.journeys.local_time import DAY_US, US_PER_S
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import ALL_BELIEVED, MAX_RELOCATION_FIXES, JourneyRules
from journeymesh.kernels.compiled import compiled

ACCEPTED: Final = int(Reason.ACCEPTED)
RELOCATED: Final = 14
"""Inside the pass: accepted, and the first of a run that contradicts what was before. No distance is credited to it."""
AGREES: Final = 13
"""Inside the pass: not refused, and nothing beyond the fix that stands first of its instant. It is kept, for another may
stand first when a late fix comes."""
DUPLICATE: Final = int(Reason.DUPLICATE)
UNDECIDED: Final = int(Reason.UNDECIDED)
_IMPOSSIBLE: Final = int(Reason.CLOCK_IMPOSSIBLE)
_FUTURE: Final = int(Reason.CLOCK_FUTURE)
_MISSING: Final = int(Reason.POSITION_MISSING)
_OUTSIDE: Final = int(Reason.POSITION_OUTSIDE_WORLD)
_NULL_ISLAND: Final = int(Reason.POSITION_NULL_ISLAND)
_ZERO: Final = int(Reason.POSITION_ZERO)
_SPIKE: Final = int(Reason.POSITION_SPIKE)
_CONFLICT: Final = int(Reason.CONFLICTING_FIX)
_INACCURATE: Final = int(Reason.POSITION_INACCURATE)

_CONFIRMING_FIXES: Final = 3
"""So many fixes that agree begin a stretch; what contradicts them from then on has to prove itself."""

SCRATCH_ROWS: Final = 2 * MAX_RELOCATION_FIXES

_HOLD_S: Final = 30.0
"""The longest interval for which a repeated position is taken for one that waits for the next."""

CLEANING_STATE: Final = np.dtype(
    [
        ("confirmed", np.int8),
        ("seen_at_us", np.int64),  # the last fix with a possible clock and position, refused or not
        ("at_us", np.int64),  # the last accepted fix
        ("lat_deg", np.float64),
        ("lon_deg", np.float64),
        ("still_since_us", np.int64),  # the first fix of exactly that position
        ("held_m", np.float64),  # how far the vehicle says it drove while that position was repeated
    ],
    align=True,
)
"""What is carried per vehicle from chunk to chunk. Zeros are a vehicle not seen yet."""

NEVER_US: Final = np.iinfo(np.int64).min


class Tip(NamedTuple):
    """The last accepted fix, and what is known of its position: the same names as in ``CLEANING_STATE``."""

    at_us: int
    lat_deg: float
    lon_deg: float
    still_since_us: int
    held_m: float


class CleaningLimits(NamedTuple):
    """``CleaningRules`` as the kernel takes them: microseconds, metres, metres per second."""

    earliest_us: int
    future_us: int
    now_us: int
    max_silence_us: int
    max_speed_mps: float
    tolerance_m: float
    standstill_mps: float
    relocation_fixes: int
    relocation_us: int
    max_delay_us: int
    max_accuracy_m: float
    lets_agree: bool

    @classmethod
    def of(cls, rules: JourneyRules, now_us: int) -> CleaningLimits:
        """The limits of these rules, for a run at ``now_us``."""
        cleaning = rules.cleaning
        year = np.datetime64(f"{cleaning.earliest_year:04d}-01-01", "us")
        return cls(
            earliest_us=int(year.astype(np.int64)),
            future_us=round(cleaning.future_tolerance_s * US_PER_S),
            now_us=now_us,
            max_silence_us=round(rules.max_silence_s * US_PER_S),
            max_speed_mps=cleaning.max_plausible_speed_mps,
            tolerance_m=cleaning.position_tolerance_m,
            standstill_mps=rules.movement.standstill_speed_mps,
            relocation_fixes=cleaning.relocation_fixes,
            relocation_us=round(cleaning.relocation_s * US_PER_S),
            max_delay_us=round(cleaning.max_delay_days * DAY_US),
            max_accuracy_m=rules.sensors.max_accuracy_m or math.inf,
            lets_agree=rules.sensors != ALL_BELIEVED,
        )


@compiled
def alone(limits, at_us, received_us, lat_deg, lon_deg, accuracy_m):
    """The verdict on a fix by itself, whatever its neighbours."""
    if at_us < limits.earliest_us:
        return _IMPOSSIBLE
    if received_us != NEVER_US and at_us < received_us - limits.max_delay_us:
        return _IMPOSSIBLE
    if at_us > (received_us if received_us != NEVER_US else limits.now_us) + limits.future_us:
        return _FUTURE
    if not (abs(lat_deg) <= 90.0 and abs(lon_deg) <= 180.0):
        return _OUTSIDE if math.isfinite(lat_deg) and math.isfinite(lon_deg) else _MISSING
    if lat_deg == 0.0 and lon_deg == 0.0:
        return _NULL_ISLAND
    if accuracy_m > limits.max_accuracy_m:
        return _INACCURATE
    return ACCEPTED


@compiled
def _agrees(limits, scale, at1_us, lat1, lon1, held_m, at2_us, lat2, lon2):
    """Whether a vehicle can have come from one position to the other. A recorder may repeat a position while it
    waits for the next (sample and hold): ``held_m`` grants what was driven meanwhile."""
    granted_m = limits.max_speed_mps * ((at2_us - at1_us) / US_PER_S) + limits.tolerance_m + held_m
    return step_squared(scale, lat1, lon1, lat2, lon2) <= granted_m * granted_m


@compiled
def _driven_m(limits, at1_us, at2_us, speeds, row):
    """How far the vehicle may have driven between two fixes of one position: nothing where it reports that it stands;
    where it reports that it moves, whatever is plausible; without a reported speed what a car in town does."""
    seconds = (at2_us - at1_us) / US_PER_S
    if len(speeds) > 0 and 0.0 <= speeds[row] <= limits.max_speed_mps:
        return limits.max_speed_mps * min(seconds, _HOLD_S) if speeds[row] >= limits.standstill_mps else 0.0
    return 0.25 * limits.max_speed_mps * min(seconds, _HOLD_S)


@compiled
def _held_m(limits, run, count, order, at_us, lat, lon, speeds):
    """What was driven while the position of the last of these fixes was repeated."""
    held_m = 0.0
    for k in range(count - 1, 0, -1):
        row, before = order[run[k]], order[run[k - 1]]
        if lat[row] != lat[before] or lon[row] != lon[before]:
            break
        held_m += _driven_m(limits, at_us[before], at_us[row], speeds, row)
    return min(held_m, limits.max_speed_mps * _HOLD_S)


@compiled
def _follows(limits, scale, run, count, row, order, at_us, lat, lon, speeds):
    """Whether this row agrees with the last of a run of fixes."""
    tip = order[run[count - 1]]
    held_m = _held_m(limits, run, count, order, at_us, lat, lon, speeds)
    return _agrees(limits, scale, at_us[tip], lat[tip], lon[tip], held_m, at_us[row], lat[row], lon[row])


@compiled
def _is_zero(row, lat, lon):
    return lat[row] == 0.0 or lon[row] == 0.0


@compiled
def _refuse(verdict, run, count, order, lat, lon):
    for k in range(count):
        row = order[run[k]]
        verdict[run[k]] = _ZERO if _is_zero(row, lat, lon) else _SPIKE


@compiled
def _accept(tip, limits, row, at_us, lat, lon, speeds):
    """What is carried from this row on, which is accepted."""
    if lat[row] != tip.lat_deg or lon[row] != tip.lon_deg:
        return Tip(at_us[row], lat[row], lon[row], at_us[row], 0.0)
    held_m = tip.held_m + _driven_m(limits, tip.at_us, at_us[row], speeds, row)
    return Tip(at_us[row], lat[row], lon[row], tip.still_since_us, min(held_m, limits.max_speed_mps * _HOLD_S))


@compiled
def _believe(tip, limits, verdict, run, count, order, at_us, lat, lon, speeds):
    for k in range(count):
        verdict[run[k]] = ACCEPTED
        tip = _accept(tip, limits, order[run[k]], at_us, lat, lon, speeds)
    return tip


@compiled
def _was_moved(tip, limits, scale, row, at_us, lat, lon):
    """Whether the vehicle cannot have driven here. A receiver without reception may repeat a position to the last
    decimal, in a tunnel: then the vehicle had the time since the position came up, within the longest silence."""
    since_us = max(tip.still_since_us, at_us[row] - limits.max_silence_us)
    return not _agrees(limits, scale, since_us, tip.lat_deg, tip.lon_deg, tip.held_m, at_us[row], lat[row], lon[row])


@compiled
def _wait(verdict, run, count, place):
    """Let a place wait behind a run of places; how many they are then."""
    verdict[place] = UNDECIDED
    run[count] = place
    return count + 1


@compiled
def _put(run, n_run, into):
    """Put a run of places where another was; how many they are."""
    for k in range(n_run):
        into[k] = run[k]
    return n_run


@compiled
def _weigh(limits, scale, verdict, base, n_base, other, n_other, tip, confirmed, place, order, at_us, lat, lon, speeds):
    """Take a fix that no accepted one vouches for. It is refused, or it waits, in ``base`` where nothing is confirmed
    yet and it agrees with what waits there, else in ``other``; or it is the one that makes a run believed. Returns
    the tip, whether anything is confirmed, and how many wait in either."""
    row = order[place]
    if confirmed:
        if _is_zero(row, lat, lon):
            verdict[place] = _ZERO
            return tip, confirmed, n_base, n_other
    elif n_base == 0:
        return tip, confirmed, _wait(verdict, base, 0, place), n_other
    else:
        tip_row = order[base[n_base - 1]]
        zero, tip_zero = _is_zero(row, lat, lon), _is_zero(tip_row, lat, lon)
        if _follows(limits, scale, base, n_base, row, order, at_us, lat, lon, speeds):
            _refuse(verdict, other, n_other, order, lat, lon)
            n_base = _wait(verdict, base, n_base, place)
            # Zeros are not confirmed by more zeros: what they contradict may still come.
            if (n_base >= _CONFIRMING_FIXES and not zero) or n_base == MAX_RELOCATION_FIXES:
                tip = _believe(tip, limits, verdict, base, n_base, order, at_us, lat, lon, speeds)
                return tip, True, 0, 0
            return tip, confirmed, n_base, 0
        if zero and not tip_zero:
            verdict[place] = _ZERO
            return tip, confirmed, n_base, n_other
        if tip_zero and not zero:
            _refuse(verdict, base, n_base, order, lat, lon)
            return tip, confirmed, _wait(verdict, base, 0, place), n_other
    # It contradicts what was before: it begins or continues a run of its own.
    if n_other > 0 and not _follows(limits, scale, other, n_other, row, order, at_us, lat, lon, speeds):
        _refuse(verdict, other, n_other, order, lat, lon)
        n_other = 0
    n_other = _wait(verdict, other, n_other, place)
    if confirmed:
        lasted = at_us[row] - at_us[order[other[0]]] >= limits.relocation_us
        if (n_other >= limits.relocation_fixes and lasted) or n_other == MAX_RELOCATION_FIXES:
            moved = _was_moved(tip, limits, scale, order[other[0]], at_us, lat, lon)
            tip = _believe(tip, limits, verdict, other, n_other, order, at_us, lat, lon, speeds)
            if moved:
                verdict[other[0]] = RELOCATED
            n_other = 0
    elif n_other > n_base:
        _refuse(verdict, base, n_base, order, lat, lon)
        n_base, n_other = _put(other, n_other, base), 0
        if n_base >= _CONFIRMING_FIXES and not _is_zero(row, lat, lon):
            tip = _believe(tip, limits, verdict, base, n_base, order, at_us, lat, lon, speeds)
            confirmed, n_base = True, 0
    return tip, confirmed, n_base, n_other


@compiled
def received_at(received_us, row):
    """When the fix was received; NEVER_US where that is not reported, as for a whole column that is absent."""
    return received_us[row] if len(received_us) > 0 else NEVER_US


@compiled
def value_at(column, row):
    """The row's value; NaN as for a whole column that is absent."""
    return column[row] if len(column) > 0 else np.nan


@compiled
def _by_itself(limits, settled, settled_us, before, before_us, row, at_us, received_us, floats, ignition):
    """The verdict on a fix before its neighbours are asked: whether it is possible, and no other of its instant.
    ``settled`` is the one that stands first of the instant ``settled_us``."""
    now = at_us[row]
    received = received_at(received_us, row)
    judged = alone(limits, now, received, floats[0][row], floats[1][row], value_at(floats[7], row))
    if now == before_us:
        if same_fix(before, row, floats, ignition):
            return DUPLICATE
        if judged == ACCEPTED and now == settled_us:
            return AGREES if limits.lets_agree and says_no_more(settled, row, floats, ignition) else _CONFLICT
    return judged


@compiled
def clean_vehicle(
    state, limits, scale, scratch, verdict, first, last, final, order, at_us, received_us, floats, ignition
):
    """Judge the fixes at the places ``first:last`` of ``order``, one vehicle's in time order.

    Writes ``verdict``; fixes that the next chunk must decide are UNDECIDED unless ``final``. They are always given
    again at the head of the next chunk. ``scratch`` is int64[SCRATCH_ROWS].
    """
    lat, lon, speeds = floats[0], floats[1], floats[2]
    base = scratch[:MAX_RELOCATION_FIXES]
    other = scratch[MAX_RELOCATION_FIXES:]
    n_base = n_other = 0
    # In locals: what is in memory is read anew after each verdict that is written.
    tip = Tip(state.at_us, state.lat_deg, state.lon_deg, state.still_since_us, state.held_m)
    confirmed, seen_us = state.confirmed == 1, state.seen_at_us
    before, before_us, settled, settled_us = np.uint64(0), NEVER_US, np.uint64(0), NEVER_US
    for place in range(first, last):
        at = np.uint64(place)  # an index that cannot be one counted from the end
        row = order[at]
        now = at_us[row]
        judged = _by_itself(limits, settled, settled_us, before, before_us, row, at_us, received_us, floats, ignition)
        before, before_us = np.uint64(row), now
        if judged != ACCEPTED:
            verdict[at] = judged
            continue
        settled, settled_us = np.uint64(row), now
        if now - seen_us > limits.max_silence_us:
            if n_base > 0:
                tip = _believe(tip, limits, verdict, base, n_base, order, at_us, lat, lon, speeds)
            _refuse(verdict, other, n_other, order, lat, lon)
            n_base = n_other = 0
            confirmed = False
        seen_us = max(seen_us, now)
        if confirmed and _agrees(
            limits, scale, tip.at_us, tip.lat_deg, tip.lon_deg, tip.held_m, now, lat[row], lon[row]
        ):
            if n_other > 0:
                _refuse(verdict, other, n_other, order, lat, lon)
                n_other = 0
            verdict[at] = ACCEPTED
            tip = _accept(tip, limits, row, at_us, lat, lon, speeds)
            continue
        tip, confirmed, n_base, n_other = _weigh(
            limits, scale, verdict, base, n_base, other, n_other, tip, confirmed, place, order, at_us, lat, lon, speeds
        )
    if final:
        if n_base > 0:
            tip, confirmed = _believe(tip, limits, verdict, base, n_base, order, at_us, lat, lon, speeds), True
        _refuse(verdict, other, n_other, order, lat, lon)
    state.at_us, state.lat_deg, state.lon_deg = tip.at_us, tip.lat_deg, tip.lon_deg
    state.still_since_us, state.held_m = tip.still_since_us, tip.held_m
    state.confirmed, state.seen_at_us = confirmed, seen_us


@compiled
def says_no_more(first, row, columns, heads):
    """Whether all that a row reports is what the other does, as where a value of it could not be read."""
    for column in columns:
        if len(column) > 0:
            a, b = column[first], column[row]
            if a != b and b == b:
                return False
    return len(heads) == 0 or heads[row] < 0 or heads[first] == heads[row]


@compiled
def same_fix(before, row, columns, heads):
    """Whether two rows are equal in every reported value. ``columns`` are the float columns, absent
    ones empty; ``heads`` the ignition column."""
    for column in columns:
        if len(column) > 0:
            a, b = column[before], column[row]
            if a != b and not (a != a and b != b):
                return False
    return len(heads) == 0 or heads[before] == heads[row]
