"""Whether a target still is the store that was fed: a file made anew, a copy from a backup and another database under
the same name look the same from outside.

The run in whose name a feed writes has an identity, drawn when the feed began, and counts the feed's writes, each in
the write's own transaction. The control database has both as they were after a write. A target without that identity is
another store, one with fewer writes is an older copy.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

import sqlalchemy as sa

from journeymesh.errors import JourneymeshError, StoreUnavailable, UsageError
from journeymesh.following import Follower
from journeymesh.safe_text import place_of
from journeymesh.stores.port import JourneyStore
from journeymesh.strangler.control import Control, feeds, of_feed
from journeymesh.strangler.foreign_runs import OtherRuns, look_for_others
from journeymesh.strangler.routes import Route, Routes, mark_completeness, read_routes
from journeymesh.strangler.slices import Phase

IDENTITY: Final = "store_identity"
WRITES: Final = "feed_writes"
CHECK_S: Final = 0.5
_BITS: Final = 62
_NOT_THE_STORE: Final = "not the store that was fed: "

Faults = dict[tuple[str, str], str | None]
"""By (upstream, target): why the target is not the store that was fed; None: it is."""


class StoreExchanged(UsageError):
    """The plan has another store under a name that is known; ``fault`` says how that shows."""

    def __init__(self, message: str, *, todo: str, fault: str) -> None:
        super().__init__(message, todo=todo)
        self.fault = fault


class StoreLost(StoreUnavailable):
    """A store that held retired slices is another one by now."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a feed left in its target: an identity, and how many writes it counts; and where the target is."""

    identity: int
    writes: int
    place: str

    @classmethod
    def of(cls, counts: Mapping[str, int], url: str) -> Mark | None:
        """The mark in ``counts``, which are a run's in the store at ``url``; None where they have no identity. Counts
        without a number of writes mean 0 writes."""
        identity = counts.get(IDENTITY)
        return None if identity is None else cls(identity, counts.get(WRITES, 0), place_of(url))

    @property
    def counts(self) -> dict[str, int]:
        """It as a run's counts."""
        return {IDENTITY: self.identity, WRITES: self.writes}


def random_identity() -> int:
    """An identity that no other store has."""
    return secrets.randbits(_BITS) + 1


def sync_id(upstream: str) -> str:
    """The id of the run that carries the position of an upstream's changes."""
    return f"sync:{upstream}"


def feed_id(upstream: str) -> str:
    """The id of the run in whose name an upstream's feed writes."""
    return f"feed:{upstream}"


def held_mark(store: JourneyStore, upstream: str) -> Mark | None:
    """The mark that stands in the store; None: that upstream's feed left none. Former versions left it with the
    position."""
    for run_id in (feed_id(upstream), sync_id(upstream)):
        run = store.run(run_id)
        mark = None if run is None else Mark.of(run.counts, store.url)
        if mark is not None:
            return mark
    return None


def recorded_mark(control: Control, upstream: str, target: str) -> Mark | None:
    """The mark as the control database has it; None: it was never recorded."""
    columns = sa.select(feeds.c.store_identity, feeds.c.store_writes, feeds.c.store_place)
    with control.reading() as connection:
        row = connection.execute(columns.where(of_feed(feeds, upstream, target))).first()
    if row is None or row.store_identity is None:
        return None
    return Mark(int(row.store_identity), int(row.store_writes), str(row.store_place))


def fault_of(recorded: Mark, held: Mark | None) -> str | None:
    """Why a target with this mark is not the store that was fed; None: it is."""
    if held is None:
        return f"{_NOT_THE_STORE}it has no record of the feed"
    if held.identity != recorded.identity:
        return f"{_NOT_THE_STORE}another feed's record stands in it"
    if held.writes < recorded.writes:
        return f"{_NOT_THE_STORE}it is an older copy, {recorded.writes - held.writes} of the feed's writes are missing"
    return None


def target_fault(control: Control, store: JourneyStore, upstream: str, target: str) -> str | None:
    """Why the store is not the one that was fed; None: it is. What is recorded is read first, for a feed that writes
    meanwhile only adds to what the store has.

    Raises:
        StoreUnavailable: one of the two cannot be read.
        StoreExchanged: it is at another place than the one that was fed: the plan has another store under the name.
    """
    recorded = recorded_mark(control, upstream, target)
    if recorded is None:
        return None
    fault = fault_of(recorded, held_mark(store, upstream))
    if fault is not None and recorded.place != place_of(store.url):
        raise StoreExchanged(
            f"store {target!r} was {recorded.place}; {place_of(store.url)} is {fault}",
            todo="restore its former address; or give the new one another name and run: journeymesh strangler swap",
            fault=fault,
        )
    return fault


def check_targets(
    control: Control, store: Callable[[str], JourneyStore], *, may_be_exchanged: bool = True
) -> dict[str, str]:
    """Look at every store that a route names, and record slices as incomplete whose store is not the one that was fed.
    Returns the names of those that cannot be read, and why: what they are asked fails by itself.

    Raises:
        StoreUnavailable: the control database cannot be read or written.
        StoreExchanged: the plan has another store under a name that is known, and that may not be.
    """
    unreadable: dict[str, str] = {}
    faults = target_faults(control, store, may_be_exchanged=may_be_exchanged, unreadable=unreadable)
    record_faults(control, faults)
    look_for_others(control, store)
    return unreadable


