"""A place of sessions of each kind: a process's memory, SQLite, PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from journeymesh.identity.session_rows import MemorySessionRows, SessionBounds, SessionRow, SessionRows, SqlSessionRows
from journeymesh.identity.session_tables import SessionDatabase
from tests.support.rooms_databases import fresh_postgresql

KINDS = ("memory", "sqlite", "postgresql")
BOUNDS = SessionBounds(most=5, most_per_person=3, idle_us=60_000_000)


@pytest.fixture(params=KINDS[1:])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionDatabase]:
    yield from _database(request.param, request, tmp_path)


@pytest.fixture(params=KINDS)
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SessionRows]:
    if request.param == "memory":
        yield MemorySessionRows()
        return
    for made in _database(request.param, request, tmp_path):
        yield SqlSessionRows(made)


def _database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[SessionDatabase]:
    if kind == "sqlite":
        with closing(SessionDatabase(f"sqlite:///{folder}/room.db")) as made:
            made.migrate()
            yield made
        return
    with fresh_postgresql(request.getfixturevalue("postgresql_url")) as url, closing(SessionDatabase(url)) as made:
        made.migrate()
        yield made


def row(name: str, **others: Any) -> SessionRow:
    given = {"person": b"ann", "seen_us": 0, "ends_us": 10**15, "content": b"sealed", **others}
    return SessionRow(name=name.encode(), **given)
