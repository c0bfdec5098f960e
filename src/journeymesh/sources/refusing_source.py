"""A source that gives nothing of what tombstones cover: to its readers, legacy looks as if it was erased there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from journeymesh.journeys.fixes import I64
from journeymesh.journeys.journey import Refusal
from journeymesh.keys.covering import covers_span, uncovered_fixes, uncovered_refusals
from journeymesh.keys.tombstones import Tombstones
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.vehicle_port import (
    ChangeBatch,
    ChangeStream,
    DocumentPlace,
    DocumentPlaces,
    OtherClients,
    VehicleRead,
    VehicleSource,
    VehicleTimes,
)


class RefusingSource:
    """A ``VehicleSource`` over another, without policies, fixes, refusals and places of erased terms.

    Every question sees the newest tombstones. ``ready`` is called before the first one.

    Raises:
        TombstonesNotReady: from every method that reads, where they cannot be trusted.
    """

    def __init__(self, inner: VehicleSource, tombstones: Tombstones, ready: Callable[[], None]) -> None:
        self.inner, self.name = inner, inner.name
        self.tally: FieldTally | None = None
        self._all_tombstones, self._ready = tombstones, ready
        self._is_ready = False

    @property
    def _tombstones(self) -> Tombstones:
        if not self._is_ready:
            self._ready()
            self._is_ready = True
        return self._all_tombstones

    @property
    def pre_images(self) -> bool:
        """Whether the source tells what changed documents were before."""
        return bool(getattr(self.inner, "pre_images", False))

    def size(self) -> SourceSize:
        """How much there is to read, what is covered included."""
        return self.inner.size()

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        """Every input that no tombstone covers, once."""
        for batch in self.inner.batches(resume):
            fixes = batch.fixes.take(uncovered_fixes(batch.fixes, self._tombstones))
            yield replace(batch, fixes=fixes, refusals=self._refusals(batch.refusals))

    def describe(self, origins: I64) -> list[str]:
        """Where each of these inputs is."""
        return self.inner.describe(origins)

    def items(self) -> list[SourceItem]:
        """Every file or collection that is there."""
        return self.inner.items()

    def policies(self) -> UsablePolicies:
        """The policies that no tombstone covers, and the refusals of others that name no treated one."""
        found, tombstones = self.inner.policies(), self._tombstones
        left = tombstones.without_treated(found)
        tenants = [policy.tenant for policy in found]
        left_refusals = uncovered_refusals(found.refusals, tombstones, tenants)
        going = {each.refusal_id for each in found.refusals} - {each.refusal_id for each in left_refusals}
        numbers = [[] if each.number is None else [each.number] for each in found.unusable]
        named = tombstones.naming_treated(numbers, tenants)
        going |= {each.refusal_id for each, is_treated in zip(found.unusable, named, strict=True) if is_treated}
        refusals = [each for each in left_refusals if each.refusal_id not in going]
        unusable = [each for each in found.unusable if each.refusal_id not in going]
        return UsablePolicies(left, refusals, found.fields, unusable)

    def vehicles(self) -> list[str]:
        """Every vehicle that documents name: others may have driven it since."""
        return self.inner.vehicles()

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        """The fixes of these vehicles and times that no tombstone covers, and the refusals; see ``VehicleSource``."""
        found = self.inner.read(wanted, places=places)
        if self._tombstones.is_empty():
            return found
        fixes = found.fixes.take(uncovered_fixes(found.fixes, self._tombstones))
        return replace(
            found,
            fixes=fixes,
            refusals=self._refusals(found.refusals),
            places=_uncovered(found.places, self._tombstones),
        )

    def nameless(self) -> VehicleRead:
        """Documents in which the mapping finds no vehicle: refusals only."""
        return self.inner.nameless()

    def position(self) -> str:
        """The position after everything written until now."""
        return self.inner.position()

    def changes(self, after: str) -> ChangeStream:
        """The changes after this position; of covered documents, that something changed alone."""
        return _RefusingChanges(self.inner.changes(after), self._tombstones)

    def latency_s(self) -> float:
        """How long the source takes to answer the smallest question."""
        return self.inner.latency_s()

    def other_clients(self) -> OtherClients:
        """The clients beside this program, or why they cannot be listed."""
        asked = getattr(self.inner, "other_clients", None)
        if asked is None:
            return OtherClients(unknown="this source cannot list its clients")
        found: OtherClients = asked()
        return found

    def close(self) -> None:
        """Close the source and the tombstones. Idempotent."""
        self.inner.close()
        self._all_tombstones.close()

    def _refusals(self, refusals: Sequence[Refusal]) -> list[Refusal]:
        return uncovered_refusals(refusals, self._tombstones, ())


@dataclass(frozen=True, slots=True)
class _RefusingChanges:
    """A ``ChangeStream`` without places that tombstones cover."""

    inner: ChangeStream
    tombstones: Tombstones

    def next_batch(self, wait_s: float, limit: int = 1000) -> ChangeBatch:
        """The next changes; see ``ChangeStream``."""
        batch = self.inner.next_batch(wait_s, limit)
        if not batch.events or self.tombstones.is_empty():
            return batch
        placed, left = (_uncovered(places, self.tombstones) for places in (batch.placed, batch.left))
        return replace(batch, placed=placed, left=left)

    def close(self) -> None:
        """Close the cursor. Idempotent."""
        self.inner.close()


def _uncovered(places: Sequence[DocumentPlace], tombstones: Tombstones) -> Sequence[DocumentPlace]:
    """The places that no tombstone covers whole."""
    if isinstance(places, DocumentPlaces):
        covered = tombstones.refused_intervals_of(places.vehicles)
        if not covered:
            return places
        kept = np.ones(len(places), np.bool_)
        for code, name in enumerate(places.vehicles):
            for since, until in covered.get(name, ()):
                kept &= ~((places.vehicle == code) & (places.first_us >= since) & (places.last_us < until))
        return places.take(kept)
    covered = tombstones.refused_intervals_of([each.vehicle for each in places])
    return [each for each in places if not covers_span(covered.get(each.vehicle, ()), each.first_us, each.last_us)]
