"""The layer over a store that keeps personal data sealed: callers see clear rows, the database protected ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from journeymesh.errors import StoreUnavailable
from journeymesh.stores.protected_kinds import PROTECTED, STATE
from journeymesh.stores.protected_owners import Owners
from journeymesh.stores.protected_reads import ProtectedReads
from journeymesh.stores.protected_rows import ProtectedRows
from journeymesh.stores.row_kinds import ReadableRows, WritableRows
from journeymesh.stores.row_store import RowStore

if TYPE_CHECKING:
    from journeymesh.keys.port import KeyStore

T = TypeVar("T")

_CHECK: Final = "check"
_KEYS_OF: Final = "key_store"
_TOKENS_OF: Final = "index_key"


class ProtectedStore(RowStore):
    """Both ports over another store, whose rows are sealed by these keys. Safe for threads."""

    def __init__(self, inner: RowStore, keys: KeyStore) -> None:
        self.inner, self.url = inner, inner.url
        self._owners = Owners(keys)

    def migrate(self) -> None:
        """Create or upgrade the schema of the store below."""
        self.inner.migrate()

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        return self.inner.schema_version()

    def close(self) -> None:
        """Close the store below. The key store is its owner's to close."""
        self.inner.close()

    @contextmanager
    def _reading(self) -> Iterator[ReadableRows]:
        self._owners.refresh()
        with self.inner._reading() as rows:
            self._require_keys(rows)
            yield ProtectedReads(rows, self._owners)

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        self._owners.refresh()

        def write(into: WritableRows) -> T:
            if not self._require_keys(into):
                keys = self._owners.keys
                checks = ((_KEYS_OF, keys.store_key()), (_TOKENS_OF, keys.index_key()))
                into.put(STATE, [(name, key.token(_CHECK)) for name, key in checks])
            protected = ProtectedRows(into, self._owners)
            result = writing(protected)
            protected.flush()
            return result

        return self.inner._write(write)

    def _require_keys(self, rows: ReadableRows) -> bool:
        """Whether the store is protected: by these keys; False: it is empty.

        Raises:
            StoreUnavailable: it holds rows in clear, or it is protected by other keys or by a former index key.
        """
        state: dict[str, str] = dict(rows.select(STATE))
        if not state:
            if any(rows.count(kind) for kind in PROTECTED):
                raise StoreUnavailable(f"{self.url}: holds rows in clear", todo="run: journeymesh store protect")
            return False
        keys = self._owners.keys
        if state.get(_KEYS_OF) != keys.store_key().token(_CHECK):
            raise StoreUnavailable(f"{self.url}: is protected by another key store", todo="use the one it belongs to")
        former = keys.former_index_key()
        tokens = [key.token(_CHECK) for key in (keys.index_key(), former) if key is not None]
        if state.get(_TOKENS_OF) not in tokens:
            raise StoreUnavailable(
                f"{self.url}: is a copy from before the index key was replaced", todo="run: journeymesh store protect"
            )
        return True
