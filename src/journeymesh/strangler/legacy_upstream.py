"""Legacy as upstream: what was read of it, through the very pass that a run makes journeys with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from journeymesh.engines.differences import stored_rows
from journeymesh.engines.port import Retention
from journeymesh.engines.refusals import refusals_of
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy, instant_us
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import ChangeStream, VehicleRead, VehicleSource, VehicleTimes
from journeymesh.stores.port import RulesUsed
from journeymesh.stores.rows import COLUMNS, STARTED, JourneyRow
from journeymesh.strangler.contents import Content
from journeymesh.strangler.stretches import Stretch, of_vehicles, read_stretches

VEHICLE: Final = COLUMNS.index("vehicle")


@dataclass(slots=True)
class LegacyUpstream:
    """An ``Upstream`` over a legacy source, under one set of rules."""

    source: VehicleSource
    used: JourneyRules
    tells_nameless: bool = True
    documents_read: int = 0

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def tells_places(self) -> bool:
        """Whether the source has pre-images."""
        return bool(getattr(self.source, "pre_images", False))

    def policies(self) -> list[Policy]:
        """The source's policies."""
        return self.source.policies()

    def rules(self) -> list[RulesUsed]:
        """The rules of the pass."""
        return [RulesUsed(self.used.version, self.used.digest)]

    def vehicles(self) -> list[str]:
        """Every vehicle that documents name."""
        return self.source.vehicles()

    def contents(
        self,
        wanted: Sequence[VehicleTimes],
        policies: Sequence[Policy],
        retention: Retention,
        now: datetime,
        *,
        places: bool = False,
    ) -> list[Content]:
        """What the pass makes of these times, grown to silences."""
        counting = _Counting(self.source)
        stretches = read_stretches(counting, wanted, self.used, places=places)
        self.documents_read += counting.documents
        if not stretches:
            return []
        fixes = Fixes.concat([stretch.fixes for stretch in stretches])
        keeps = not retention.keeps_nothing
        result = make_journeys(fixes, self.used, policies, instant_us(now), timeline=keeps)
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

    def nameless(self) -> Iterable[Refusal]:
        """Refusals of documents in which the mapping finds no vehicle, and of policies that cannot be used."""
        return [*self.source.nameless().refusals, *getattr(self.source.policies(), "refusals", ())]

    def position(self) -> str:
        """The position after everything written until now."""
        return self.source.position()

    def changes(self, after: str) -> ChangeStream:
        """The changes after this position."""
        return self.source.changes(after)

    def latency_s(self) -> float:
        """How long the source takes to answer the smallest question."""
        return self.source.latency_s()


@dataclass(slots=True)
class _Counting:
    """A source whose documents are counted as they are read."""

    source: VehicleSource
    documents: int = 0

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        """What the source reads."""
        found = self.source.read(wanted, places=places)
        self.documents += found.documents
        return found


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
