"""What a target is synced from: legacy through the pass, or a store by copying; all that a feed needs of either."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from journeymesh.engines.port import Retention
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.sources.vehicle_port import ChangeStream, VehicleTimes
from journeymesh.stores.port import RulesUsed
from journeymesh.strangler.desired_state import DesiredState


class Upstream(Protocol):
    """An inventory of vehicles, what a target is to hold of them, and their changes."""

    @property
    def name(self) -> str:
        """How runs call it."""

    documents_read: int
    """How many documents ``desired_states`` has read until now."""

    @property
    def tells_places(self) -> bool:
        """Whether its changes say where a document was before; else that has to be written down."""

    @property
    def tells_nameless(self) -> bool:
        """Whether its changes show that a document without a vehicle changed; else those are compared now and then."""

    def policies(self) -> list[Policy]:
        """All policies."""

    def rules(self) -> list[RulesUsed]:
        """The rules that its journeys are made with."""

    def vehicles(self) -> Iterable[str]:
        """Every vehicle that it holds something of, in any order."""

    def desired_states(
        self,
        wanted: Sequence[VehicleTimes],
        policies: Sequence[Policy],
        retention: Retention,
        now: datetime,
        *,
        places: bool = False,
    ) -> list[DesiredState]:
        """What a target is to hold of these times, which may be widened, up to the whole vehicle."""

    def nameless(self) -> Iterable[Refusal]:
        """The refusals that name no vehicle."""

    def position(self) -> str:
        """The position after everything written until now."""

    def changes(self, after: str) -> ChangeStream:
        """The changes after this position.

        Raises:
            PositionLost: they are not known any more.
        """

    def latency_s(self) -> float:
        """How long it takes to answer the smallest question, for throttling."""
