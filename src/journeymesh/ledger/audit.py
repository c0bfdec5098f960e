"""The audit: what is recorded before data leaves, asked of and verified. One chain per writer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase, now_us
from journeymesh.errors import StoreCorrupt, UsageError
from journeymesh.field_copies import copy_fields
from journeymesh.instants import to_us
from journeymesh.ledger.audit_tables import records
from journeymesh.ledger.chain import genesis
from journeymesh.ledger.chain_writer import MOST_WAITING, ChainWriter, name_of_this_run
from journeymesh.ledger.checkpoints import (
    Checkpoint,
    CheckpointFolder,
    CheckpointKeys,
    CheckpointSigner,
    digest_of,
    name_of,
    opened_all,
)
from journeymesh.ledger.port import AuditPlace, AuditRecord, Head
from journeymesh.ledger.verification import ChainFault, Verification, verify_chains

MOST_AT_ONCE: Final = 1_000

_HEADS: Final = """
WITH RECURSIVE known(writer) AS (
    SELECT min(writer) FROM audit_records
    UNION ALL
    SELECT (SELECT min(writer) FROM audit_records AS later WHERE later.writer > known.writer)
    FROM known WHERE known.writer IS NOT NULL
)
SELECT known.writer, last.number, last.digest
FROM known JOIN audit_records AS last ON last.writer = known.writer
    AND last.number = (SELECT max(number) FROM audit_records AS each WHERE each.writer = known.writer)
ORDER BY known.writer
"""  # two steps in the index per writer, however many records each has


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Which records: within ``[since, until)``, at most ``limit`` (1,000), and the next ones with ``after`` the last
    one's ``place``. None: any."""

    after: AuditPlace | None = None
    limit: int = 100
    kind: str | None = None
    writer: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    newest_first: bool = False


class Audit:
    """The audit in one database. Safe for several threads."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def writer(self, name: str | None = None, *, most_waiting: int = MOST_WAITING) -> ChainWriter:
        """The appender of a chain of this run, or of the chain of this name.

        ``most_waiting``: records that may wait for a commit; more are refused at once.

        Raises:
            UsageError: the name is none. StoreUnavailable: the database cannot be read.
        """
        return ChainWriter(self._database, name_of_this_run() if name is None else name, most_waiting=most_waiting)

    def query(self, query: RecordQuery | None = None) -> list[AuditRecord]:
        """The records of all writers that the query names (None: the first of all), by instant.

        Raises:
            UsageError: a limit or an instant is none. StoreUnavailable: the database cannot be read.
        """
        query = query or RecordQuery()
        if not 1 <= query.limit <= MOST_AT_ONCE:
            raise UsageError(f"a limit of {query.limit} records", todo=f"ask for 1 to {MOST_AT_ONCE}")
        columns = (records.c.at_us, records.c.writer, records.c.number)
        statement = _with_previous()
        if query.after is not None:
            place, last = sa.tuple_(*columns), sa.tuple_(*(sa.literal(part) for part in query.after))
            statement = statement.where(place < last if query.newest_first else place > last)
        if query.kind is not None:
            statement = statement.where(records.c.kind == query.kind)
        if query.writer is not None:
            statement = statement.where(records.c.writer == query.writer)
        if query.since is not None:
            statement = statement.where(records.c.at_us >= _micros(query.since))
        if query.until is not None:
            statement = statement.where(records.c.at_us < _micros(query.until))
        order = (column.desc() if query.newest_first else column.asc() for column in columns)
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(statement.order_by(*order).limit(query.limit))]

    def find(self, key: str) -> AuditRecord | None:
        """The newest record with this key; None: there is none.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        asked = _with_previous().where(records.c.key == key).order_by(records.c.at_us.desc(), records.c.number.desc())
        with self._database.reading() as connection:
            row = connection.execute(asked.limit(1)).first()
        return None if row is None else _record(row)

    def heads(self) -> tuple[Head, ...]:
        """The last record of every chain, by writer.

        Raises:
            StoreUnavailable: the database cannot be read.
        """
        with self._database.reading() as connection:
            return tuple(_head(row) for row in connection.exec_driver_sql(_HEADS))

    def checkpoint(self, signer: CheckpointSigner, kept: CheckpointFolder) -> Checkpoint:
        """Sign the heads of all chains, and keep that elsewhere.

        Raises:
            CheckpointRefused: the newest one kept was changed, so nothing is signed on top of it.
            StoreUnavailable: the database or the folder cannot be read or written.
        """
        newest = kept.newest()
        at_us, before = now_us(), b""
        if newest is not None:
            at_us = max(at_us, signer.keys.opened(*newest).at_us + 1)
            before = digest_of(newest[1])
        checkpoint = Checkpoint(name_of(at_us), at_us, self.heads(), before)
        kept.add(checkpoint.name, signer.sign(checkpoint))
        return checkpoint

    def verify(self, kept: CheckpointFolder | None = None, keys: CheckpointKeys | None = None) -> Verification:
        """Check every record, and every checkpoint kept against its records.

        Without checkpoints a cut tail, a removed chain and a whole rewrite go unseen.

        Raises:
            UsageError: checkpoints are given without the keys to check them.
            StoreUnavailable: the database or the folder cannot be read.
        """
        if kept is None:
            return verify_chains(self._database, [])
        if keys is None:
            raise UsageError("checkpoints are given without keys", todo="give the public key that they are checked by")
        opened, wrong = opened_all(kept, keys)
        return verify_chains(self._database, opened, [ChainFault("", 0, 0, what) for what in wrong])


def _with_previous() -> sa.Select[Any]:
    """Records, each with the digest of the one before."""
    before = records.alias("before")
    joined = records.outerjoin(
        before, sa.and_(before.c.writer == records.c.writer, before.c.number == records.c.number - 1)
    )
    return sa.select(*records.columns, before.c.digest.label("previous")).select_from(joined)


def _record(row: Any) -> AuditRecord:
    with _well_kept(row.writer, row.number):
        body = msgspec.json.decode(row.body, type=dict[str, Any])
        previous = genesis(row.writer) if row.previous is None else bytes(row.previous)
        return copy_fields(AuditRecord, row, body=body, previous=previous, digest=bytes(row.digest))


def _head(row: Any) -> Head:
    with _well_kept(row.writer, row.number):
        return Head(row.writer, int(row.number), bytes(row.digest))


@contextmanager
def _well_kept(writer: object, number: object) -> Iterator[None]:
    """What was written can be read; what cannot was changed."""
    try:
        yield
    except (msgspec.MsgspecError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise StoreCorrupt(f"audit {writer}: record {number} cannot be read", todo="verify the audit") from error


def _micros(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise UsageError(f"{instant.isoformat()} has no time zone", todo="give an aware instant")
    return to_us(instant)
