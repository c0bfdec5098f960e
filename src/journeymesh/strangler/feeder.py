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
from journeymesh.strangler.feeding import Feeding
from journeymesh.strangler.feeds import FeedLease, FeedTaken
from journeymesh.strangler.foreign_runs import begin_watch, look_beside
from journeymesh.strangler.legacy_upstream import LegacyUpstream
from journeymesh.strangler.live_sync import LiveSync
from journeymesh.strangler.phases import Phase
from journeymesh.strangler.plan import LEGACY, Plan
from journeymesh.strangler.reconciled import note_chunk, note_filled
from journeymesh.strangler.refusal_watch import RefusalWatch, refusal_limits
from journeymesh.strangler.routes import Route, Routes, mark_completeness, read_routes
from journeymesh.strangler.slices import Selector
from journeymesh.strangler.store_upstream import StoreUpstream, kept_by_both
from journeymesh.strangler.targets import CHECK_S, check_refillable, sync_id, target_fault
from journeymesh.strangler.upstream import Upstream

FOLLOW_S: Final = 0.25
WAIT_S: Final = 0.25
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
_RETRY_FAILED_S: Final = 300.0

Pair = tuple[str, str]
"""(upstream, target)."""


@dataclass(frozen=True, slots=True)
class Fed:
    """What a pair is fed for, by the routes of a revision.

    ``foreign`` are the slices in the same target that come, or came before legacy was retired, from elsewhere.
    """

    revision: int
    routes: tuple[Route, ...]
    foreign: tuple[Selector, ...]

    @classmethod
    def of(cls, recorded: Routes, pair: Pair) -> Fed:
        """That of a pair."""
        upstream, target = pair
        foreign = [
            route.slice.selector
            for route in recorded.routes
            if (route.phase is Phase.RETIRED and route.target == target and pair not in route.feeds)
            or any(fed == target and other != upstream for other, fed in route.feeds)
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
            fed = Fed.of(recorded, pair)
            thread = self._threads.get(pair)
            if thread is None:
                thread = self._threads[pair] = _FeedThread(self, pair, fed, once)
                thread.start()
            thread.fed = fed


class _FeedThread(threading.Thread):
    """Feeds one target from one upstream."""

    def __init__(self, feeder: Feeder, pair: Pair, fed: Fed, once: bool) -> None:
        super().__init__(name=f"feed {pair[1]}", daemon=True)
        self.feeder, self.pair, self.fed, self.once = feeder, pair, fed, once
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
            revision = self.fed.revision
            if revision != self.lease.revision:
                self.quietly(lambda revision=revision: self.lease.act_on(revision))  # type: ignore[misc]
            if self.stop.wait(min(left_s, FOLLOW_S)):
                return

    def _feed(self) -> None:
        """Feed until told to stop; the stores are this thread's own and closed at the end."""
        feeder, (upstream, target) = self.feeder, self.pair
        fed = self.fed
        self.lease.revision = fed.revision
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
            feeding = Feeding(
                control=feeder.control,
                feed=feeder.plan.feed,
                source=source,
                store=store,
                rules=feeder.rules,
                retention=retention,
                upstream=upstream,
                target=target,
                lease=self.lease,
                routes=fed.routes,
                foreign=fed.foreign,
            )
            _Interleaved(feeding, self).go()

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

    feeding: Feeding
    thread: _FeedThread
    sync: LiveSync = field(init=False)
    watch: RefusalWatch = field(init=False)
    backfills: dict[str, Backfill] = field(default_factory=dict)
    failed_at: dict[str, float] = field(default_factory=dict)
    _checked_at: float = 0.0

    def __post_init__(self) -> None:
        self.watch = RefusalWatch(self.feeding, refusal_limits(self.thread.feeder.plan.gates))
        self.sync = LiveSync(self.feeding, self.watch)

    def go(self) -> None:
        stop = self.thread.stop
        try:
            if not self._is_replaced(self.feeding.take_over()):
                self._plan()
            while not stop.is_set():
                self._follow()
                self._once()
                self.thread.told = None
                if self.thread.once and self.sync.drained and not self.backfills and not self.failed_at:
                    return
        finally:
            self.sync.close()
            self.thread.quietly(self.feeding.record_mark)
            self.thread.quietly(lambda: self.watch.note(now=True))

    def _is_replaced(self, fault: str | None) -> bool:
        """Whether the target, with this fault, is not the store that was fed; it is filled anew then.

        Raises:
            StoreLost: it held retired slices, which nothing can fill again.
        """
        self._checked_at = time.monotonic()
        if fault is None:
            return False
        feeding = self.feeding
        names = [route.slice.name for route in feeding.routes]
        mark_completeness(feeding.recording(), names, False, fault, store=feeding.target)
        check_refillable(read_routes(feeding.control), feeding.target, fault)
        feeding.holdings.forget()
        self._fill_again(fault)
        return True

    def _look_again(self) -> bool:
        """Whether the target has become another store since it was looked at last."""
        feeding = self.feeding
        fault = target_fault(feeding.control, feeding.store, feeding.upstream, feeding.target)
        look_beside(feeding)
        return self._is_replaced(None if fault is None else feeding.take_over())

    def _follow(self) -> None:
        """Take over the routes that are recorded now; nothing of the former ones is under way here."""
        fed, lease = self.thread.fed, self.thread.lease
        if (self.feeding.routes, self.feeding.foreign) != (fed.routes, fed.foreign):
            self.feeding.routes, self.feeding.foreign = fed.routes, fed.foreign
            self.feeding.reload()
            self._plan()
        if lease.revision != fed.revision:
            lease.act_on(fed.revision)

    def _once(self) -> None:
        if time.monotonic() - self._checked_at > CHECK_S and self._look_again():
            return
        try:
            wait_s = 0.0 if any(not each.waits for each in self.backfills.values()) else WAIT_S
            events = self.sync.step(wait_s)
        except PositionLost as lost:
            self._fill_again(f"changes were lost: {lost}")
            return
        if events < self.feeding.feed.batch_events:
            self._chunk()

    def _chunk(self) -> None:
        """A chunk of the first backfill that has something to do."""
        for name, backfill in list(self.backfills.items()):
            before = self.feeding.source.documents_read
            try:
                is_done = backfill.step()
                self.watch.read(name, self.feeding.source.documents_read - before)
            except ChunkDiffers as error:
                backfill.fail(str(error))
                note_chunk(self.feeding.control, name, error)
                del self.backfills[name]
                self.failed_at[name] = time.monotonic()
                if self.thread.once:
                    raise
                self.thread.feeder.on_fault(self.feeding.target, error)
                return
            if is_done:
                # A copy from before must be known to be older once this is recorded as complete.
                self.feeding.record_mark()
                # Once it answers there is no way it could not be complete: this first, then the record.
                mark_completeness(self.feeding.recording(), [name], True, None, store=self.feeding.target)
                backfill.finish()
                note_filled(self.feeding.control, name)
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
        names = {route.slice.name for route in self.feeding.routes}
        self.backfills = {name: held for name, held in self.backfills.items() if name in names}
        control, target = self.feeding.control, self.feeding.target
        begins = []
        known = False
        # Read anew: what this thread recorded of completeness may be later than the routes it was given.
        for route in read_routes(control).routes:
            name = route.slice.name
            if (self.feeding.upstream, target) not in route.feeds or name not in names:
                continue
            is_complete = route.complete if route.target == target else route.source_complete
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
                self.backfills[name] = Backfill(self.feeding, route.slice)
        if begins and (not known or self.feeding.run(sync_id(self.feeding.upstream)) is None):
            self.sync.close()
            self.sync.begin()
        for route in begins:
            self._begin_again(route.slice.name, route.detail)
            self.backfills[route.slice.name] = Backfill(self.feeding, route.slice)
        if not self.sync.is_open:
            self._open()
        self.watch.rescope()
        look_beside(self.feeding)

    def _begin_again(self, name: str, why: str | None) -> None:
        begin_watch(self.feeding, name)
        begin_again(self.feeding.recording(), name, self.feeding.target, why)
        self.watch.begin_again(name)

    def _open(self) -> None:
        try:
            self.sync.open()
        except PositionLost as lost:
            self._fill_again(f"changes were lost: {lost}")

    def _fill_again(self, why: str) -> None:
        """Something may be missing: no slice is complete until each of its vehicles was compared again."""
        names = [route.slice.name for route in self.feeding.routes]
        recording, target = self.feeding.recording, self.feeding.target
        mark_completeness(recording(), names, False, why, store=target)
        self.watch.recount()
        for name in names:
            self._begin_again(name, why)
        self.feeding.places().forget()
        self.sync.close()
        self.sync.begin()
        self.sync.open()
        self.backfills = {route.slice.name: Backfill(self.feeding, route.slice) for route in self.feeding.routes}
        self.failed_at.clear()
