"""Cleaning: which fixes are impossible, one verdict per fix. The first half of the pass.

A fix is refused for what it is (clock, position) or for what it contradicts (its neighbours). To contradict is
mutual: two fixes that imply an impossible speed cannot both be right. The fixes that follow decide: a run of fixes
that agree with what was before wins over what stood out; a run of ``relocation_fixes`` that agree with each other is
believed instead. At the beginning of a stretch of fixes, where nothing was before, the longer run wins.
A silence longer than ``max_silence_s`` ends a stretch: nothing is compared across it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from journeymesh.journeys.compiled import compiled
from journeymesh.journeys.geodesy import step_m
from journeymesh.journeys.local_time import US_PER_S
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import MAX_RELOCATION_FIXES, JourneyRules

ACCEPTED: Final = int(Reason.ACCEPTED)
RELOCATED: Final = 14
"""Inside the pass: accepted, and the first of a run that contradicts what was before. A journey does not go on."""
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

_CONFIRMING_FIXES: Final = 3
"""So many fixes that agree begin a stretch; what contradicts them from then on has to prove itself."""

SCRATCH_ROWS: Final = _CONFIRMING_FIXES + MAX_RELOCATION_FIXES

CLEANING_STATE: Final = np.dtype(
    [
        ("confirmed", np.int8),
        ("seen_at_us", np.int64),  # the last fix with a possible clock and position, refused or not
        ("at_us", np.int64),  # the last accepted fix
        ("lat_deg", np.float64),
        ("lon_deg", np.float64),
    ]
)
"""What is carried per vehicle from chunk to chunk. Zeros are a vehicle not seen yet."""

NEVER_US: Final = np.iinfo(np.int64).min


class CleaningLimits(NamedTuple):
    """``CleaningRules`` as the kernel takes them: microseconds, metres, metres per second."""

    earliest_us: int
    future_us: int
    now_us: int
    max_silence_us: int
    max_speed_mps: float
    tolerance_m: float
    relocation_fixes: int

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
            relocation_fixes=cleaning.relocation_fixes,
        )


@compiled
def alone(limits, at_us, received_us, lat_deg, lon_deg):
    """The verdict on a fix by itself, whatever its neighbours."""
    if at_us < limits.earliest_us:
        return _IMPOSSIBLE
    if at_us > (received_us if received_us != NEVER_US else limits.now_us) + limits.future_us:
        return _FUTURE
    if not (math.isfinite(lat_deg) and math.isfinite(lon_deg)):
        return _MISSING
    if abs(lat_deg) > 90.0 or abs(lon_deg) > 180.0:
        return _OUTSIDE
    if lat_deg == 0.0 and lon_deg == 0.0:
        return _NULL_ISLAND
    return ACCEPTED


@compiled
def _agrees(limits, scale, at1_us, lat1, lon1, at2_us, lat2, lon2):
    seconds = (at2_us - at1_us) / US_PER_S
    return step_m(scale, lat1, lon1, lat2, lon2) <= limits.max_speed_mps * seconds + limits.tolerance_m


@compiled
def _refuse(verdict, rows, count, lat, lon):
    for k in range(count):
        row = rows[k]
        verdict[row] = _ZERO if lat[row] == 0.0 or lon[row] == 0.0 else _SPIKE


@compiled
def _believe(state, verdict, rows, count, at_us, lat, lon, relocated):
    for k in range(count):
        verdict[rows[k]] = ACCEPTED
    if relocated:
        verdict[rows[0]] = RELOCATED
    last = rows[count - 1]
    state.confirmed = 1
    state.at_us, state.lat_deg, state.lon_deg = at_us[last], lat[last], lon[last]


@compiled
def clean_vehicle(state, limits, scale, scratch, verdict, first, last, final, at_us, lat, lon):
    """Judge the rows ``first:last`` of one vehicle, in time order, whose verdict ``alone`` left ACCEPTED.

    Writes ``verdict``; rows that the next chunk must decide stay UNDECIDED unless ``final``. They are always given
    again at the head of the next chunk. ``scratch`` is int64[SCRATCH_ROWS].
    """
    base = scratch[:_CONFIRMING_FIXES]
    other = scratch[_CONFIRMING_FIXES:]
    n_base = 0
    n_other = 0
    for row in range(first, last):
        if verdict[row] != UNDECIDED:
            continue
        now = at_us[row]
        if now - state.seen_at_us > limits.max_silence_us:
            if n_base > 0:
                _believe(state, verdict, base, n_base, at_us, lat, lon, False)
            _refuse(verdict, other, n_other, lat, lon)
            n_base = n_other = 0
            state.confirmed = 0
        state.seen_at_us = max(state.seen_at_us, now)
        zero = lat[row] == 0.0 or lon[row] == 0.0
        if state.confirmed == 1:
            if _agrees(limits, scale, state.at_us, state.lat_deg, state.lon_deg, now, lat[row], lon[row]):
                if n_other > 0:
                    _refuse(verdict, other, n_other, lat, lon)
                    n_other = 0
                verdict[row] = ACCEPTED
                state.at_us, state.lat_deg, state.lon_deg = now, lat[row], lon[row]
                continue
            if zero:
                verdict[row] = _ZERO
                continue
        elif n_base == 0:
            base[0] = row
            n_base = 1
            continue
        else:
            tip = base[n_base - 1]
            if _agrees(limits, scale, at_us[tip], lat[tip], lon[tip], now, lat[row], lon[row]):
                _refuse(verdict, other, n_other, lat, lon)
                n_other = 0
                base[n_base] = row
                n_base += 1
                if n_base == _CONFIRMING_FIXES:
                    _believe(state, verdict, base, n_base, at_us, lat, lon, False)
                    n_base = 0
                continue
            tip_zero = lat[tip] == 0.0 or lon[tip] == 0.0
            if zero and not tip_zero:
                verdict[row] = _ZERO
                continue
            if tip_zero and not zero:
                _refuse(verdict, base, n_base, lat, lon)
                base[0] = row
                n_base = 1
                continue
        # The row contradicts what was before: it begins or continues a run of its own.
        if n_other > 0:
            tip = other[n_other - 1]
            if not _agrees(limits, scale, at_us[tip], lat[tip], lon[tip], now, lat[row], lon[row]):
                _refuse(verdict, other, n_other, lat, lon)
                n_other = 0
        other[n_other] = row
        n_other += 1
        if state.confirmed == 1:
            if n_other == limits.relocation_fixes:
                _believe(state, verdict, other, n_other, at_us, lat, lon, True)
                n_other = 0
        elif n_other > n_base:
            _refuse(verdict, base, n_base, lat, lon)
            n_base = n_other
            for k in range(n_other):
                base[k] = other[k]
            n_other = 0
            if n_base == _CONFIRMING_FIXES:
                _believe(state, verdict, base, n_base, at_us, lat, lon, False)
                n_base = 0
    if final:
        if n_base > 0:
            _believe(state, verdict, base, n_base, at_us, lat, lon, False)
        _refuse(verdict, other, n_other, lat, lon)


@compiled
def same_fix(row, columns, heads):
    """Whether this row equals the one before it in every reported value. ``columns`` are the float columns, absent
    ones empty; ``heads`` the ignition column."""
    for column in columns:
        if len(column) > 0:
            a, b = column[row - 1], column[row]
            if a != b and not (a != a and b != b):
                return False
    return len(heads) == 0 or heads[row - 1] == heads[row]
