"""The layer over a store that keeps personal data sealed: callers see clear rows, the database protected ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from journeymesh.errors import StoreUnavailable
from journeymesh.stores.erasing import Erased, Erasure
from journeymesh.stores.protected_kinds import PROTECTED, STATE
from journeymesh.stores.protected_owners import Owners
from journeymesh.stores.protected_reads import ProtectedReads
from journeymesh.stores.protected_rows import ProtectedRows
from journeymesh.stores.row_kinds import Condition, ReadableRows, WritableRows
from journeymesh.stores.row_store import RowStore

if TYPE_CHECKING:
    from journeymesh.keys.port import KeyStore

T = TypeVar("T")

KEYS_OF: Final = "key_store"
TOKENS_OF: Final = "index_key"
JOB: Final = "job"
"""What a store's state says: which keys it is protected by, and which job is not finished."""
_CHECK: Final = "check"
_PROTECT: Final = "seal it with: journeymesh store protect"


class ProtectedStore(RowStore):
    """Both ports over another store, whose rows are sealed by these keys. Safe for threads."""

    def __init__(self, inner: RowStore, keys: KeyStore, *, closes_keys: bool = False) -> None:
        self.inner, self.url = inner, inner.url
        self._keys, self._closes_keys = keys, closes_keys
        self._owners = Owners(keys)

    def _require_clear(self, rows: ReadableRows) -> None:
        """It is protected, and may be."""

    def migrate(self) -> None:
        """Create or upgrade the schema of the store below."""
        self.inner.migrate()
        self.inner.prepare_sealed()

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        return self.inner.schema_version()

    def close(self) -> None:
        """Close the store below, and the key store where ``closes_keys`` says that it is this one's to close."""
        self.inner.close()
        if self._closes_keys:
            self._keys.close()

    def retoken(self) -> None:
        """See ``RowStore``. Until it has come to its end the store is refused."""
        from journeymesh.stores.protecting import protect

        protect(self.inner, self._keys)

    def scrub(self) -> bool:
        """See ``RowStore``."""
        return self.inner.scrub()

    def erase(self, erasure: Erasure) -> Erased:
        """See ``RowStore``. What stays of the term's vehicles is sealed anew by whoever owns it now: the term's secret,
        and those of its vehicles' months, may have sealed what is another's since the term's end was changed, or since
        the other term came."""
        erased = super().erase(erasure)
        if erasure.policy is not None:
            self._change(lambda into: _seal_anew(into, erasure.vehicles))
        return erased

    @contextmanager
    def _reading(self) -> Iterator[ReadableRows]:
        self._owners.refresh()
        with self.inner._reading() as rows:
            self._require_keys(rows)
            yield ProtectedReads(rows, self._owners)

    def _read(self, reading: Callable[[ReadableRows], T]) -> T:
        self._owners.refresh()

        def read(rows: ReadableRows) -> T:
            self._require_keys(rows)
            return reading(ProtectedReads(rows, self._owners))

        return self.inner._read(read)

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        self._owners.refresh()

        def write(into: WritableRows) -> T:
            if not self._require_keys(into):
                into.put(STATE, checks_of(self._owners))
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
                raise StoreUnavailable(f"{self.url}: holds rows in clear", todo=_PROTECT)
            return False
        if JOB in state:
            raise StoreUnavailable(f"{self.url}: is being protected", todo=f"{_PROTECT}, which goes on where it was")
        owners = self._owners
        if state.get(KEYS_OF) != owners.store_key.token(_CHECK):
            raise StoreUnavailable(f"{self.url}: is sealed by another key store", todo="use the one it belongs to")
        keys = (owners.index_key, owners.former_index_key)
        tokens = [key.token(_CHECK) for key in keys if key is not None]
        if state.get(TOKENS_OF) not in tokens:
            raise StoreUnavailable(
                f"{self.url}: has tokens of a former index key, as a restored backup has", todo=_PROTECT
            )
        return True


def _seal_anew(into: WritableRows, vehicles: Sequence[str]) -> None:
    """Put the vehicles' fixes and refusals again, which seals them by their present owners."""
    for vehicle in vehicles:
        where: list[Condition] = [("vehicle", "=", vehicle)]
        # In the order of days what several owners have of a day is one block, as it has to be to be put.
        into.put("blocks", list(into.select("blocks", where, order=("day",))))
        refusals = list(into.select("refusals", where))
        into.delete("refusals", [row[:1] for row in refusals])
        into.put("refusals", refusals, update=())


def checks_of(owners: Owners) -> list[tuple[str, str]]:
    """What a store's state says of these keys: a token by each, so that others are recognised."""
    return [(KEYS_OF, owners.store_key.token(_CHECK)), (TOKENS_OF, owners.index_key.token(_CHECK))]
