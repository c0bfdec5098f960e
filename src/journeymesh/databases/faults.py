"""What the SQL drivers raise, as one line that says what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import exc

from journeymesh.errors import StoreCorrupt, StoreUnavailable
from journeymesh.safe_text import without_secrets

MIGRATE: Final = "create or upgrade it with: journeymesh store migrate --store URL"
_FREE_SPACE: Final = "free some space and run again; nothing of the unfinished write was kept"
_SQLITE: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", _FREE_SPACE),
    sqlite3.SQLITE_BUSY: ("another writer holds it", "wait for the other run to end, then run again"),
    sqlite3.SQLITE_LOCKED: ("another writer holds it", "wait for the other run to end, then run again"),
    sqlite3.SQLITE_READONLY: ("it cannot be written to", "check the permissions of the file and of its folder"),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened",
        "check that the folder exists, is yours and is on no read-only disk",
    ),
    sqlite3.SQLITE_PERM: ("access was denied", "check the permissions of the file and of its folder"),
    sqlite3.SQLITE_IOERR: ("the disk reported an error", "check the disk and its free space, then run again"),
}
_POSTGRESQL: Final = {
    "53100": ("the server's disk is full", _FREE_SPACE),
    "53300": ("the server has no connection left", "close other clients or raise max_connections"),
    "55P03": ("another writer holds it", "wait for the other run to end, then run again"),
    "57014": ("the server cancelled the statement", "raise statement_timeout or run again"),
    "25006": ("the server is read-only", "use the primary server's address"),
    "42501": ("the user may not do this", "grant the user the rights on the schema"),
    "42P01": ("a table is missing", MIGRATE),
    "28P01": ("the password is wrong", "correct the user or the password in the store's URL"),
    "28000": ("the server refused the user", "correct the user or the password in the store's URL"),
    "3D000": ("the database does not exist", "create it, or correct its name in the store's URL"),
}


@contextmanager
def sql_faults(url: str, shown: str) -> Iterator[None]:
    """Raise ``StoreUnavailable`` (or ``StoreCorrupt``) for whatever the driver raises, chained."""
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise _fault(error, url, shown) from error
    except OSError as error:
        raise StoreUnavailable(f"{shown}: {error.strerror or error}", todo=_FREE_SPACE) from error
    except Exception as error:  # psycopg's errors from COPY; anything else is a fault of ours and goes on
        if type(error).__module__.partition(".")[0] != "psycopg":
            raise
        raise _fault(error, url, shown) from error


def _fault(error: Exception, url: str, shown: str) -> StoreUnavailable:
    cause: BaseException = getattr(error, "orig", None) or error
    said = without_secrets(str(cause), url)
    if isinstance(cause, sqlite3.Error):
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StoreCorrupt(f"{shown}: {said}", todo="this is no journeymesh store; restore it or use another file")
        what, todo = _SQLITE.get(code, (said, "check the store, then run again"))
        return StoreUnavailable(f"{shown}: {what}", todo=todo)
    state = getattr(cause, "sqlstate", None) or ""
    if state in _POSTGRESQL:
        what, todo = _POSTGRESQL[state]
        return StoreUnavailable(f"{shown}: {what}", todo=todo)
    if not state:  # no answer from a server
        for fragment, what in (("password authentication failed", "28P01"), ("does not exist", "3D000")):
            if fragment in str(cause):
                return StoreUnavailable(f"{shown}: {_POSTGRESQL[what][0]}", todo=_POSTGRESQL[what][1])
        return StoreUnavailable(f"{shown}: cannot be reached ({said})", todo="check that the server runs and the URL")
    return StoreUnavailable(f"{shown}: {said}", todo="check the store, then run again")
