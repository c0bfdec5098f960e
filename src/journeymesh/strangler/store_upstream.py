"""A store as upstream: what it holds is copied by vehicle, where legacy is retired and one store replaces another.

A vehicle that changed is copied whole; the store's own change feed says which ones did.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from journeymesh.engines.port import Retention
from journeymesh.engines.windows import journeys_touching, stored_rows
from journeymesh.errors import UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.sources.vehicle_port import (
    BEGINNING_US,
    END_US,
    ChangeBatch,
    DocumentPlace,
    PositionLost,
    VehicleTimes,
)
from journeymesh.stores.port import RefusalQuery, RulesUsed, Store, StoreChanges, VehicleSpan
from journeymesh.strangler.desired_state import DesiredState

POLL_S: Final = 0.02
_POLICIES_EVERY_S: Final = 1.0
_LATENCY_EVERY_S: Final = 1.0
_PAGE: Final = 10_000


@dataclass(slots=True)
class StoreUpstream:
    """An ``Upstream`` over a store. ``name`` is the plan's name of it."""

    name: str
    store: Store
    tells_places: bool = True
    tells_nameless: bool = False
    documents_read: int = 0  # a store has none
    _latency_s: float = 0.0
    _latency_at: float = -_LATENCY_EVERY_S

    def policies(self) -> list[Policy]:
        """All policies of the store."""
        return self.store.policies()

    def rules(self) -> list[RulesUsed]:
        """The rules of the store's journeys."""
        return self.store.rules()

    def vehicles(self) -> Iterator[str]:
        """Every vehicle that the store holds something of, by name."""
        after: str | None = None
        while page := self.store.vehicles_after(after, _PAGE):
            yield from page
            after = page[-1]

    def desired_states(
        self,
        wanted: Sequence[VehicleTimes],
        policies: Sequence[Policy],  # noqa: ARG002
        retention: Retention,
        now: datetime,  # noqa: ARG002
        *,
        places: bool = False,  # noqa: ARG002
    ) -> list[DesiredState]:
        """All that the store holds of these vehicles: it was made with these policies and is not made again."""
        names = sorted({each.vehicle for each in wanted})
        spans = self.store.vehicles(names)
        return [self._desired_state(name, spans.get(name), retention) for name in names]

    def nameless(self) -> Iterable[Refusal]:
        """The store's refusals without a vehicle."""
        return (refusal for _, refusal in self.store.refusals(RefusalQuery(without_vehicle=True)))

    def position(self) -> str:
        """The store's position."""
        found = self.store.changes(None, _PAGE)
        while not found.complete:
            found = self.store.changes(found.position, _PAGE)
        return found.position

    def changes(self, after: str) -> StoreStream:
        """The store's changes after this position.

        Raises:
            PositionLost: the store never gave it.
        """
        stream = StoreStream(self.store, after)
        stream.ask(1)
        return stream

    def latency_s(self) -> float:
        """How long the store takes to look up a policy; asked once a second at most."""
        began = time.monotonic()
        if began - self._latency_at >= _LATENCY_EVERY_S:
            self.store.policies("")
            self._latency_at = time.monotonic()
            self._latency_s = self._latency_at - began
        return self._latency_s

    def _desired_state(self, vehicle: str, span: VehicleSpan | None, retention: Retention) -> DesiredState:
        refusals = [refusal for _, refusal in self.store.refusals(RefusalQuery(vehicle=vehicle))]
        fixes = Fixes.empty((vehicle,))
        if span is not None and not retention.keeps_nothing:
            fixes = self.store.fixes(vehicle, span.first_at, span.last_at)
        times = VehicleTimes(vehicle)
        journeys = [] if span is None else stored_rows(journeys_touching(self.store, times))
        return DesiredState(times, fixes, refusals, journeys=journeys)


@dataclass(slots=True)
class StoreStream:
    """A ``ChangeStream`` over a store's change feed, asked every few milliseconds while somebody waits.

    The feed names vehicles only. Equal positions mean equal content, so policies are read again where it moved; and
    once after it was opened, for what changed before.
    """

    store: Store
    at: str
    _policies: list[Policy] | None = None
    _policies_at: str | None = None
    _policies_read: float = field(default_factory=time.monotonic)

    def next_batch(self, wait_s: float, limit: int = 1000) -> ChangeBatch:
        """Vehicles that changed, each as a place that is the whole of it."""
        until = time.monotonic() + wait_s
        while True:
            asked_at = datetime.now(UTC)
            found = self.ask(limit)
            policies_changed = self._have_policies_changed(found)
            left_s = until - time.monotonic()
            if found.vehicles or policies_changed or left_s <= 0:
                break
            self.at = found.position
            time.sleep(min(POLL_S, left_s))
        self.at = found.position
        events = len(found.vehicles) + policies_changed
        return ChangeBatch(
            position=found.position,
            events=events,
            placed=[DocumentPlace(0, vehicle, BEGINNING_US, END_US) for vehicle in found.vehicles],
            policies_changed=policies_changed,
            # Nothing written before it was asked is still to come.
            last_event_at=asked_at if events and found.complete else None,
        )

    def ask(self, limit: int) -> StoreChanges:
        """The changes that are there.

        Raises:
            PositionLost: the store never gave the position.
        """
        try:
            return self.store.changes(self.at, limit)
        except UsageError as error:
            raise PositionLost("the upstream store does not know the position", todo="compare again") from error

    def close(self) -> None:
        """Nothing is held open."""

    def _have_policies_changed(self, found: StoreChanges) -> bool:
        if found.position == self._policies_at:
            return False
        if found.vehicles and time.monotonic() - self._policies_read < _POLICIES_EVERY_S:
            return False
        held, self._policies = self._policies, self.store.policies()
        self._policies_at, self._policies_read = found.position, time.monotonic()
        return held != self._policies


def kept_by_both(one: Retention, other: Retention) -> Retention:
    """The shorter of two: what the upstream let go is no reason to take it from the target."""
    if one.keep is None or other.keep is None:
        return other if one.keep is None else one
    return one if one.keep < other.keep else other
