"""A naive pass: journeys out of a vehicle's fixes, by what the published rules say in words and by nothing else.

It is slow, keeps everything in memory and answers nobody: it is held beside the door's answers, so that the compiled
pass and this one, which share no line, would both have to be wrong in the same way. It does without what decides
little of a month's distance: reported speeds that are doubted, and journeys' finer edges. Distances are those of a
sphere, which are off by up to 0.4 %.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from journeymesh.journeys.rules import JourneyRules
from journeymesh.strangler.naive_fixes import NaiveFix

EARTH_M: Final = 6_371_008.8
"""The mean radius of the earth."""
_HOLD_S: Final = 30.0
"""A position that is repeated after longer than this is where the vehicle is."""


@dataclass(frozen=True, slots=True)
class NaiveJourney:
    """A journey: seconds since 1970 UTC, metres."""

    vehicle: str
    started_s: float
    ended_s: float
    distance_m: float

    @property
    def duration_s(self) -> float:
        """From its beginning to its end."""
        return self.ended_s - self.started_s


def naive_journeys(fixes: Iterable[NaiveFix], rules: JourneyRules) -> list[NaiveJourney]:
    """The journeys of one vehicle, by time."""
    found = []
    for driven in _between_silences(_possible(fixes, rules), rules):
        drives = _between_stops(driven, rules) if rules.profile == "always_on" else [driven]
        for drive in drives:
            journey = _journey(drive, rules)
            if journey is not None:
                found.append(journey)
    return found


def way_m(one: NaiveFix, other: NaiveFix) -> float:
    """The great circle between two fixes, by the haversine."""
    low, high = math.radians(one.lat), math.radians(other.lat)
    across = math.sin(math.radians(other.lon - one.lon) / 2) ** 2
    chord = math.sin((high - low) / 2) ** 2 + math.cos(low) * math.cos(high) * across
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(chord)))


@dataclass(slots=True)
class _Run:
    """Fixes that do not contradict each other, by time. A recorder may repeat a position while it waits for the next:
    ``held_m`` is how far the vehicle drove meanwhile, by its own word."""

    fixes: list[NaiveFix]
    held_m: float = 0.0

    def agrees(self, fix: NaiveFix, rules: JourneyRules) -> bool:
        """Whether the vehicle can have come from the last of them to this one."""
        last = self.fixes[-1]
        most_mps, granted_m = rules.cleaning.max_plausible_speed_mps, rules.cleaning.position_tolerance_m
        return way_m(last, fix) <= most_mps * (fix.at_s - last.at_s) + granted_m + self.held_m

    def add(self, fix: NaiveFix) -> None:
        """Take the next one."""
        last = self.fixes[-1]
        repeats = (last.lat, last.lon) == (fix.lat, fix.lon) and fix.at_s - last.at_s <= _HOLD_S
        self.held_m = self.held_m + (fix.speed_mps or 0.0) * (fix.at_s - last.at_s) if repeats else 0.0
        self.fixes.append(fix)

    def is_believed(self, rules: JourneyRules) -> bool:
        """Whether they are too many for an error: the vehicle was moved."""
        lasted_s = self.fixes[-1].at_s - self.fixes[0].at_s
        return len(self.fixes) >= rules.cleaning.relocation_fixes and lasted_s >= rules.cleaning.relocation_s


def _possible(fixes: Iterable[NaiveFix], rules: JourneyRules) -> list[list[NaiveFix]]:
    """The fixes by time, each instant once, without those that cannot be. Lists begin where the vehicle was moved."""
    runs: list[_Run] = []
    odd: _Run | None = None
    for fix in _sound(fixes, rules):
        if runs and fix.at_s - runs[-1].fixes[-1].at_s <= rules.max_silence_s:
            if fix.at_s == runs[-1].fixes[-1].at_s:
                continue
            if runs[-1].agrees(fix, rules):
                runs[-1].add(fix)
                odd = None
                continue
            if odd is not None and fix.at_s > odd.fixes[-1].at_s and odd.agrees(fix, rules):
                odd.add(fix)
            else:
                odd = _Run([fix])
            if odd.is_believed(rules):
                runs.append(odd)
                odd = None
        else:
            runs.append(_Run([fix]))
            odd = None
    return [run.fixes for run in runs]


def _sound(fixes: Iterable[NaiveFix], rules: JourneyRules) -> list[NaiveFix]:
    """The fixes that are possible each by itself, by time."""
    earliest_s = datetime(rules.cleaning.earliest_year, 1, 1, tzinfo=UTC).timestamp()
    latest_s = datetime.now(UTC).timestamp() + rules.cleaning.future_tolerance_s
    most_m = rules.sensors.max_accuracy_m or math.inf
    found = [
        fix
        for fix in fixes
        if earliest_s <= fix.at_s <= latest_s
        and -90 <= fix.lat <= 90
        and -180 <= fix.lon <= 180
        and (fix.lat, fix.lon) != (0.0, 0.0)
        and (fix.accuracy_m is None or fix.accuracy_m <= most_m)
    ]
    return sorted(found, key=lambda fix: fix.at_s)


def _between_silences(parts: Iterable[list[NaiveFix]], rules: JourneyRules) -> list[list[NaiveFix]]:
    """The fixes between silences, and between removals. With ``engine_switched`` a drive also ends as the ignition goes
    off."""
    found = []
    for part in parts:
        held: list[NaiveFix] = []
        for fix in part:
            is_off = rules.profile == "engine_switched" and bool(held) and held[-1].ignition is False
            if held and (fix.at_s - held[-1].at_s > rules.max_silence_s or (is_off and fix.ignition is True)):
                found.append(held)
                held = []
            held.append(fix)
        if held:
            found.append(held)
    return found


def _between_stops(fixes: Sequence[NaiveFix], rules: JourneyRules) -> list[list[NaiveFix]]:
    """The fixes without those at stops: the vehicle stays within a radius for long enough."""
    drives, begin, at = [], 0, 0
    while at < len(fixes):
        end = at
        while end + 1 < len(fixes) and way_m(fixes[at], fixes[end + 1]) <= rules.movement.stop_radius_m:
            end += 1
        if fixes[end].at_s - fixes[at].at_s < rules.min_stop_s:
            at += 1
            continue
        rests = at
        while rests < end and _moves(fixes[rests], fixes[rests + 1], rules):
            rests += 1
        drives.append(list(fixes[begin : rests + 1]))
        begin = end
        while begin > rests and _moves(fixes[begin - 1], fixes[begin], rules):
            begin -= 1
        at = max(end, at + 1)
    drives.append(list(fixes[begin:]))
    return drives


def _moves(one: NaiveFix, other: NaiveFix, rules: JourneyRules) -> bool:
    if other.speed_mps is not None:
        return other.speed_mps >= rules.movement.standstill_speed_mps
    return way_m(one, other) >= rules.movement.min_step_m


def _journey(fixes: Sequence[NaiveFix], rules: JourneyRules) -> NaiveJourney | None:
    """The journey of these fixes; None where they are too little to be one."""
    if len(fixes) < 2:
        return None
    first, last, distance_m, extent_m = fixes[0], fixes[0], 0.0, 0.0
    for fix in fixes[1:]:
        step_m = way_m(last, fix)
        if fix.speed_mps is not None:
            is_moving = fix.speed_mps >= rules.movement.standstill_speed_mps
            least_m = rules.movement.min_step_m
        else:
            is_moving, least_m = True, rules.movement.jitter_radius_m
        if is_moving and step_m >= least_m:
            distance_m += step_m
            last = fix
            extent_m = max(extent_m, way_m(first, fix))
    duration_s = fixes[-1].at_s - first.at_s
    is_one = (
        distance_m >= rules.min_distance_m and duration_s >= rules.min_duration_s and extent_m >= rules.min_extent_m
    )
    return NaiveJourney(first.vehicle, first.at_s, fixes[-1].at_s, distance_m) if is_one else None
