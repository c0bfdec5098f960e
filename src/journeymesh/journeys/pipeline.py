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

from journeymesh.journeys.assembly import PassOutput, found_together, journey_table, journeys_of
from journeymesh.journeys.cleaning import (
    ACCEPTED,
    AGREES,
    CLEANING_STATE,
    DUPLICATE,
    RELOCATED,
    SCRATCH_ROWS,
    UNDECIDED,
    CleaningLimits,
)
from journeymesh.journeys.fixes import I64, U32, Fixes
from journeymesh.journeys.geodesy import SCALE
from journeymesh.journeys.harsh import EVENT, HARSH_STATE, HarshLimits
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.movement_state import HOURS_OF_WEEK, MOVEMENT_STATE, NOWHERE, SUMS, MovementLimits
from journeymesh.journeys.one_pass import FOUND_HOUR, finish_pass, run_pass, tell
from journeymesh.journeys.ordering import canonical_rows
from journeymesh.journeys.policies import GrowingTimeline, PoliciesByName, Policy, PolicyTimeline
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
    """How many fixes came to what. ``outside_policy``, ``outside_journey`` and ``speed_doubted`` (their reported speed
    was not used, for it contradicts the way travelled) are among ``accepted``, as are fixes that say nothing beyond the
    one that stands first of their instant: they are not refused, and no journey counts them."""

    accepted: int = 0
    duplicates: int = 0
    outside_policy: int = 0
    outside_journey: int = 0
    speed_doubted: int = 0

    def __add__(self, other: PassCounts) -> PassCounts:
        return PassCounts(
            self.accepted + other.accepted,
            self.duplicates + other.duplicates,
            self.outside_policy + other.outside_policy,
            self.outside_journey + other.outside_journey,
            self.speed_doubted + other.speed_doubted,
        )


