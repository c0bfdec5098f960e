"""The database of a SQL store: its file, its schema, and the transactions that readers and writers run in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.databases.faults import MIGRATE
from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.tables import metadata

BUSY_TIMEOUT_S: Final = 30.0
_FIGURES_SINCE: Final = "0006"
_PAGE_BYTES: Final = 8192
_CACHE_PAGES: Final = 24 * 2**20 // _PAGE_BYTES
"""SQLite's page cache fills up with the store's size; the keys of a hundred thousand journeys fit into this. In pages:
SQLite turns a size in KiB into pages of the size that it knows when it is told, half of ours, and held twice as much.
"""
_PRAGMAS: Final = ("synchronous=NORMAL", "foreign_keys=ON", f"cache_size={_CACHE_PAGES}", "temp_store=MEMORY")


_File = tuple[int, int]
"""Device and inode: the same path may be another file."""


class StoreDatabase(SqlDatabase):
    """The database of one SQL store. Opens lazily; a forked child must make its own."""

    pragmas = _PRAGMAS
    file_pragmas = (f"page_size={_PAGE_BYTES}", "journal_mode=WAL")
    connect_timeout_s = 10
    migration_waits_s = None

    def __init__(
        self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S, *, fill: Callable[[sa.Connection], None]
    ) -> None:
        super().__init__(url, SCHEMA, kind="store", todo=MIGRATE, busy_timeout_s=busy_timeout_s)
        self.fill = fill
        """Makes what follows from journeys and stores before did not keep."""
        self._checked = False
        self._file: _File | None = None
        self._log: _File | None = None
        if self.is_sqlite and self._address.database in (None, "", ":memory:"):
            raise UsageError(f"{self.shown} names no file", todo="use sqlite:///FILE, or memory:// to keep nothing")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A read-only transaction that sees one state throughout. The store must have its schema."""
        self._require_file()
        with super().reading() as connection:
            self._require_schema(connection)
            self._note_log()
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[sa.Connection]:
        """A transaction that is the only writer's; commits at the end, rolls back on any fault. The store must have its
        schema."""
        self._require_file()
        with super().writing(alone=alone) as connection:
            self._require_schema(connection)
            yield connection

    def migrate(self) -> None:
        """Create or upgrade the schema to this version's. Idempotent; safe to run beside a reader.

        Raises:
            StoreUnavailable: the database cannot be reached, has the schema of a newer version, or another writer kept
                it locked for the busy timeout.
        """
        if self.version() == SCHEMA.head:
            return
        with self.migrating() as connection:
            found = SCHEMA.version_in(connection)
            if found is not None and found > SCHEMA.head:
                require_version(found, self.shown)
            if found != SCHEMA.head:
                SCHEMA.upgrade(connection)
                if found is not None and found < _FIGURES_SINCE:
                    self.fill(connection)

    def version(self) -> str | None:
        """The schema version that the store has; None: none."""
        if self.is_sqlite and not os.path.exists(str(self._address.database)):
            return None
        with self.faults(), self.engine().connect() as connection:
            return SCHEMA.version_in(connection)

    def rewrite(self) -> bool:
        """Write the tables anew, without what deleted rows left; whether all of it was. In SQLite it is not while
        others read: what they still need stays in the log. PostgreSQL locks each table meanwhile, and keeps in the
        log that it archives what it wrote before."""
        self._require_file()
        with self.faults():
            if self.is_sqlite:
                return vacuumed(self.engine())
            with self.engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                for table in metadata.sorted_tables:
                    connection.exec_driver_sql(f"VACUUM FULL {table.name}")
        return True

    def close(self) -> None:
        """Close every connection."""
        super().close()
        self._log = None

    def _require_place(self) -> None:
        """A folder that is not there is the driver's to name."""

    def _require_file(self) -> None:
        """Make sure that the file is there, and let go of one that was another before: what is written to a file that
        was put aside is lost. The same of its write-ahead log, which is another one where a copy was written over the
        file and the log removed: what is open would go on with the former log, and see and write another store than
        everybody else."""
        if not self.is_sqlite:
            return
        try:
            found = os.stat(str(self._address.database))
        except OSError:
            raise StoreUnavailable(f"{self.shown}: there is no such file", todo=MIGRATE) from None
        present = found.st_dev, found.st_ino
        is_overwritten = self._log is not None and self._log_file() != self._log
        if present == self._file and is_overwritten and self._is_in_use():
            # SQLite shares what it knows of a log among a process' connections: all of them have to be closed first.
            raise StoreUnavailable(f"{self.shown}: its write-ahead log was removed while it is open", todo="ask again")
        if present != self._file or is_overwritten:
            if self._file is not None:
                self.close()
                self._checked = False
            self._file, self._log = present, None

    def _is_in_use(self) -> bool:
        engine = self._engine
        return engine is not None and isinstance(engine.pool, sa.QueuePool) and engine.pool.checkedout() > 0

    def _note_log(self) -> None:
        """Remember the write-ahead log that is open now. While a connection is, nobody but an operator removes it."""
        if self.is_sqlite and self._log is None:
            self._log = self._log_file()

    def _log_file(self) -> _File | None:
        try:
            found = os.stat(f"{self._address.database}-wal")
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _require_schema(self, connection: sa.Connection) -> None:
        if self._checked:
            return
        require_version(SCHEMA.version_in(connection), self.shown)
        self._checked = True


def vacuumed(engine: sa.Engine) -> bool:
    """Write a SQLite file anew and empty its log; False: others read what the log has."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute("PRAGMA temp_store=FILE")  # VACUUM makes a copy of the store, which memory may not hold
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA temp_store=MEMORY")
        is_busy, *_ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        raw.close()
    return not is_busy


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
