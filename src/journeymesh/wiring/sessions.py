"""Where people's sessions are kept, by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from journeymesh.identity.session_rows import MemorySessionRows, SessionRows


@contextmanager
def open_session_rows(url: str | None) -> Iterator[SessionRows]:
    """The sessions of this database; None: of this process.

    Raises:
        UsageError: the URL is of neither SQLite nor PostgreSQL. StoreUnavailable: the database cannot be reached, or
            lacks the table.
    """
    if url is None:
        yield MemorySessionRows()
        return
    from journeymesh.identity.session_rows import SqlSessionRows
    from journeymesh.identity.session_tables import SessionDatabase

    with closing(SessionDatabase(url)) as database:
        database.require_schema()
        yield SqlSessionRows(database)


def migrate_sessions(url: str) -> str:
    """Create or upgrade the table of sessions in this database; returns the database as it may be shown.

    Raises:
        UsageError: the URL is of neither SQLite nor PostgreSQL. StoreUnavailable: the database cannot be reached.
    """
    from journeymesh.identity.session_tables import SessionDatabase

    with closing(SessionDatabase(url)) as database:
        database.migrate()
        return database.shown
