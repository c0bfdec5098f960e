"""Restating one vehicle after the other: what was refused of a document is known by the document alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from journeymesh.engines.port import Retention
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import RefusalQuery, StoreBatch
from journeymesh.strangler.desired_state import DesiredState
from journeymesh.strangler.feed_session import Corrections
from journeymesh.strangler.target_state import TargetState

DAY_US = 86_400_000_000


def clockless(document: str, vehicle: str | None) -> Refusal:
    reason = Reason.CLOCK_UNPARSEABLE if vehicle else Reason.VEHICLE_MISSING
    return Refusal(reason.code, document, "never", vehicle=vehicle)


@dataclass
class Documents:
    """An upstream that holds nothing but documents without a clock: their vehicle by their name."""

    of: dict[str, str | None] = field(default_factory=dict)

    def desired_states(
        self, wanted: Sequence[VehicleTimes], policies: Sequence[Policy], retention: Retention, now: datetime,
        *, places: bool = False,
    ) -> list[DesiredState]:  # fmt: skip
        return [
            DesiredState(
                each, Fixes.empty((each.vehicle,)),
                [clockless(name, vehicle) for name, vehicle in self.of.items() if vehicle == each.vehicle],
            )
            for each in wanted
        ]  # fmt: skip

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


@dataclass
class Corrected:
    """A store that is corrected from documents, a vehicle at a time."""

    documents: Documents
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.target_state = TargetState(self.store)
        self.corrections = Corrections(
            source=self.documents, store=self.store, policies=(), retention=Retention(), target_state=self.target_state
        )

    def correct(self, *wanted: VehicleTimes, origins: Sequence[str] = ()) -> None:
        """Each vehicle by itself, as a backlog of many is dealt with."""
        for each in wanted:
            found = self.corrections.of([each], origins=origins)
            self.store.write(found.batch)
            taken = {refusal.refusal_id for refusal in found.batch.refusals}
            self.target_state.written(found.states, taken)

    def refused(self) -> dict[str, str | None]:
        return {refusal.origin: refusal.vehicle for _, refusal in self.store.refusals(RefusalQuery())}


def a_day(vehicle: str) -> VehicleTimes:
    return VehicleTimes(vehicle, 0, DAY_US - 1)


def test_a_document_that_moved_to_a_vehicle_corrected_before_its_former_one_stays_refused() -> None:
    documents = Documents({"a/1": "V9"})
    both = Corrected(documents)
    both.correct(VehicleTimes("V9"))
    documents.of["a/1"] = "V1"
    both.correct(VehicleTimes("V1"), VehicleTimes("V9"))
    assert both.refused() == {"a/1": "V1"}


def test_what_is_remembered_of_the_former_vehicle_is_forgotten_when_a_document_moves() -> None:
    documents = Documents({"a/1": "V9"})
    both = Corrected(documents)
    both.correct(a_day("V9"))
    documents.of["a/1"] = "V1"
    both.correct(a_day("V1"), a_day("V9"), origins=["a/1"])
    assert both.refused() == {"a/1": "V1"}


def test_a_changed_document_that_is_refused_under_any_vehicle_is_not_withdrawn_for_naming_one() -> None:
    both = Corrected(Documents())
    nameless = clockless("a/1", None)
    named = clockless("a/2", "V3")
    both.store.write(StoreBatch(refusals=[nameless, replace(nameless, origin="a/3"), named]))
    gone = both.corrections.named(["a/1", "a/2"], {named.refusal_id})
    assert nameless.refusal_id in gone
    assert named.refusal_id not in gone
    assert clockless("a/3", None).refusal_id not in gone
