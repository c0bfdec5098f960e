"""Whether the audit is what was written: every record against the one before, every signed head against its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.databases.database import SqlDatabase
from journeymesh.ledger.chain import DIGEST_BYTES, genesis, link
from journeymesh.ledger.checkpoints import Checkpoint

_AT_ONCE: Final = 1_000
_CHUNKS_SINCE_LIBPQ: Final = 170_000

Stored = tuple[Any, ...]
"""number, at_us, kind, key, body, digest: as they are in the database, so of any type where somebody tampered."""


@dataclass(frozen=True, slots=True, order=True)
class ChainFault:
    """Something that is not as it was written.

    ``number`` to ``last_number`` are the records it may be about: one where the chain itself shows it, several where
    only signed heads do. ``writer`` is empty where it is about a checkpoint.
    """

    writer: str
    number: int
    last_number: int
    what: str

    def __str__(self) -> str:
        if not self.writer:
            return self.what
        span = (
            f"record {self.number}"
            if self.number == self.last_number
            else f"records {self.number} to {self.last_number}"
        )
        return f"{self.writer}: {span}: {self.what}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found. ``unsigned``: records after the newest checkpoint, which only their chain vouches for.

    At most one finding per chain, its first bad record, beside those about checkpoints.
    """

    records: int
    chains: int
    checkpoints: int
    unsigned: int
    findings: tuple[ChainFault, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class _Signed:
    """What checkpoints say of one chain: digests by number, and which checkpoint says so."""

    digests: dict[int, bytes] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return max(self.digests, default=0)


def verify_chains(
    database: SqlDatabase, checkpoints: Sequence[Checkpoint], broken: Iterable[ChainFault] = ()
) -> Verification:
    """Check every record of every chain, and every head that a checkpoint signed.

    ``checkpoints`` are those whose signature holds, by time; ``broken`` is what was found of the others.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    signed, findings = _signed_heads(checkpoints)
    findings = [*broken, *findings]
    records = unsigned = 0
    with database.reading() as connection:
        if nameless := _nameless(connection):
            findings.append(ChainFault("", 0, 0, f"{nameless} records have no writer: no chain vouches for them"))
        writers = list(_writers(connection))
        for writer in writers:
            if not isinstance(writer, str):  # SQLite keeps bytes in a column of text
                findings.append(ChainFault(repr(writer), 1, 1, "the writer's name is not text"))
                continue
            heads = signed.pop(writer, _Signed())
            number, finding = _verify_chain(writer, _stored(connection, writer, is_sqlite=database.is_sqlite), heads)
            records += number
            unsigned += max(0, number - heads.last)
            if finding is not None:
                findings.append(finding)
    for writer, heads in signed.items():
        name = heads.names[heads.last]
        findings.append(
            ChainFault(writer, 1, heads.last, f"the whole chain is missing; {name} signed its record {heads.last}")
        )
    return Verification(records, len(writers), len(checkpoints), unsigned, tuple(findings))


def _signed_heads(checkpoints: Sequence[Checkpoint]) -> tuple[dict[str, _Signed], list[ChainFault]]:
    """What the checkpoints say by writer, and where two of them contradict each other."""
    signed: dict[str, _Signed] = {}
    findings = []
    for checkpoint in checkpoints:
        for head in checkpoint.heads:
            known = signed.setdefault(head.writer, _Signed())
            if known.digests.setdefault(head.number, head.digest) != head.digest:
                other = known.names[head.number]
                what = f"{other} and {checkpoint.name} signed different digests"
                findings.append(ChainFault(head.writer, head.number, head.number, what))
            known.names.setdefault(head.number, checkpoint.name)
    return signed, findings


def _verify_chain(writer: str, stored: Iterable[Stored], signed: _Signed) -> tuple[int, ChainFault | None]:
    """Walk one chain. Returns how many records were read in all, and its first bad one."""
    digests: Mapping[int, bytes] = signed.digests
    number, vouched, at_before = 0, 0, -(2**63)
    previous = genesis(writer)

    def bad(what: str, first: int, last: int) -> ChainFault:
        return ChainFault(writer, first, last, what)

    rows = iter(stored)
    for found, at_us, kind, key, body, digest in rows:
        number += 1
        fault = ""
        reckoned = b""
        if found != number:
            fault = f"it is missing; record {found} comes next" if _is_after(found, number) else "another stands here"
        elif not (fault := _fault_of_form(at_us, kind, key, body, digest)):
            try:
                reckoned = link(previous, number, at_us, kind, key, body)
            except UnicodeEncodeError:  # half a character, which SQLite keeps
                fault = "its kind or its key is not text"
            else:
                if reckoned != digest:
                    fault = "it does not follow from the record before it: one of the two is not what was written"
                elif at_us < at_before:
                    fault = "it is dated before the record in front of it"
        if fault:
            return number + sum(1 for _ in rows), bad(fault, number, number)
        if number in digests:
            if digests[number] != reckoned:
                what = f"rewritten: {signed.names[number]} signed another digest of record {number}"
                return number + sum(1 for _ in rows), bad(what, vouched + 1, number)
            vouched = number
        previous, at_before = reckoned, at_us
    if number < signed.last:  # cut, or something before the end removed and the rest linked anew
        what = f"the chain ends at record {number}; {signed.names[signed.last]} signed record {signed.last}"
        return number, bad(what, vouched + 1, signed.last)
    return number, None


def _fault_of_form(at_us: object, kind: object, key: object, body: object, digest: object) -> str:
    """What is of another type or length than what is written; empty: nothing.

    Whoever owns a database can drop its NOT NULLs and change its types, and SQLite keeps any type in any column.
    """
    if type(digest) is not bytes or len(digest) != DIGEST_BYTES:
        return f"its digest is not {DIGEST_BYTES} bytes"
    if type(body) is not bytes:
        return "its body is not bytes"
    if type(at_us) is not int:
        return "its instant is not a whole number"
    if type(kind) is not str or (key is not None and type(key) is not str):
        return "its kind or its key is not text"
    return ""


def _is_after(found: object, number: int) -> bool:
    return isinstance(found, int) and found > number


_WRITERS: Final = """
WITH RECURSIVE known(writer) AS (
    SELECT min(writer) FROM audit_records
    UNION ALL
    SELECT (SELECT min(writer) FROM audit_records AS later WHERE later.writer > known.writer)
    FROM known WHERE known.writer IS NOT NULL
)
SELECT writer FROM known WHERE writer IS NOT NULL ORDER BY writer
"""  # one step in the index per writer, however many records each has


def _nameless(connection: sa.Connection) -> int:
    return int(connection.exec_driver_sql("SELECT count(*) FROM audit_records WHERE writer IS NULL").scalar_one())


def _writers(connection: sa.Connection) -> Iterator[Any]:
    yield from connection.exec_driver_sql(_WRITERS).scalars()


def _stored(connection: sa.Connection, writer: str, *, is_sqlite: bool) -> Iterator[Stored]:
    """A chain's rows by number, on the driver's own cursor: SQLAlchemy's rows would take as long as the digests."""
    columns = "SELECT number, at_us, kind, key, body, digest FROM audit_records WHERE writer ="
    raw: Any = connection.connection
    if is_sqlite:
        cursor = raw.cursor()
        rows = cursor.execute(f"{columns} ? ORDER BY number", (writer,))
    else:  # streamed, so that the server reads on while the digests are reckoned
        from psycopg import pq

        cursor = raw.driver_connection.cursor()
        at_once = _AT_ONCE if pq.version() >= _CHUNKS_SINCE_LIBPQ else 1
        rows = cursor.stream(f"{columns} %s ORDER BY number", (writer,), binary=True, size=at_once)
    try:
        yield from rows
    finally:
        cursor.close()
