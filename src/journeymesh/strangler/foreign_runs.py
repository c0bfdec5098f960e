"""Runs in a target that no feed wrote: somebody else writes to the store, past its upstream.

The runs of feeds have names of their own; every other run that came, or went on, since the target was filled is
recorded for each slice as open, and closes its gates until a whole comparison of the slice found nothing or put right
what it found. Runs that were there before are compared by the filling itself. Who writes without a run (SQL by hand,
an administrator's tool) is seen by comparing only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from journeymesh.errors import JourneymeshError
from journeymesh.stores.port import JourneyStore, Run
from journeymesh.strangler.control import Control, foreign_runs, now_us, of_target, put_row, routes
from journeymesh.strangler.routes import RouteChange, note, read_routes
from journeymesh.strangler.slices import Phase

if TYPE_CHECKING:
    from journeymesh.strangler.feed_session import FeedSession

Runs = Mapping[str, str]
"""Digests of runs' records by their ids: a run that goes on has another digest."""

_BEGUN: Final = ""
"""In place of a run's id: since when runs are watched for."""
WATCH: Final = "watch"


def runs_of_others(store: JourneyStore) -> dict[str, str]:
    """The runs in this store that no feed wrote."""
    return {run.run_id: _digest(run) for run in store.runs() if not run.is_of_feed}


def _digest(run: Run) -> str:
    content = repr((run.rules_version, run.started_at, run.finished_at, sorted(run.counts.items()), run.resume))
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class OtherRuns:
    """The runs of others in one store, looked at again and again: only what may have changed is read."""

    _found: dict[str, str] = field(default_factory=dict)
    _count: int | None = None
    _since: datetime | None = None
    _unfinished: Set[str] = frozenset()

    def look(self, store: JourneyStore) -> dict[str, str]:
        """As ``runs_of_others``. A run that has finished does not change, and the others are few; where their number
        is not what they make up, all are read."""
        count = store.run_count()
        latest = store.runs(self._since)
        ids = {run.run_id for run in latest}
        if self._since is not None and not (count == self._count and self._unfinished <= ids):
            latest = store.runs()
            self._found = {}
        self._found = self._found | {run.run_id: _digest(run) for run in latest if not run.is_of_feed}
        self._count = count
        self._unfinished = {run.run_id for run in latest if run.finished_at is None}
        instants = [at for run in latest for at in (run.started_at, run.finished_at) if at is not None]
        self._since = max(instants, default=self._since)
        return self._found


def begin_watch(session: FeedSession, slice_name: str) -> None:
    """Record the runs that are there when a feed begins to fill its target: filling compares what they wrote."""
    there = runs_of_others(session.store)
    with session.recording() as connection:
        connection.execute(sa.delete(foreign_runs).where(of_target(foreign_runs, slice_name, session.target)))
        _begin(connection, slice_name, session.target, there)


def look_beside(session: FeedSession, others: OtherRuns) -> None:
    """Look for runs of others in the target of a feed, and record those that are news."""
    there = others.look(session.store)
    for route in session.routes:
        note_others(session.control, route.slice.name, session.target, there, session.recording)


def look_for_others(
    control: Control, store: Callable[[str], JourneyStore], others: dict[str, OtherRuns] | None = None
) -> None:
    """Look for runs of others in every store that is being fed, and record those that are news. A store that cannot be
    read is left out. ``others`` has what was seen of each store before; None: nobody looked before.

    Raises:
        StoreUnavailable: the control database cannot be read or written.
    """
    others = {} if others is None else others
    held: dict[str, dict[str, str]] = {}
    for route in read_routes(control).routes:
        for _, name in route.feeds:  # a source that is kept up may be the target again
            if name not in held:
                with suppress(JourneymeshError):
                    held[name] = others.setdefault(name, OtherRuns()).look(store(name))
            if name in held:
                note_others(control, route.slice.name, name, held[name])


