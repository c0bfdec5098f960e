"""The PostgreSQL store."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from journeymesh.errors import ExtraMissing, StoreUnavailable
from journeymesh.stores.port import JourneyQuery
from journeymesh.stores.sql import SqlStore
from tests.support.records import unique_names

from .sql_store_suite import SqlStoreSuite

_SCHEMAS = unique_names("jm_test_")


def own_schema(url: str, name: str) -> str:
    """The URL with a schema of its own, created empty: quicker than a database."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')
        connection.execute(f'CREATE SCHEMA "{name}"')
    return f"{url}{'&' if urlsplit(url).query else '?'}options=-csearch_path%3D{name}"


def drop_schema(url: str, name: str) -> None:
    """Leave nothing behind."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


class TestPostgresqlStore(SqlStoreSuite):
    @pytest.fixture
    def unmigrated(self, postgresql_url: str) -> Iterator[Callable[[], SqlStore]]:
        name = next(_SCHEMAS)
        store = SqlStore.connect(own_schema(postgresql_url, name))
        yield lambda: store
        store.close()
        drop_schema(postgresql_url, name)

    @pytest.fixture
    def store(self, unmigrated: Callable[[], SqlStore]) -> SqlStore:
        store = unmigrated()
        store.migrate()
        return store

    def test_a_database_that_does_not_exist_is_one_clear_line(self, postgresql_url: str) -> None:
        other = urlsplit(postgresql_url)._replace(path="/jm_no_such_database").geturl()
        with pytest.raises(StoreUnavailable, match="does not exist") as fault:
            SqlStore.connect(other).journeys(JourneyQuery())
        assert "\n" not in str(fault.value)


class TestPostgresqlUnreachable:
    def test_it_is_one_clear_line_without_the_password(self, tmp_path: Path) -> None:
        pytest.importorskip("psycopg")
        store = SqlStore.connect(f"postgresql://me:s3cret%40x@localhost:1/journeys?host={tmp_path}")
        with pytest.raises(StoreUnavailable, match="cannot be reached") as fault:
            store.journeys(JourneyQuery())
        for text in (str(fault.value), store.url):
            assert "s3cret" not in text
            assert "\n" not in text

    def test_a_missing_driver_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
        with pytest.raises(ExtraMissing, match=r"journeymesh\[postgres\]"):
            SqlStore.connect("postgresql://localhost/journeys").journeys(JourneyQuery())
