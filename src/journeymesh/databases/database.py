"""Transactions on a SQL database of ours: SQLite for one machine, PostgreSQL for several.

SQLAlchemy engines of ours: how a SQLite file and a PostgreSQL server are opened.

The schema that a room has in a database, and how it is brought up to date.

Database URLs that a file says, relative to that file.
"""

from __future__ import annotations

import importlib.util
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy import event

from journeymesh.databases.faults import sql_faults
from journeymesh.errors import ExtraMissing, StoreUnavailable, UsageError
from journeymesh.safe_text import shown_url

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection


_ENTRY: Final = Path(__file__).parent / "migrations"


@dataclass(frozen=True, slots=True)
class Schema:
    """A room's tables, versioned apart from other rooms' in the same database.

    - ``head``: the newest revision, stated so that an up-to-date database is recognised without importing Alembic
    - ``version_table``: where the revision is recorded
    - ``migrations``: the folder whose ``versions`` has Alembic's scripts
    - ``writers_lock``: PostgreSQL's advisory lock that the one writer holds
    """

    head: str
    version_table: str
    migrations: Path
    writers_lock: int

    def upgrade(self, connection: Connection, revision: str = "head") -> None:
        """Bring the tables to ``head``, or to an earlier revision, inside the connection's transaction."""
        from alembic import command

        config = self.scripts()
        config.attributes |= {"connection": connection, "version_table": self.version_table}
        command.upgrade(config, revision)

    def scripts(self) -> Config:
        """Alembic's configuration that names the scripts, and the one entry that all schemas share."""
        from alembic.config import Config

        config = Config()
        for option, folder in (("script_location", _ENTRY), ("version_locations", self.migrations / "versions")):
            config.set_main_option(option, str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")  # a folder's name may have any other sign
        return config

    def version_in(self, connection: Connection) -> str | None:
        """The revision recorded in this database; None: none."""
        if not sa.inspect(connection).has_table(self.version_table):
            return None
        statement = f"SELECT version_num FROM {self.version_table}"  # noqa: S608 - a constant of ours
        found: str | None = connection.exec_driver_sql(statement).scalar()
        return found


WRITING: dict[str, Any] = {"journeymesh_begin": "BEGIN IMMEDIATE"}
"""Execution options of a transaction that writes to SQLite: it takes its turn at once, not at its first write."""


def sqlite_engine(address: sa.URL, *, busy_timeout_s: float, pragmas: Sequence[str]) -> sa.Engine:
    """An engine whose transactions begin as their execution options say; ``pragmas`` are set on each connection."""
    engine = sa.create_engine(
        address, connect_args={"timeout": busy_timeout_s, "isolation_level": None, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("journeymesh_begin", "BEGIN"))

    return engine


def set_in_file(engine: sa.Engine, *pragmas: str) -> None:
    """Set what a SQLite file remembers, outside of any transaction."""
    raw = engine.raw_connection()
    try:
        for pragma in pragmas:
            raw.cursor().execute(f"PRAGMA {pragma}").fetchall()
    finally:
        raw.close()


def postgresql_engine(address: sa.URL, *, connect_timeout_s: int) -> sa.Engine:
    """An engine by psycopg; the URL's own ``connect_timeout`` wins.

    Raises:
        ExtraMissing: psycopg is not installed.
    """
    if importlib.util.find_spec("psycopg") is None:
        raise ExtraMissing("psycopg", "postgres")
    waits = {} if "connect_timeout" in address.query else {"connect_timeout": connect_timeout_s}
    return sa.create_engine(
        address.set(drivername="postgresql+psycopg"),
        connect_args={"application_name": "journeymesh", "client_encoding": "utf8", **waits},
        pool_pre_ping=True,
    )


KEY: Final = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""A column that is compared byte by byte on every database: a name or an id."""
BUSY_TIMEOUT_S: Final = 10.0


class SqlDatabase:
    """One room's tables in a SQL database. Safe for several threads; a forked child must make its own.

    ``kind`` is what the database is called in errors; ``todo`` says how its tables come about.

    Raises:
        UsageError: the URL is of neither SQLite nor PostgreSQL.
    """

    pragmas: tuple[str, ...] = ("synchronous=FULL", "foreign_keys=ON")
    """Set on each connection of SQLite."""
    file_pragmas: tuple[str, ...] = ("journal_mode=WAL",)
    """What a file of SQLite remembers: readers go on during a write."""
    upgrading: str | None = None
    """What brings tables of an older version up to date; None: what makes them."""
    connect_timeout_s: int = 5
    migration_waits_s: float | None = 600.0
    """For another process that migrates the same database; None: as for any writer."""

    def __init__(self, url: str, schema: Schema, *, kind: str, todo: str, busy_timeout_s: float | None = None) -> None:
        """``busy_timeout_s``: how long another writer is waited for; None: ``BUSY_TIMEOUT_S``."""
        self.shown = shown_url(url)
        self.kind, self._busy_timeout_s = kind, busy_timeout_s
        self.url, self._schema, self._todo = url, schema, todo
        wish = "use sqlite:///FILE or postgresql://…"
        try:
            self._address = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise UsageError(f"{kind} {self.shown} is not a URL", todo=wish) from error
        self.is_sqlite = self._address.get_backend_name() == "sqlite"
        if self._address.get_backend_name() not in ("sqlite", "postgresql"):
            raise UsageError(f"{kind} {self.shown}: unknown kind", todo=wish)
        self._engine: sa.Engine | None = None
        self._opening = threading.Lock()

    def migrate(self) -> None:
        """Create or upgrade the tables. Idempotent."""
        with self.migrating() as connection:
            if self._schema.version_in(connection) != self._schema.head:
                self._schema.upgrade(connection)

    @contextmanager
    def migrating(self) -> Iterator[sa.Connection]:
        """A transaction that makes or changes tables, in a database that need not have them."""
        if self.is_sqlite:
            with self.faults():
                set_in_file(self.engine(), *self.file_pragmas)
        with self._writing(alone=True, waits_s=self.migration_waits_s or self._waits_s()) as connection:
            yield connection

    def require_schema(self) -> None:
        """Refuse a database without the tables, or with another version's.

        Raises:
            StoreUnavailable: saying what to do.
        """
        if self.is_sqlite and not os.path.exists(str(self._address.database)):
            raise StoreUnavailable(f"{self.kind} {self.shown}: there is no such file", todo=self._todo)
        with self.faults(), self.engine().connect() as connection:
            found = self._schema.version_in(connection)
        if found is None:
            raise StoreUnavailable(f"{self.kind} {self.shown}: nothing is recorded yet", todo=self._todo)
        if found != (head := self._schema.head):
            todo = "upgrade journeymesh" if found > head else self.upgrading or self._todo
            raise StoreUnavailable(f"{self.kind} {self.shown}: has schema {found}, {head} is needed", todo=todo)

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state throughout."""
        with self.faults(), self.engine().connect() as connection:
            if not self.is_sqlite:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection

    @contextmanager
    def writing(self, *, alone: bool = True) -> Iterator[sa.Connection]:
        """A transaction that is the only writer's; commits at the end, rolls back on any fault.

        ``alone`` False: on PostgreSQL beside other writers, for rows that no other writer touches.

        Raises:
            StoreUnavailable: another writer has held it for the busy timeout.
        """
        with self._writing(alone=alone, waits_s=self._waits_s()) as connection:
            yield connection

    @contextmanager
    def _writing(self, *, alone: bool, waits_s: float) -> Iterator[sa.Connection]:
        with self.faults(), self.engine().connect() as opened:
            connection = opened.execution_options(**WRITING) if self.is_sqlite else opened
            with connection.begin():
                if alone and not self.is_sqlite:
                    connection.exec_driver_sql(
                        f"SELECT set_config('lock_timeout', '{int(waits_s * 1000)}', true), "
                        f"pg_advisory_xact_lock({self._schema.writers_lock})"
                    )
                yield connection

    def engine(self) -> sa.Engine:
        """The engine, made at the first call."""
        with self._opening:
            if self._engine is None:
                if self.is_sqlite:
                    self._require_place()
                    self._engine = sqlite_engine(self._address, busy_timeout_s=self._waits_s(), pragmas=self.pragmas)
                else:
                    self._engine = postgresql_engine(self._address, connect_timeout_s=self.connect_timeout_s)
            return self._engine

    def close(self) -> None:
        """Close every connection."""
        with self._opening:
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None

    @contextmanager
    def faults(self) -> Iterator[None]:
        with sql_faults(self.url, self.shown):
            yield

    def _waits_s(self) -> float:
        return BUSY_TIMEOUT_S if self._busy_timeout_s is None else self._busy_timeout_s

    def _require_place(self) -> None:
        """Refuse a URL of SQLite whose file can be in no folder."""
        file = self._address.database
        if not file or file == ":memory:":
            raise UsageError(f"{self.kind} {self.shown} names no file", todo="use sqlite:///FILE")
        if not os.path.isdir(os.path.dirname(file) or "."):
            raise StoreUnavailable(f"{self.kind} {self.shown}: its folder does not exist", todo="create it")


def put_row(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    at_first: Mapping[str, Any] | None = None,
) -> None:
    """Update the row with this key, or insert one: then ``at_first`` stands beside ``values``, or in their place.

    Inside a transaction that is the only writer's.
    """
    this = [table.c[name] == value for name, value in key.items()]
    if connection.execute(sa.update(table).where(*this).values(values)).rowcount == 0:
        connection.execute(sa.insert(table).values({**key, **values, **(at_first or {})}))


clock_ns: Callable[[], int] = time.time_ns
"""Where instants that are recorded come from: nanoseconds since 1970 UTC. Tests put another clock in its place."""


def now_us() -> int:
    """Microseconds since 1970 UTC, of this machine's clock."""
    return clock_ns() // 1000


def url_beside(url: str, folder: Path) -> str:
    """The URL; one of a relative SQLite file or lake folder is made relative to this folder."""
    scheme, separator, path = url.partition(":///")
    if not separator or path.startswith("/") or scheme not in ("sqlite", "lake"):
        return url
    return f"{scheme}:///{folder.resolve() / path}"
