"""What a key store remembers of privacy runs: holds, decisions and the journal of a run that is under way.

A record names a policy, so it is sealed under the index key, which each run replaces: backups of the key store have
records that no key that is alive opens. It is found by a token.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from journeymesh.errors import StoreCorrupt
from journeymesh.keys.derivations import CommonKey, SealBroken
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import privacy_records as table


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record as it is found: ``name`` are the parts that it was put under."""

    name: tuple[str, ...]
    body: dict[str, Any]


class PrivacyRecords:
    """Records by kind and name, in the database of a key store."""

    def __init__(self, store: SqlKeyStore) -> None:
        self._store = store

    @contextmanager
    def changing(self) -> Iterator[RecordsNow]:
        """The records, to be read and written in one transaction that is the only writer's: nobody else's hold,
        release or journal comes between, and no rotation. Durable at its end."""
        with self._store.database.writing() as connection:
            yield RecordsNow(connection, self._store.index_keys_in(connection))

    @contextmanager
    def _reading(self) -> Iterator[RecordsNow]:
        with self._store.database.reading() as connection:
            yield RecordsNow(connection, self._store.index_keys_in(connection))

    def put(self, kind: str, name: tuple[str, ...], body: dict[str, Any]) -> None:
        """Put a record in place of an earlier one of this name; durable when it returns."""
        with self.changing() as records:
            records.put(kind, name, body)

    def get(self, kind: str, name: tuple[str, ...]) -> dict[str, Any] | None:
        """The record of this name; None: there is none."""
        with self._reading() as records:
            return records.get(kind, name)

    def remove(self, kind: str, name: tuple[str, ...]) -> bool:
        """Remove the record of this name; returns whether there was one."""
        with self.changing() as records:
            return records.remove(kind, name)

    def all(self, kind: str) -> list[KeptRecord]:
        """The records of this kind, by name."""
        with self._reading() as records:
            return records.all(kind)

    def move_to_newest_key(self) -> None:
        """Seal every record anew under the newest index key: before the former one is forgotten."""
        with self.changing() as records:
            records.move_to_newest_key()

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """No other process runs this meanwhile; whoever is killed lets go.

        Raises:
            StoreUnavailable: another one does.
        """
        with self._store.database.alone("privacy run"):
            yield


class RecordsNow:
    """The records within one transaction. ``keys``: the index key as of it, and the one that it replaces, if any."""

    def __init__(self, connection: sa.Connection, keys: Sequence[CommonKey]) -> None:
        self._connection, self._keys = connection, keys

    def put(self, kind: str, name: tuple[str, ...], body: dict[str, Any]) -> None:
        """Put a record in place of an earlier one of this name."""
        key = self._keys[0]
        self.remove(kind, name)
        content = msgspec.json.encode([list(name), body])
        row = {
            "kind": kind,
            "token": key.token("record", kind, *name),
            "index_version": key.version,
            "sealed": key.seal(content, kind="privacy record", stored_id=kind),
        }
        self._connection.execute(sa.insert(table).values(row))

    def get(self, kind: str, name: tuple[str, ...]) -> dict[str, Any] | None:
        """The record of this name; None: there is none."""
        row = self._connection.execute(sa.select(table).where(self._this(kind, name))).first()
        return None if row is None else self._opened(row).body

    def remove(self, kind: str, name: tuple[str, ...]) -> bool:
        """Remove the record of this name; returns whether there was one."""
        return self._connection.execute(sa.delete(table).where(self._this(kind, name))).rowcount > 0

    def all(self, kind: str) -> list[KeptRecord]:
        """The records of this kind, by name."""
        rows = self._connection.execute(sa.select(table).where(table.c.kind == kind)).all()
        return sorted((self._opened(row) for row in rows), key=lambda record: record.name)

    def move_to_newest_key(self) -> None:
        """Seal every record anew under the newest index key."""
        older = sa.select(table).where(table.c.index_version != self._keys[0].version)
        for row in self._connection.execute(older).all():
            record = self._opened(row)
            self.put(row.kind, record.name, record.body)

    def _this(self, kind: str, name: tuple[str, ...]) -> sa.ColumnElement[bool]:
        tokens = [key.token("record", kind, *name) for key in self._keys]
        return sa.and_(table.c.kind == kind, table.c.token.in_(tokens))

    def _opened(self, row: Any) -> KeptRecord:
        for key in self._keys:
            if key.version == row.index_version:
                try:
                    name, body = msgspec.json.decode(key.unseal(row.sealed, kind="privacy record", stored_id=row.kind))
                except (SealBroken, msgspec.MsgspecError, ValueError) as error:
                    raise StoreCorrupt("a record of the key store does not open", todo=_RESTORE) from error
                return KeptRecord(tuple(name), body)
        raise StoreCorrupt("a record of the key store is of an unknown key", todo=_RESTORE)


_RESTORE: Final = "restore the key store from its newest backup"