def note_others(
    control: Control,
    slice_name: str,
    target: str,
    there: Runs,
    writing: Callable[[], AbstractContextManager[sa.Connection]] | None = None,
) -> None:
    """Record those of the runs that are not known yet, or that went on. ``writing`` is a transaction of the control
    database; None: a plain one."""
    with control.reading() as connection:
        known = _known(connection, slice_name, target)
    if known and all(known.get(run_id) == digest for run_id, digest in there.items()):
        return
    with (writing or control.writing)() as connection:
        known = _known(connection, slice_name, target)
        if not known:  # this was never recorded: an earlier version filled it
            _begin(connection, slice_name, target, there)
            return
        for run_id in sorted(there.keys()):
            if known.get(run_id) != there[run_id]:
                _put(connection, slice_name, target, run_id, there[run_id])
                if run_id not in known:
                    _note(connection, slice_name, "foreign write", others_text(target, [run_id]))


def open_runs(control: Control, slice_name: str, target: str) -> tuple[str, ...] | None:
    """The runs of others that have not been compared yet, the earliest seen first; None: nobody has looked."""
    held = foreign_runs.c
    asked = (
        sa.select(held.run_id, held.compared_us)
        .where(of_target(foreign_runs, slice_name, target))
        .order_by(held.seen_us, held.run_id)
    )
    with control.reading() as connection:
        rows = connection.execute(asked).all()
    return tuple(str(run_id) for run_id, compared_us in rows if compared_us is None) if rows else None


def note_compared(control: Control, slice_name: str, target: str, there: Runs) -> None:
    """Record that a whole comparison, begun when these runs were there, left nothing that differs."""
    if not there:
        return
    with control.writing() as connection:
        held = foreign_runs.c
        rows = connection.execute(sa.select(foreign_runs).where(of_target(foreign_runs, slice_name, target))).all()
        known = {row.run_id: row for row in rows}
        if not known:
            _begin(connection, slice_name, target, there)
            return
        fresh = [run_id for run_id in sorted(there) if run_id not in known]
        for run_id in fresh:  # nobody has looked since it began
            _put(connection, slice_name, target, run_id, there[run_id])
        fresh += [row.run_id for row in rows if row.compared_us is None and there.get(row.run_id) == row.digest]
        for run_id in fresh:
            this = sa.and_(of_target(foreign_runs, slice_name, target), held.run_id == run_id)
            connection.execute(sa.update(foreign_runs).where(this).values(compared_us=now_us()))
        if fresh:
            _note(connection, slice_name, "compared", f"what others wrote to {target}: run {', '.join(fresh)}")


def others_text(target: str, run_ids: Sequence[str]) -> str:
    """``another writer writes to this store (embedded): run 5f0c``."""
    more = "" if len(run_ids) <= _NAMED else f" and {len(run_ids) - _NAMED} more"
    return f"another writer writes to this store ({target}): run {', '.join(run_ids[:_NAMED])}{more}"


_NAMED: Final = 3


def _begin(connection: sa.Connection, slice_name: str, target: str, there: Runs) -> None:
    at_us = now_us()
    for run_id, digest in {_BEGUN: "", **there}.items():
        values = {"slice": slice_name, "target": target, "run_id": run_id, "digest": digest}
        connection.execute(sa.insert(foreign_runs).values(seen_us=at_us, compared_us=at_us, **values))


def _put(connection: sa.Connection, slice_name: str, target: str, run_id: str, digest: str) -> None:
    key = {"slice": slice_name, "target": target, "run_id": run_id}
    put_row(connection, foreign_runs, key, {"digest": digest, "compared_us": None}, {"seen_us": now_us()})


def _known(connection: sa.Connection, slice_name: str, target: str) -> dict[str, str]:
    held = foreign_runs.c
    asked = sa.select(held.run_id, held.digest).where(of_target(foreign_runs, slice_name, target))
    return {str(run_id): str(digest) for run_id, digest in connection.execute(asked)}


def _note(connection: sa.Connection, slice_name: str, outcome: str, detail: str) -> None:
    row = connection.execute(sa.select(routes.c.phase).where(routes.c.slice == slice_name)).first()
    phase = None if row is None else Phase(row.phase)
    note(connection, slice_name, RouteChange(WATCH, "", outcome, phase, phase, detail))
