"""The legacy side of the door: journeys computed on read, by the very pass, from the legacy collections."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.engines.refusals import refusals_of
from journeymesh.engines.windows import of_vehicles, read_windows, within
from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fields import INSTANT
from journeymesh.journeys.fixes import COLUMN_NAMES, NOT_REPORTED_US, OPTIONAL_FLOATS, Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.journeys.summaries import of_terms
from journeymesh.sources.vehicle_port import VehicleSource, VehicleTimes
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery
from journeymesh.stores.rows import selected
from journeymesh.strangler.control import now_us
from journeymesh.strangler.journey_index import JourneyIndex, JourneyLocation, locations_in
from journeymesh.strangler.legacy_cache import AnswerCache
from journeymesh.strangler.policy_book import PolicyBook, vehicles_of

_FIRST_WINDOW_US: Final = 28 * DAY_US
_WINDOW_FIXES: Final = 50_000
_WIDEN: Final = 16
_EARLIEST_US: Final = to_us(datetime.fromisoformat("1900-01-01T00:00:00+00:00"))
_LATEST_US: Final = to_us(datetime.fromisoformat("9990-01-01T00:00:00+00:00"))
_SOON_US: Final = 366 * DAY_US
_ORDER: Final = [("started_at", "ascending"), ("journey_id", "ascending")]


class LegacyTooMuch(SourceUnreadable):
    """A question needs more of legacy than one question may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """What one question may take of legacy: so many fixes read, and so much time."""

    fixes: int = 2_000_000
    seconds: float = 30.0


