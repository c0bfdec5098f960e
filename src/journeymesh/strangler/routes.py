"""Routes as recorded: which slice is in which phase, from where to where. Every change is in the history."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.field_copies import copy_fields
from journeymesh.following import Follower
from journeymesh.strangler.control import Control, bump, history, now_us, put_row, revision, routes
from journeymesh.strangler.slices import Phase, Selector, SideName, Slice, answering, is_fed

POLL_S: Final = 0.25
STALE_S: Final = 1.0


class RoutesUnreadable(StoreUnavailable):
    """Where a policy's answers come from is not known at this moment. Over HTTP: 503."""


@dataclass(frozen=True, slots=True)
class Route:
    """One slice as recorded.

    ``upstream`` is where the target is fed from: ``legacy``, or a store whose own upstream was retired.
    ``complete`` False: the target lacks something of the slice, or nobody knows that it does not;
    ``source_complete`` is the same of a source that is a store.
    """

    slice: Slice
    source: str
    target: str
    upstream: str
    phase: Phase
    complete: bool
    detail: str | None
    since_us: int
    source_complete: bool = True

    @property
    def is_fed(self) -> bool:
        """Whether the target is kept up from upstream."""
        return is_fed(self.phase)

    @property
    def feeds(self) -> tuple[tuple[str, str], ...]:
        """(upstream, target) of every store that has to be kept up for this slice.

        While one store replaces another and legacy lives, legacy feeds both.
        """
        fed = [(self.upstream, self.target)] if self.is_fed else []
        if self.source != self.upstream:
            fed.append((self.upstream, self.source))
        return tuple(fed)

    @property
    def answering(self) -> SideName:
        """The side that answers."""
        return answering(self.phase, self.complete)

    @property
    def answering_name(self) -> str:
        """The name of the side that answers: ``legacy``, or a store's."""
        if self.answering is SideName.TARGET:
            return self.target
        return self.source if self.source_complete else self.upstream

    def is_complete_in(self, store: str) -> bool:
        """Whether the store, the slice's target or its source, lacks nothing of it."""
        return self.complete if store == self.target else self.source_complete


@dataclass(frozen=True, slots=True)
class Routes:
    """All recorded routes, at one revision."""

    revision: int
    routes: tuple[Route, ...]

    def get(self, name: str) -> Route | None:
        """The slice's route, None if it is not recorded."""
        return next((route for route in self.routes if route.slice.name == name), None)


def read_routes(control: Control) -> Routes:
    """The routes as they are recorded now.

    Raises:
        StoreUnavailable: the control database cannot be read.
    """
    with control.reading() as connection:
        return routes_in(connection)


def routes_in(connection: sa.Connection) -> Routes:
    """The routes that this transaction sees."""
    rows = connection.execute(sa.select(routes).order_by(routes.c.slice)).all()
    return Routes(revision(connection), tuple(_route(row) for row in rows))


@dataclass(frozen=True, slots=True)
class RouteChange:
    """What the history says of a change: who made it and why, what came of it, and the slice's phases."""

    who: str
    why: str
    outcome: str
    before: Phase | None
    after: Phase | None
    detail: str | None = None


def record(connection: sa.Connection, route: Route, entry: RouteChange) -> int:
    """Put the route and its history entry into this transaction; returns the revision it makes."""
    same = ("source", "target", "upstream", "complete", "source_complete", "detail", "since_us")
    values = {name: getattr(route, name) for name in same} | {"phase": route.phase.value}
    values["selector"] = msgspec.json.encode(route.slice.selector, order="sorted").decode()
    put_row(connection, routes, {"slice": route.slice.name}, values)
    note(connection, route.slice.name, entry)
    return bump(connection)


def note(connection: sa.Connection, slice_name: str, entry: RouteChange) -> None:
    """Put an entry into the history."""
    connection.execute(
        sa.insert(history).values(
            at_us=now_us(), who=entry.who, why=entry.why, slice=slice_name, outcome=entry.outcome, detail=entry.detail,
            before=entry.before.value if entry.before else None, after=entry.after.value if entry.after else None,
        )
    )  # fmt: skip


def mark_completeness(
    writing: AbstractContextManager[sa.Connection],
    slice_names: Sequence[str],
    complete: bool,
    detail: str | None,
    *,
    store: str | None = None,
) -> None:
    """Record whether a store is complete for these slices: their target, or ``store`` where it is their source.

    ``writing`` is a transaction of the control database. The door follows within a second.
    """
    with writing as connection:
        for name in slice_names:
            row = connection.execute(sa.select(routes).where(routes.c.slice == name)).first()
            if row is None:
                continue
            column = routes.c.source_complete if store is not None and store == row.source else routes.c.complete
            was = bool(getattr(row, column.name))
            if was == complete and row.detail == detail:
                continue
            connection.execute(
                sa.update(routes).where(routes.c.slice == name).values({column.name: complete, "detail": detail})
            )
            if was != complete:
                phase = Phase(row.phase)
                outcome = "complete" if complete else "incomplete"
                note(connection, name, RouteChange("feeder", "", outcome, phase, phase, detail))
            bump(connection)


@dataclass(slots=True)
class RoutesFollower(Follower):
    """Keeps the routes at hand, no older than a second. Started by ``with``; one for each process is enough.

    ``corrected`` is what this process knows better than what is recorded.
    """

    control: Control
    every_s: float = POLL_S
    stale_s: float = STALE_S
    corrected: Callable[[Routes], Routes] = lambda routes: routes
    clock_s: Callable[[], float] = time.monotonic
    _recorded: Routes | None = None
    _held: Routes | None = None
    _read_at: float = 0.0

    def now(self) -> Routes:
        """The routes, as they were recorded at most ``stale_s`` ago.

        Raises:
            RoutesUnreadable: they could not be read for longer than that.
        """
        held, age_s = self._held, self.clock_s() - self._read_at
        if held is None or age_s > self.stale_s:
            raise RoutesUnreadable(
                f"the routes could not be read for {age_s:.1f} s" if held else "the routes were never read",
                todo="check the control database; nothing is answered from a side that may be wrong",
            )
        return held

    def tick(self) -> None:
        """Read the routes now, where they can be read."""
        began = self.clock_s()
        try:
            with self.control.reading() as connection:
                if self._recorded is None or revision(connection) != self._recorded.revision:
                    self._recorded = routes_in(connection)
        except StoreUnavailable:
            return  # ``now`` refuses when it lasts
        found = self.corrected(self._recorded)
        if found != self._held:  # routes that are the same object are known not to have changed
            self._held = found
        self._read_at = began


def _route(row: Any) -> Route:
    named = Slice(row.slice, msgspec.json.decode(row.selector, type=Selector))
    return copy_fields(Route, row, slice=named, phase=Phase(row.phase))
