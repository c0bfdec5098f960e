"""The feeder: keeps every target that a route names filled and up to date. One at a time for each target.

It follows the routes, has one thread for each (upstream, target), and interleaves: what changed first, then a chunk of
a backfill. A thread that meets a fault records it, waits and goes on from what stands in the target.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from journeymesh.engines.port import Retention
from journeymesh.errors import JourneymeshError, StoreUnavailable
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import PositionLost, VehicleSource
from journeymesh.stores.port import Store
from journeymesh.strangler.backfill import COMPLETE, Backfill, ChunkDiffers, backfill_of, begin_again
from journeymesh.strangler.control import Control
from journeymesh.strangler.desired_state import Upstream
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.feeds import FeedLease, FeedTaken
from journeymesh.strangler.foreign_runs import OtherRuns, begin_watch, look_beside
from journeymesh.strangler.legacy_upstream import LegacyUpstream
from journeymesh.strangler.live_sync import LiveSync
from journeymesh.strangler.plan import LEGACY, Plan
from journeymesh.strangler.reconcile import note_chunk, note_filled
from journeymesh.strangler.refusal_watch import RefusalWatch, refusal_limits
from journeymesh.strangler.routes import Route, Routes, mark_completeness, read_routes
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.strangler.store_upstream import StoreUpstream, kept_by_both
from journeymesh.strangler.targets import CHECK_S, check_refillable, sync_id, target_fault

FOLLOW_S: Final = 0.25
WAIT_S: Final = 0.25
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_RETRY_FAILED_S: Final = 300.0

Pair = tuple[str, str]
"""(upstream, target)."""


@dataclass(frozen=True, slots=True)
class FeedRoutes:
    """What a pair is fed for, by the routes of a revision.

    ``foreign`` are the slices in the same target that come, or came before legacy was retired, from elsewhere.
    """

    revision: int
    routes: tuple[Route, ...]
    foreign: tuple[Selector, ...]

    @classmethod
    def of(cls, recorded: Routes, pair: Pair) -> FeedRoutes:
        """That of a pair."""
        upstream, target = pair
        foreign = [
            route.slice.selector
            for route in recorded.routes
            if (route.phase is Phase.RETIRED and route.target == target and pair not in route.feeds)
            or any(feed_routes == target and other != upstream for other, feed_routes in route.feeds)
        ]
        return cls(recorded.revision, tuple(each for each in recorded.routes if pair in each.feeds), tuple(foreign))


@dataclass(slots=True, kw_only=True)
class Feeder:
    """Feeds the targets of a plan's routes.

    - ``open_store``: the store of a name, ready to be written
    - ``open_source``: the legacy source, when it is needed; where it cannot be reached the feed tries again
    - ``retention_of``: how long the store of a name keeps fixes
    - ``on_fault``: told the target and the fault, once, when a feed stops; it tries again by itself
    """

    plan: Plan
    control: Control
    open_store: Callable[[str], Store]
    open_source: Callable[[], VehicleSource]
    rules: JourneyRules
    retention_of: Callable[[str], Retention] = lambda _: Retention()
    on_fault: Callable[[str, JourneymeshError], None] = lambda *_: None
    _threads: dict[Pair, _FeedThread] = field(default_factory=dict)

    def run(self, until: threading.Event | None = None, *, once: bool = False) -> None:
        """Feed until the event is set; or ``once``, until every backfill is complete and nothing more is waiting.

        Raises:
            JourneymeshError: with ``once`` only, the first fault that a feed met.
            Exception: what no feed expected; whoever runs the feeder starts it again.
        """
        until = until or threading.Event()
        try:
            while not until.is_set():
                self._follow(once)
                for thread in self._threads.values():
                    if thread.bug is not None:
                        raise thread.bug
                if once and all(thread.is_done for thread in self._threads.values()):
                    break
                until.wait(0.02 if once else FOLLOW_S)
        finally:
            for thread in self._threads.values():
                thread.stop.set()
            for thread in self._threads.values():
                thread.join()
        for thread in self._threads.values():
            if once and thread.fault is not None:
                raise thread.fault

    def _follow(self, once: bool) -> None:
        """Have a thread for each pair that the routes ask for, and no other."""
        try:
            recorded = read_routes(self.control)
        except StoreUnavailable:
            return  # the threads go on with the routes that they have
        wanted = dict.fromkeys(pair for route in recorded.routes for pair in route.feeds)
        for pair, held in list(self._threads.items()):
            if pair not in wanted:
                held.stop.set()
                held.join()
                del self._threads[pair]
        for pair in wanted:
            feed_routes = FeedRoutes.of(recorded, pair)
            thread = self._threads.get(pair)
            if thread is None:
                thread = self._threads[pair] = _FeedThread(self, pair, feed_routes, once)
                thread.start()
            thread.feed_routes = feed_routes


class _FeedThread(threading.Thread):
    """Feeds one target from one upstream."""

    def __init__(self, feeder: Feeder, pair: Pair, feed_routes: FeedRoutes, once: bool) -> None:
        super().__init__(name=f"feed {pair[1]}", daemon=True)
        self.feeder, self.pair, self.feed_routes, self.once = feeder, pair, feed_routes, once
        self.stop = threading.Event()
        self.is_done = False
        self.fault: JourneymeshError | None = None
        self.bug: Exception | None = None
        self.told: type[JourneymeshError] | None = None
        self.lease = FeedLease(feeder.control, *pair)

    def run(self) -> None:
        try:
            self._feed_and_try_again()
        except Exception as error:  # a thread that ended silently would look like a feed that is stuck
            self.bug = error

    def _feed_and_try_again(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self.stop.is_set():
            began = time.monotonic()
            try:
                self._feed()
                break
            except JourneymeshError as error:
                self.fault = error
                if not isinstance(error, FeedTaken):
                    self.quietly(lambda fault=str(error): self.lease.fail(fault))  # type: ignore[misc]
                if self.once:
                    break
                self.tell(error)
            if time.monotonic() - began > LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.quietly(self.lease.release)
        self.is_done = True

    def tell(self, fault: JourneymeshError) -> None:
        """Tell of a fault when it begins, not each time that it is met again."""
        if self.told is not type(fault):
            self.told = type(fault)
            self.feeder.on_fault(self.pair[1], fault)

    def _pause(self, seconds: float) -> None:
        """Wait, and follow the routes meanwhile: nothing is under way."""
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            revision = self.feed_routes.revision
            if revision != self.lease.revision:
                self.quietly(lambda revision=revision: self.lease.act_on(revision))  # type: ignore[misc]
            if self.stop.wait(min(left_s, FOLLOW_S)):
                return

    def _feed(self) -> None:
        """Feed until told to stop; the stores are this thread's own and closed at the end."""
        feeder, (upstream, target) = self.feeder, self.pair
        feed_routes = self.feed_routes
        self.lease.revision = feed_routes.revision
        self.lease.take()
        with ExitStack() as opened:
            store = feeder.open_store(target)
            opened.callback(store.close)
            retention = feeder.retention_of(target)
            source: Upstream = LegacyUpstream(feeder.open_source(), feeder.rules)
            if upstream != LEGACY:
                other = feeder.open_store(upstream)
                opened.callback(other.close)
                source = StoreUpstream(upstream, other)
                retention = kept_by_both(retention, feeder.retention_of(upstream))
            session = FeedSession(
                control=feeder.control,
                feed=feeder.plan.feed,
                source=source,
                store=store,
                rules=feeder.rules,
                retention=retention,
                upstream=upstream,
                target=target,
                lease=self.lease,
                routes=feed_routes.routes,
                foreign=feed_routes.foreign,
            )
            _Interleaved(session, self).go()

    @staticmethod
    def quietly(work: Callable[[], None]) -> None:
        """Record it if the control database can be reached: what is recorded there is no reason to stop."""
        try:
            work()
        except JourneymeshError:
            return


