"""What a target holds of vehicles' times: asked of it, and remembered while nobody else writes to it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

from journeymesh.engines.differences import ENDED, stored_rows
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.policies import instant_us
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, VehicleTimes
from journeymesh.stores.fix_blocks import encode_blocks
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store, VehicleSpan
from journeymesh.stores.records import from_us
from journeymesh.stores.rows import STARTED, JourneyRow

Day = int
"""UTC day since 1970."""

MOST_REMEMBERED: Final = 5_000
_LONGEST_JOURNEY_US: Final = 7 * DAY_US
_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Span:
    """A vehicle between two instants, both included."""

    vehicle: str
    first_us: int
    last_us: int

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole of the vehicle."""
        return self.first_us <= BEGINNING_US and self.last_us >= END_US


@dataclass(frozen=True, slots=True)
class Known:
    """What has to be known of a refusal to tell whether it still stands as it is."""

    fixed_us: int | None
    origin: str
    content: bytes
    """A digest of what was refused: a document may change and be refused again."""

    @classmethod
    def of(cls, refusal: Refusal) -> Known:
        """That of a refusal."""
        fixed_us = None if refusal.fixed_at is None else instant_us(refusal.fixed_at)
        said = repr((refusal.vehicle, fixed_us, refusal.lat_deg, refusal.lon_deg, refusal.content))
        content = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        return cls(fixed_us, refusal.origin, content)


@dataclass(frozen=True, slots=True)
class Holding:
    """What a target holds of a span: the journeys that touch it, all of the vehicle's refusals, and a digest of the
    kept fixes of each day of it."""

    span: Span
    journeys: Sequence[JourneyRow] = ()
    refusals: Mapping[str, Known] = field(default_factory=dict)
    days: Mapping[Day, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Holdings:
    """What one target holds.

    What this feeder wrote last of a vehicle is remembered, until the vehicle's span is another one or the store's
    position shows that somebody else has written.
    """

    store: Store
    _remembered: OrderedDict[str, Holding] = field(default_factory=OrderedDict)
    _position: str | None = None

    def of(self, spans: Sequence[Span]) -> list[Holding]:
        """What is held of each of these spans."""
        self._check()
        missing = [span for span in spans if not self._remembers(span)]
        asked = self.store.vehicles(sorted({span.vehicle for span in missing})) if missing else {}
        return [
            self._remembered[span.vehicle]
            if self._remembers(span)
            else read_holding(self.store, span, asked.get(span.vehicle))
            for span in spans
        ]

    def written(self, holdings: Sequence[Holding], taken: Set[str] = frozenset()) -> None:
        """Remember what was just written, and forget what it makes untrue.

        ``taken`` are ids of refusals that were put and may have been another vehicle's before.
        """
        once = {holding.span.vehicle: holding for holding in holdings}
        several = len(once) < len(holdings)
        for vehicle, holding in once.items():
            self._remembered.pop(vehicle, None)
            if not holding.span.is_whole and not several:
                self._remembered[vehicle] = holding
        if taken:
            for vehicle, held in list(self._remembered.items()):
                if vehicle not in once and any(refusal_id in held.refusals for refusal_id in taken):
                    del self._remembered[vehicle]
        while len(self._remembered) > MOST_REMEMBERED:
            self._remembered.popitem(last=False)
        self._position = self._present()

    def forget(self) -> None:
        """Ask the store again about everything."""
        self._remembered.clear()

    def _remembers(self, span: Span) -> bool:
        held = self._remembered.get(span.vehicle)
        return held is not None and held.span == span

    def _check(self) -> None:
        if self._remembered and self._present() != self._position:
            self.forget()

    def _present(self) -> str:
        found = self.store.changes(self._position, _PAGE)
        while not found.complete:
            found = self.store.changes(found.position, _PAGE)
        return found.position


def read_holding(store: Store, span: Span, known: VehicleSpan | None) -> Holding:
    """What the store holds of a span; ``known`` is what it says of the vehicle's journeys and fixes."""
    refusals = {
        refusal_id: Known.of(refusal) for refusal_id, refusal in store.refusals(RefusalQuery(vehicle=span.vehicle))
    }
    if known is None:
        return Holding(span, refusals=refusals)
    first_us = max(span.first_us, instant_us(known.first_at) // DAY_US * DAY_US)
    last_us = min(span.last_us, instant_us(known.last_at) // DAY_US * DAY_US + DAY_US - 1)
    days: dict[Day, bytes] = {}
    if first_us <= last_us:
        fixes = store.fixes(span.vehicle, from_us(first_us), from_us(last_us))
        days = day_digests(fixes).get(span.vehicle, {})
    return Holding(span, tuple(journeys_held(store, span)), refusals, days)


def journeys_held(store: Store, span: Span) -> list[JourneyRow]:
    """The store's journeys of the vehicle that touch the span."""
    if span.is_whole:
        return stored_rows(store.journeys(JourneyQuery(vehicle=span.vehicle)))
    query = JourneyQuery(
        vehicle=span.vehicle,
        started_from=from_us(span.first_us - _LONGEST_JOURNEY_US),
        started_to=from_us(span.last_us + 1),
    )
    return [row for row in stored_rows(store.journeys(query)) if row[ENDED] >= span.first_us]


def reaching(holding: Holding, span: Span) -> Iterator[VehicleTimes]:
    """Where journeys that are held begin or end outside the span."""
    for row in holding.journeys:
        for at_us in (row[STARTED], row[ENDED]):
            if not span.first_us <= at_us <= span.last_us:
                yield VehicleTimes(span.vehicle, at_us, at_us)


def day_digests(fixes: Fixes) -> dict[str, dict[Day, bytes]]:
    """A digest of each vehicle's fixes of each UTC day: equal fixes give equal digests."""
    found: dict[str, dict[Day, bytes]] = {}
    for block in encode_blocks(fixes):
        digest = hashlib.blake2b(block.content, digest_size=16).digest()
        found.setdefault(block.vehicle, {})[block.day] = digest
    return found
