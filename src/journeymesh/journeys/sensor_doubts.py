"""What looks wrong with a recorder's sensors, in plain words and with the evidence: for whoever maps its fields.

Each reported value is held against the way travelled: the steps between fixes of one vehicle that follow each other
within a quarter of a minute. A doubt is said only where many steps agree on it. Nothing is changed here: what the
pass makes of doubtful values is the rules' business.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import F64, I64, Fixes
from journeymesh.journeys.ordering import in_canonical_order

_LONGEST_STEP_S: Final = 15.0
_MOVED_M: Final = 10.0
"""A step of at least this length is movement and not noise."""
_FEWEST_STEPS: Final = 20
"""Fewer steps say nothing."""
_MOST_FIXES: Final = 1_000_000
_UNITS_MPS: Final = {"km/h": 1 / 3.6, "mph": 0.44704, "knots": 1852 / 3600, "m/s": 1.0}
_WORTHLESS_M: Final = 100.0
_NO_TYRE_MPS2: Final = 12.0


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubt about one column of ``Fixes``: ``text`` says what it looks like and over how much that holds."""

    column: str
    text: str


@dataclass(frozen=True, slots=True)
class _Steps:
    """Consecutive pairs of fixes of one vehicle: the rows before and after, seconds, metres east and north."""

    before: I64
    after: I64
    seconds: F64
    east_m: F64
    north_m: F64

    @property
    def metres(self) -> F64:
        return np.hypot(self.east_m, self.north_m)

    def where(self, kept: npt.NDArray[np.bool_]) -> _Steps:
        return _Steps(self.before[kept], self.after[kept], self.seconds[kept], self.east_m[kept], self.north_m[kept])


def sensor_doubts(fixes: Fixes) -> list[Doubt]:
    """What looks wrong in these fixes, in any order. Of very many the first are looked at."""
    fixes = in_canonical_order(fixes.take(slice(0, _MOST_FIXES)))
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = _steps(fixes)
        doubts = _coordinates(fixes, steps)
        if not doubts:  # else the way travelled is not known
            doubts = (_speed(fixes, steps) or _speed_while_parked(fixes, steps)) + _heading(fixes, steps)
        return doubts + _negative_speed(fixes) + _ignition(fixes, steps) + _acceleration(fixes) + _accuracy(fixes)


def _steps(fixes: Fixes) -> _Steps:
    lat, lon = fixes.lat_deg, fixes.lon_deg
    rows = np.flatnonzero((np.abs(lat) <= 90.0) & (np.abs(lon) <= 180.0) & ~((lat == 0.0) & (lon == 0.0)))
    if fixes.accuracy_m is not None:
        rows = rows[~(fixes.accuracy_m[rows] > _WORTHLESS_M)]
    return _between(fixes, rows)


def _between(fixes: Fixes, rows: I64) -> _Steps:
    lat, lon = fixes.lat_deg, fixes.lon_deg
    before, after = rows[:-1], rows[1:]
    seconds = (fixes.fixed_at_us[after] - fixes.fixed_at_us[before]) / 1e6
    kept = (fixes.vehicle[before] == fixes.vehicle[after]) & (seconds > 0.0) & (seconds <= 86_400.0)
    before, after, seconds = before[kept], after[kept], seconds[kept]
    north = (lat[after] - lat[before]) * 111_200.0
    turned = (lon[after] - lon[before] + 180.0) % 360.0 - 180.0
    east = turned * 111_320.0 * np.cos(np.radians(0.5 * (lat[after] + lat[before])))
    plausible = np.hypot(east, north) <= 70.0 * seconds + 30.0
    return _Steps(before[plausible], after[plausible], seconds[plausible], east[plausible], north[plausible])


def _moving(fixes: Fixes, steps: _Steps) -> _Steps:
    """The steps in which a vehicle drove, seen by positions alone: from where a position came up first to the next
    position. A recorder that repeats its last position did not stand there."""
    rows = np.r_[steps.before[:1], steps.after[steps.metres > 0.0]]
    moved = _between(fixes, rows)
    return moved.where(
        (moved.seconds <= _LONGEST_STEP_S)
        & (moved.metres >= np.minimum(_MOVED_M, 5.0 * moved.seconds))
        & (moved.metres > 3.0 * moved.seconds)
    )


