"""A key store in a database of its own: SQLite or PostgreSQL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from operator import itemgetter
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from journeymesh.errors import StoreCorrupt
from journeymesh.journeys.policies import PolicyTerm
from journeymesh.keys import rotation
from journeymesh.keys.derivations import SECRET_BYTES, CommonKey, SubjectKeys
from journeymesh.keys.live_keys import LiveKeys, generation_in, grow_generation, make_first_keys, token
from journeymesh.keys.port import KeyProvider, Subject, Treatment, VehicleMonth
from journeymesh.keys.tables import KeyStoreDatabase, handles, intermediate_keys, secrets, treatments
from journeymesh.lru import LruCache

T = TypeVar("T")

KEPT: Final = 20_000
"""Subjects whose keys are remembered at most, the latest used: about 2 KiB each."""
_AT_ONCE: Final = 500
"""Values in one SQL statement."""


class _Kept:
    """The keys of one subject, and the months whose handles are known to stand in the database."""

    __slots__ = ("keys", "months", "subject")

    def __init__(self, keys: SubjectKeys, subject: Subject | None) -> None:
        self.keys, self.subject = keys, subject
        self.months: set[int | None] = set()


class SqlKeyStore:
    """See ``KeyStore``. The provider is asked once, whatever the number of subjects; secrets are read as they are
    needed, and at most ``kept`` subjects' keys are remembered."""

    def __init__(self, database: KeyStoreDatabase, provider: KeyProvider, *, kept: int = KEPT) -> None:
        self.database, self._provider = database, provider
        self._lock = threading.RLock()
        self._ring: LiveKeys | None = None
        self._by_subject: LruCache[Subject, _Kept] = LruCache(kept)
        self._by_secret: LruCache[str, _Kept] = LruCache(kept)
        self._by_handle: LruCache[str, _Kept] = LruCache(4 * kept)

    def migrate(self) -> None:
        """Create or upgrade the tables, and make the first keys where there are none. Idempotent."""
        self.database.migrate()
        with self.database.reading() as connection:
            if generation_in(connection) is not None:
                return
        provider_key = self._provider.create()
        with self.database.writing() as connection:
            if generation_in(connection) is None:
                make_first_keys(connection, self._provider, provider_key)
                return
        self._provider.destroy(provider_key)  # another process was first

    def index_key(self) -> CommonKey:
        with self.database.reading() as connection:
            return self._fresh(connection).index_key

    def former_index_key(self) -> CommonKey | None:
        with self.database.reading() as connection:
            return self._fresh(connection).former_index_key

    def index_keys_in(self, connection: sa.Connection) -> tuple[CommonKey, ...]:
        """The index key as of this transaction, and behind it, while it is being replaced, the one before."""
        return self._fresh(connection).index_keys

    def store_key(self) -> CommonKey:
        with self.database.reading() as connection:
            return self._fresh(connection).store_key

    def keys_of(self, subjects: Iterable[Subject]) -> dict[Subject, SubjectKeys]:
        with self.database.reading() as connection:
            return {subject: kept.keys for subject, kept in self._known(connection, subjects).items()}

    def ensure(self, wanted: Iterable[tuple[Subject, int | None]]) -> dict[Subject, SubjectKeys]:
        pairs = list(dict.fromkeys(wanted))
        with self.database.reading() as connection:
            known = self._known(connection, (subject for subject, _ in pairs))
        if all(subject in known and month in known[subject].months for subject, month in pairs):
            return {subject: kept.keys for subject, kept in known.items()}
        with self.database.writing() as connection:
            known = self._known(connection, (subject for subject, _ in pairs))
            ring = self._fresh(connection)
            made = {subject: None for subject, _ in pairs if subject not in known}
            rows = []
            for subject in made:
                secret_id, secret = os.urandom(16).hex(), os.urandom(SECRET_BYTES)
                rows.append(ring.row(secret_id, secret, subject))
                known[subject] = _Kept(SubjectKeys(secret_id, secret), subject)
            if rows:  # by their random names: the order in which subjects were given is nobody's to see
                connection.execute(sa.insert(secrets), sorted(rows, key=itemgetter("secret_id")))
            self._put_handles(connection, [(known[subject], month) for subject, month in pairs])
        for subject, month in pairs:  # known from now on that it is committed
            kept = known[subject]
            kept.months.add(month)
            self._remember(kept)
        return {subject: kept.keys for subject, kept in known.items()}

    def by_handles(self, handles_: Iterable[str]) -> dict[str, SubjectKeys]:
        with self.database.reading() as connection:
            ring = self._fresh(connection)
            led: dict[str, SubjectKeys] = {}
            unknown: list[str] = []
            for handle in dict.fromkeys(handles_):
                kept = self._by_handle.get(handle)
                if kept is None:
                    unknown.append(handle)
                else:
                    led[handle] = kept.keys
            joined = sa.select(handles.c.handle, *secrets.columns).join(
                secrets, secrets.c.secret_id == handles.c.secret_id
            )
            for row in _in_chunks(connection, joined, handles.c.handle, unknown):
                kept = self._opened(ring, row)
                self._by_handle.put(row.handle, kept)
                led[row.handle] = kept.keys
        return led

    def subject_of(self, keys: SubjectKeys) -> Subject:
        kept = self._by_secret.get(keys.secret_id)
        if kept is not None and kept.subject is not None:
            return kept.subject
        with self.database.reading() as connection:
            ring = self._fresh(connection)
            row = connection.execute(sa.select(secrets).where(secrets.c.secret_id == keys.secret_id)).first()
        if row is None:
            raise StoreCorrupt("a subject was shredded while it was read", todo="ask again")
        subject = ring.subject(row)
        if kept is not None:
            kept.subject = subject
        return subject

    def terms_of_number(self, number: str) -> list[PolicyTerm]:
        return [each for each in self._named("number", number) if isinstance(each, PolicyTerm)]

    def months_of_vehicle(self, vehicle: str) -> list[VehicleMonth]:
        return [each for each in self._named("vehicle", vehicle) if isinstance(each, VehicleMonth)]

    def subjects(self) -> Iterator[Subject]:
        after = ""
        while True:
            with self.database.reading() as connection:
                ring = self._fresh(connection)
                asked = sa.select(secrets).where(secrets.c.secret_id > after).order_by(secrets.c.secret_id)
                rows = connection.execute(asked.limit(_AT_ONCE)).all()
                page = [ring.subject(row) for row in rows]
            yield from page
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1].secret_id

    def generation(self) -> int:
        with self.database.reading() as connection:
            return generation_in(connection) or 0

    def shred(self, subjects: Iterable[Subject]) -> int:
        wanted, gone = iter(subjects), 0
        while page := list(islice(wanted, _AT_ONCE)):
            with self.database.writing() as connection:
                ids = [kept.keys.secret_id for kept in self._known(connection, page).values()]
                connection.execute(sa.delete(handles).where(handles.c.secret_id.in_(ids)))
                gone += connection.execute(sa.delete(secrets).where(secrets.c.secret_id.in_(ids))).rowcount
                grow_generation(connection)
            self._forget()
        return gone

    def begin_rotation(self) -> None:
        self._changing(lambda: rotation.begin(self.database, self._provider))
        while self._changing(lambda: rotation.rewrap_some(self.database, self._fresh)):
            pass

    def finish_rotation(self, treatment_id: str) -> Treatment:
        return self._changing(lambda: rotation.finish(self.database, self._provider, treatment_id))

    def treatments(self) -> list[Treatment]:
        asked = sa.select(treatments).order_by(treatments.c.finished_at_us, treatments.c.treatment_id)
        with self.database.reading() as connection:
            return [rotation.treatment_of(row) for row in connection.execute(asked)]

    def check(self) -> None:
        with self.database.reading() as connection:
            newest = sa.select(intermediate_keys).where(intermediate_keys.c.wrapped.is_not(None))
            rows = connection.execute(newest.order_by(intermediate_keys.c.version)).all()
            self._fresh(connection)
        for row in rows:
            self._provider.check(row.provider_key)

    def close(self) -> None:
        self._forget()
        with self._lock:
            self._ring = None
        self._provider.close()
        self.database.close()

    def _changing(self, change: Callable[[], T]) -> T:
        try:
            return change()
        finally:
            self._forget()

    def _fresh(self, connection: sa.Connection) -> LiveKeys:
        """The keys that stand now: every transaction asks, so that no other process's rotation goes unseen."""
        generation = generation_in(connection)
        with self._lock:
            if self._ring is None or self._ring.generation != generation:
                self._forget()
                self._ring = LiveKeys.read(connection, self._provider)
            return self._ring

    def _forget(self) -> None:
        for cache in (self._by_subject, self._by_secret, self._by_handle):
            cache.clear()

    def _remember(self, kept: _Kept) -> None:
        self._by_secret.put(kept.keys.secret_id, kept)
        if kept.subject is not None:
            self._by_subject.put(kept.subject, kept)
        for month in kept.months:
            self._by_handle.put(kept.keys.handle(month), kept)

    def _opened(self, ring: LiveKeys, row: Any) -> _Kept:
        kept = self._by_secret.get(row.secret_id)
        if kept is None:
            kept = _Kept(SubjectKeys(row.secret_id, ring.secret(row)), None)
            self._by_secret.put(row.secret_id, kept)
        return kept

    def _known(self, connection: sa.Connection, subjects: Iterable[Subject]) -> dict[Subject, _Kept]:
        ring = self._fresh(connection)
        known: dict[Subject, _Kept] = {}
        by_token: dict[str, Subject] = {}
        for subject in dict.fromkeys(subjects):
            kept = self._by_subject.get(subject)
            if kept is None:
                by_token |= {token(key, subject): subject for key in ring.index_keys}
            else:
                known[subject] = kept
        for row in _in_chunks(connection, sa.select(secrets), secrets.c.token, by_token):
            kept = self._opened(ring, row)
            subject = kept.subject = by_token[row.token]
            self._by_subject.put(subject, kept)
            known[subject] = kept
        return known

    def _put_handles(self, connection: sa.Connection, wanted: list[tuple[_Kept, int | None]]) -> None:
        rows = {kept.keys.handle(month): kept.keys.secret_id for kept, month in wanted if month not in kept.months}
        there = {row.handle for row in _in_chunks(connection, sa.select(handles.c.handle), handles.c.handle, rows)}
        missing = [{"handle": handle, "secret_id": rows[handle]} for handle in sorted(rows.keys() - there)]
        if missing:
            connection.execute(sa.insert(handles), missing)

    def _named(self, kind: str, name: str) -> list[Subject]:
        with self.database.reading() as connection:
            ring = self._fresh(connection)
            tokens = [key.token(kind, name) for key in ring.index_keys]
            return [
                ring.subject(row) for row in _in_chunks(connection, sa.select(secrets), secrets.c.name_token, tokens)
            ]


def _in_chunks(connection: sa.Connection, asked: sa.Select[Any], column: Any, among: Iterable[str]) -> Iterator[Any]:
    """The rows in which the column has one of these values."""
    values = iter(among)
    while page := list(islice(values, _AT_ONCE)):
        yield from connection.execute(asked.where(column.in_(page)))
