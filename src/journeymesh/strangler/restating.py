"""Restating: whatever changed upstream, what it touched is read again, passed, compared and written as a difference.

Nothing is fed as an increment, so doing it twice, out of order or after being killed gives the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from journeymesh.engines.differences import stored_rows
from journeymesh.engines.port import Retention
from journeymesh.engines.refusals import refusals_of
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy, instant_us
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import VehicleSource, VehicleTimes
from journeymesh.stores.port import RefusalQuery, Store, StoreBatch
from journeymesh.stores.rows import COLUMNS, STARTED, JourneyRow
from journeymesh.strangler.contents import Content, Restated, restated
from journeymesh.strangler.holdings import Holding, Holdings, Known
from journeymesh.strangler.stretches import Stretch, of_vehicles, read_stretches

_TRIES: Final = 8
VEHICLE: Final = COLUMNS.index("vehicle")


@dataclass(frozen=True, slots=True, kw_only=True)
class Restater:
    """Restates vehicles of one source in one store, under one set of rules and policies.

    ``now`` bounds future clocks where the receipt is not reported; None: the present instant.
    """

    source: VehicleSource
    store: Store
    rules: JourneyRules
    policies: Sequence[Policy]
    retention: Retention
    now: datetime | None = None
    holdings: Holdings | None = None
    """What the store holds, where that is remembered between restatements."""

    def restate(self, wanted: Sequence[VehicleTimes], *, origins: Iterable[str] = (), places: bool = False) -> Restated:
        """What has to be written so that the store is right about these times, grown to silences.

        ``origins`` are documents that changed: what was refused of them is withdrawn unless it is refused again.
        """
        now = self.now or datetime.now(UTC)
        held = self.holdings or Holdings(self.store)
        contents: list[Content] = []
        holdings: list[Holding] = []
        for _ in range(_TRIES):
            contents = self.contents(read_stretches(self.source, wanted, self.rules, places=places), now)
            holdings = held.of([content.span for content in contents])
            pairs = zip(contents, holdings, strict=True)
            reaching = [times for content, holding in pairs for times in content.beyond(holding)]
            if not reaching:
                break
            wanted = [*wanted, *reaching]
        return restated(self.store, contents, holdings, self.retention, now, frozenset(origins))

    def nameless(self) -> StoreBatch:
        """The difference in refusals of documents that name no vehicle."""
        stands = {refusal.refusal_id: refusal for refusal in self.source.nameless().refusals}
        without = RefusalQuery(without_vehicle=True)
        held = {refusal_id: Known.of(refusal) for refusal_id, refusal in self.store.refusals(without)}
        fresh = [refusal for refusal_id, refusal in stands.items() if held.get(refusal_id) != Known.of(refusal)]
        changed = {refusal.refusal_id for refusal in fresh} & held.keys()
        return StoreBatch(refusals=fresh, refusals_withdrawn=sorted((held.keys() - stands.keys()) | changed))

    def contents(self, stretches: Sequence[Stretch], now: datetime) -> list[Content]:
        """What the pass makes of stretches."""
        if not stretches:
            return []
        fixes = Fixes.concat([stretch.fixes for stretch in stretches])
        keeps = not self.retention.keeps_nothing
        result = make_journeys(fixes, self.rules, self.policies, instant_us(now), timeline=keeps)
        journeys: dict[str, list[JourneyRow]] = {}
        for row in stored_rows(result.journeys):
            journeys.setdefault(row[VEHICLE], []).append(row)
        timelines = of_vehicles(result.timeline)
        refused: dict[str, list[Refusal]] = {}
        for refusal in refusals_of(result.refused, result.reasons, self.source.describe):
            refused.setdefault(refusal.vehicle or "", []).append(refusal)
        return [
            _content(
                stretch,
                journeys.get(stretch.vehicle, ()),
                [*stretch.refusals, *refused.get(stretch.vehicle, ())],
                timelines.get(stretch.vehicle, Fixes.empty((stretch.vehicle,))),
            )
            for stretch in stretches
        ]


def _content(stretch: Stretch, journeys: Sequence[JourneyRow], refusals: Sequence[Refusal], timeline: Fixes) -> Content:
    """The part of a vehicle's result that is of this stretch."""
    first_us, last_us = stretch.first_us, stretch.last_us
    if not stretch.is_whole:
        journeys = [row for row in journeys if first_us <= row[STARTED] <= last_us]
        timeline = timeline.take((timeline.fixed_at_us >= first_us) & (timeline.fixed_at_us <= last_us))
        refusals = [
            each for each in refusals if each.fixed_at is None or first_us <= instant_us(each.fixed_at) <= last_us
        ]
    stands: dict[str, Refusal] = {}
    for refusal in refusals:
        stands.setdefault(refusal.refusal_id, refusal)
    return Content(
        stretch.vehicle,
        first_us,
        last_us,
        journeys,
        list(stands.values()),
        replace(timeline, origin=None),
        stretch.places,
    )
