"""The SQL store: SQLite and PostgreSQL from one SQLAlchemy Core code base. A batch is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.stores.figure_changes import fill_figures
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.port import JourneyQuery
from journeymesh.stores.row_conditions import journey_conditions
from journeymesh.stores.row_kinds import WritableRows
from journeymesh.stores.row_store import RowStore
from journeymesh.stores.sql_engine import BUSY_TIMEOUT_S, StoreDatabase
from journeymesh.stores.sql_of_policies import reads_shared, shared_read
from journeymesh.stores.sql_rows import SqlRows

T = TypeVar("T")


class SqlStore(RowStore):
    """Both ports on SQLite or PostgreSQL. Safe for threads; a forked child must connect anew."""

    def __init__(self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._sql = StoreDatabase(url, busy_timeout_s, fill=_fill)
        self.url = self._sql.shown

    @classmethod
    def connect(cls, url: str) -> SqlStore:
        """The store at ``sqlite:///path``, ``sqlite:////absolute/path`` or ``postgresql://user:pw@host/database``.

        Nothing is opened before the first call.
        """
        return cls(url)

    def migrate(self) -> None:
        """Create or upgrade the schema to this version's. Idempotent; safe to run beside a reader."""
        self._sql.migrate()

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        return self._sql.version(), SCHEMA.head

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, ``JOURNEY_SCHEMA``; at most ``query.limit``."""
        if not reads_shared(self._sql.is_sqlite, query):
            return super().journeys(query)
        with self._sql.reading() as connection:
            self._require_readable(SqlRows(connection))
            where = list(SqlRows(connection).conditions("journeys", journey_conditions(replace(query, policies=None))))
            return shared_read(connection, query, where)

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._sql.close()

    def scrub(self) -> bool:
        """See ``RowStore``. PostgreSQL keeps in the log that it archives what was written before."""
        return self._sql.rewrite()

    @contextmanager
    def _reading(self) -> Iterator[SqlRows]:
        with self._sql.reading() as connection:
            yield SqlRows(connection)

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        with self._sql.writing() as connection:
            return writing(SqlRows(connection))


def _fill(connection: sa.Connection) -> None:
    """Figures of all policies."""
    into, last = SqlRows(connection), fill_figures(SqlRows(connection), None)
    while last is not None:
        last = fill_figures(into, last)