@dataclass(slots=True)
class _Interleaved:
    """What changed first, then a chunk of a backfill."""

    session: FeedSession
    thread: _FeedThread
    sync: LiveSync = field(init=False)
    watch: RefusalWatch = field(init=False)
    backfills: dict[str, Backfill] = field(default_factory=dict)
    failed_at: dict[str, float] = field(default_factory=dict)
    others: OtherRuns = field(default_factory=OtherRuns)
    _checked_at: float = 0.0

    def __post_init__(self) -> None:
        self.watch = RefusalWatch(self.session, refusal_limits(self.thread.feeder.plan.gates))
        self.sync = LiveSync(self.session, self.watch)

    def go(self) -> None:
        stop = self.thread.stop
        try:
            if not self._is_replaced(self.session.take_over()):
                self._plan()
            while not stop.is_set():
                self._follow()
                self._once()
                self.thread.told = None
                if self.thread.once and self.sync.drained and not self.backfills and not self.failed_at:
                    return
        finally:
            self.sync.close()
            self.thread.quietly(self.session.record_mark)
            self.thread.quietly(lambda: self.watch.note(now=True))

    def _is_replaced(self, fault: str | None) -> bool:
        """Whether the target, with this fault, is not the store that was fed; it is filled anew then.

        Raises:
            StoreLost: it held retired slices, which nothing can fill again.
        """
        self._checked_at = time.monotonic()
        if fault is None:
            return False
        session = self.session
        names = [route.slice.name for route in session.routes]
        mark_completeness(session.recording(), names, False, fault, store=session.target)
        check_refillable(read_routes(session.control), session.target, fault)
        session.target_state.forget()
        self._fill_again(fault)
        return True

    def _look_again(self) -> bool:
        """Whether the target has become another store since it was looked at last."""
        session = self.session
        fault = target_fault(session.control, session.store, session.upstream, session.target)
        look_beside(session, self.others)
        if self._is_replaced(None if fault is None else session.take_over()):
            return True
        # Somebody may have recorded a slice as incomplete so soon after it was complete that its route looks unchanged.
        under_way = self.backfills.keys() | self.failed_at.keys()
        left = [each for each in self.thread.feed_routes.routes if each.slice.name not in under_way]
        if not all(each.is_complete_in(session.target) for each in left):
            self._plan()
        return False

    def _follow(self) -> None:
        """Take over the routes that are recorded now; nothing of the former ones is under way here."""
        feed_routes, lease = self.thread.feed_routes, self.thread.lease
        if (self.session.routes, self.session.foreign) != (feed_routes.routes, feed_routes.foreign):
            self.session.routes, self.session.foreign = feed_routes.routes, feed_routes.foreign
            self.session.reload()
            self._plan()
        if lease.revision != feed_routes.revision:
            lease.act_on(feed_routes.revision)

    def _once(self) -> None:
        if time.monotonic() - self._checked_at > CHECK_S and self._look_again():
            return
        try:
            wait_s = 0.0 if any(not each.waits for each in self.backfills.values()) else WAIT_S
            events = self.sync.step(wait_s)
        except PositionLost as lost:
            self._fill_again(f"changes were lost: {lost}")
            return
        if events < self.session.feed.batch_events:
            self._chunk()

    def _chunk(self) -> None:
        """A chunk of the first backfill that has something to do."""
        for name, backfill in list(self.backfills.items()):
            before = self.session.source.documents_read
            try:
                is_done = backfill.step()
                self.watch.read(name, self.session.source.documents_read - before)
            except ChunkDiffers as error:
                backfill.fail(str(error))
                note_chunk(self.session.control, name, error)
                del self.backfills[name]
                self.failed_at[name] = time.monotonic()
                if self.thread.once:
                    raise
                self.thread.feeder.on_fault(self.session.target, error)
                return
            if is_done:
                # A copy from before must be known to be older once this is recorded as complete.
                self.session.record_mark()
                # Once it answers there is no way it could not be complete: this first, then the record.
                mark_completeness(self.session.recording(), [name], True, None, store=self.session.target)
                backfill.finish()
                note_filled(self.session.control, name)
                self.watch.note(now=True)
                del self.backfills[name]
            if not backfill.waits:
                return
        for name, at in list(self.failed_at.items()):
            if time.monotonic() - at > _RETRY_FAILED_S:
                del self.failed_at[name]
                self._plan()

    def _plan(self) -> None:
        """Begin, take up or drop backfills as the routes and the records say."""
        self.watch.open()
        names = {route.slice.name for route in self.session.routes}
        self.backfills = {name: held for name, held in self.backfills.items() if name in names}
        control, target = self.session.control, self.session.target
        begins = []
        known = False
        # Read anew: what this thread recorded of completeness may be later than the routes it was given.
        for route in read_routes(control).routes:
            name = route.slice.name
            if (self.session.upstream, target) not in route.feeds or name not in names:
                continue
            is_complete = route.is_complete_in(target)
            state = backfill_of(control, name, target)
            if name in self.backfills or name in self.failed_at:
                if state is not None:
                    known = True
                    continue
                self.backfills.pop(name, None)
                self.failed_at.pop(name, None)
            if (state is None and is_complete) or (state is not None and state.state == COMPLETE and is_complete):
                known = True
                continue
            if state is None or state.state == COMPLETE:
                begins.append(route)
            else:
                known = True
                self.backfills[name] = Backfill(self.session, route.slice)
        if begins and (not known or self.session.run(sync_id(self.session.upstream)) is None):
            self.sync.close()
            self.sync.begin()
        for route in begins:
            self._begin_again(route.slice.name, route.detail)
            self.backfills[route.slice.name] = Backfill(self.session, route.slice)
        if not self.sync.is_open:
            self._open()
        self.watch.rescope()
        look_beside(self.session, self.others)

    def _begin_again(self, name: str, why: str | None) -> None:
        begin_watch(self.session, name)
        begin_again(self.session.recording(), name, self.session.target, why)
        self.watch.begin_again(name)

    def _open(self) -> None:
        try:
            self.sync.open()
        except PositionLost as lost:
            self._fill_again(f"changes were lost: {lost}")

    def _fill_again(self, why: str) -> None:
        """Something may be missing: no slice is complete until each of its vehicles was compared again."""
        names = [route.slice.name for route in self.session.routes]
        recording, target = self.session.recording, self.session.target
        mark_completeness(recording(), names, False, why, store=target)
        self.watch.recount()
        for name in names:
            self._begin_again(name, why)
        self.session.document_index().forget()
        self.sync.close()
        self.sync.begin()
        self.sync.open()
        self.backfills = {route.slice.name: Backfill(self.session, route.slice) for route in self.session.routes}
        self.failed_at.clear()
