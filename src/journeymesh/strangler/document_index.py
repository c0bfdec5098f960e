"""An index of legacy documents: of which vehicle and when their fixes were last seen. For sources that do not tell what
a changed document held.

It is written before the target is, and cleared after: it may name too much, never too little. It is complete for the
vehicles that are synced, so a document that is not in it was of none of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import sqlalchemy as sa

from journeymesh.sources.vehicle_port import DocumentPlace
from journeymesh.stores.row_kinds import chunks
from journeymesh.stores.sql_bulk import put_rows, read_rows
from journeymesh.strangler.control import document_index, of_feed


@dataclass(slots=True)
class DocumentIndex:
    """The index of one upstream's documents, as far as they are in one target."""

    upstream: str
    target: str
    reading: Callable[[], AbstractContextManager[sa.Connection]]
    writing: Callable[[], AbstractContextManager[sa.Connection]]
    """A transaction of the control database that fails where another feeder has taken over."""
    _exact: dict[tuple[int, str], DocumentPlace] = field(default_factory=dict)
    _gone: set[tuple[int, str]] = field(default_factory=set)

    def of(self, documents: Iterable[int]) -> dict[int, list[DocumentPlace]]:
        """Where these documents are known to have been."""
        found: dict[int, list[DocumentPlace]] = defaultdict(list)
        wanted = sorted(set(documents))
        if not wanted:
            return found
        held = document_index.c
        columns = sa.select(held.document, held.vehicle, held.first_us, held.last_us)
        with self.reading() as connection:
            for part in chunks(wanted):
                these = sa.and_(self._mine, held.document.in_(part))
                for row in read_rows(connection, columns.where(these)):
                    found[row[0]].append(DocumentPlace(*row))
        return found

    def widen(self, fresh: Sequence[DocumentPlace], former: dict[int, list[DocumentPlace]]) -> None:
        """Before the target is written: each document is where it was and where it is.

        What the call before this one left too wide is put right in the same transaction.
        """
        wide = dict(self._exact)
        exact: dict[tuple[int, str], DocumentPlace] = {}
        for place in fresh:
            exact[place.document, place.vehicle] = place
        for place in [*fresh, *(place for held in former.values() for place in held)]:
            key = place.document, place.vehicle
            wide[key] = _union(wide[key], place) if key in wide else place
        gone = self._gone - wide.keys()
        if wide or gone:
            rows = [(self.upstream, self.target, *_values(place)) for place in wide.values()]
            with self.writing() as connection:
                put_rows(connection, document_index, rows)
                for document, vehicle in gone:
                    held = document_index.c
                    this = sa.and_(self._mine, held.document == document, held.vehicle == vehicle)
                    connection.execute(sa.delete(document_index).where(this))
        self._exact, self._gone = {}, set()
        for documents in former.values():
            for place in documents:
                key = place.document, place.vehicle
                if key in exact:
                    self._exact[key] = exact[key]
                else:
                    self._gone.add(key)

    def forget(self) -> None:
        """Forget every document: the target is filled anew."""
        with self.writing() as connection:
            connection.execute(sa.delete(document_index).where(self._mine))
        self._exact, self._gone = {}, set()

    @property
    def _mine(self) -> sa.ColumnElement[bool]:
        return of_feed(document_index, self.upstream, self.target)

    def put(self, found: Iterable[DocumentPlace]) -> None:
        """Write down where these documents are, beside where they may have been."""
        rows = [(self.upstream, self.target, *_values(place)) for place in found]
        if rows:
            with self.writing() as connection:
                put_rows(connection, document_index, rows)


def _union(one: DocumentPlace, other: DocumentPlace) -> DocumentPlace:
    first_us, last_us = min(one.first_us, other.first_us), max(one.last_us, other.last_us)
    return DocumentPlace(one.document, one.vehicle, first_us, last_us)


def _values(place: DocumentPlace) -> tuple[int, str, int, int]:
    return place.document, place.vehicle, place.first_us, place.last_us
