"""The order of processing: from fixes in any order to journeys, harsh events and refusals.

    canonical_rows       by vehicle and time, ties by value                    ordering.py
    run_pass             each fix once:                                        one_pass.py
      clean_vehicle        is it possible, does it contradict its neighbours   cleaning.py
      move                 journeys begin, add up, end                         movement.py
      feel                 harsh events                                        harsh.py
    journey_table        ids, names, events and refusals by their journey      assembly.py

``make_journeys`` does it for whole vehicles at once; ``JourneyPass`` in chunks, with carried state. Both run the same
code and give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from journeymesh.journeys.assembly import Found, journey_table, journeys_of
from journeymesh.journeys.cleaning import (
    ACCEPTED,
    CLEANING_STATE,
    DUPLICATE,
    RELOCATED,
    SCRATCH_ROWS,
    UNDECIDED,
    CleaningLimits,
)
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.geodesy import SCALE
from journeymesh.journeys.harsh import EVENT, HARSH_STATE, HarshLimits
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.movement_state import HOURS_OF_WEEK, MOVEMENT_STATE, NOWHERE, SUMS, MovementLimits
from journeymesh.journeys.one_pass import FOUND_HOUR, finish_pass, run_pass, tell
from journeymesh.journeys.ordering import canonical_rows
from journeymesh.journeys.policies import Policy, PolicyTimeline
from journeymesh.journeys.reasons import Reason
from journeymesh.journeys.rules import JourneyRules

_NO_ROWS = np.empty(0, np.int64)
_NO_FLOATS = np.empty(0, np.float64)
_NO_INSTANTS = np.empty(0, np.int64)
_NO_IGNITION = np.empty(0, np.int8)
_CLOCK_REASONS = (int(Reason.CLOCK_IMPOSSIBLE), int(Reason.CLOCK_FUTURE))
_IS_TIMELINE = ~np.isin(np.arange(256), (DUPLICATE, UNDECIDED, *_CLOCK_REASONS))


@dataclass(frozen=True, slots=True)
class PassCounts:
    """How many fixes came to what. ``outside_policy`` and ``outside_journey`` are among ``accepted``."""

    accepted: int = 0
    duplicates: int = 0
    outside_policy: int = 0
    outside_journey: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        return PassCounts(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.outside_policy + other.outside_policy,
            self.outside_journey + other.outside_journey,
        )


@dataclass(frozen=True, slots=True)
class PassResult:
    """What the pass made of some fixes.

    - ``journeys``: ``JOURNEY_SCHEMA``, by vehicle code and start
    - ``timeline``: the distinct fixes with a possible clock, refused or not, in canonical order: all that is needed to
      make the same journeys again
    - ``refused``: the refused fixes, and ``reasons`` (uint8[n], ``Reason``) for each
    """

    journeys: pa.Table
    timeline: Fixes
    refused: Fixes
    reasons: npt.NDArray[np.uint8]
    counts: PassCounts


def make_journeys(
    fixes: Fixes, rules: JourneyRules, policies: Sequence[Policy], now_us: int, *, timeline: bool = True
) -> PassResult:
    """Make the journeys of whole vehicles: all their fixes are here, in any order, with or without duplicates.

    ``now_us`` bounds the clocks of fixes whose receipt is not reported. Without ``timeline`` the result's is empty.
    """
    passing = JourneyPass(rules, policies, now_us, timeline)
    return passing.feed(fixes, final=True)


@dataclass(slots=True)
class JourneyPass:
    """The pass with carried state: feed it chunks in which no vehicle's fixes are older than in the chunks before.

    A journey comes out with the chunk that shows its end. However the fixes are cut into chunks, the journeys are the
    same. Not for use by two threads at once; different passes run side by side.
    """

    rules: JourneyRules
    policies: Sequence[Policy]
    now_us: int
    with_timeline: bool = True
    _vehicles: dict[str, int] = field(default_factory=dict)
    _state: tuple[npt.NDArray[Any], ...] = field(init=False)
    _hours: npt.NDArray[np.float64] = field(init=False)
    _timeline: PolicyTimeline = field(init=False)
    _limits: tuple[CleaningLimits, MovementLimits, HarshLimits] = field(init=False)
    _waiting: Fixes | None = None
    _events: npt.NDArray[Any] = field(init=False)
    _refused_at: npt.NDArray[Any] = field(init=False)

    def __post_init__(self) -> None:
        dtypes = (CLEANING_STATE, MOVEMENT_STATE, SUMS, SUMS, HARSH_STATE)
        self._state = (*(np.zeros(0, dtype) for dtype in dtypes), np.zeros((0, 3), EVENT))
        self._hours = np.zeros((0, HOURS_OF_WEEK, 2))
        self._limits = (
            CleaningLimits.of(self.rules, self.now_us),
            MovementLimits.of(self.rules),
            HarshLimits.of(self.rules),
        )
        self._events = np.empty(0, EVENT)
        self._refused_at = np.empty(0, REFUSED_AT)

    def feed(self, fixes: Fixes, *, final: bool = False) -> PassResult:
        """Take a chunk. ``final`` says that no more will come: everything under way is put out."""
        fixes = self._received(fixes)
        order = canonical_rows(fixes)
        verdict = np.zeros(len(fixes), np.uint8)
        found, counts = self._run(fixes, order, verdict, final)
        told, refused = np.zeros(256, np.int64), np.empty(len(fixes), np.int64)
        refused = refused[: tell(verdict, told, refused)]
        waits = np.flatnonzero(verdict == UNDECIDED) if told[UNDECIDED] else _NO_ROWS
        self._waiting = fixes.take(order[waits]) if len(waits) else None
        refused_fixes = fixes.take(order[refused])
        reasons = verdict[refused]
        table = self._assembled(found, refused_fixes, reasons)
        accepted = int(told[ACCEPTED] + told[RELOCATED])
        inside = int(found.journeys["fixes"].sum())
        duplicates = int(told[DUPLICATE])
        timeline = Fixes.empty(fixes.vehicles)
        if self.with_timeline:
            timeline = fixes.rearranged(order[_IS_TIMELINE[verdict]])
        return PassResult(
            journeys=table,
            timeline=timeline,
            refused=refused_fixes,
            reasons=reasons,
            counts=PassCounts(accepted, duplicates, int(counts[3]), accepted - inside),
        )

    def _received(self, fixes: Fixes) -> Fixes:
        """The chunk behind what waited, in this pass's dictionary."""
        known = len(self._vehicles)
        table = np.fromiter((self._vehicles.setdefault(name, len(self._vehicles)) for name in fixes.vehicles), np.int32)
        names = tuple(self._vehicles)
        vehicle = fixes.vehicle
        if not np.array_equal(table, np.arange(len(table))):
            vehicle = table[vehicle]
        fixes = replace(fixes, vehicles=names, vehicle=vehicle)
        if len(names) > known or known == 0:
            self._grow(len(names))
            self._timeline = PolicyTimeline.of(self.policies, names)
        if self._waiting is not None:
            fixes = Fixes.concat([replace(self._waiting, vehicles=names), fixes])
        return fixes

    def _grow(self, vehicles: int) -> None:
        def grown(old: npt.NDArray[Any]) -> npt.NDArray[Any]:
            column = np.zeros((vehicles, *old.shape[1:]), old.dtype)
            column[: len(old)] = old
            return column

        self._state = tuple(grown(part) for part in self._state)
        self._hours = grown(self._hours)

    def _run(self, fixes: Fixes, order: I64, verdict: npt.NDArray[np.uint8], final: bool) -> tuple[Found, I64]:
        n, vehicles = len(fixes), len(self._vehicles)
        # Untouched memory costs nothing: these are bounds, and few of their pages are ever written.
        hours_per_fix = 2 + int(self.rules.max_silence_s // 3600)
        found = (
            np.empty(n // 2 + 2 * vehicles + 2, SUMS),
            np.empty(hours_per_fix * n + vehicles * HOURS_OF_WEEK + 2, FOUND_HOUR),
            np.empty(2 * n + 3 * vehicles + 2, EVENT),
        )
        counts = np.zeros(4, np.int64)
        floats = tuple(
            np.ascontiguousarray(column) if column is not None else _NO_FLOATS
            for column in (
                fixes.lat_deg,
                fixes.lon_deg,
                fixes.speed_mps,
                fixes.heading_deg,
                fixes.accel_longitudinal_mps2,
                fixes.accel_lateral_mps2,
                fixes.speed_limit_mps,
            )
        )
        timeline, zones = self._timeline, self._timeline.zones
        run_pass(
            order.view(np.uint64),
            np.ascontiguousarray(fixes.vehicle),
            np.ascontiguousarray(fixes.fixed_at_us),
            np.ascontiguousarray(fixes.received_at_us) if fixes.received_at_us is not None else _NO_INSTANTS,
            floats,
            np.ascontiguousarray(fixes.ignition) if fixes.ignition is not None else _NO_IGNITION,
            final,
            self._limits,
            timeline.first,
            (timeline.from_us, timeline.to_us, timeline.policy, timeline.zone),
            (zones.first, zones.start_us, zones.offset_us),
            self._state,
            self._hours,
            found,
            counts,
            verdict,
            np.empty(SCALE),
            np.empty(SCRATCH_ROWS, np.int64),
        )
        if final:
            everyone = np.arange(vehicles, dtype=np.int32)
            finish_pass(everyone, self._limits, self._state, self._hours, found, counts)
        return Found(found[0][: counts[0]], found[1][: counts[1]], found[2][: counts[2]]), counts

    def _assembled(self, found: Found, refused: Fixes, reasons: npt.NDArray[np.uint8]) -> pa.Table:
        """The journeys that ended, with the events and refusals of their time; the others' wait for their journey."""
        at = np.empty(len(refused), REFUSED_AT)
        at["vehicle"], at["at_us"] = refused.vehicle, refused.fixed_at_us
        at = at[~np.isin(reasons, _CLOCK_REASONS)]
        events = np.concatenate([self._events, found.events]) if len(self._events) else found.events
        refused_at = np.concatenate([self._refused_at, at]) if len(self._refused_at) else at
        found = journeys_of(replace(found, events=events), refused_at)
        names = tuple(self._vehicles)
        table = (
            journey_table(found, names, self._timeline, self.rules)
            if len(found.journeys)
            else JOURNEY_SCHEMA.empty_table()
        )
        open_from = np.where(
            self._state[1]["mode"] != NOWHERE, self._state[2]["started_at_us"], self._state[1]["at_us"]
        )
        self._events = events[events["started_at_us"] >= open_from[events["vehicle"]]]
        self._refused_at = refused_at[refused_at["at_us"] >= open_from[refused_at["vehicle"]]]
        return table


REFUSED_AT = np.dtype([("vehicle", np.int32), ("at_us", np.int64)])
