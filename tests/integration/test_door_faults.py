"""Every kind of fault in a target is found by shadow reads through the door, with its side and field."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.builders import NOON, after, drive
from tests.support.doors import RENEWED, STORE, a_control, a_door, fill, following, made_of, route
from tests.support.recorded_legacy import RecordedLegacy
from tests.support.target_faults import KINDS, FaultySide, Kind

from journeymesh.journeys.fixes import Fixes
from journeymesh.stores.port import JourneyQuery, Store
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.counts import reads_of
from journeymesh.strangler.door import Door
from journeymesh.strangler.mismatches import list_mismatches
from journeymesh.strangler.plan import Shadow
from journeymesh.strangler.questions import Side
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.slices import Phase
from journeymesh.wiring import open_store

QUICK = Shadow(reread_after_s=(0.01, 0.02))


BEGIN = NOON + timedelta(minutes=28)  # the hour changes in Kolkata on the way


def _recording() -> Fixes:
    """Three journeys: brakes are slammed, the hour changes on the way, and clocks have microseconds."""
    trip = [(0.0, 10), (15.0, 120), (3.0, 2), (0.0, 4), (15.0, 120), (0.0, 10)]
    spread = after(*(drive(*trip, vehicle="V0", start=BEGIN) for _ in range(3)), pause_s=3334.0)
    return replace(spread, fixed_at_us=spread.fixed_at_us + 123)


@pytest.fixture(scope="module")
def source() -> RecordedLegacy:
    return RecordedLegacy(held_policies=list(RENEWED), recorded=_recording())


@pytest.fixture(scope="module")
def store(source: RecordedLegacy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = fill(open_store(f"sqlite:///{tmp_path_factory.mktemp('target')}/journeys.db"), source)
    yield opened
    opened.close()


@contextmanager
def shadowed(
    folder: Path, source: RecordedLegacy, target: Side, phase: Phase = Phase.SHADOW
) -> Iterator[tuple[Door, ShadowReader, Control]]:
    """A door that compares everything, at once."""
    control = a_control(folder, route(phase=phase))
    with following(control) as follower:
        door = a_door(follower, source, {STORE: target})
        reader = ShadowReader(
            control=control, routes=follower, sides=door.sides, plan=QUICK, fed_until_us=lambda _: now_us(),
            busy_share=1.0,
        )  # fmt: skip
        with reader:
            door.shadow = reader
            yield door, reader, control
    control.close()


def dealt_with(reader: ShadowReader, control: Control, reads: int) -> dict[str, int]:
    """What came of so many reads."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        reader.flush()
        found = reads_of(control, "all")
        if sum(found.values()) >= reads:
            return found
        threading.Event().wait(0.02)
    raise AssertionError(f"{reader.waiting} reads are still waiting; fault {reader.fault}, bug {reader.bug}")


def ask(door: Door, kind: Kind, answer: list[dict[str, object]]) -> None:
    """The question that meets the fault."""
    match kind.asks:
        case "journeys":
            door.journeys(JourneyQuery(policy="P2"))
        case "period":
            starts = [row["started_at"] for row in answer]
            door.journeys(JourneyQuery(policy="P2", started_from=starts[0], started_to=starts[2]))
        case "page":
            door.journeys(JourneyQuery(policy="P2", limit=2))
        case "journey":
            door.journey(str(answer[0]["journey_id"]))
        case "fixes":
            door.fixes("V0", BEGIN, BEGIN + timedelta(minutes=5))
        case "policies":
            door.policies("P2")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_fault_in_the_target_is_found_with_its_field_and_both_sides(
    tmp_path: Path, source: RecordedLegacy, store: Store, kind: Kind
) -> None:
    answer = made_of(source.recorded, "P2").to_pylist()
    assert len(answer) == 3
    assert all(len(row["hours"]) > 1 and row["harsh_events"] and row["bridged_s"] == 0.0 for row in answer)
    with shadowed(tmp_path, source, FaultySide(store, kind)) as (door, reader, control):
        door.sides("legacy").journeys(JourneyQuery(policy="P2"))  # so that it knows its ids
        ask(door, kind, answer)
        outcomes = dealt_with(reader, control, 1)
        found = list_mismatches(control, "all", only_open=True)
    assert outcomes["differing"] == 1
    assert (kind.classification.value, kind.field) in {(each.classification, each.field) for each in found}
    for each in found:
        assert each.policy in ("P1", "P2")
        assert (each.source_value is None) == (each.classification == "extra")
        assert each.target_value is not None or each.classification in ("missing", "type")
        assert each.source_value != each.target_value


def test_the_kinds_are_many_and_each_is_another() -> None:
    assert len(KINDS) >= 20
    assert len({kind.name for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("phase", [Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW])
def test_a_target_without_fault_is_equal_whatever_is_asked(
    tmp_path: Path, source: RecordedLegacy, store: Store, phase: Phase
) -> None:
    answer = made_of(source.recorded, "P2").to_pylist()
    asked = {kind.asks: kind for kind in KINDS}
    with shadowed(tmp_path, source, store, phase) as (door, reader, control):
        door.sides("legacy").journeys(JourneyQuery(policy="P2"))
        for kind in asked.values():
            ask(door, kind, answer)
        outcomes = dealt_with(reader, control, len(asked))
        assert outcomes["equal"] == len(asked) == sum(outcomes.values())
        assert list_mismatches(control) == []
        assert (reader.fault, reader.bug) == (None, None)
