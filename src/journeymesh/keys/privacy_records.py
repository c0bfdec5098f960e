"""What a key store remembers of privacy runs: holds, decisions and the journal of a run that is under way.

A record names a policy, so it is sealed under the index key, which each run replaces: backups of the key store have
records that no key that is alive opens. It is found by a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa

from journeymesh.errors import StoreCorrupt
from journeymesh.keys.derivations import CommonKey, SealBroken
from journeymesh.keys.sql import SqlKeyStore
from journeymesh.keys.tables import privacy_records as table

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A record as it is found: ``name`` are the parts that it was put under."""

    name: tuple[str, ...]
    body: dict[str, Any]


class PrivacyRecords:
    """Records by kind and name, in the database of a key store."""

    def __init__(self, store: SqlKeyStore) -> None:
        self._store = store

    def put(self, kind: str, name: tuple[str, ...], body: dict[str, Any]) -> None:
        """Put a record in place of an earlier one of this name; durable when it returns."""
        key = self._store.index_key()
        content = msgspec.json.encode([list(name), body])
        with self._store.database.writing() as connection:
            connection.execute(
                sa.delete(table).where(table.c.kind == kind, table.c.token.in_(self._tokens(kind, name)))
            )
            row = {
                "kind": kind,
                "token": key.token("record", kind, *name),
                "index_version": key.version,
                "sealed": key.seal(content, kind="privacy record", stored_id=kind),
            }
            connection.execute(sa.insert(table).values(row))

    def get(self, kind: str, name: tuple[str, ...]) -> dict[str, Any] | None:
        """The record of this name; None: there is none."""
        asked = sa.select(table).where(table.c.kind == kind, table.c.token.in_(self._tokens(kind, name)))
        with self._store.database.reading() as connection:
            row = connection.execute(asked).first()
        return None if row is None else self._opened(row).body

    def remove(self, kind: str, name: tuple[str, ...]) -> bool:
        """Remove the record of this name; returns whether there was one."""
        with self._store.database.writing() as connection:
            these = sa.delete(table).where(table.c.kind == kind, table.c.token.in_(self._tokens(kind, name)))
            return connection.execute(these).rowcount > 0

    def all(self, kind: str) -> list[KeptRecord]:
        """The records of this kind, by name."""
        with self._store.database.reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.kind == kind)).all()
        return sorted((self._opened(row) for row in rows), key=lambda record: record.name)

    def move_to_newest_key(self) -> None:
        """Seal every record anew under the newest index key: before the former one is forgotten."""
        newest = self._store.index_key().version
        with self._store.database.reading() as connection:
            rows = connection.execute(sa.select(table).where(table.c.index_version != newest)).all()
        for row in rows:
            record = self._opened(row)
            self.put(row.kind, record.name, record.body)

    def _keys(self) -> Iterator[CommonKey]:
        yield self._store.index_key()
        if (former := self._store.former_index_key()) is not None:
            yield former

    def _tokens(self, kind: str, name: tuple[str, ...]) -> list[str]:
        return [key.token("record", kind, *name) for key in self._keys()]

    def _opened(self, row: Any) -> KeptRecord:
        for key in self._keys():
            if key.version == row.index_version:
                try:
                    name, body = msgspec.json.decode(key.unseal(row.sealed, kind="privacy record", stored_id=row.kind))
                except (SealBroken, msgspec.MsgspecError, ValueError) as error:
                    raise StoreCorrupt("a record of the key store does not open", todo=_RESTORE) from error
                return KeptRecord(tuple(name), body)
        raise StoreCorrupt("a record of the key store is of an unknown key", todo=_RESTORE)


_RESTORE: Final = "restore the key store from its newest backup"
