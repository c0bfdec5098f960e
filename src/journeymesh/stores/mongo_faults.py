"""What the MongoDB driver raises, as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pymongo import errors

from journeymesh.databases.mongodb_answers import is_of_driver
from journeymesh.errors import StoreUnavailable
from journeymesh.safe_text import without_secrets

_BY_CODE: Final = {
    13: ("the user may not do this", "grant the user readWrite on the database"),
    18: ("the server refused the user or the password", "correct them in the store's URL"),
    14031: ("the server's disk is full", "free some space and run again; nothing of the unfinished write was kept"),
    10107: ("the server is not the primary", "add ?replicaSet=NAME to the store's URL"),
    11602: ("the server stopped the operation", "run again when it has a primary"),
}


@contextmanager
def mongo_faults(url: str, shown: str) -> Iterator[None]:
    """Raise ``StoreUnavailable`` for whatever the driver raises, chained."""
    try:
        yield
    except (errors.ServerSelectionTimeoutError, errors.AutoReconnect) as error:
        raise StoreUnavailable(f"{shown}: cannot be reached", todo="check that the server runs and the URL") from error
    except errors.ConfigurationError as error:
        raise StoreUnavailable(
            f"{shown}: {without_secrets(str(error), url)}", todo="correct the store's URL"
        ) from error
    except errors.PyMongoError as error:
        said = without_secrets(_said(error), url)
        code = getattr(error, "code", None) or 0
        what, todo = _BY_CODE.get(code, (said, "check the store, then run again"))
        raise StoreUnavailable(f"{shown}: {what}", todo=todo) from error
    except KeyError as error:
        if not is_of_driver(error):
            raise
        todo = "look into the server's log: the operation may have failed"
        raise StoreUnavailable(f"{shown}: the server's answer lacks {error}, which MongoDB's has", todo=todo) from error


def _said(error: errors.PyMongoError) -> str:
    """The driver's text without the documents that it repeats: they are policyholders'."""
    if isinstance(error, errors.BulkWriteError):
        first: dict[str, object] = next(iter((error.details or {}).get("writeErrors", ())), {})
        return f"a write was refused (code {first.get('code', 'unknown')})"
    return str(error).partition(", full error:")[0]
