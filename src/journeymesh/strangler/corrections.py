"""Corrections: what a change upstream touched is read again, passed, compared and written as a difference.

Nothing is applied as an increment, so doing it twice, out of order or after being killed gives the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from journeymesh.engines.port import Retention
from journeymesh.journeys.policies import Policy
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores.port import RefusalQuery, Store, StoreBatch
from journeymesh.strangler.desired_state import (
    NAMELESS,
    POLICY_REASONS,
    Correction,
    DesiredState,
    correction_of,
    document_of,
    ids_at_reading,
)
from journeymesh.strangler.target_state import KnownRefusal, TargetState, VehicleState, reaching
from journeymesh.strangler.upstream import Upstream

_TRIES: Final = 8
_MOST_NAMELESS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Corrects one store after one upstream, by vehicle, under one set of policies.

    ``now`` bounds future clocks where the receipt is not reported; None: the present instant.
    """

    source: Upstream
    store: Store
    policies: Sequence[Policy]
    retention: Retention
    now: datetime | None = None
    target_state: TargetState | None = None
    """What the store holds, where that is remembered between corrections."""

    def of(self, wanted: Sequence[VehicleTimes], *, origins: Iterable[str] = (), places: bool = False) -> Correction:
        """What has to be written so that the store is right about these times, grown to silences.

        ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
        """
        now = self.now or datetime.now(UTC)
        target = self.target_state or TargetState(self.store)
        desired_states: list[DesiredState] = []
        states: list[VehicleState] = []
        for _ in range(_TRIES):
            desired_states = self.source.desired_states(wanted, self.policies, self.retention, now, places=places)
            states = target.of([desired.times for desired in desired_states])
            beyond = [times for state in states for times in reaching(state)]
            if not beyond:
                break
            wanted = [*wanted, *beyond]
        return correction_of(desired_states, states, self.retention, now, frozenset(origins))

    def named(self, origins: Sequence[str], stands: Container[str]) -> list[str]:
        """Ids under which these changed documents may have been refused while they named no vehicle.

        ``stands`` are the ids of what is refused of them now. It has to be all of it: a document that names a vehicle
        and has no clock is refused under the same id, whichever vehicle it names.
        """
        if not origins or next(self.store.refusals(RefusalQuery(without_vehicle=True, limit=1)), None) is None:
            return []
        return [refusal_id for refusal_id in ids_at_reading(origins) if refusal_id not in stands]

    def names_nameless(self, refusal_ids: Sequence[str]) -> bool:
        """Whether the store has a refusal without a vehicle under one of these ids, as far as it is soon looked up."""
        if not refusal_ids:
            return False
        some = self.store.refusals(RefusalQuery(without_vehicle=True, limit=_MOST_NAMELESS))
        return not {refusal_id for refusal_id, _ in some}.isdisjoint(refusal_ids)

    def nameless(self) -> Correction:
        """The difference in refusals of documents that name no vehicle, and of policies."""
        stands = {refusal.refusal_id: refusal for refusal in self.source.nameless()}
        without = RefusalQuery(without_vehicle=True)
        known = {refusal_id: KnownRefusal.of(refusal) for refusal_id, refusal in self.store.refusals(without)}
        fresh = [refusal for refusal_id, refusal in stands.items() if known.get(refusal_id) != KnownRefusal.of(refusal)]
        changed = {refusal.refusal_id for refusal in fresh} & known.keys()
        batch = StoreBatch(refusals=fresh, refusals_withdrawn=sorted((known.keys() - stands.keys()) | changed))
        if not batch.refusals and not batch.refusals_withdrawn:
            return Correction(batch)
        documents = {document_of(each.origin) for each in stands.values() if each.reason not in POLICY_REASONS}
        return Correction(batch, refused={NAMELESS: len(documents)})
