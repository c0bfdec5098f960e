"""Legacy as upstream: what was read of it, through the very pass that a run makes journeys with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from journeymesh.engines.port import Retention
from journeymesh.engines.refusals import refusals_of
from journeymesh.engines.windows import Window, of_vehicles, read_windows, stored_rows, within
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import ChangeStream, VehicleRead, VehicleSource, VehicleTimes
from journeymesh.stores.port import RulesUsed
from journeymesh.stores.rows import COLUMNS, STARTED, JourneyRow
from journeymesh.strangler.desired_state import DesiredState

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
        return [RulesUsed.of(self.used)]

    def vehicles(self) -> list[str]:
        """Every vehicle that documents name."""
        return self.source.vehicles()

    def desired_states(
        self,
        wanted: Sequence[VehicleTimes],
        policies: Sequence[Policy],
        retention: Retention,
        now: datetime,
        *,
        places: bool = False,
    ) -> list[DesiredState]:
        """What the pass makes of these times, grown to silences."""

        def read(times: Sequence[VehicleTimes]) -> VehicleRead:
            found = self.source.read(times, places=places)
            self.documents_read += found.documents
            return found

        windows = read_windows(read, wanted, self.used)
        if not windows:
            return []
        fixes = Fixes.concat([window.fixes for window in windows])
        keeps = not retention.keeps_nothing
        result = make_journeys(fixes, self.used, policies, to_us(now), timeline=keeps)
        journeys: dict[str, list[JourneyRow]] = {}
        for row in stored_rows(result.journeys):
            journeys.setdefault(row[VEHICLE], []).append(row)
        timelines = of_vehicles(result.timeline)
        refused: dict[str, list[Refusal]] = {}
        for refusal in refusals_of(result.refused, result.reasons, self.source.describe):
            refused.setdefault(refusal.vehicle or "", []).append(refusal)
        return [
            _desired_state(
                window,
                journeys.get(window.vehicle, ()),
                [*window.refusals, *refused.get(window.vehicle, ())],
                timelines.get(window.vehicle, Fixes.empty((window.vehicle,))),
            )
            for window in windows
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


def _desired_state(
    window: Window, journeys: Sequence[JourneyRow], refusals: Sequence[Refusal], timeline: Fixes
) -> DesiredState:
    """The part of a vehicle's result that is of this window."""
    times = window.times
    if not times.is_whole:
        journeys = [row for row in journeys if times.includes(row[STARTED])]
        timeline = within(timeline, [times])
        refusals = [each for each in refusals if each.fixed_at is None or times.includes(to_us(each.fixed_at))]
    stands: dict[str, Refusal] = {}
    for refusal in refusals:
        stands.setdefault(refusal.refusal_id, refusal)
    kept = replace(timeline, origin=None)
    return DesiredState(times, kept, list(stands.values()), window.places, journeys)