def target_faults(
    control: Control,
    store: Callable[[str], JourneyStore],
    *,
    may_be_exchanged: bool = True,
    unreadable: dict[str, str] | None = None,
) -> Faults:
    """Why each store that a route names is not the one that was fed; None: it is. Nothing is recorded. What cannot be
    read is left out, and put into ``unreadable`` by name.

    Raises:
        StoreUnavailable: the control database cannot be read.
        StoreExchanged: the plan has another store under a name that is known, and that may not be.
    """
    faults: Faults = {}
    for route in read_routes(control).routes:
        for upstream, name in _pairs(route):
            if (upstream, name) not in faults:
                try:
                    faults[upstream, name] = target_fault(control, store(name), upstream, name)
                except StoreExchanged as exchanged:
                    if not may_be_exchanged:
                        raise
                    faults[upstream, name] = exchanged.fault
                except JourneymeshError as error:
                    if unreadable is not None:
                        unreadable[name] = str(error)
    return faults


def record_faults(control: Control, faults: Faults) -> None:
    """Record slices as incomplete whose store has a fault, and retired ones whose store was put back as complete.

    Raises:
        StoreUnavailable: the control database cannot be read or written.
    """
    for route, name, fault in _news(read_routes(control), faults):
        mark_completeness(control.writing(), [route.slice.name], fault is None, fault, store=name)


def _news(routes: Routes, faults: Faults) -> list[tuple[Route, str, str | None]]:
    """(route, store, fault) of everything that is not recorded yet."""
    found = []
    for route in routes.routes:
        for pair in _pairs(route):
            is_complete = route.is_complete_in(pair[1])
            fault = faults.get(pair)
            was_put_back = pair in faults and fault is None and not is_complete and has_lost_its_store(route)
            if (fault is not None and is_complete) or was_put_back:
                found.append((route, pair[1], fault))
    return found


def without_faulty(routes: Routes, faults: Faults) -> Routes:
    """The routes, with slices as incomplete whose store has a fault, whether that could be recorded or not."""
    return replace(routes, routes=tuple(_without_faulty(route, faults) for route in routes.routes))


def _without_faulty(route: Route, faults: Faults) -> Route:
    for pair in _pairs(route):
        fault = faults.get(pair)
        if fault is not None and pair[1] == route.target and route.complete:
            route = replace(route, complete=False, detail=fault)
        elif fault is not None and pair[1] == route.source and route.source_complete:
            route = replace(route, source_complete=False, detail=fault)
    return route


def _pairs(route: Route) -> Iterable[tuple[str, str]]:
    if route.phase is Phase.LEGACY and route.source == route.upstream:
        return ()  # nothing is kept elsewhere
    return route.feeds or ((route.upstream, route.target),)


def check_refillable(routes: Routes, target: str, fault: str) -> None:
    """Make sure that the target, which is not the store that was fed, held nothing that is nowhere else: filled anew it
    would be taken for the store that did.

    Raises:
        StoreLost: it held retired slices.
    """
    held = [route.slice.name for route in routes.routes if route.phase is Phase.RETIRED and route.target == target]
    if held:
        raise StoreLost(
            f"store {target!r} is {fault}; its data of retired slices ({', '.join(held)}) exists nowhere else",
            todo="restore the original store; or move the slices that are not retired to a store of another name",
        )


def has_lost_its_store(route: Route) -> bool:
    """Whether the slice's store is recorded to be another one, and nothing is left to fill it from."""
    return route.phase is Phase.RETIRED and not route.complete and (route.detail or "").startswith(_NOT_THE_STORE)


@dataclass(slots=True)
class TargetWatch(Follower):
    """Checks every target when it starts and twice a second from then on.

    What it finds is recorded by a ``TargetRecorder`` where the control database can be written, and kept here in any
    case.
    """

    control: Control
    store: Callable[[str], JourneyStore]
    every_s: float = CHECK_S
    _faults: Faults = field(default_factory=dict)
    _others: dict[str, OtherRuns] = field(default_factory=dict)

    def tick(self) -> None:
        """Look at every target now. Of what cannot be read nothing new is known."""
        with suppress(JourneymeshError):  # the routes' follower refuses when that lasts
            self._faults = self._faults | target_faults(self.control, self.store)

    def record(self) -> None:
        """Record what was found, where the control database can be written; it is looked at anew before, for the feeder
        may have mended it. Runs of others are looked for here: they take nothing from what the door may answer."""
        with suppress(JourneymeshError):
            if _news(read_routes(self.control), self._faults):
                check_targets(self.control, self.store)
            else:
                look_for_others(self.control, self.store, self._others)

    def corrected(self, routes: Routes) -> Routes:
        """The routes, without those stores answering that were found not to be the ones that were fed."""
        return without_faulty(routes, self._faults)


@dataclass(slots=True)
class TargetRecorder(Follower):
    """Records what a watch finds. A control database that somebody has locked must not keep the watch from looking."""

    watch: TargetWatch
    every_s: float = CHECK_S

    def tick(self) -> None:
        """Record what was found until now."""
        self.watch.record()
