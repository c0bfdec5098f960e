"""A fresh database of each kind, for rooms that keep their tables in SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from journeymesh.databases.database import Schema, SqlDatabase


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database that is this test's alone."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/room.db"
        return
    with fresh_postgresql(request.getfixturevalue("postgresql_url")) as url:
        yield url


@contextlib.contextmanager
def fresh_postgresql(given: str) -> Iterator[str]:
    """The URL of an empty database on this server, which is gone afterwards."""
    name = f"room_{secrets.token_hex(6)}"
    server = sa.create_engine(given.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield given.rpartition("/")[0] + f"/{name}"
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


def differences(database: SqlDatabase, schema: Schema, metadata: sa.MetaData) -> list[object]:
    """What the room's tables in the database differ by from those of the code."""

    def is_ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or name in {table.name for table in metadata.tables.values()}

    with database.engine().connect() as connection:
        options = {"version_table": schema.version_table, "include_name": is_ours, "compare_type": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))
