"""The layer that seals personal data, over every store that has rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.stores import memory, sql_rows, tables
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import Store
from journeymesh.stores.protected_store import ProtectedStore
from journeymesh.stores.sql import SqlStore
from tests.ports.figure_suite import FigureSuite
from tests.ports.journey_store_suite import JourneyStoreSuite
from tests.ports.test_postgresql_store import drop_schema, own_schema
from tests.support.records import unique_names

_SCHEMAS = unique_names("jm_sealed_")


def _fail(*_: object) -> None:
    raise RuntimeError("injected")


class TestProtectedMemoryStore(FigureSuite, JourneyStoreSuite):
    @pytest.fixture
    def store(self) -> Store:
        return ProtectedStore(MemoryStore(), MemoryKeyStore())

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(memory._MemoryRows, "advance", _fail)


class ProtectedSqlSuite(FigureSuite, JourneyStoreSuite):
    """Inherited by the tests over SQLite and PostgreSQL."""

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        put_rows = sql_rows.put_rows

        def fail_at_the_index(connection: sa.Connection, table: sa.Table, *rest: Any, **options: Any) -> None:
            if table is tables.protected_index:
                raise RuntimeError("injected")
            put_rows(connection, table, *rest, **options)

        monkeypatch.setattr(sql_rows, "put_rows", fail_at_the_index)


class TestProtectedSqliteStore(ProtectedSqlSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = ProtectedStore(SqlStore.connect(f"sqlite:///{tmp_path}/journeys.db"), MemoryKeyStore())
        store.migrate()
        yield store
        store.close()


class TestProtectedPostgresqlStore(ProtectedSqlSuite):
    @pytest.fixture
    def store(self, postgresql_url: str) -> Iterator[Store]:
        name = next(_SCHEMAS)
        store = ProtectedStore(SqlStore.connect(own_schema(postgresql_url, name)), MemoryKeyStore())
        store.migrate()
        yield store
        store.close()
        drop_schema(postgresql_url, name)
