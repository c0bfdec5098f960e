"""Fixes that the door accepts: journaled once, delivered to legacy while it lives, else to the store."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from journeymesh.engines.port import Retention
from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.accepted import Deliverer, accept
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.routes import Route, Routes
from journeymesh.strangler.slices import Phase, Selector, Slice
from tests.support.builders import drive

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
POLICIES = [
    Policy(number="P1", valid_from=BEGIN, device="V1", product="car"),
    Policy(number="P2", valid_from=BEGIN, device="V2", product="van"),
]
BOTH = Fixes.concat([drive((10.0, 60), vehicle="V1"), drive((10.0, 60), vehicle="V2")])


@dataclass
class Writer:
    put_fixes: list[Fixes] = field(default_factory=list)
    broken: bool = False

    def put(self, fixes: Fixes) -> int:
        if self.broken:
            raise SourceUnreadable("legacy is away", todo="bring it back")
        self.put_fixes.append(fixes)
        return 0


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    held = Control(f"sqlite:///{tmp_path}/control.db")
    held.migrate()
    yield held
    held.close()


def routes(cars: Phase, vans: Phase = Phase.LEGACY) -> Routes:
    def route(name: str, phase: Phase) -> Route:
        return Route(Slice(name, Selector(product=name)), "legacy", "embedded", "legacy", phase, True, None, now_us())

    return Routes(1, (route("car", cars), route("van", vans)))


def deliverer(control: Control, writer: Writer, store: MemoryStore) -> Deliverer:
    return Deliverer(
        control=control, rules=ALWAYS_ON, policies=lambda: POLICIES, writer=lambda: writer, store=lambda name: store,
        retention=lambda name: Retention(),
    )  # fmt: skip


def test_accepted_fixes_become_legacy_documents_while_legacy_lives(control: Control) -> None:
    writer, held = Writer(), routes(Phase.TARGET)
    assert not accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=True).again
    assert deliverer(control, writer, MemoryStore()).deliver(held) == 2
    delivered = Fixes.concat(writer.put_fixes)
    assert sorted(delivered.fixed_at_us) == sorted(BOTH.fixed_at_us)
    assert deliverer(control, writer, MemoryStore()).deliver(held) == 0


def test_without_reverse_sync_fixes_are_refused_while_legacy_lives(control: Control) -> None:
    for phase in (Phase.LEGACY, Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET):
        with pytest.raises(UsageError, match="legacy is retired or reverse sync is on"):
            accept(control, routes(phase), POLICIES, BOTH, "batch-1", reverse_sync=False)
    assert deliverer(control, Writer(), MemoryStore()).deliver(routes(Phase.LEGACY)) == 0


def test_once_legacy_is_retired_they_go_into_the_store(control: Control) -> None:
    store, writer, held = MemoryStore(), Writer(), routes(Phase.RETIRED, Phase.RETIRED)
    store.migrate()
    accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=False)
    assert deliverer(control, writer, store).deliver(held) == 2
    assert writer.put_fixes == []
    assert store.journeys(JourneyQuery())["vehicle"].to_pylist() == ["V1", "V2"]


def test_a_key_accepted_twice_counts_once(control: Control) -> None:
    writer, held = Writer(), routes(Phase.TARGET)
    accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=True)
    assert accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=True).again
    assert deliverer(control, writer, MemoryStore()).deliver(held) == 2


def test_a_key_used_for_other_fixes_is_refused_and_nothing_of_them_is_kept(control: Control) -> None:
    writer, held = Writer(), routes(Phase.TARGET)
    accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=True)
    other = replace(BOTH, lat_deg=np.array(BOTH.lat_deg) + 1)
    with pytest.raises(UsageError, match="used for other fixes"):
        accept(control, held, POLICIES, other, "batch-1", reverse_sync=True)
    assert deliverer(control, writer, MemoryStore()).deliver(held) == 2


def test_while_legacy_is_away_what_was_accepted_waits(control: Control) -> None:
    writer, held = Writer(broken=True), routes(Phase.TARGET)
    accept(control, held, POLICIES, BOTH, "batch-1", reverse_sync=True)
    with pytest.raises(SourceUnreadable):
        deliverer(control, writer, MemoryStore()).deliver(held)
    writer.broken = False
    assert deliverer(control, writer, MemoryStore()).deliver(held) == 2


def test_fixes_of_no_policy_are_legacys(control: Control) -> None:
    writer, held = Writer(), routes(Phase.RETIRED, Phase.RETIRED)
    stranger = drive((10.0, 60), vehicle="V9")
    with pytest.raises(UsageError):
        accept(control, held, POLICIES, stranger, "batch-1", reverse_sync=False)
    accept(control, held, POLICIES, stranger, "batch-1", reverse_sync=True)
    deliverer(control, writer, MemoryStore()).deliver(held)
    assert writer.put_fixes[0].vehicles == ("V9",)


def test_a_missing_key_is_refused(control: Control) -> None:
    with pytest.raises(UsageError, match="key is missing"):
        accept(control, routes(Phase.TARGET), POLICIES, BOTH, "", reverse_sync=True)
