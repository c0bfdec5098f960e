"""Connections of the SQL stores: URL to engine, and the transactions that readers and writers run in."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.engines import WRITING, postgresql_engine, set_in_file, sqlite_engine
from journeymesh.databases.faults import MIGRATE, sql_faults
from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.safe_text import shown_url
from journeymesh.stores.migrations import SCHEMA

BUSY_TIMEOUT_S: Final = 30.0
CONNECT_TIMEOUT_S: Final = 10
_PAGE_BYTES: Final = 8192
_CACHE_PAGES: Final = 24 * 2**20 // _PAGE_BYTES
"""SQLite's page cache fills up with the store's size; the keys of a hundred thousand journeys fit into this. In pages:
SQLite turns a size in KiB into pages of the size that it knows when it is told, half of ours, and held twice as much.
"""
_PRAGMAS: Final = ("synchronous=NORMAL", "foreign_keys=ON", f"cache_size={_CACHE_PAGES}", "temp_store=MEMORY")


class SqlConnections:
    """The transactions of one SQL store. Opens lazily; a forked child must make its own."""

    def __init__(self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = url
        self.shown = shown_url(url)
        self._busy_timeout_s = busy_timeout_s
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()
        self._checked = False
        self._file: tuple[int, int] | None = None
        try:
            self._address = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise UsageError(f"{self.shown} is not a store URL", todo="use sqlite:///FILE or postgresql://…") from error
        self.is_sqlite = self._address.get_backend_name() == "sqlite"
        if self.is_sqlite and self._address.database in (None, "", ":memory:"):
            raise UsageError(f"{self.shown} names no file", todo="use sqlite:///FILE, or memory:// to keep nothing")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read-only transaction that sees one state throughout. The store must have its schema."""
        self._require_file()
        with sql_faults(self.url, self.shown), self.engine().connect() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            self._require_schema(connection)
            yield connection

    @contextmanager
    def writing(self, *, migrating: bool = False) -> Iterator[sa.Connection]:
        """A transaction that is the only writer's; commits at the end, rolls back on any fault."""
        if not migrating:
            self._require_file()
        with sql_faults(self.url, self.shown), self.engine().connect() as opened:
            connection = opened.execution_options(**WRITING) if self.is_sqlite else opened
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(self._busy_timeout_s * 1000)}")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({SCHEMA.writers_lock})")
                if not migrating:
                    self._require_schema(connection)
                yield connection

    def version(self) -> str | None:
        """The schema version that the store has; None: none."""
        if self.is_sqlite and not os.path.exists(str(self._address.database)):
            return None
        with sql_faults(self.url, self.shown), self.engine().connect() as connection:
            return SCHEMA.version_in(connection)

    def prepare_file(self) -> None:
        """Set what a SQLite file remembers: the write-ahead log, so that readers go on during a write."""
        if self.is_sqlite:
            with sql_faults(self.url, self.shown):
                # The page size counts for a file yet to be made.
                set_in_file(self.engine(), f"page_size={_PAGE_BYTES}", "journal_mode=WAL")

    def close(self) -> None:
        """Close every connection."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    def engine(self) -> sa.Engine:
        """The engine, made at the first call."""
        with self._opening:
            if self._engine is None:
                if self.is_sqlite:
                    self._engine = sqlite_engine(self._address, busy_timeout_s=self._busy_timeout_s, pragmas=_PRAGMAS)
                else:
                    self._engine = postgresql_engine(self._address, connect_timeout_s=CONNECT_TIMEOUT_S)
            return self._engine

    def _require_file(self) -> None:
        """Make sure that the file is there, and let go of one that was another before: what is written to a file that
        was put aside is lost."""
        if not self.is_sqlite:
            return
        try:
            found = os.stat(str(self._address.database))
        except OSError:
            raise StoreUnavailable(f"{self.shown}: there is no such file", todo=MIGRATE) from None
        present = found.st_dev, found.st_ino
        if present != self._file:
            if self._file is not None:
                self.close()
                self._checked = False
            self._file = present

    def _require_schema(self, connection: sa.Connection) -> None:
        if self._checked:
            return
        require_version(SCHEMA.version_in(connection), self.shown)
        self._checked = True


def require_version(found: str | None, shown: str) -> None:
    """Refuse a store without a schema, or with another version's.

    Raises:
        StoreUnavailable: saying whether to migrate the store or to upgrade journeymesh.
    """
    if found is None:
        raise StoreUnavailable(f"{shown}: has no journeymesh schema", todo=MIGRATE)
    if found > SCHEMA.head:
        raise StoreUnavailable(
            f"{shown}: was made by a newer journeymesh (schema {found}, this one knows {SCHEMA.head})",
            todo="upgrade journeymesh, or use another store",
        )
    if found < SCHEMA.head:
        raise StoreUnavailable(f"{shown}: has the older schema {found}, {SCHEMA.head} is needed", todo=MIGRATE)
