"""What a target holds of vehicles' times: asked of it, and remembered while nobody else writes to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from journeymesh.engines.windows import ENDED, journeys_touching, stored_rows
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.lru import LruCache
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores.fix_blocks import encode_blocks
from journeymesh.stores.port import RefusalQuery, Store, VehicleSpan
from journeymesh.stores.rows import STARTED, JourneyRow

Day = int
"""UTC day since 1970."""

MOST_REMEMBERED: Final = 5_000
_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class KnownRefusal:
    """What has to be known of a refusal to tell whether it still stands as it is."""

    fixed_us: int | None
    origin: str
    content: bytes
    """A digest of what was refused: a document may change and be refused again."""

    @classmethod
    def of(cls, refusal: Refusal) -> KnownRefusal:
        """That of a refusal."""
        fixed_us = None if refusal.fixed_at is None else to_us(refusal.fixed_at)
        said = repr((refusal.vehicle, fixed_us, refusal.lat_deg, refusal.lon_deg, refusal.content))
        content = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return cls(fixed_us, refusal.origin, content)


@dataclass(frozen=True, slots=True)
class VehicleState:
    """What a target holds of these times: the journeys that touch them, all of the vehicle's refusals, and a digest of
    the kept fixes of each day."""

    times: VehicleTimes
    journeys: Sequence[JourneyRow] = ()
    refusals: Mapping[str, KnownRefusal] = field(default_factory=dict)
    days: Mapping[Day, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class TargetState:
    """What one target holds.

    What this feeder wrote last of a vehicle is remembered, until other times of the vehicle count or the store's
    position shows that somebody else has written.
    """

    store: Store
    _remembered: LruCache[str, VehicleState] = field(default_factory=lambda: LruCache(MOST_REMEMBERED))
    _position: str | None = None

    def of(self, wanted: Sequence[VehicleTimes]) -> list[VehicleState]:
        """What is held of each of these times."""
        self._check()
        known = [self._known(times) for times in wanted]
        missing = {times.vehicle for times, state in zip(wanted, known, strict=True) if state is None}
        spans = self.store.vehicles(sorted(missing)) if missing else {}
        return [
            state or _read(self.store, times, spans.get(times.vehicle))
            for times, state in zip(wanted, known, strict=True)
        ]

    def written(self, states: Sequence[VehicleState], taken: Set[str] = frozenset()) -> None:
        """Remember what was just written, and forget what it makes untrue.

        ``taken`` are ids of refusals that were put and may have been another vehicle's before.
        """
        once = {state.times.vehicle: state for state in states}
        several = len(once) < len(states)
        for vehicle, state in once.items():
            if state.times.is_whole or several:
                self._remembered.discard(vehicle)
            else:
                self._remembered.put(vehicle, state)
        if taken:
            for vehicle, state in self._remembered.items():
                if vehicle not in once and any(refusal_id in state.refusals for refusal_id in taken):
                    self._remembered.discard(vehicle)
        self._position = self._present()

    def forget(self) -> None:
        """Ask the store again about everything."""
        self._remembered.clear()

    def _known(self, times: VehicleTimes) -> VehicleState | None:
        state = self._remembered.get(times.vehicle)
        return state if state is not None and state.times == times else None

    def _check(self) -> None:
        if len(self._remembered) and self._present() != self._position:
            self.forget()

    def _present(self) -> str:
        found = self.store.changes(self._position, _PAGE)
        while not found.complete:
            found = self.store.changes(found.position, _PAGE)
        return found.position


def _read(store: Store, times: VehicleTimes, known: VehicleSpan | None) -> VehicleState:
    """What the store holds of these times; ``known`` is what it says of the vehicle's journeys and fixes."""
    refusals = {
        refusal_id: KnownRefusal.of(refusal)
        for refusal_id, refusal in store.refusals(RefusalQuery(vehicle=times.vehicle))
    }
    if known is None:
        return VehicleState(times, refusals=refusals)
    first_us = max(times.first_us, to_us(known.first_at) // DAY_US * DAY_US)
    last_us = min(times.last_us, to_us(known.last_at) // DAY_US * DAY_US + DAY_US - 1)
    days: dict[Day, bytes] = {}
    if first_us <= last_us:
        fixes = store.fixes(times.vehicle, from_us(first_us), from_us(last_us))
        days = day_digests(fixes).get(times.vehicle, {})
    return VehicleState(times, tuple(stored_rows(journeys_touching(store, times))), refusals, days)


def reaching(state: VehicleState) -> Iterator[VehicleTimes]:
    """Where journeys begin or end outside the times that they touch: what joined them is no more."""
    times = state.times
    for row in () if times.is_whole else state.journeys:
        for at_us in (row[STARTED], row[ENDED]):
            if not times.includes(at_us):
                yield VehicleTimes(times.vehicle, at_us, at_us)


def day_digests(fixes: Fixes) -> dict[str, dict[Day, bytes]]:
    """A digest of each vehicle's fixes of each UTC day: equal fixes give equal digests."""
    found: dict[str, dict[Day, bytes]] = {}
    for block in encode_blocks(fixes):
        digest = hashlib.blake2b(block.content, digest_size=16).digest()
        found.setdefault(block.vehicle, {})[block.day] = digest
    return found
