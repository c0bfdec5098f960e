"""The control database: what is recorded of the move, shared by every replica, feeder and operator."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from journeymesh.errors import ExtraMissing, StoreUnavailable, UsageError
from journeymesh.stores.addresses import shown_url
from journeymesh.stores.sql_faults import sql_faults
from journeymesh.strangler.control_tables import heads
from journeymesh.strangler.migrations import HEAD, VERSION_TABLE, upgrade

BUSY_TIMEOUT_S: Final = 10.0
ROUTES: Final = "routes"
_APPLY: Final = "make it with: journeymesh strangler apply PLAN --why TEXT"
_WRITERS_LOCK: Final = 0x73747261_6E676C65  # "strangle"


class Control:
    """Transactions on the control database. Safe for several threads; a forked child must make its own."""

    def __init__(self, url: str) -> None:
        self.shown = shown_url(url)
        try:
            self._address = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise UsageError(
                f"control {self.shown} is not a URL", todo="use sqlite:///FILE or postgresql://…"
            ) from error
        self.is_sqlite = self._address.get_backend_name() == "sqlite"
        if self._address.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(f"control {self.shown}: unknown kind", todo="use sqlite:///FILE or postgresql://…")
        self._url = url
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()

    def migrate(self) -> None:
        """Create or upgrade the tables. Idempotent."""
        if self.is_sqlite:
            with self._faults():
                raw = self.engine().raw_connection()
                try:
                    raw.cursor().execute("PRAGMA journal_mode=WAL").fetchall()
                finally:
                    raw.close()
        with self.writing() as connection:
            if version_in(connection) != HEAD:
                upgrade(connection)

    def require_schema(self) -> None:
        """Refuse a database without the tables, or with another version's.

        Raises:
            StoreUnavailable: saying what to do.
        """
        if self.is_sqlite and not os.path.exists(str(self._address.database)):
            raise StoreUnavailable(f"control {self.shown}: there is no such file", todo=_APPLY)
        with self._faults(), self.engine().connect() as connection:
            found = version_in(connection)
        if found is None:
            raise StoreUnavailable(f"control {self.shown}: nothing is recorded yet", todo=_APPLY)
        if found != HEAD:
            todo = "upgrade journeymesh" if found > HEAD else _APPLY
            raise StoreUnavailable(f"control {self.shown}: has schema {found}, {HEAD} is needed", todo=todo)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state throughout."""
        with self._faults(), self.engine().connect() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is the only writer's; commits at the end, rolls back on any fault."""
        with self._faults(), self.engine().connect() as opened:
            connection = opened.execution_options(journeymesh_begin="BEGIN IMMEDIATE") if self.is_sqlite else opened
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS_LOCK})")
                yield connection

    def engine(self) -> sa.Engine:
        """The engine, made at the first call."""
        with self._opening:
            if self._engine is None:
                self._engine = self._make_sqlite() if self.is_sqlite else self._make_postgresql()
            return self._engine

    def close(self) -> None:
        """Close every connection."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def _faults(self) -> Iterator[None]:
        with sql_faults(self._url, self.shown):
            yield

    def _make_sqlite(self) -> sa.Engine:
        file = self._address.database
        if not file or file == ":memory:":
            raise UsageError(f"control {self.shown} names no file", todo="use sqlite:///FILE")
        if not os.path.isdir(os.path.dirname(file) or "."):
            raise StoreUnavailable(f"control {self.shown}: its folder does not exist", todo="create it")
        engine = sa.create_engine(
            self._address,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None, "check_same_thread": False},
        )

        @event.listens_for(engine, "connect")
        def _configure(connection: Any, _: object) -> None:
            for pragma in ("synchronous=FULL", "foreign_keys=ON"):
                connection.execute(f"PRAGMA {pragma}")

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(connection.get_execution_options().get("journeymesh_begin", "BEGIN"))

        return engine

    def _make_postgresql(self) -> sa.Engine:
        import importlib.util

        if importlib.util.find_spec("psycopg") is None:
            raise ExtraMissing("psycopg", "postgres")
        waits = {} if "connect_timeout" in self._address.query else {"connect_timeout": 5}
        address = self._address.set(drivername="postgresql+psycopg")
        return sa.create_engine(address, connect_args={"application_name": "journeymesh", **waits}, pool_pre_ping=True)


def version_in(connection: sa.Connection) -> str | None:
    """The schema version recorded in this database; None: none."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()  # noqa: S608
    return found


def now_us() -> int:
    """Microseconds since 1970 UTC, of this machine's clock."""
    return time.time_ns() // 1000


def bump(connection: sa.Connection, name: str = ROUTES) -> int:
    """Count a change; returns the revision it made."""
    changed = connection.execute(sa.update(heads).where(heads.c.name == name).values(revision=heads.c.revision + 1))
    if changed.rowcount == 0:
        connection.execute(sa.insert(heads).values(name=name, revision=1))
        return 1
    return int(connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar_one())


def revision(connection: sa.Connection, name: str = ROUTES) -> int:
    """The present revision; 0 before the first change."""
    found = connection.execute(sa.select(heads.c.revision).where(heads.c.name == name)).scalar()
    return int(found or 0)
