"""Stores of one kind and what operators' accidents do to them: deleted, made anew, restored, exchanged."""

from __future__ import annotations

import secrets
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

import psycopg

from journeymesh.errors import JourneymeshError
from journeymesh.wiring import open_store

SIDE_FILES = ("", "-wal", "-shm")


class Stores(Protocol):
    """Databases by name, for stores and for the control database.

    ``ways`` are the ways to copy one; a copy is known by the number that ``copy`` gives.
    """

    ways: tuple[str, ...]

    def url(self, name: str) -> str:
        """Where the database of this name is, or would be."""

    def make(self, name: str, template: str | None = None) -> None:
        """An empty database, or one with a template's content."""

    def delete(self, name: str) -> None:
        """Delete it, whoever uses it."""

    def copy(self, name: str, way: str) -> int:
        """Make a backup."""

    def restore(self, name: str, copy: int) -> None:
        """Put a backup in its place."""

    def swap(self, one: str, other: str) -> None:
        """Let each be under the other's name."""

    def lock(self, name: str) -> Callable[[], None]:
        """Hold a transaction that writes; returns what ends it."""

    def close(self) -> None:
        """Leave nothing of them."""


def migrated(stores: Stores, name: str) -> None:
    """Make the store's schema, as the error of a store that has none advises."""
    with closing(open_store(stores.url(name))) as store:
        store.migrate()


def is_readable(stores: Stores, name: str) -> bool:
    """Whether there is a store with a schema."""
    with suppress(JourneymeshError), closing(open_store(stores.url(name))) as store:
        return store.schema_version()[0] == store.schema_version()[1]
    return False


class SqliteStores:
    """Files in a folder."""

    ways = ("backup", "file and log", "file alone")

    def __init__(self, folder: Path, templates: Path) -> None:
        self.folder, self.templates = folder, templates
        self.copies = 0

    def url(self, name: str) -> str:
        return f"sqlite:///{self._file(name)}"

    def make(self, name: str, template: str | None = None) -> None:
        if template is not None:
            for suffix in SIDE_FILES:
                with suppress(FileNotFoundError):
                    shutil.copy(f"{self.templates}/{template}.db{suffix}", f"{self._file(name)}{suffix}")

    def delete(self, name: str) -> None:
        for suffix in SIDE_FILES:
            Path(f"{self._file(name)}{suffix}").unlink(missing_ok=True)

    def copy(self, name: str, way: str) -> int:
        self.copies += 1
        to = self._file(f"copy{self.copies}")
        if way == "backup":
            with closing(sqlite3.connect(self._file(name))) as connection:
                connection.execute(f"VACUUM INTO '{to}'")
            return self.copies
        shutil.copy(self._file(name), to)
        if way == "file and log":
            with suppress(FileNotFoundError):
                shutil.copy(f"{self._file(name)}-wal", f"{to}-wal")
        return self.copies

    def restore(self, name: str, copy: int) -> None:
        self.delete(name)
        for suffix in ("-wal", ""):
            with suppress(FileNotFoundError):
                shutil.copy(f"{self._file(f'copy{copy}')}{suffix}", f"{self._file(name)}{suffix}")

    def swap(self, one: str, other: str) -> None:
        for here, there in ((one, "aside"), (other, one), ("aside", other)):
            for suffix in ("-wal", "-shm", ""):
                with suppress(FileNotFoundError):
                    Path(f"{self._file(here)}{suffix}").rename(f"{self._file(there)}{suffix}")

    def lock(self, name: str) -> Callable[[], None]:
        connection = sqlite3.connect(self._file(name), isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection.close

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.db"


class PostgresqlStores:
    """Databases of one server; templates are databases of it that nobody is connected to."""

    ways = ("template",)

    def __init__(self, server: str, writers_lock: int) -> None:
        self.server, self.writers_lock = server, writers_lock
        self.prefix = f"operated_{secrets.token_hex(5)}_"
        self.templates = ""
        self.names: set[str] = set()
        self.copies = 0
        self._connection = psycopg.connect(server, autocommit=True)

    def url(self, name: str) -> str:
        return f"{self.server.rpartition('/')[0]}/{self.prefix}{name}"

    def make(self, name: str, template: str | None = None) -> None:
        self._create(name, f"{self.templates}{template}" if template else "template0")

    def delete(self, name: str) -> None:
        self._do(f'DROP DATABASE IF EXISTS "{self.prefix}{name}" WITH (FORCE)')
        self.names.discard(name)

    def copy(self, name: str, way: str) -> int:
        self.copies += 1
        self._disconnect(name)
        self._create(f"copy{self.copies}", f"{self.prefix}{name}")
        return self.copies

    def restore(self, name: str, copy: int) -> None:
        self.delete(name)
        self._create(name, f"{self.prefix}copy{copy}")

    def swap(self, one: str, other: str) -> None:
        for here, there in ((one, "aside"), (other, one), ("aside", other)):
            self._disconnect(here)
            self._do(f'ALTER DATABASE "{self.prefix}{here}" RENAME TO "{self.prefix}{there}"')

    def lock(self, name: str) -> Callable[[], None]:
        connection = psycopg.connect(self.url(name))
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [self.writers_lock])
        return connection.close

    def close(self) -> None:
        for name in list(self.names):
            self.delete(name)
        self._connection.close()

    def _create(self, name: str, template: str) -> None:
        self._do(f'CREATE DATABASE "{self.prefix}{name}" TEMPLATE "{template}"')
        self.names.add(name)

    def _disconnect(self, name: str) -> None:
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
        self._connection.execute(query, [f"{self.prefix}{name}"])

    def _do(self, statement: str) -> None:
        self._connection.execute(statement)  # type: ignore[arg-type]
