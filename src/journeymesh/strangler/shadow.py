"""Shadow reads: the other side is asked too, off the request's path, and every lasting difference is found a cause.

An answer that was given is only looked at. A first difference is mostly a race, so both sides are read again, some
time later; what lasts is reported only once the target's feed has dealt with all that the source had then.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import pyarrow as pa

from journeymesh.errors import JourneymeshError
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.counts import CoverageNotes, Outcome
from journeymesh.strangler.differences import Classification, Difference, differences, found_elsewhere, same
from journeymesh.strangler.mismatches import KnownMismatches, LastingDifference, record_mismatches
from journeymesh.strangler.plan import Shadow
from journeymesh.strangler.questions import FixesAsked, JourneyAsked, JourneysAsked, Question, Side
from journeymesh.strangler.routes import Route, RoutesFollower, RoutesUnreadable
from journeymesh.strangler.slices import is_shadowed
from journeymesh.strangler.yielding import TICK_S, Yielding

BUSY_SHARE: Final = 0.005
"""While questions come, comparing takes no more than this share of one core's time: so few questions meet it that the
hundredth slowest does not feel it. In pauses it takes what it needs."""
LATE_S: Final = 60.0
_FLUSH_S: Final = 1.0
_MOST_ROWS: Final = 100_000
_WALKED_DOWN: Final = 20


@dataclass(slots=True, eq=False)
class ShadowRead:
    """A question that was answered, and what is known so far of how the sides differ in it."""

    route: Route
    policy: str
    question: Question
    answered_by: str
    answer: pa.Table | None
    on_outcome: Callable[[Outcome], None] | None = None
    """Told what came of it. Whoever waits for that is not put off: there is room and time for the read."""
    offered_at: float = field(default_factory=time.monotonic)
    rereads: int = 0
    before: dict[tuple[str, str, str], Difference] = field(default_factory=dict)
    source_read_us: int = 0

    @property
    def key(self) -> tuple[str, str, Question]:
        """What tells it from other reads."""
        return self.route.slice.name, self.policy, self.question

    def sides(self) -> tuple[str, str]:
        """The names of source and target. The source is the side that answers without the target."""
        route = self.route
        source = route.source if route.source_complete else route.upstream
        return source, route.target


@dataclass(slots=True, kw_only=True)
class ShadowReader:
    """Compares by ``plan.concurrency`` threads of its own, never the caller's. Started by ``with``.

    ``fed_until_us`` tells up to which instant a route's stores hold what upstream has; None: nobody knows.
    ``keeps_all_fixes`` tells of a store whether its fixes can be compared with legacy's at all.
    """

    control: Control
    routes: RoutesFollower
    sides: Callable[[str], Side]
    plan: Shadow
    fed_until_us: Callable[[Route], int | None]
    keeps_all_fixes: Callable[[str], bool] = lambda _: True
    busy_share: float = BUSY_SHARE
    late_s: float = LATE_S
    yielding: Yielding = field(init=False)
    notes: CoverageNotes = field(init=False)
    known: KnownMismatches = field(init=False)
    fault: JourneymeshError | None = None
    """Why the last read failed or could not be noted; None: it did not."""
    bug: Exception | None = None
    _offered: deque[ShadowRead] = field(default_factory=deque)
    _again: list[tuple[float, int, ShadowRead]] = field(default_factory=list)
    _pending: set[tuple[str, str, Question]] = field(default_factory=set)
    _rows: int = 0
    _numbers: count[int] = field(default_factory=count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _flushed_at: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.yielding = Yielding(self.busy_share)
        self.notes = CoverageNotes(self.control)
        self.known = KnownMismatches(self.control)

    def __enter__(self) -> ShadowReader:
        for number in range(self.plan.concurrency):
            thread = threading.Thread(target=self._work, name=f"shadow {number}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(self.plan.budget_s)
        for read in [*self._offered, *(read for _, _, read in self._again)]:
            self._count(read, Outcome.DROPPED)
        self._flush(now=True)

    # --- on the request's path

    def offer(self, route: Route, policy: str, question: Question, answered_by: str, answer: pa.Table | None) -> None:
        """Take an answer that was given for comparing, if it is sampled and there is room. Never waits, never raises.

        ``answer`` None: both sides are asked.
        """
        self.yielding.asked()
        if not is_shadowed(route.phase) or not route.complete:
            return
        if self.plan.sample < 1.0 and random.random() >= self.plan.sample:  # noqa: S311
            return
        if len(self._offered) >= self.plan.waiting:
            self.notes.count(route.slice.name, Outcome.DROPPED)
            return
        if answer is not None and self._rows + answer.num_rows > _MOST_ROWS:
            answer = None
        if answer is not None:
            self._rows += answer.num_rows
        self._offered.append(ShadowRead(route, policy, question, answered_by, answer))

    def compare(self, route: Route, policy: str, question: Question, on_outcome: Callable[[Outcome], None]) -> None:
        """Ask both sides and compare, whatever the sample, the room and the time it takes; tells what came of it."""
        self._offered.append(ShadowRead(route, policy, question, route.answering_name, None, on_outcome))

    # --- off the request's path

    @property
    def waiting(self) -> int:
        """Reads that are not done yet."""
        return len(self._offered) + len(self._again)

    def look(self, read: ShadowRead) -> Outcome | None:
        """Compare once; None: it has to be looked at again, after ``delay_s(read)``.

        Raises:
            JourneymeshError: a side or the control database cannot be read.
        """
        if not self._still_holds(read):
            return Outcome.DROPPED
        if isinstance(read.question, FixesAsked) and not all(map(self.keeps_all_fixes, read.sides())):
            return Outcome.DROPPED
        fed_until_us = self.fed_until_us(read.route) if read.rereads else None
        source, target, source_read_us = self._asked(read)
        found = [] if same(source, target) else differences(read.question, source, target)
        if not found:
            self.known.resolve_covered(read.route.slice.name, read.policy, read.question, source, target, ())
            self.notes.compared(read.route.slice.name, read.policy)
            return Outcome.EXPLAINED if read.rereads else Outcome.EQUAL
        lasting = [each for each in found if _lasts(read.before.get(_kind(each)), each)]
        caught_up = fed_until_us is not None and fed_until_us >= read.source_read_us
        if read.rereads >= len(self.plan.reread_after_s):
            if lasting and caught_up:
                self._report(read, lasting, source, target)
                self.notes.compared(read.route.slice.name, read.policy)
                return Outcome.DIFFERING
            if time.monotonic() - read.offered_at > self.late_s:
                if read.on_outcome is not None and lasting:  # somebody asked: what was seen is not thrown away
                    self._report(read, lasting, source, target)
                return Outcome.LATE
        read.before = {_kind(each): each for each in found}
        read.source_read_us = source_read_us
        read.rereads += 1
        return None

    def delay_s(self, read: ShadowRead) -> float:
        """How long to wait before the next look."""
        delays = self.plan.reread_after_s or (0.0,)
        return delays[min(read.rereads, len(delays)) - 1]

    def flush(self) -> None:
        """Write down what was counted and covered.

        Raises:
            StoreUnavailable: the control database cannot be written.
        """
        self.notes.flush()

    def _asked(self, read: ShadowRead) -> tuple[pa.Table, pa.Table, int]:
        """(source's answer, target's answer, when the source's was there). The first time the given one is used."""
        source_name, target_name = read.sides()
        given, read.answer = read.answer, None
        answers = {} if given is None else {read.answered_by: given}
        source = answers.get(source_name)
        if source is None:
            source = read.question.ask(self.sides(source_name))
        source_read_us = now_us()
        target = answers.get(target_name)
        if target is None:
            target = read.question.ask(self.sides(target_name))
        return source, target, source_read_us

    def _still_holds(self, read: ShadowRead) -> bool:
        """Whether the slice is where it was: else the sides that were to be compared are not its sides any more."""
        try:
            route = self.routes.now().get(read.route.slice.name)
        except RoutesUnreadable:
            return False
        if route is None or not is_shadowed(route.phase) or not route.complete:
            return False
        then = read.route
        return (route.source, route.target, route.upstream, route.source_complete, route.slice) == (
            then.source, then.target, then.upstream, then.source_complete, then.slice,
        )  # fmt: skip

    def _report(self, read: ShadowRead, lasting: list[Difference], source: pa.Table, target: pa.Table) -> None:
        slice_name = read.route.slice.name
        found = []
        for number, each in enumerate(lasting):
            is_journey = isinstance(read.question, JourneysAsked) and each.classification is Classification.MISSING
            if is_journey and number < _WALKED_DOWN:
                there = JourneyAsked(each.subject).ask(self.sides(read.sides()[1]))
                found += found_elsewhere(each, source, there)
            else:
                found.append(each)
        self.known.resolve_covered(
            slice_name, read.policy, read.question, source, target, {each.subject for each in lasting}
        )
        record_mismatches(self.control, [LastingDifference(slice_name, read.policy, each) for each in found], "shadow")

    def _work(self) -> None:
        while not self._stop.is_set():
            if not self.waiting:
                self._flush()
                self._stop.wait(TICK_S)
                continue
            if not self.yielding.wait(self._stop):
                return
            began_s = time.thread_time()
            read = self._next()
            if read is None:
                self._stop.wait(TICK_S)
                continue
            self._deal_with(read)
            self._flush()
            self.yielding.worked(time.thread_time() - began_s)

    def _deal_with(self, read: ShadowRead) -> None:
        outcome: Outcome | None = Outcome.FAILED
        began = time.monotonic()
        try:
            outcome = self.look(read)
            is_slow = time.monotonic() - began > self.plan.budget_s
            if is_slow and outcome is None and read.on_outcome is None:
                outcome = Outcome.FAILED
        except JourneymeshError as error:
            self.fault = error
        except Exception as error:  # the one broad except of these threads: a shadow read fails nobody
            self.bug = error
        if outcome is not None:
            self._done(read, outcome)
        else:
            self._put_off(read)

    def _done(self, read: ShadowRead, outcome: Outcome) -> None:
        self._count(read, outcome)
        if read.rereads:
            with self._lock:
                self._pending.discard(read.key)

    def _count(self, read: ShadowRead, outcome: Outcome) -> None:
        self.notes.count(read.route.slice.name, outcome)
        if read.on_outcome is not None:
            read.on_outcome(outcome)

    def _put_off(self, read: ShadowRead) -> None:
        with self._lock:
            first = read.rereads == 1
            room = len(self._again) < self.plan.waiting and not (first and read.key in self._pending)
            room = room or read.on_outcome is not None
            if room:
                self._pending.add(read.key)
                heapq.heappush(self._again, (time.monotonic() + self.delay_s(read), next(self._numbers), read))
            elif not first:
                self._pending.discard(read.key)
        if not room:
            self._count(read, Outcome.DROPPED)

    def _next(self) -> ShadowRead | None:
        with self._lock:
            if self._again and self._again[0][0] <= time.monotonic():
                return heapq.heappop(self._again)[2]
        while True:
            try:
                read = self._offered.popleft()
            except IndexError:
                self._rows = 0
                return None
            if read.answer is not None:
                self._rows = max(self._rows - read.answer.num_rows, 0)
            on_time = time.monotonic() - read.offered_at <= max(self.plan.budget_s, _FLUSH_S)
            if on_time or read.on_outcome is not None:
                return read
            self._count(read, Outcome.DROPPED)

    def _flush(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._flushed_at < _FLUSH_S:
            return
        self._flushed_at = time.monotonic()
        try:
            self.notes.flush()
        except JourneymeshError as error:
            self.fault = error


def _kind(difference: Difference) -> tuple[str, str, str]:
    return difference.subject, difference.classification.value, difference.field


def _lasts(before: Difference | None, now: Difference) -> bool:
    """Whether the difference was there before, and the source has not changed meanwhile."""
    return before is not None and before.source_value == now.source_value
