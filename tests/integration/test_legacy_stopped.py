"""With legacy stopped for good, slices in ``target`` are served through every restart; nothing else is made up."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.builders import NOON, drive
from tests.support.legacy_double import MemoryLegacy
from tests.support.rooms_databases import database_url

from journeymesh.engines.port import Retention
from journeymesh.errors import SourceUnreadable, StoreUnavailable
from journeymesh.instants import to_us
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.journey import journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import Control
from journeymesh.strangler.door import Door
from journeymesh.strangler.feeds import all_feeds
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.opened_door import opened_door
from journeymesh.strangler.plan import Feed, Gates, LegacySource, Plan, SlicePlan, TargetStore
from journeymesh.strangler.policy_book import PoliciesRead, PolicyBook
from journeymesh.strangler.slices import Phase, Selector
from journeymesh.strangler.status import SliceStatus, status_of
from journeymesh.wiring import open_store

__all__ = ["database_url"]

PRODUCTS = ("car", "van")
POLICIES = [
    Policy(number=f"P{k}", valid_from=NOON - timedelta(days=1), device=f"V{k}", product=PRODUCTS[k % 2])
    for k in range(4)
]
IN_TARGET, IN_LEGACY = ("P0", "P2"), ("P1", "P3")


class Move:
    """Slices ``car`` and ``van`` with one target, moved as far as each may be."""

    def __init__(self, store_url: str, folder: Path) -> None:
        self.store_url, self.folder = store_url, folder
        self.legacy = MemoryLegacy(held_policies=list(POLICIES))
        for policy in POLICIES:
            self.legacy.put(drive((10.0, 300), start=NOON, vehicle=str(policy.device), every_s=10))
        control = self._control()
        control.migrate()
        control.close()
        for phase in (Phase.LEGACY, Phase.SHADOW, Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET):
            van = phase if phase in (Phase.LEGACY, Phase.SHADOW) else Phase.SHADOW
            with self.installation(phase, van) as installation:
                installation.applying("ann").apply("because")
                installation.feeder().run(once=True)

    def installation(self, car: Phase = Phase.TARGET, van: Phase = Phase.SHADOW) -> Installation:
        """As a process opens it that has just started."""
        phases = {"car": car, "van": van}
        plan = Plan(
            version=1,
            control="unused",
            legacy=LegacySource(source="unused", mapping="unused"),
            stores={"store": TargetStore(url=self.store_url)},
            slices=tuple(
                SlicePlan(name=product, policies=Selector(product=product), target="store", phase=phases[product])
                for product in PRODUCTS
            ),
            gates=Gates(max_lag_s=600, shadow_coverage=0, shadow_reads=0, quiet_days=0),
            feed=Feed(),
        )
        return Installation(
            plan=plan, rules=ALWAYS_ON, control=self._control(), open_store=open_store,
            open_legacy=self._opened, open_remover=self._opened, open_writer=self._opened,
            keep_fixes=lambda text: Retention().keep, exports=self.folder / "retired",
        )  # type: ignore[arg-type]  # fmt: skip

    @contextlib.contextmanager
    def door(self) -> Iterator[Door]:
        with self.installation() as installation, opened_door(installation) as door:
            yield door

    def status(self) -> dict[str, SliceStatus]:
        with self.installation() as installation:
            unreadable = installation.check_targets()
            policies = installation.policies_at_hand()
            found = status_of(installation.plan, installation.control, policies, unreadable)
        return {each.slice: each for each in found}

    def stop_legacy(self) -> None:
        self.legacy.broken = SourceUnreadable("legacy is gone", todo="start it")

    def _control(self) -> Control:
        return Control(f"sqlite:///{self.folder}/control.db")

    def _opened(self) -> MemoryLegacy:
        if self.legacy.broken is not None:
            raise self.legacy.broken
        return self.legacy


@pytest.fixture
def move(database_url: str, tmp_path: Path) -> Move:
    return Move(database_url, tmp_path)


def _answers(door: Door, number: str) -> list[object]:
    vehicle = f"V{number[1:]}"
    key = journey_id(vehicle, to_us(NOON))
    found = door.journey(key)
    assert found is not None
    return [
        answer_bytes(door.journeys(JourneyQuery(policy=number))),
        answer_bytes(found),
        door.policies(number),
        door.fixes(vehicle, NOON, NOON + timedelta(hours=1)).fixed_at_us.tolist(),
    ]


def test_a_slice_in_target_is_served_through_restarts_with_legacy_stopped(move: Move) -> None:
    with move.door() as door:
        before = {number: _answers(door, number) for number in IN_TARGET}
        for number in IN_LEGACY:
            _answers(door, number)
    assert all(answers[3] for answers in before.values())
    move.stop_legacy()
    for _ in range(3):
        with _feeder_that_waits(move), move.door() as door:
            for _ in range(5):
                assert {number: _answers(door, number) for number in IN_TARGET} == before
            assert (move.status()["car"].complete, move.status()["car"].answering) == (True, "store")
    assert (move.status()["car"].phase, move.status()["car"].policies) == ("target", 2)


@contextlib.contextmanager
def _feeder_that_waits(move: Move) -> Iterator[None]:
    """A feeder as a process starts and stops it, that has met that legacy is gone."""
    stop, faults = threading.Event(), threading.Event()
    with move.installation() as installation:
        feeder = installation.feeder()
        feeder.on_fault = lambda target, fault: faults.set()
        running = threading.Thread(target=feeder.run, args=(stop,))
        running.start()
        try:
            assert faults.wait(30)
            yield
        finally:
            stop.set()
            running.join()


def test_what_only_legacy_knows_is_not_called_unknown(move: Move) -> None:
    move.stop_legacy()
    with move.door() as door:
        for number in (*IN_LEGACY, "P-of-nobody"):
            with pytest.raises(SourceUnreadable):
                door.journeys(JourneyQuery(policy=number))
            with pytest.raises(SourceUnreadable):
                door.policies(number)
        with pytest.raises(SourceUnreadable):
            door.policies()
        with pytest.raises(SourceUnreadable):
            door.fixes("V1", NOON, NOON + timedelta(hours=1))


def test_a_door_that_knew_legacys_policies_goes_on_with_them(move: Move) -> None:
    with move.door() as door:
        move.stop_legacy()
        door.policy_book.refresh()
        assert {policy.number for policy in door.policies()} == {policy.number for policy in POLICIES}
        assert len(door.journeys(JourneyQuery(policy="P0"))) == 1
        assert door.policy_book.fault is not None


def test_status_tells_what_is_known_and_closes_the_gates_of_the_rest(move: Move) -> None:
    known = move.status()
    assert (known["car"].policies, known["van"].policies) == (2, 2)
    move.stop_legacy()
    found = move.status()
    assert (found["car"].policies, found["car"].answering) == (2, "store")
    assert (found["van"].policies, found["van"].shadow_coverage) == (None, None)
    assert any("cover" in gate for gate in found["van"].closed_gates)
    assert not [gate for gate in known["van"].closed_gates if "cover" in gate]


def test_a_store_that_is_gone_stops_what_it_answers_and_nothing_else(move: Move, tmp_path: Path) -> None:
    with move.door() as door:
        before = [answer_bytes(door.journeys(JourneyQuery(policy=number))) for number in IN_LEGACY]
    move.store_url = f"sqlite:///{tmp_path}/gone.db"
    with move.door() as door:  # as a replica that restarts
        assert [answer_bytes(door.journeys(JourneyQuery(policy=number))) for number in IN_LEGACY] == before
        for number in IN_TARGET:
            with pytest.raises(StoreUnavailable):
                door.journeys(JourneyQuery(policy=number))
    found = move.status()
    assert (found["van"].policies, found["van"].answering) == (2, "legacy")
    assert (found["car"].policies, found["car"].shadow_coverage) == (None, None)
    assert any("cannot be read" in gate for gate in found["car"].closed_gates)
    with move.installation(car=Phase.SHADOW) as installation:
        (outcome,) = installation.applying("ann").apply("its store is gone")
    assert outcome.moved
    with move.door() as door:
        assert [len(door.journeys(JourneyQuery(policy=number))) for number in IN_TARGET] == [1, 1]


def test_a_feeder_that_starts_without_legacy_waits_for_it(move: Move) -> None:
    broken = move.legacy.broken
    move.stop_legacy()
    stop = threading.Event()
    faults = threading.Event()
    with move.installation() as installation:
        feeder = installation.feeder()
        feeder.on_fault = lambda target, fault: faults.set()
        running = threading.Thread(target=feeder.run, args=(stop,))
        running.start()
        try:
            assert faults.wait(30)
            assert any(feed.fault for feed in all_feeds(installation.control))
            move.legacy.broken = broken
            move.legacy.put(drive((10.0, 300), start=NOON + timedelta(hours=5), vehicle="V0", every_s=10))
            assert _within(60, lambda: len(installation.store("store").journeys(JourneyQuery(policy="P0"))) == 2)
        finally:
            stop.set()
            running.join()


def _within(seconds: float, holds: object) -> bool:
    pause = threading.Event()
    for _ in range(int(seconds / 0.1)):
        if holds():  # type: ignore[operator]
            return True
        pause.wait(0.1)
    return False


def test_a_book_that_read_all_before_keeps_what_it_cannot_read_again() -> None:
    fault = SourceUnreadable("legacy is gone", todo="start it")
    answers = [PoliciesRead(POLICIES), PoliciesRead(POLICIES[:1], {"legacy": fault})]
    book = PolicyBook(lambda: answers.pop(0))
    book.refresh()
    book.refresh()
    assert [policy.number for policy in book.all_terms()] == ["P0", "P1", "P2", "P3"]
    assert book.terms("P9") == ()
    partial = PolicyBook(lambda: PoliciesRead(POLICIES[:1], {"legacy": fault}))
    assert [policy.number for policy in partial.terms("P0")] == ["P0"]
    for asked in (partial.all_terms, partial.every, lambda: partial.terms("P9")):
        with pytest.raises(SourceUnreadable):
            asked()