def _speed(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    if fixes.speed_mps is None:
        return []
    moving = _moving(fixes, steps)
    said = 0.5 * (fixes.speed_mps[moving.before] + fixes.speed_mps[moving.after])
    known = np.isfinite(said) & (said >= 0.0)
    if np.count_nonzero(known) < _FEWEST_STEPS:
        return []
    moving, said = moving.where(known), said[known]
    stands = np.count_nonzero(said < 0.5)
    if stands > 0.8 * len(said):
        told = f"{stands:,} of {len(said):,} steps in which the position moves on report a speed of 0"
        return [Doubt("speed_mps", f"speed looks like a column that is always 0: {told}")]
    driven = said >= 0.5
    ratio = (said * moving.seconds / moving.metres)[driven]
    times = float(np.median(ratio))
    near = np.count_nonzero(np.abs(ratio / times - 1.0) <= 0.2)
    if len(ratio) < _FEWEST_STEPS or 0.87 <= times <= 1.15:
        return []
    if near < 0.9 * len(ratio) and (stuck := _constant_speed(fixes, moving)) is not None:
        return [Doubt("speed_mps", stuck)]
    if near < 0.5 * len(ratio):
        told = f"in most of {len(ratio):,} steps the two differ by more than a fifth, and by no common factor"
        return [Doubt("speed_mps", f"speed does not match the distance travelled: {told}")]
    told = f"reported is {times:.2g} times the distance travelled, within a fifth in {near:,} of {len(ratio):,} steps"
    found = _unit_mistake(times)
    return [
        Doubt("speed_mps", f"speed looks like {found}: {told}" if found else f"speed has a wrong unit or scale: {told}")
    ]


def _negative_speed(fixes: Fixes) -> list[Doubt]:
    if fixes.speed_mps is None:
        return []
    known = fixes.speed_mps[np.isfinite(fixes.speed_mps)]
    below = known[known < 0.0]
    if not len(below):
        return []
    values = ", ".join(f"{value:.3g}" for value in np.unique(below)[:3])
    share = f"{len(below):,} of {len(known):,} fixes ({values} m/s)"
    return [Doubt("speed_mps", f"speed lies below 0: {share}; they are treated as missing")]


def _constant_speed(fixes: Fixes, moving: _Steps) -> str | None:
    assert fixes.speed_mps is not None
    values, counts = np.unique(fixes.speed_mps[moving.after], return_counts=True)
    most, total = int(counts.max()), int(counts.sum())
    if most <= 0.8 * total:
        return None
    return f"speed looks stuck at {float(values[counts.argmax()]):.3g} m/s: {most:,} of {total:,} steps have it"


def _unit_mistake(times: float) -> str | None:
    """``km/h mapped as m/s`` for 3.6."""
    pairs = [(is_in, as_if, _UNITS_MPS[as_if] / _UNITS_MPS[is_in]) for is_in, as_if in permutations(_UNITS_MPS, 2)]
    is_in, as_if, factor = min(pairs, key=lambda pair: abs(np.log(times / pair[2])))
    return f"{is_in} mapped as {as_if}" if abs(times / factor - 1.0) <= 0.06 else None


def _speed_while_parked(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    """The same speed over and over, for a minute at least, where the position stays and does not catch up afterwards: a
    receiver without reception repeats its position, too, while the vehicle drives on."""
    if fixes.speed_mps is None:
        return []
    if not len(steps.seconds):
        return []
    before, after = fixes.speed_mps[steps.before], fixes.speed_mps[steps.after]
    still = (after >= 2.0) & (steps.metres <= np.minimum(5.0, 0.2 * after * steps.seconds))
    run = np.cumsum(np.r_[True, ~still[:-1]])  # a run ends with the step that leaves it
    said_m = np.bincount(run, np.where(still, after * steps.seconds, 0.0))
    left_m = np.bincount(run, np.where(still, 0.0, steps.metres))
    lasted_s = np.bincount(run, np.where(still, steps.seconds, 0.0))
    changes = np.bincount(run, still & (before != after))
    stays = still & ((left_m < 0.3 * said_m) & (lasted_s >= 60.0) & (changes == 0))[run]
    count, seconds = int(np.count_nonzero(stays)), float(steps.seconds[stays].sum())
    if count < 5 or seconds < 120.0:
        return []
    told = f"{count:,} fixes over {seconds:,.0f} s repeat it where the position stays the same"
    return [Doubt("speed_mps", f"speed looks stuck at its last value while the vehicle is parked: {told}")]


def _heading(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    if fixes.heading_deg is None:
        return []
    known = fixes.heading_deg[np.isfinite(fixes.heading_deg)]
    doubts = []
    outside = known[(known < 0.0) | (known > 360.0)]
    if len(outside):
        values = ", ".join(f"{value:g}" for value in np.unique(outside)[:3])
        told = f"{len(outside):,} of {len(known):,} fixes ({values}); they are treated as missing"
        doubts.append(Doubt("heading_deg", f"heading lies outside 0 to 360: {told}"))
    moving = _moving(fixes, steps)
    heading = fixes.heading_deg[moving.after]
    good = (heading >= 0.0) & (heading <= 360.0)
    moving, heading = moving.where(good), heading[good]
    if len(heading) < _FEWEST_STEPS:
        return doubts
    bearing = np.degrees(np.arctan2(moving.east_m, moving.north_m))
    off = _apart(heading, bearing)
    if np.median(off) <= 30.0:
        return doubts
    told = f"it is {np.median(off):.0f} degrees off the direction of travel in the median of {len(off):,} steps"
    looks = "heading does not follow the direction of travel"
    if heading.max() <= 6.3 and np.median(_apart(np.degrees(heading), bearing)) <= 30.0:
        looks = "heading looks like radians"
    elif len(np.unique(heading)) == 1:
        looks = f"heading looks like a column that is always {heading[0]:g}"
    elif np.median(_apart(90.0 - heading, bearing)) <= 20.0:
        looks = "heading looks counted from east, against the clock (or lat and lon are swapped)"
    return [*doubts, Doubt("heading_deg", f"{looks}: {told}")]


def _apart(one: F64, other: F64) -> F64:
    apart: F64 = np.abs((one - other + 180.0) % 360.0 - 180.0)
    return apart


def _coordinates(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    lat, lon = fixes.lat_deg, fixes.lon_deg
    there = np.isfinite(lat) & np.isfinite(lon)
    total = int(np.count_nonzero(there))
    beyond = int(np.count_nonzero(there & (np.abs(lat) > 90.0) & (np.abs(lat) <= 180.0) & (np.abs(lon) <= 90.0)))
    if total and beyond > 0.5 * total:
        return [
            Doubt("lat_deg", f"lat and lon look swapped: lat is beyond 90 degrees in {beyond:,} of {total:,} fixes")
        ]
    scaled = int(np.count_nonzero(there & ((np.abs(lat) > 180.0) | (np.abs(lon) > 360.0))))
    if total and scaled > 0.5 * total:
        told = f"in {scaled:,} of {total:,} fixes (a scale such as 1e-7, or ddmm.mmmm)"
        return [Doubt("lat_deg", f"lat and lon are not degrees {told}")]
    if total >= _FEWEST_STEPS and _look_like_radians(lat[there], lon[there]):
        told = f"all {total:,} positions lie in the sea around (0, 0), within π/2 and π of it"
        return [
            Doubt(
                "lat_deg",
                f"lat and lon look like radians (scale: 57.29577951308232 for both), or are scaled too small: {told}",
            )
        ]
    zero = int(np.count_nonzero(there & ((lat == 0.0) | (lon == 0.0))))
    doubts = []
    if total >= _FEWEST_STEPS and zero > 0.5 * total:
        doubts.append(Doubt("lat_deg", f"lat or lon is exactly 0 in {zero:,} of {total:,} fixes"))
    return doubts + _swapped_by_direction(fixes, steps)


def _look_like_radians(lat: F64, lon: F64) -> bool:
    """Whether all positions are where radians are: no land lies there."""
    known = (lat != 0.0) | (lon != 0.0)
    near = (np.abs(lat) <= np.pi / 2) & (np.abs(lon) <= np.pi)
    return bool(known.any() and near.all())


def _swapped_by_direction(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    """Read the other way round, do positions go where the heading says and as far as the speed says?"""
    moving = _moving(fixes, steps)
    lat, lon = fixes.lat_deg, fixes.lon_deg
    fits = (np.abs(lon[moving.before]) <= 90.0) & (np.abs(lon[moving.after]) <= 90.0)
    moving = moving.where(fits)
    if len(moving.before) < _FEWEST_STEPS:
        return []
    north = (lon[moving.after] - lon[moving.before]) * 111_200.0
    east = (lat[moving.after] - lat[moving.before]) * 111_320.0 * np.cos(np.radians(lon[moving.after]))
    evidence = []
    if fixes.heading_deg is not None:
        heading = fixes.heading_deg[moving.after]
        ok = (heading >= 0.0) & (heading <= 360.0)
        as_is = _apart(heading, np.degrees(np.arctan2(moving.east_m, moving.north_m)))[ok]
        swapped = _apart(heading, np.degrees(np.arctan2(east, north)))[ok]
        if len(as_is) >= _FEWEST_STEPS and np.median(as_is) > 25.0 and np.median(swapped) < 12.0:
            near = np.count_nonzero(swapped < 20.0)
            evidence.append(f"then the heading follows the direction of travel in {near:,} of {len(as_is):,} steps")
        elif len(as_is) >= _FEWEST_STEPS and np.median(as_is) <= np.median(swapped):
            return []
    if fixes.speed_mps is not None:
        said = 0.5 * (fixes.speed_mps[moving.before] + fixes.speed_mps[moving.after]) * moving.seconds
        ok = said >= 1.0
        as_is = np.abs(said / moving.metres - 1.0)[ok]
        swapped = np.abs(said / np.hypot(east, north) - 1.0)[ok]
        if len(as_is) >= _FEWEST_STEPS and np.median(as_is) <= np.median(swapped):
            return []
        if len(as_is) >= _FEWEST_STEPS and np.median(swapped) < 0.05 and np.median(as_is) > 0.12:
            near = np.count_nonzero(swapped < 0.1)
            evidence.append(f"then the speed matches the distance travelled in {near:,} of {len(as_is):,} steps")
    return [Doubt("lat_deg", f"lat and lon look swapped: {', and '.join(evidence)}")] if evidence else []


def _ignition(fixes: Fixes, steps: _Steps) -> list[Doubt]:
    if fixes.ignition is None:
        return []
    moving = _moving(fixes, steps)
    state = fixes.ignition[moving.after]
    off, on = int(np.count_nonzero(state == 0)), int(np.count_nonzero(state == 1))
    if off < _FEWEST_STEPS or off <= 4 * on:
        return []
    always = "always off" if on == 0 else "the wrong way round"
    told = f"it is off in {off:,} of {off + on:,} steps in which the vehicle drives"
    return [Doubt("ignition", f"ignition looks {always}: {told}")]


def _acceleration(fixes: Fixes) -> list[Doubt]:
    doubts = []
    for column in ("accel_longitudinal_mps2", "accel_lateral_mps2"):
        values = getattr(fixes, column)
        if values is None or np.count_nonzero(np.isfinite(values)) < _FEWEST_STEPS:
            continue
        known = values[np.isfinite(values)]
        middle, looks = float(np.median(known)), None
        strong = int(np.count_nonzero(np.abs(known - middle) > _NO_TYRE_MPS2))
        if abs(abs(middle) - 9.81) < 1.5:
            looks = f"looks like the vertical axis: {middle:.1f} m/s² in the median"
        elif strong > 0.1 * len(known):
            looks = f"has a wrong unit or scale: more than any tyre holds ({_NO_TYRE_MPS2:g} m/s²) in {strong:,}"
        elif abs(middle) > 2.0:
            looks = f"looks tilted or uncalibrated: {middle:.1f} m/s² in the median"
        if looks is not None:
            doubts.append(Doubt(column, f"{column.removesuffix('_mps2')} {looks} of {len(known):,} fixes"))
    return doubts


def _accuracy(fixes: Fixes) -> list[Doubt]:
    if fixes.accuracy_m is None:
        return []
    known = fixes.accuracy_m[~np.isnan(fixes.accuracy_m)]
    worthless = int(np.count_nonzero(known > _WORTHLESS_M))
    if not worthless:
        return []
    invalid = int(np.count_nonzero(np.isinf(known)))
    said = f", {invalid:,} of them marked invalid" if invalid else ""
    told = f"{worthless:,} of {len(known):,} fixes{said}; they are refused"
    return [Doubt("accuracy_m", f"positions are useless (off by more than {_WORTHLESS_M:g} m): {told}")]
