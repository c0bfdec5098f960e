"""The feed's watch over what it refuses: how many documents were read for each slice, and whether more are refused
than before. A sudden share is recorded among the mismatches as an open question; see refusals.py.

The question is gone when so many of its documents can be used, or are deleted, that it would not have been asked. It
can be accepted as a mismatch is; while that holds, the share that was accepted is the custom, and a larger one asks
again. Time alone answers nothing: documents that nobody could read last month are still missing.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.strangler.backfill import COMPLETE, state_of
from journeymesh.strangler.control import now_us, of_target, reads
from journeymesh.strangler.feed_session import FeedSession, Scope
from journeymesh.strangler.plan import Gates
from journeymesh.strangler.refusals import (
    Limits,
    RefusalWindow,
    ask_again,
    clear_refused,
    is_accepted,
    note_gone,
    put_refused,
    refused_among,
    refused_in,
    still_refused,
    sudden,
)

JUDGE_EVERY_S: Final = 1.0
_IDLE_S: Final = 10.0
"""A repair may put right what was asked about while nothing is read."""
_MOST_REMEMBERED: Final = 200_000
_US: Final = 1_000_000


@dataclass(slots=True)
class RefusalWatch:
    """Counts and judges for the slices that a feed is fed for. For one thread, which has the feed's lease."""

    session: FeedSession
    limits: Limits = field(default_factory=Limits)
    _scopes: dict[str, Scope] = field(default_factory=dict)
    _waiting: dict[str, int] = field(default_factory=dict)
    """Documents of each slice that were read and whose changes may not stand in the target yet."""
    _counted: dict[str, int] = field(default_factory=dict)
    """Those whose changes do, not recorded yet."""
    _seen: set[int | str] = field(default_factory=set)
    _seen_since: float = field(default_factory=time.monotonic)
    _judged_at: float = 0.0

    def open(self) -> None:
        """Take up the figures of the target's slices, or begin them where nothing is recorded."""
        session = self.session
        with session.control.reading() as connection:
            known = set(connection.execute(sa.select(reads.c.slice).where(reads.c.target == session.target)).scalars())
        if not known:
            self.recount()
        self.rescope()
        with session.recording() as connection:
            for name in self._scopes.keys() - known:
                self._insert(connection, name)

    def recount(self) -> None:
        """Count anew what the target holds refused."""
        session = self.session
        counts = refused_in(session.store)
        with session.recording() as connection:
            clear_refused(connection, session.upstream, session.target)
        put_refused(session.recording(), session.upstream, session.target, counts)

    def rescope(self) -> None:
        """Find out which vehicles each slice has."""
        session = self.session
        policies = [*session.policies, *session.store.policies()]
        self._scopes = {route.slice.name: Scope.of([route.slice.selector], policies) for route in session.routes}

    def refused(self) -> dict[str, int]:
        """How many documents stand refused now, by slice."""
        with self.session.control.reading() as connection:
            return {name: self._refused(connection, scope) for name, scope in self._scopes.items()}

    def policies_changed(self, before: Mapping[str, int]) -> None:
        """Policies changed since so many documents stood refused: what came or went with their vehicles is not new."""
        self.rescope()
        more = {name: number - before.get(name, number) for name, number in self.refused().items()}
        with self.session.recording() as connection:
            for name, number in more.items():
                if number:
                    values = {"window_refused": reads.c.window_refused + number}
                    self._put(connection, name, values | {"question_refused": reads.c.question_refused + number})

    def met(self, placed: Iterable[tuple[int, str]], unplaced: Iterable[str]) -> None:
        """Count documents that changed, (digest, vehicle) and the origins of those without either: each once in a
        window, however often an application appends to it."""
        if time.monotonic() - self._seen_since > self.limits.window_s or len(self._seen) > _MOST_REMEMBERED:
            self._seen.clear()
            self._seen_since = time.monotonic()
        for document, vehicle in placed:
            if document not in self._seen:
                self._seen.add(document)
                self._add(name for name, scope in self._scopes.items() if vehicle in scope)
        for origin in unplaced:
            if origin not in self._seen:
                self._seen.add(origin)
                self._add(self._scopes)

    def written(self) -> None:
        """What was counted stands in the target now."""
        for name, documents in self._waiting.items():
            self._counted[name] = self._counted.get(name, 0) + documents
        self._waiting.clear()

    def note(self, *, now: bool = False) -> None:
        """Record what was counted, and judge it: once a second at most unless it is wanted ``now``."""
        every_s = JUDGE_EVERY_S if self._counted else _IDLE_S
        if not now and time.monotonic() - self._judged_at < every_s:
            return
        self._judged_at = time.monotonic()
        with self.session.recording() as connection:
            for name, scope in self._scopes.items():
                self._count(connection, name, self._counted.get(name, 0))
                if self._is_filled(connection, name):
                    self._judge(connection, name, scope)
        self._counted.clear()

    def read(self, slice_name: str, documents: int) -> None:
        """Count documents that a backfill read, once they stand in the target."""
        with self.session.recording() as connection:
            self._count(connection, slice_name, documents)

    def begin_again(self, slice_name: str) -> None:
        """A slice is filled from its first vehicle on: its documents are read anew, what is refused stays known."""
        with self.session.recording() as connection:
            row = connection.execute(sa.select(reads).where(self._this(slice_name))).first()
            if row is None:
                self._insert(connection, slice_name)
                return
            is_asked = row.question_documents is not None
            before = row.share_before if is_asked else _share_since(row, row.refused)
            refused = row.window_refused if is_asked else row.refused
            values = {
                "documents": 0,
                "whole": True,
                "window_documents": 0,
                "window_refused": refused,
                "share_before": before,
            }
            connection.execute(sa.update(reads).where(self._this(slice_name)).values(values))

    def _add(self, names: Iterable[str]) -> None:
        for name in names:
            self._waiting[name] = self._waiting.get(name, 0) + 1

    def _judge(self, connection: sa.Connection, name: str, scope: Scope) -> None:
        row = connection.execute(sa.select(reads).where(self._this(name))).one()
        refused = self._refused(connection, scope)
        documents = row.documents - row.window_documents
        values: dict[str, Any] = {"refused": refused}
        accepted = False
        before = row.share_before
        if row.question_documents is not None:
            asked = RefusalWindow(row.question_documents, 0, row.question_before)
            if not still_refused(asked, refused - row.question_refused, self.limits):
                note_gone(connection, name, self.session.target)
                values |= {"question_documents": None, "question_refused": None}
                values |= {"question_before": None, "question_share": None} | _rolled(row, refused)
                self._put(connection, name, values)
                return
            accepted = is_accepted(connection, name, self.session.target)
            if accepted:
                before = max(before or 0.0, row.question_share)
        window = RefusalWindow(documents, refused - row.window_refused, before)
        is_asked = row.question_documents is not None
        if sudden(window, self.limits):
            if not is_asked or accepted:
                values |= {"question_refused": row.window_refused, "question_before": row.share_before}
            values |= {"question_documents": max(documents, window.refused), "question_share": window.share}
            changed = window.refused != (row.refused - row.window_refused)
            if not is_asked or accepted or changed:
                ask_again(connection, name, self.session.target, window, row.share_before)
        elif not is_asked or accepted:
            is_over = now_us() - row.window_us >= self.limits.window_s * _US and documents >= self.limits.least_window
            if is_over or row.share_before is None:  # filled for the first time: that is the custom
                values |= _rolled(row, refused)
        self._put(connection, name, values)

    def _put(self, connection: sa.Connection, name: str, values: dict[str, Any]) -> None:
        connection.execute(sa.update(reads).where(self._this(name)).values(values))

    def _count(self, connection: sa.Connection, name: str, documents: int) -> None:
        counted = sa.update(reads).where(self._this(name)).values(documents=reads.c.documents + documents)
        if connection.execute(counted).rowcount == 0:  # it is filled anew, and its figures were forgotten
            self._insert(connection, name)
            connection.execute(counted)

    def _insert(self, connection: sa.Connection, name: str) -> None:
        values: dict[str, Any] = {"documents": 0, "whole": True, "refused": 0, "window_us": now_us()}
        values |= {"window_documents": 0, "window_refused": 0}
        if self._is_filled(connection, name):  # before documents were counted
            refused = self._refused(connection, self._scopes[name])
            values |= {"whole": False, "refused": refused, "window_refused": refused, "share_before": 0.0}
        connection.execute(sa.insert(reads).values(slice=name, target=self.session.target, **values))

    def _refused(self, connection: sa.Connection, scope: Scope) -> int:
        return refused_among(connection, self.session.upstream, self.session.target, scope.names)

    def _is_filled(self, connection: sa.Connection, name: str) -> bool:
        return state_of(connection, name, self.session.target) == COMPLETE

    def _this(self, name: str) -> sa.ColumnElement[bool]:
        return of_target(reads, name, self.session.target)


def refusal_limits(gates: Gates) -> Limits:
    """What a plan's gates call sudden."""
    return Limits(gates.refused_documents, gates.refused_share, gates.refused_window_s)


def _rolled(row: Any, refused: int) -> dict[str, Any]:
    """A new window: what was read until now is what was before."""
    values = {"window_us": now_us(), "window_documents": row.documents, "window_refused": refused}
    return values | {"share_before": _share_since(row, refused)}


def _share_since(row: Any, refused: int) -> float | None:
    """The share of refused documents among those that were counted; None: none were."""
    documents = int(row.documents)
    if not documents:
        return None if row.whole else 0.0
    if row.whole:
        return min(refused / documents, 1.0)
    # What was refused before documents were counted is not among them.
    known = float(row.share_before) * int(row.window_documents) + max(refused - int(row.window_refused), 0)
    return min(known / documents, 1.0)