@dataclass(slots=True, kw_only=True)
class LegacySide:
    """Answers as a store would that holds what legacy holds at this instant. Safe for threads.

    ``locate`` gives the location of a journey that was not given out here lately, from a store that has it; its answer
    is only where to look. An id that neither knows is answered as unknown; an id that a late fix made obsolete finds
    the journey that now covers most of its time.

    ``cache`` None: everything is computed anew.
    """

    source: VehicleSource
    rules: JourneyRules
    policy_book: PolicyBook
    limits: ReadLimits = ReadLimits()
    cache: AnswerCache | None = None
    locate: Callable[[str], JourneyLocation | None] | None = None
    journey_index: JourneyIndex = field(default_factory=JourneyIndex)
    clock_us: Callable[[], int] = now_us
    """Bounds the clocks of fixes whose receipt is not reported."""
    revision: Callable[[], int] = lambda: 0
    """Of what is refused: answers from before it changed are computed anew."""

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policy`` in (started_at, journey_id) order or its reverse, ``JOURNEY_SCHEMA`` or its
        columns.

        Raises:
            UsageError: no policy is named. SourceUnreadable: legacy cannot be read.
            LegacyTooMuch: the answer needs more than ``limits``; ask for a shorter time or a page.
        """
        if query.policy is None or query.unattributed or query.policies is not None:
            raise UsageError("legacy can only be queried for one policy", todo="name one policy")
        known = self.policy_book.terms(query.policy, query.tenant)
        terms = [policy for policy in known if _may_match(policy, query)]
        if not terms:
            return selected(JOURNEY_SCHEMA.empty_table(), query.columns)
        whole = replace(query, columns=None)
        if self.cache is None:
            return selected(self._computed(terms, whole), query.columns)
        names = tuple(dict.fromkeys(name for policy in terms for name in vehicles_of(policy)))
        question = (whole, tuple(self.policy_book.of_vehicles(names)), self.revision())
        answer = self.cache.answer(question, names, lambda: self._computed(terms, whole))
        return selected(answer, query.columns)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table; None if nobody knows where it is, or nothing is there any more.

        Raises:
            SourceUnreadable: legacy cannot be read.
        """
        location = self.journey_index.get(journey_id) or (self.locate(journey_id) if self.locate is not None else None)
        if location is None:
            return None
        made, _ = self._made(
            [VehicleTimes(location.vehicle, location.started_us, location.ended_us)], _Spent(self.limits)
        )
        at = _best(journey_id, location, made)
        found = None if at is None else made.slice(at, 1).combine_chunks()
        return found if found is None or tenant in (None, found["tenant"][0].as_py()) else None

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        return list(self.policy_book.now().terms(number))

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's distinct fixes with ``first <= fixed_at <= last`` and a possible clock, by time.

        Raises:
            SourceUnreadable: legacy cannot be read.
        """
        none, times = Fixes.empty((vehicle,)), VehicleTimes(vehicle, to_us(first), to_us(last))
        if last < first:
            return none
        found = within(of_vehicles(self.source.read([times]).fixes).get(vehicle, none), [times])
        return _as_kept(make_journeys(found, self.rules, (), self.clock_us()).timeline)

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """What is refused of ``query.vehicle`` in ``[fixed_from, fixed_to)`` by time, read forward for as far as the
        answer is asked for.

        Raises:
            UsageError: no vehicle or time is named, or not by time. SourceUnreadable: legacy cannot be read.
            LegacyTooMuch: the answer needs more than ``limits``.
        """
        vehicle, first, end = query.vehicle, query.fixed_from, query.fixed_to
        if vehicle is None or first is None or end is None or not query.by_time:
            raise UsageError("legacy reads refusals by vehicle and time, ordered by time", todo="name all of these")
        last = None if query.after_time is None else (to_us(query.after_time[0]), query.after_time[1])
        begin_us = max(to_us(first), _EARLIEST_US, _EARLIEST_US if last is None else last[0])
        left = query.limit
        for refusal_id, refusal in self._refused(vehicle, begin_us, min(to_us(end), _LATEST_US)):
            if left == 0:
                return
            assert refusal.fixed_at is not None
            behind = last is None or (to_us(refusal.fixed_at), refusal_id) > last
            if behind and query.reason in (None, refusal.reason):
                left = None if left is None else left - 1
                yield refusal_id, refusal

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """None: what is computed on read was never anything else."""
        del journey_id
        return []

    def _refused(self, vehicle: str, first_us: int, end_us: int) -> Iterator[tuple[str, Refusal]]:
        """The refusals of the vehicle in this time, by time and id: window by window, which widen where there is
        little."""
        spent, width_us, soon_us = _Spent(self.limits), _FIRST_WINDOW_US, self.clock_us() + _SOON_US
        while first_us < end_us:
            last_us = end_us if first_us > soon_us else min(first_us + width_us, end_us)
            spent.check()
            before = spent.fixes
            windows = read_windows(self.source.read, [VehicleTimes(vehicle, first_us, last_us - 1)], self.rules)
            fixes = Fixes.concat([window.fixes for window in windows])
            spent.add(len(fixes))
            result = make_journeys(fixes, self.rules, (), self.clock_us(), timeline=False)
            found = [each for window in windows for each in window.refusals]
            found += refusals_of(result.refused, result.reasons, self.source.describe)
            timed = {(to_us(each.fixed_at), each.refusal_id): each for each in found if each.fixed_at is not None}
            for (at_us, refusal_id), refusal in sorted(timed.items()):
                if first_us <= at_us < last_us:
                    yield refusal_id, refusal
            first_us = last_us
            read = max(spent.fixes - before, _WINDOW_FIXES // _WIDEN)
            width_us = max(width_us * _WINDOW_FIXES // read, DAY_US)

    def _computed(self, terms: Sequence[Policy], query: JourneyQuery) -> pa.Table:
        pages, rows = [JOURNEY_SCHEMA.empty_table()], 0
        windows = self._windows_backward if query.newest_first else self._windows
        for page in windows(terms, query):
            pages.append(page)
            rows += len(page)
            if query.limit is not None and rows >= query.limit:
                break
        answer = pa.concat_tables(pages).slice(0, query.limit).combine_chunks()
        self.journey_index.remember(answer)
        return answer

    def _windows(self, terms: Sequence[Policy], query: JourneyQuery) -> Iterator[pa.Table]:
        """The answer read forward: windows widen where there is little and narrow where there is much. Of each window
        the vehicles of the terms in it are read."""
        spans = [(policy, *_span(policy, query)) for policy in terms]
        first_us, end_us = min(first for _, first, _ in spans), max(end for _, _, end in spans)
        spent, width_us, soon_us = _Spent(self.limits), _FIRST_WINDOW_US, self.clock_us() + _SOON_US
        while first_us < end_us:
            last_us = min(first_us + width_us, end_us) - 1
            if last_us > soon_us:  # nothing is expected there
                last_us = end_us - 1
            before = spent.fixes
            inside = [policy for policy, first, end in spans if first <= last_us and first_us < end]
            names = dict.fromkeys(name for policy in inside for name in vehicles_of(policy))
            wanted = [VehicleTimes(name, first_us, last_us) for name in names if query.vehicle in (None, name)]
            next_us = min((first for _, first, _ in spans if first > last_us), default=end_us)
            if not wanted:  # between two terms
                first_us = next_us
                continue
            made, complete_us = self._made(wanted, spent)
            until_us = min(max(complete_us, last_us) + 1, next_us)
            yield _matching(made, inside, query, first_us, until_us)
            first_us = until_us
            read = max(spent.fixes - before, _WINDOW_FIXES // _WIDEN)
            width_us = max(width_us * _WINDOW_FIXES // read, DAY_US)

    def _windows_backward(self, terms: Sequence[Policy], query: JourneyQuery) -> Iterator[pa.Table]:
        """The answer read backward, each window's journeys in reverse. A journey belongs to the window that it starts
        in; what is read around that has its end."""
        spans = [(policy, *_span(policy, query)) for policy in terms]
        first_us, end_us = min(first for _, first, _ in spans), max(end for _, _, end in spans)
        spent, width_us, soon_us = _Spent(self.limits), _FIRST_WINDOW_US, self.clock_us() + _SOON_US
        while first_us < end_us:
            begin_us = max(soon_us if end_us > soon_us else end_us - width_us, first_us)
            before = spent.fixes
            inside = [policy for policy, first, end in spans if first < end_us and begin_us < end]
            names = dict.fromkeys(name for policy in inside for name in vehicles_of(policy))
            wanted = [VehicleTimes(name, begin_us, end_us - 1) for name in names if query.vehicle in (None, name)]
            if not wanted:  # between two terms
                end_us = max((end for _, _, end in spans if end <= begin_us), default=first_us)
                continue
            made, _ = self._made(wanted, spent)
            found = _matching(made, inside, query, begin_us, end_us)
            yield found.take(pa.array(range(len(found) - 1, -1, -1), pa.int64()))
            end_us = begin_us
            read = max(spent.fixes - before, _WINDOW_FIXES // _WIDEN)
            width_us = max(width_us * _WINDOW_FIXES // read, DAY_US)

    def _made(self, wanted: Sequence[VehicleTimes], spent: _Spent) -> tuple[pa.Table, int]:
        """The journeys of the windows around these times, and until when they are all there is of the vehicles."""
        spent.check()
        windows = read_windows(self.source.read, wanted, self.rules)
        fixes = Fixes.concat([window.fixes for window in windows])
        spent.add(len(fixes))
        known = self.policy_book.of_vehicles([times.vehicle for times in wanted])
        made = make_journeys(fixes, self.rules, known, self.clock_us(), timeline=False).journeys
        complete_us = {times.vehicle: times.last_us for times in wanted}
        for window in windows:
            complete_us[window.vehicle] = max(complete_us[window.vehicle], window.times.last_us)
        return made, min(complete_us.values())


@dataclass(slots=True)
class _Spent:
    """What a question has taken of legacy so far."""

    limits: ReadLimits
    fixes: int = 0
    began: float = field(default_factory=time.monotonic)

    def add(self, fixes: int) -> None:
        self.fixes += fixes
        self.check()

    def check(self) -> None:
        """Refuse to go on beyond the limits."""
        if self.fixes > self.limits.fixes:
            raise LegacyTooMuch(
                f"the answer needs more than {self.limits.fixes} fixes of legacy",
                todo="ask for a shorter time, or page by page with a limit",
            )
        if time.monotonic() - self.began > self.limits.seconds:
            raise LegacyTooMuch(
                f"legacy took longer than {self.limits.seconds:g} s to answer",
                todo="ask for a shorter time, or page by page with a limit; check that legacy has its index",
            )


def _may_match(policy: Policy, query: JourneyQuery) -> bool:
    return (
        query.tenant in (None, policy.tenant)
        and query.product in (None, policy.product)
        and (query.terms is None or policy.valid_from in query.terms)
        and (query.vehicle is None or query.vehicle in vehicles_of(policy))
        and (query.limit is None or query.limit > 0)
    )


def _span(policy: Policy, query: JourneyQuery) -> tuple[int, int]:
    """The instants [first, end) at which journeys of the answer may start."""
    first_us = max(to_us(policy.valid_from), _EARLIEST_US)
    end_us = _LATEST_US if policy.valid_to is None else min(to_us(policy.valid_to), _LATEST_US)
    if query.started_from is not None:
        first_us = max(first_us, to_us(query.started_from))
    if query.started_to is not None:
        end_us = min(end_us, to_us(query.started_to))
    if query.after is not None and query.newest_first:
        end_us = min(end_us, to_us(query.after[0]) + 1)
    elif query.after is not None:
        first_us = max(first_us, to_us(query.after[0]))
    return first_us, end_us


def _matching(made: pa.Table, terms: Sequence[Policy], query: JourneyQuery, first_us: int, until_us: int) -> pa.Table:
    """The journeys of these terms that start in [first, until) and behind the cursor, in order."""
    made, _ = of_terms(made, terms)
    started = made["started_at"]
    wanted = pc.and_(
        pc.greater_equal(started, pa.scalar(from_us(first_us), INSTANT)),
        pc.less(started, pa.scalar(from_us(until_us), INSTANT)),
    )
    if query.after is not None:
        at = pa.scalar(query.after[0], INSTANT)
        is_behind = pc.less if query.newest_first else pc.greater
        behind = pc.and_(pc.equal(started, at), is_behind(made["journey_id"], query.after[1]))
        wanted = pc.and_(wanted, pc.or_(is_behind(started, at), behind))
    found = made.filter(wanted)
    return found if len(pc.unique(found["vehicle"])) < 2 else found.sort_by(_ORDER)


def _best(journey_id: str, location: JourneyLocation, made: pa.Table) -> int | None:
    """The row of this id; else of the vehicle's journey that shares most time with the location."""
    best, longest = None, timedelta(0)
    for row, (found_id, found) in enumerate(locations_in(made)):
        if found_id == journey_id:
            return row
        shared_us = min(found.ended_us, location.ended_us) - max(found.started_us, location.started_us)
        if found.vehicle == location.vehicle and timedelta(microseconds=shared_us) > longest:
            best, longest = row, timedelta(microseconds=shared_us)
    return best


def _as_kept(timeline: Fixes) -> Fixes:
    """The fixes as a store gives them back: without origins and without columns that nobody reports."""
    dropped: dict[str, Any] = {"origin": None}
    for name in COLUMN_NAMES:
        column = getattr(timeline, name)
        if column is None:
            continue
        if name in OPTIONAL_FLOATS:
            reported = bool((~np.isnan(column)).any())
        elif name == "received_at_us":
            reported = bool((column != NOT_REPORTED_US).any())
        elif name == "ignition":
            reported = bool((column != -1).any())
        else:
            continue
        if not reported:
            dropped[name] = None
    return replace(timeline, **dropped)
