"""Many rows at once into a SQL store, on the transaction's own connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.stores.rows import rows_of

_FEW_ROWS: Final = 100
_ROWS_AT_ONCE: Final = 1_000
_NUL, _SOH = "\0", "\1"


def escaped(value: Any) -> Any:
    """Text as PostgreSQL can hold it: it refuses NUL. Reversible, and keeps the order of texts."""
    if isinstance(value, str) and (_NUL in value or _SOH in value):
        return value.replace(_SOH, _SOH + "\2").replace(_NUL, _SOH + _SOH)
    return value


def unescaped(value: Any) -> Any:
    """The inverse of ``escaped``."""
    if isinstance(value, str) and _SOH in value:
        parts = iter(value)
        return "".join((_NUL if next(parts) == _SOH else _SOH) if letter == _SOH else letter for letter in parts)
    return value


def put_rows(
    connection: sa.Connection,
    table: sa.Table,
    rows: Sequence[Sequence[Any]],
    *,
    update: Sequence[str] | None = None,
) -> None:
    """Put rows (values in the table's column order) by primary key.

    Of a row that is there, only the columns ``update`` change; None: all.
    """
    if not rows:
        return
    names = [column.name for column in table.columns]
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks}) {_conflict(table, update)}"  # noqa: S608
        connection.connection.cursor().executemany(statement, rows)
        return
    staged = _stage(connection, table)
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {staged} ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([escaped(value) for value in row])
    _merge(connection, table, staged, update)


def put_table(connection: sa.Connection, table: sa.Table, stored: pa.Table) -> None:
    """Put a table whose columns are the database table's, replacing by primary key."""
    if connection.dialect.name == "sqlite" or len(stored) < _FEW_ROWS:
        # Some rows at a time, so that their values are still near when they are bound.
        for start in range(0, len(stored), _ROWS_AT_ONCE):
            put_rows(connection, table, rows_of(stored.slice(start, _ROWS_AT_ONCE)))
        return
    import pyarrow.compute as pc
    from pyarrow import csv

    if any(
        pa.types.is_string(column.type) and pc.any(pc.match_substring_regex(column, r"[\x00\x01]")).as_py()
        for column in stored.columns
    ):
        put_rows(connection, table, rows_of(stored))
        return
    staged = _stage(connection, table)
    names = ", ".join(stored.column_names)
    sink = pa.BufferOutputStream()
    csv.write_csv(stored, sink, csv.WriteOptions(include_header=False))
    cursor = connection.connection.cursor()
    with cursor.copy(f"COPY {staged} ({names}) FROM STDIN (FORMAT csv)") as copy:
        content = memoryview(sink.getvalue())
        for start in range(0, len(content), 1 << 20):
            copy.write(bytes(content[start : start + (1 << 20)]))
    _merge(connection, table, staged, None)


def delete_rows(
    connection: sa.Connection, table: sa.Table, keys: Sequence[Sequence[Any]], returning: str | None = None
) -> list[Any]:
    """Delete the rows with these primary keys in one statement; the ``returning`` column of those that were there."""
    if not keys:
        return []
    names = ", ".join(column.name for column in table.primary_key.columns)
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    marks = ", ".join([f"({', '.join([mark] * len(keys[0]))})"] * len(keys))
    statement = f"DELETE FROM {table.name} WHERE ({names}) IN (VALUES {marks})"  # noqa: S608 - names of ours
    values = tuple(escape_for(connection, value) for key in keys for value in key)
    if returning is None:
        connection.exec_driver_sql(statement, values)
        return []
    gone = connection.exec_driver_sql(f"{statement} RETURNING {returning}", values)
    return [value if mark == "?" else unescaped(value) for (value,) in gone]


def escape_for(connection: sa.Connection, value: Any) -> Any:
    """The value as this connection's database can hold it."""
    return value if connection.dialect.name == "sqlite" else escaped(value)


def read_rows(connection: sa.Connection, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
    """All rows, as tuples."""
    return list(rows_one_by_one(connection, statement))


def rows_one_by_one(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[tuple[Any, ...]]:
    """The rows as tuples, each made when it is asked for. Within the transaction only."""
    result = connection.execute(statement)
    if connection.dialect.name == "sqlite":
        # The driver's own tuples: no column of ours is converted on the way.
        cursor: Any = result.cursor
        rows: Iterator[tuple[Any, ...]] = iter(cursor)
        return rows
    return (tuple(map(unescaped, row)) if _any_escape(row) else row for row in map(tuple, result))


def _any_escape(row: tuple[Any, ...]) -> bool:
    return any(isinstance(value, str) and _SOH in value for value in row)


def _stage(connection: sa.Connection, table: sa.Table) -> str:
    staged = f"staged_{table.name}"
    connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {staged} (LIKE {table.name}) ON COMMIT DELETE ROWS")
    connection.exec_driver_sql(f"TRUNCATE {staged}")
    return staged


def _merge(connection: sa.Connection, table: sa.Table, staged: str, update: Sequence[str] | None) -> None:
    names = ", ".join(column.name for column in table.columns)
    conflict = _conflict(table, update)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {staged} {conflict}")  # noqa: S608


def _conflict(table: sa.Table, update: Sequence[str] | None) -> str:
    keys = [column.name for column in table.primary_key.columns]
    others = list(update) if update is not None else [c.name for c in table.columns if c.name not in keys]
    target = f"ON CONFLICT ({', '.join(keys)})"
    if not others:
        return f"{target} DO NOTHING"
    return f"{target} DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
