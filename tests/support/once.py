"""What every test would make anew in the same way, made once in each process that runs tests."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from journeymesh.databases.database import Schema

Statements = list[tuple[str, Any]]


@contextmanager
def commands_built_once() -> Iterator[None]:
    """The command line's tree of commands is built at the first command and not at each: 90 ms of CPU.

    What a command is given is read at each call all the same: arguments, environment, defaults.
    """
    import typer.main

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield


@contextmanager
def migrations_run_once() -> Iterator[None]:
    """Alembic makes the tables of each schema once for each kind of database, and what it executed is executed again
    in the next empty one: 7 ms of CPU in place of 40 for a store in SQLite.

    Only from nothing to the newest revision: any other upgrade is Alembic's. What is executed again is what the
    migrations do in an empty database; ``tests/ports`` compares the tables that come out with those of the code.
    """
    upgrade = Schema.upgrade
    executed: dict[tuple[Schema, str], Statements] = {}

    def upgrade_once(schema: Schema, connection: sa.Connection, revision: str = "head") -> None:
        kind = (schema, connection.dialect.name)
        if revision != "head" or schema.version_in(connection) is not None:
            upgrade(schema, connection, revision)
        elif (statements := executed.get(kind)) is not None:
            for statement, parameters in statements:
                connection.exec_driver_sql(statement, parameters).close()
        else:
            with _recorded(connection) as statements:
                upgrade(schema, connection, revision)
            executed[kind] = [each for each in statements if _changes(each[0])]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schema, "upgrade", upgrade_once)
        yield


@contextmanager
def _recorded(connection: sa.Connection) -> Iterator[Statements]:
    """What is executed on this connection, as it is given to the driver."""
    statements: Statements = []

    def record(_: Any, __: Any, statement: str, parameters: Any, *rest: Any) -> None:
        statements.append((statement, parameters or None))

    sa.event.listen(connection, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        sa.event.remove(connection, "before_cursor_execute", record)


def _changes(statement: str) -> bool:
    """Whether it does more than look at what there is."""
    word = statement.split(None, 1)[0].upper()
    return word not in ("SELECT", "PRAGMA", "SHOW", "WITH")
