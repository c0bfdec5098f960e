"""Whether a target still is the store that was fed: a file made anew, a copy from a backup and another database under
the same name look the same from outside.

The run in the target that carries the position of the feed has an identity, drawn when the feed began, and counts the
feed's writes. The control database has both as they were after a write. A target without that identity is another
store, one with fewer writes is an older copy.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.safe_text import place_of
from journeymesh.stores.port import JourneyStore
from journeymesh.strangler.control import Control
from journeymesh.strangler.control_tables import feeds
from journeymesh.strangler.phases import Phase
from journeymesh.strangler.routes import Route, mark_completeness, read_routes

IDENTITY: Final = "store_identity"
WRITES: Final = "feed_writes"
CHECK_S: Final = 0.5
_BITS: Final = 62
_NOT_THE_STORE: Final = "not the store that was fed: "


class StoreExchanged(UsageError):
    """The plan has another store under a name that is known; ``fault`` says how that shows."""

    def __init__(self, message: str, *, todo: str, fault: str) -> None:
        super().__init__(message, todo=todo)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Mark:
    """What a feed left in its target: an identity, and how many writes it counts; and where the target is."""

    identity: int
    writes: int
    place: str

    @classmethod
    def of(cls, counts: Mapping[str, int], url: str) -> Mark | None:
        """That in a run's counts of the store at this URL; None: there is none."""
        identity = counts.get(IDENTITY)
        return None if identity is None else cls(identity, counts.get(WRITES, 0), place_of(url))


def random_identity() -> int:
    """An identity that no other store has."""
    return secrets.randbits(_BITS) + 1


def sync_id(upstream: str) -> str:
    """The id of the run that carries the position of an upstream's changes."""
    return f"sync:{upstream}"


def held_mark(store: JourneyStore, upstream: str) -> Mark | None:
    """The mark that stands in the store; None: that upstream's feed left none."""
    name = sync_id(upstream)
    return next((Mark.of(run.counts, store.url) for run in store.runs() if run.run_id == name), None)


def recorded_mark(control: Control, upstream: str, target: str) -> Mark | None:
    """The mark as the control database has it; None: it was never recorded."""
    this = sa.and_(feeds.c.upstream == upstream, feeds.c.target == target)
    asked = sa.select(feeds.c.store_identity, feeds.c.store_writes, feeds.c.store_place).where(this)
    with control.reading() as connection:
        row = connection.execute(asked).first()
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
            todo="write its former address; or give the new one a name of its own and run: journeymesh strangler swap",
            fault=fault,
        )
    return fault


def check_targets(control: Control, store: Callable[[str], JourneyStore], *, may_be_exchanged: bool = True) -> None:
    """Look at every store that a route names, and record slices as incomplete whose store is not the one that was fed.

    A store that cannot be read is left out: what it is asked fails by itself.

    Raises:
        StoreUnavailable: the control database cannot be read.
        StoreExchanged: the plan has another store under a name that is known, and that may not be.
    """
    faults: dict[tuple[str, str], str | None] = {}
    for route in read_routes(control).routes:
        if route.phase is Phase.LEGACY and route.source == route.upstream:
            continue
        for upstream, name in _pairs(route):
            if (upstream, name) not in faults:
                try:
                    faults[upstream, name] = target_fault(control, store(name), upstream, name)
                except StoreExchanged as exchanged:
                    if not may_be_exchanged:
                        raise
                    faults[upstream, name] = exchanged.fault
                except JourneymeshError:
                    continue
            _record(control, route, name, faults[upstream, name])


def _pairs(route: Route) -> Iterable[tuple[str, str]]:
    return route.feeds or ((route.upstream, route.target),)


def _record(control: Control, route: Route, name: str, fault: str | None) -> None:
    is_complete = route.complete if name == route.target else route.source_complete
    if fault is not None and is_complete:
        mark_completeness(control.writing(), [route.slice.name], False, fault, store=name)
    elif fault is None and not is_complete and has_lost_its_store(route):  # the right one was put back
        mark_completeness(control.writing(), [route.slice.name], True, None, store=name)


def has_lost_its_store(route: Route) -> bool:
    """Whether the slice's store is recorded to be another one, and nothing is left to fill it from."""
    return route.phase is Phase.RETIRED and not route.complete and (route.detail or "").startswith(_NOT_THE_STORE)


@dataclass(slots=True)
class TargetWatch:
    """Checks every target when it starts and twice a second from then on. Started by ``with``."""

    control: Control
    store: Callable[[str], JourneyStore]
    every_s: float = CHECK_S
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> TargetWatch:
        self._check()
        self._thread = threading.Thread(target=self._follow, name="targets", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _follow(self) -> None:
        while not self._stop.wait(self.every_s):
            self._check()

    def _check(self) -> None:
        try:
            check_targets(self.control, self.store)
        except JourneymeshError:
            return  # the routes' follower refuses when that lasts
