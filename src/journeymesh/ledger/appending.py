"""Rows of the audit into its table: each call is one transaction, and durable when it returns.

On PostgreSQL that is one prepared statement whose parameters are the rows' columns as arrays, in one exchange with the
server on a connection that is kept: what a record costs is then the row itself, and not the asking.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.ledger.audit_tables import records

Row = tuple[str, int, int, str, str | None, bytes, bytes]
"""A record as it is stored: writer, number, at_us, kind, key, body, digest."""

COLUMNS: Final = tuple(column.name for column in records.columns)
_ASKED_AGAIN_AFTER_S: Final = 1.0
"""A connection that was idle for longer is asked whether it still is one before it is used."""
_STATEMENT: Final = b"journeymesh_audit_append"
_INSERT: Final = (
    f"INSERT INTO audit_records ({', '.join(COLUMNS)}) "
    "SELECT unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]), "
    "unnest($6::bytea[]), unnest($7::bytea[])"
).encode()
_INT8, _TEXT, _BYTEA = 20, 25, 17
"""PostgreSQL's numbers of the types."""


class Appending(Protocol):
    """Adds rows. For one thread."""

    def append(self, rows: Sequence[Row]) -> None:
        """Add them all or none; they are durable when this returns.

        Raises:
            StoreUnavailable: it is not known whether they were added.
        """

    def close(self) -> None:
        """Let the connection go. Idempotent."""


def appending(database: SqlDatabase) -> Appending:
    """What adds rows to the audit in this database."""
    return SqliteAppending(database) if database.is_sqlite else PostgresqlAppending(database)


class SqliteAppending:
    """Adds rows to SQLite."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._insert = f"INSERT INTO audit_records ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - constants

    def append(self, rows: Sequence[Row]) -> None:
        """Add them all or none."""
        with self._database.writing() as connection:
            connection.exec_driver_sql(self._insert, list(rows))

    def close(self) -> None:
        """There is none that is kept."""


class PostgresqlAppending:
    """Adds rows to PostgreSQL."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database
        self._connection: sa.Connection | None = None
        self._server: Any = None
        self._encoding = "utf-8"
        self._used_at_s = 0.0

    def append(self, rows: Sequence[Row]) -> None:
        """Add them all or none."""
        from psycopg import errors, pq

        with self._database.faults():
            try:
                server = self._opened()
                answer = server.exec_prepared(_STATEMENT, self._asked(rows), [pq.Format.BINARY] * len(COLUMNS))
                if answer.status != pq.ExecStatus.COMMAND_OK:
                    raise errors.error_from_result(answer)
            except BaseException:
                self._drop()
                raise
        self._used_at_s = time.monotonic()

    def _asked(self, rows: Sequence[Row]) -> list[bytes]:
        """The statement's parameters."""
        writers, numbers, instants, kinds, keys, bodies, digests = zip(*rows, strict=True)
        return [
            self._texts(writers), _integers(numbers), _integers(instants), self._texts(kinds), self._texts(keys),
            _array(_BYTEA, bodies), _array(_BYTEA, digests),
        ]  # fmt: skip

    def _texts(self, values: Iterable[str | None]) -> bytes:
        return _array(_TEXT, [None if value is None else value.encode(self._encoding) for value in values])

    def close(self) -> None:
        """Let the connection go."""
        connection, self._connection, self._server = self._connection, None, None
        if connection is not None:
            connection.close()

    def _opened(self) -> Any:
        """libpq's connection, with the statement prepared."""
        from psycopg import errors, pq

        if self._connection is not None and time.monotonic() - self._used_at_s > _ASKED_AGAIN_AFTER_S:
            self.close()
        if self._connection is None:
            # The pool asks whether a connection is still one. Each statement is a transaction of its own.
            self._connection = self._database.engine().connect().execution_options(isolation_level="AUTOCOMMIT")
            held: Any = self._connection.connection.driver_connection
            prepared = held.pgconn.prepare(_STATEMENT, _INSERT)
            if prepared.status != pq.ExecStatus.COMMAND_OK and not _is_there(prepared):
                raise errors.error_from_result(prepared)
            self._server, self._encoding = held.pgconn, held.info.encoding
        return self._server

    def _drop(self) -> None:
        """Do not use the connection again: nobody knows its state."""
        connection, self._connection, self._server = self._connection, None, None
        if connection is not None:
            connection.invalidate()
            connection.close()


def _is_there(prepared: Any) -> bool:
    """Whether the connection has the statement already: it was used for it before."""
    from psycopg import pq

    return bool(prepared.error_field(pq.DiagnosticField.SQLSTATE) == b"42P05")


def _array(kind: int, values: Sequence[bytes | None]) -> bytes:
    """A PostgreSQL array as it is sent in binary: dimensions, whether it has nulls, type, length, lower bound; then
    each value behind its length, -1 for null."""
    parts = [struct.pack("!iiIii", 1, 1, kind, len(values), 1)]
    for value in values:
        if value is None:
            parts.append(b"\xff\xff\xff\xff")
        else:
            parts += len(value).to_bytes(4, "big"), value
    return b"".join(parts)


def _integers(values: Sequence[int]) -> bytes:
    held = [8] * (2 * len(values))
    held[1::2] = values
    return struct.pack(f"!iiIii{'iq' * len(values)}", 1, 0, _INT8, len(values), 1, *held)
