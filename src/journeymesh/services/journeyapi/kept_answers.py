"""Answers kept by Idempotency-Key: who asks the same again is given the same answer, and nothing is done twice."""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa

from journeymesh.databases.database import Schema, SqlDatabase, now_us
from journeymesh.identity.identity import Identity
from journeymesh.journeys.policies import Policy
from journeymesh.services.http.problems import CONFLICT, UNPROCESSABLE, ProblemRaised

KEPT_S: Final = 7 * 24 * 3600
"""For how long a key is remembered, at least."""
_COMPRESSED_FROM_BYTES: Final = 64 << 10
_ZLIB: Final = b"\x78"
"""What zlib's data begin with (RFC 1950), and no JSON does."""

metadata = sa.MetaData()
answers = sa.Table(
    "journeyapi_answers",
    metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("request", sa.String(64), nullable=False),
    sa.Column("body", sa.LargeBinary(), nullable=False),
    sa.Column("at_us", sa.BigInteger(), nullable=False),
)
SCHEMA: Final = Schema(
    head="0001",
    version_table="journeyapi_schema",
    migrations=Path(__file__).parent / "migrations",
    writers_lock=0x6A6F7572_6E657961,  # "journeya"
)


def answers_database(url: str) -> SqlDatabase:
    """The database that answers are kept in: SQLite for one machine, PostgreSQL for several."""
    return SqlDatabase(url, SCHEMA, kind="answers", todo="start journeyapi, which makes it")


def key_of(identity: Identity | None, key: str) -> str:
    """The key as it is kept: a client's own, who is another one under another tenant; and nothing of the client or of
    the key can be read from it."""
    who = ("", "", "") if identity is None else (identity.provider, identity.subject, identity.tenant)
    return hashlib.blake2b("\0".join((*who, key)).encode(), digest_size=32).hexdigest()


def digest_of(media: str, body: bytes | bytearray) -> str:
    """Names a request by its media type and body, which is not copied."""
    held = hashlib.blake2b(media.encode() + b"\0", digest_size=32)
    held.update(body)
    return held.hexdigest()


@dataclass(frozen=True, slots=True)
class KeptAnswers:
    """Does a thing once by key. Safe for several threads and replicas.

    What is done has to bear being done again: a process that ends between doing and keeping does it again.
    """

    database: SqlDatabase
    _under_way: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def once(self, key: str, digest: str, do: Callable[[], bytes]) -> tuple[bytes, bool]:
        """(the answer, whether it was given before). ``digest`` names the request (``digest_of``).

        Raises:
            ProblemRaised: the key was used for another request, or one with it is under way.
        """
        with self._lock:
            if key in self._under_way:
                raise ProblemRaised(CONFLICT, "a request with this Idempotency-Key is under way", retry_after_s=1.0)
            self._under_way.add(key)
        try:
            held = self._kept(key, digest)
            if held is not None:
                return held, True
            body = do()
            return self._keep(key, digest, body)
        finally:
            with self._lock:
                self._under_way.discard(key)

    def _kept(self, key: str, digest: str) -> bytes | None:
        with self.database.reading() as connection:
            return _checked(connection.execute(sa.select(answers).where(answers.c.key == key)).first(), digest)

    def _keep(self, key: str, digest: str, body: bytes) -> tuple[bytes, bool]:
        at_us = now_us()
        with self.database.writing() as connection:
            held = _checked(connection.execute(sa.select(answers).where(answers.c.key == key)).first(), digest)
            if held is not None:  # another replica was faster
                return held, True
            connection.execute(sa.delete(answers).where(answers.c.at_us < at_us - KEPT_S * 1_000_000))
            connection.execute(sa.insert(answers).values(key=key, request=digest, body=_stored(body), at_us=at_us))
        return body, False


@dataclass(frozen=True, slots=True)
class AnswerForgetting:
    """Forgets kept answers that name erased terms; see ``Forgetting`` of the room ``privacy``.

    Whoever asks again under such a key is answered anew, and nothing is done twice by it.
    """

    database: SqlDatabase

    def forget(self, policies: Sequence[Policy]) -> int:
        """Remove answers that name a number, vehicle or device of these terms; returns how many. Idempotent. Where
        journeyapi never kept an answer there is none.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        with self.database.reading() as connection:
            if not sa.inspect(connection).has_table(answers.name):
                return 0
        named = {name for each in policies for name in (each.number, each.vehicle, each.device) if name is not None}
        texts = [name.encode() for name in named] + [msgspec.json.encode(name)[1:-1] for name in named]
        with self.database.writing() as connection:
            keys = [
                row.key
                for row in connection.execute(sa.select(answers.c.key, answers.c.body))
                if any(text in _opened(bytes(row.body)) for text in texts)
            ]
            for key in keys:
                connection.execute(sa.delete(answers).where(answers.c.key == key))
        return len(keys)


def _checked(row: sa.Row[tuple[str, str, bytes, int]] | None, digest: str) -> bytes | None:
    if row is None:
        return None
    if row.request != digest:
        raise ProblemRaised(UNPROCESSABLE, "the Idempotency-Key was used for another request")
    return _opened(bytes(row.body))


def _opened(body: bytes) -> bytes:
    return zlib.decompress(body) if body.startswith(_ZLIB) else body


def _stored(body: bytes) -> bytes:
    """The answer as it is kept: a list of 200,000 refusals is 20 MB, and one of them is like another."""
    return body if len(body) < _COMPRESSED_FROM_BYTES else zlib.compress(body, 1)
