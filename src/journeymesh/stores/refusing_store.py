"""A store that takes nothing that a tombstone covers, and has given up what it had of it before it answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fields import INSTANT
from journeymesh.keys.covering import uncovered_fixes, uncovered_refusals
from journeymesh.keys.tombstones import Tombstones
from journeymesh.stores.erasing import Erased, Erasure, interval_of
from journeymesh.stores.port import StoreBatch
from journeymesh.stores.row_kinds import ReadableRows, WritableRows
from journeymesh.stores.row_store import RowStore

T = TypeVar("T")

_PAGE: Final = 10_000


@dataclass(slots=True)
class RefusedInput:
    """How much was given that tombstones cover. Of whom is not kept."""

    journeys: int = 0
    refusals: int = 0
    fixes: int = 0
    policies: int = 0


class RefusingStore(RowStore):
    """Both ports over another store. What is not taken is counted with the tombstones. Safe for threads.

    ``ready`` is called before the first question or write; it raises where the tombstones cannot be trusted. What
    they cover is erased then, and again when there are more of them: a run over another store is noticed by this one.
    """

    def __init__(self, inner: RowStore, tombstones: Tombstones, ready: Callable[[], None]) -> None:
        self.inner, self.url = inner, inner.url
        self._tombstones, self._ready = tombstones, ready
        self._is_ready, self._erased_revision = False, -1
        self._lock = threading.Lock()

    def migrate(self) -> None:
        """Create or upgrade the schema of the store below."""
        self.inner.migrate()

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        return self.inner.schema_version()

    def write(self, batch: StoreBatch) -> None:
        """Write what of the batch no tombstone covers: all of it or, on any fault, none.

        What a run that came between covers is erased again before this returns.
        """
        self._require_ready()
        left, refused = without_treated(batch, self._tombstones)
        self.inner.write(left)
        self._require_ready()
        counts = {name: getattr(refused, name) for name in RefusedInput.__slots__}
        if any(counts.values()):
            with suppress(StoreUnavailable):  # what was written stands, counted or not
                self._tombstones.count_refused(counts)

    def close(self) -> None:
        """Close the store below and the tombstones."""
        self.inner.close()
        self._tombstones.close()

    def retoken(self) -> None:
        """See ``RowStore``. It comes before the store can be read, so nothing is asked of it."""
        self.inner.retoken()

    def scrub(self) -> bool:
        """See ``RowStore``."""
        return self.inner.scrub()

    def _require_clear(self, rows: ReadableRows) -> None:
        self.inner._require_clear(rows)

    def _reading(self) -> AbstractContextManager[ReadableRows]:
        self._require_ready()
        return self.inner._reading()

    def _read(self, reading: Callable[[ReadableRows], T]) -> T:
        self._require_ready()
        return self.inner._read(reading)

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        self._require_ready()
        return self.inner._write(writing)

    def _require_ready(self) -> None:
        if self._is_ready and self._tombstones.revision() == self._erased_revision:
            return
        with self._lock:
            if not self._is_ready:
                self._ready()
            revision = self._tombstones.revision()
            if revision != self._erased_revision and self.inner.schema_version()[0] is not None:
                erase_treated(self.inner, self._tombstones)
            self._is_ready, self._erased_revision = True, revision


def erase_treated(store: RowStore, tombstones: Tombstones) -> Erased:
    """Erase what the store has that tombstones cover, as after it was restored from an older backup.

    A term goes by its own rows, and vehicles by the tombstones' intervals: the term's bounds in the backup, which may
    have no end yet, take nothing of other terms. The vehicles that such a term names come before it: one of which
    former contents alone are left is known by it alone.
    """
    erased = Erased()
    if tombstones.is_empty():
        return erased
    policies = store.policies()
    remaining = {policy.term for policy in tombstones.without_treated(policies)}
    treated = [policy for policy in policies if policy.term not in remaining]
    named = {name for policy in treated for name in (policy.vehicle, policy.device) if name is not None}
    _erase_vehicles(store, tombstones, sorted(named), erased)
    for policy in treated:
        erased.add(store.erase(Erasure(policy, (), interval_of(policy))))
    after: str | None = None
    while page := store.vehicles_after(after, _PAGE):
        _erase_vehicles(store, tombstones, page, erased)
        after = page[-1]
    return erased


def _erase_vehicles(store: RowStore, tombstones: Tombstones, names: Sequence[str], erased: Erased) -> None:
    for name, intervals in tombstones.refused_intervals_of(names).items():
        for interval in intervals:
            erased.add(store.erase(Erasure(None, (name,), interval)))


def without_treated(batch: StoreBatch, tombstones: Tombstones) -> tuple[StoreBatch, RefusedInput]:
    """The batch without what tombstones cover, and how much that was. Withdrawals stay."""
    refused = RefusedInput()
    if tombstones.is_empty():
        return batch, refused
    policies = tombstones.without_treated(batch.policies)
    refused.policies = len(batch.policies) - len(policies)
    journeys, fixes = batch.journeys, batch.fixes
    if journeys is not None:
        kept = _kept_journeys(journeys, tombstones)
        refused.journeys = len(kept) - int(kept.sum())
        journeys = journeys.filter(pa.array(kept)) if refused.journeys else journeys
    if fixes is not None:
        kept = uncovered_fixes(fixes, tombstones)
        refused.fixes = len(kept) - int(kept.sum())
        fixes = fixes.take(kept) if refused.fixes else fixes
    refusals = uncovered_refusals(batch.refusals, tombstones, [policy.tenant for policy in batch.policies])
    refused.refusals = len(batch.refusals) - len(refusals)
    return replace(batch, journeys=journeys, fixes=fixes, refusals=refusals, policies=policies), refused


def _kept_journeys(journeys: pa.Table, tombstones: Tombstones) -> np.ndarray[Any, np.dtype[np.bool_]]:
    names = journeys["vehicle"].to_pylist()
    covered = tombstones.refused_intervals_of(names)
    kept = np.ones(len(names), np.bool_)
    if not covered:
        return kept
    starts, ends = (journeys[name].cast(INSTANT).cast(pa.int64()).to_numpy() for name in ("started_at", "ended_at"))
    for row, name in enumerate(names):
        for since, until in covered.get(name, ()):
            if starts[row] < until and since <= ends[row]:
                kept[row] = False
    return kept