@dataclass(frozen=True, slots=True)
class PassResult:
    """What the pass made of some fixes.

    - ``journeys``: ``JOURNEY_SCHEMA``, by vehicle code and start
    - ``timeline``: the distinct fixes with a possible clock, refused or not, in canonical order: all that is needed to
      make the same journeys again
    - ``refused``: the refused fixes, and ``reasons`` (uint8[n], ``Reason``) for each
    - ``vehicles``: how many the fixes are of
    """

    journeys: pa.Table
    timeline: Fixes
    refused: Fixes
    reasons: npt.NDArray[np.uint8]
    counts: PassCounts
    vehicles: int


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
    same. Whole vehicles may be taken one after the other and come out together: what a table costs is paid once.
    Not for use by two threads at once; different passes run side by side.
    """

    rules: JourneyRules
    policies: Sequence[Policy]
    now_us: int
    with_timeline: bool = True
    _vehicles: dict[str, int] = field(default_factory=dict)
    _state: tuple[npt.NDArray[Any], ...] = field(init=False)
    _hours: npt.NDArray[np.float64] = field(init=False)
    _book: PoliciesByName = field(init=False)
    _growing: GrowingTimeline = field(init=False)
    _timeline: PolicyTimeline = field(init=False)
    _limits: tuple[CleaningLimits, MovementLimits, HarshLimits] = field(init=False)
    _waiting: Fixes | None = None
    _events: npt.NDArray[Any] = field(init=False)
    _refused_at: npt.NDArray[Any] = field(init=False)
    _taken: list[_Taken] = field(default_factory=list)
    _is_over: bool = False
    _room: tuple[npt.NDArray[Any], ...] = field(init=False)

    def __post_init__(self) -> None:
        self._book = PoliciesByName.of(self.policies)
        self._forget()
        self._room = tuple(np.empty(0, dtype) for dtype in (SUMS, FOUND_HOUR, EVENT))
        self._limits = (
            CleaningLimits.of(self.rules, self.now_us),
            MovementLimits.of(self.rules),
            HarshLimits.of(self.rules),
        )

    @property
    def journeys_found(self) -> int:
        """How many journeys ended in what was taken since the last result."""
        return sum(len(one.found.journeys) for one in self._taken)

    def feed(self, fixes: Fixes, *, final: bool = False) -> PassResult:
        """Take a chunk. ``final`` says that no more will come: everything under way is put out."""
        self.take(fixes, final=final)
        return self.result()

    def take(self, fixes: Fixes, *, final: bool = False) -> None:
        """Take a chunk whose journeys come out with the next ``result``. ``final`` says that these vehicles, and those
        taken before, are over; other vehicles may follow."""
        fixes, before = self._received(fixes)
        order = canonical_rows(fixes)
        verdict = np.zeros(len(fixes), np.uint8)
        found, counts = self._run(fixes, before, order, verdict, final)
        told, refused = np.zeros(256, np.int64), np.empty(len(fixes), np.int64)
        refused = refused[: tell(verdict, told, refused)]
        waits = np.flatnonzero(verdict == UNDECIDED) if told[UNDECIDED] else _NO_ROWS
        self._waiting = self._named(fixes.take(order[waits]), before) if len(waits) else None
        used, agree = int(told[ACCEPTED] + told[RELOCATED]), int(told[AGREES])
        inside = int(found.journeys["fixes"].sum())
        self._is_over = final
        self._taken.append(
            _Taken(
                found,
                self._named(fixes.rearranged(order[_IS_TIMELINE[verdict]]), before)
                if self.with_timeline
                else Fixes.empty(tuple(self._vehicles)),
                self._named(fixes.take(order[refused]), before),
                verdict[refused],
                PassCounts(used + agree, int(told[DUPLICATE]), int(counts[3]), used - inside, int(counts[5])),
                int(counts[4]),
            )
        )

    def result(self) -> PassResult:
        """What was taken since the last result came to. After a final chunk nothing is remembered."""
        taken, self._taken = self._taken, []
        counts = PassCounts()
        for one in taken:
            counts += one.counts
        refused = Fixes.concat([one.refused for one in taken])
        reasons = np.concatenate([one.reasons for one in taken]) if taken else np.empty(0, np.uint8)
        table = self._assembled(found_together([one.found for one in taken]), refused, reasons)
        if self._is_over:
            self._forget()
        timeline = Fixes.concat([one.timeline for one in taken])
        return PassResult(table, timeline, refused, reasons, counts, sum(one.vehicles for one in taken))

    def _forget(self) -> None:
        dtypes = (CLEANING_STATE, MOVEMENT_STATE, SUMS, SUMS, HARSH_STATE)
        self._vehicles.clear()
        self._growing = GrowingTimeline(self._book)
        self._state = (*(np.zeros(0, dtype) for dtype in dtypes), np.zeros((0, 3), EVENT))
        self._hours = np.zeros((0, HOURS_OF_WEEK, 2))
        self._events = np.empty(0, EVENT)
        self._refused_at = np.empty(0, REFUSED_AT)

    def _named(self, fixes: Fixes, before: int) -> Fixes:
        """The fixes in this pass's dictionary, in which so many vehicles are before theirs."""
        return replace(fixes, vehicles=tuple(self._vehicles), vehicle=fixes.vehicle + np.int32(before))

    def _received(self, fixes: Fixes) -> tuple[Fixes, int]:
        """The chunk behind what waited, and how many vehicles of this pass's dictionary are before its own. That spares
        most chunks a column of codes that differ by no more than this."""
        known = len(self._vehicles)
        table = np.fromiter((self._vehicles.setdefault(name, len(self._vehicles)) for name in fixes.vehicles), np.int32)
        names = tuple(self._vehicles)
        before = int(table[0]) if len(table) else 0
        if self._waiting is not None or not np.array_equal(table, np.arange(before, before + len(table))):
            fixes, before = replace(fixes, vehicles=names, vehicle=table[fixes.vehicle]), 0
        if len(names) > known or known == 0:
            if len(names) > len(self._hours):
                self._grow(2 * len(names))
            self._timeline = self._growing.of(names)
        if self._waiting is not None:
            fixes = Fixes.concat([replace(self._waiting, vehicles=names), fixes])
        return fixes, before

    def _grow(self, vehicles: int) -> None:
        def grown(old: npt.NDArray[Any]) -> npt.NDArray[Any]:
            column = np.zeros((vehicles, *old.shape[1:]), old.dtype)
            column[: len(old)] = old
            return column

        self._state = tuple(grown(part) for part in self._state)
        self._hours = grown(self._hours)

    def _run(
        self, fixes: Fixes, before: int, order: U32, verdict: npt.NDArray[np.uint8], final: bool
    ) -> tuple[PassOutput, I64]:
        n, vehicles = len(fixes), len(self._vehicles)
        found, counts = self._room_for(n, vehicles), np.zeros(6, np.int64)
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
                fixes.accuracy_m,
            )
        )
        timeline, zones = self._timeline, self._timeline.zones
        run_pass(
            order,
            np.ascontiguousarray(fixes.vehicle),
            before,
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
        return PassOutput(*(rows[:n].copy() for rows, n in zip(found, counts.tolist(), strict=False))), counts

    def _room_for(self, fixes: int, vehicles: int) -> tuple[npt.NDArray[Any], ...]:
        """Where the kernels put what they find. These are bounds: few pages are ever written, and the untouched ones
        cost nothing, so the room is kept for the next chunk."""
        hours_per_fix = 2 + int(self.rules.max_silence_s // 3600)
        bounds = (
            fixes // 2 + 2 * vehicles + 2,
            hours_per_fix * fixes + vehicles * HOURS_OF_WEEK + 2,
            2 * fixes + 3 * vehicles + 2,
        )
        if any(len(room) < bound for room, bound in zip(self._room, bounds, strict=True)):
            self._room = tuple(
                np.empty(bound + bound // 4, room.dtype) for room, bound in zip(self._room, bounds, strict=True)
            )
        return self._room

    def _assembled(self, found: PassOutput, refused: Fixes, reasons: npt.NDArray[np.uint8]) -> pa.Table:
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


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the kernels made of one chunk, before it is assembled."""

    found: PassOutput
    timeline: Fixes
    refused: Fixes
    reasons: npt.NDArray[np.uint8]
    counts: PassCounts
    vehicles: int


REFUSED_AT = np.dtype([("vehicle", np.int32), ("at_us", np.int64)])
