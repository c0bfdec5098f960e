"""Retiring: fenced, proven, exported, removed; completed or undone wherever a crash left it."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest
import sqlalchemy as sa

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.control import Control, feeds, now_us
from journeymesh.strangler.gates import GateClosed, NothingCompared
from journeymesh.strangler.retire import Retiring
from journeymesh.strangler.routes import Route, RouteChange, read_routes, record
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.strangler.status import history_of, unfinished
from tests.support.builders import drive
from tests.support.legacy_double import MemoryLegacy

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
POLICIES = [
    Policy(number="P1", valid_from=BEGIN, device="V1", product="car"),
    Policy(number="P2", valid_from=BEGIN, device="V2", product="car"),
    Policy(number="P3", valid_from=BEGIN, valid_to=datetime(2025, 1, 1, tzinfo=UTC), device="V3", product="car"),
    Policy(number="P4", valid_from=datetime(2025, 1, 1, tzinfo=UTC), device="V3", product="van"),
]


@dataclass
class Parts:
    control: Control
    legacy: MemoryLegacy = field(default_factory=MemoryLegacy)
    differing: int = 0
    compared: list[Phase] = field(default_factory=list)
    while_comparing: Callable[[], None] | None = None

    def remover(self) -> MemoryLegacy:
        return self.legacy

    def differences(self, route: Route) -> int:
        self.compared.append(read_routes(self.control).routes[0].phase)
        if self.while_comparing is not None:
            self.while_comparing()
        return self.differing


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    control = Control(f"sqlite:///{tmp_path}/control.db")
    control.migrate()
    held = Parts(control)
    for vehicle in ("V1", "V2", "V3"):
        held.legacy.put(drive((10.0, 60), vehicle=vehicle))
    with control.writing() as connection:
        record(
            connection, _route(), RouteChange("ann", "test", "moved", Phase.TARGET_WITH_REVERSE_SHADOW, _route().phase)
        )
    yield held
    control.close()


def _route() -> Route:
    cars = Slice("cars", Selector(product="car"))
    return Route(cars, "legacy", "embedded", "legacy", Phase.TARGET, True, None, now_us())


def retiring(parts: Parts, tmp_path: Path, kind: type[Retiring] = Retiring, **options: float) -> Retiring:
    return kind(
        parts.control, POLICIES, tmp_path / "retired", parts.remover, parts.differences,
        sleep=lambda seconds: None, **options,
    )  # type: ignore[arg-type]  # fmt: skip


def phase(parts: Parts) -> Phase:
    return read_routes(parts.control).routes[0].phase


def test_documents_are_exported_with_their_digest_and_then_removed(parts: Parts, tmp_path: Path) -> None:
    retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    content = (tmp_path / "retired/cars/documents.bson").read_bytes()
    manifest = json.loads((tmp_path / "retired/cars/manifest.json").read_text())
    assert len(bson.decode_all(content)) == manifest["documents"] == 122
    assert hashlib.sha256(content).hexdigest() == manifest["sha256"]
    assert phase(parts) is Phase.RETIRED
    assert history_of(parts.control)[0].detail == "122 legacy documents exported and removed"
    assert unfinished(parts.control) == []


def test_a_vehicle_that_another_slice_insures_as_well_keeps_its_documents(parts: Parts, tmp_path: Path) -> None:
    retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    assert parts.legacy.vehicles() == ["V3"]


def test_sides_are_compared_behind_the_fence(parts: Parts, tmp_path: Path) -> None:
    retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    assert parts.compared == [Phase.RETIRED]


def test_a_difference_takes_the_fence_back_and_nothing_is_removed(parts: Parts, tmp_path: Path) -> None:
    parts.differing = 2
    with pytest.raises(GateClosed, match="2 journeys differ"):
        retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    assert phase(parts) is Phase.TARGET
    assert parts.legacy.vehicles() == ["V1", "V2", "V3"]
    assert history_of(parts.control)[0].outcome == "undone"


def test_a_comparison_of_nothing_takes_the_fence_back_and_nothing_is_removed(parts: Parts, tmp_path: Path) -> None:
    def nothing() -> None:
        raise NothingCompared("nothing was compared", todo="look at the mapping")

    parts.while_comparing = nothing
    with pytest.raises(GateClosed, match="'cars' is not retired: nothing was compared"):
        retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    assert phase(parts) is Phase.TARGET
    assert parts.legacy.vehicles() == ["V1", "V2", "V3"]
    assert unfinished(parts.control) == []


def test_documents_that_come_after_the_export_stop_the_removal(parts: Parts, tmp_path: Path) -> None:
    class Racing(Retiring):
        def _export(self, route: Route):  # type: ignore[no-untyped-def]
            manifest = super()._export(route)
            parts.legacy.put(drive((10.0, 5), vehicle="V1", lat=50.0))
            return manifest

    racing = retiring(parts, tmp_path, Racing)
    with pytest.raises(GateClosed, match="6 documents were added to legacy since the export"):
        racing.retire(_route(), "ann", "done with it")
    assert phase(parts) is Phase.TARGET
    assert parts.legacy.vehicles() == ["V1", "V2", "V3"]


def test_a_feeder_that_acts_on_older_routes_is_waited_for(parts: Parts, tmp_path: Path) -> None:
    with parts.control.writing() as connection:
        values = {"upstream": "legacy", "target": "embedded", "owner": "x", "events": 0, "revision": 1}
        connection.execute(sa.insert(feeds).values(lease_until_us=now_us() + 10**9, **values))
    with pytest.raises(GateClosed, match="a feeder has not taken over the new routes"):
        retiring(parts, tmp_path, feeders_s=0.2).retire(_route(), "ann", "done with it")
    with parts.control.writing() as connection:
        connection.execute(sa.update(feeds).values(revision=10**6))
    retiring(parts, tmp_path, feeders_s=0.2).retire(_route(), "ann", "done with it")
    assert phase(parts) is Phase.RETIRED


@pytest.mark.parametrize("step", ["_wait_for_readers", "_export", "_documents", "remove_vehicles", "deleted"])
def test_a_crash_at_any_step_is_completed_by_the_next_apply(
    parts: Parts, tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(Exception): ...

    def crash(*_: object) -> None:
        raise Crash

    def removed_then_crash(legacy: MemoryLegacy, vehicles: list[str]) -> int:
        legacy.remove([document for document, row in legacy.rows.items() if row[0] in vehicles])
        raise Crash

    with monkeypatch.context() as patch:
        match step:
            case "remove_vehicles":
                patch.setattr(MemoryLegacy, "remove_vehicles", crash)
            case "deleted":
                patch.setattr(MemoryLegacy, "remove_vehicles", removed_then_crash)
            case _:
                patch.setattr(Retiring, step, crash)
        with pytest.raises(Crash):
            retiring(parts, tmp_path).retire(_route(), "ann", "done with it")
    assert unfinished(parts.control) == ["cars"]
    assert retiring(parts, tmp_path).resume() == ["cars"]
    assert phase(parts) is Phase.RETIRED
    assert parts.legacy.vehicles() == ["V3"]
    assert len(bson.decode_all((tmp_path / "retired/cars/documents.bson").read_bytes())) == 122
    assert unfinished(parts.control) == []
