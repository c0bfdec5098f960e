"""A state machine over what operators do to stores, plans, processes and the control database."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import currently_in_test_context, event
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from journeymesh.databases import database
from journeymesh.databases.database import sqlite_engine
from journeymesh.errors import JourneymeshError
from journeymesh.journeys.answers import answer_bytes
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler import feeder, live_sync
from journeymesh.strangler.control import Control
from journeymesh.strangler.plan import LEGACY, PlanInvalid
from journeymesh.strangler.routes import Route
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.status import status_of
from tests.support.operated_move import NUMBERS, POLICIES, SLICES, VEHICLES, OperatedMove, Replica, Wanted, share_of
from tests.support.operated_stores import Stores, is_readable, migrated
from tests.support.stepped_feeder import SteppedFeeder

STORES = ("one", "two", "three")
STEPS = 40
slices, stores, vehicles = st.sampled_from(SLICES), st.sampled_from(STORES), st.sampled_from(VEHICLES)


class Operators(RuleBasedStateMachine):
    """Three slices, three stores, one legacy, a door, a feeder that runs on, and everything that may happen to them."""

    made: Callable[[Path], tuple[Stores, Stores]]
    """Fresh (stores, control databases) in this folder."""
    steps = 0
    """How many were made, of all examples."""

    @initialize(phases=st.lists(st.integers(0, 3), min_size=len(SLICES), max_size=len(SLICES)))
    def begin(self, phases: list[int]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="journeymesh-operators-"))
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (database, "sqlite_engine", self._sqlite_engine), (feeder, "WAIT_S", 0.0), (feeder, "FIRST_PAUSE_S", 0.0),
            (feeder, "LONGEST_PAUSE_S", 0.0), (live_sync, "NOTE_EVERY_S", 0.0),
        ):  # fmt: skip
            self.patch.setattr(module, name, value)
        held, controls = type(self).made(self.folder)
        for name in STORES:
            held.make(name, "store_template")
        controls.make("control", "control_template")
        self.move = OperatedMove(held, controls, self.folder, self.patch)
        self.copies: dict[str, list[int]] = {name: [] for name in STORES}
        self.touched: set[str] = set()
        for vehicle in VEHICLES:
            self.move.drive_on(vehicle, 2, 2)
        self.move.note_truth()
        for number in range(max(phases) + 1):
            for name, most in zip(SLICES, phases, strict=True):
                wanted = self.move.wanted[name]
                self.move.wanted[name] = Wanted(wanted.source, wanted.target, list(Phase)[min(number, most)])
            with self.move.installation() as installation:
                installation.applying("ann").apply("because")
            assert self.move.feed(), self.move.refused
        self.open_door()

    def teardown(self) -> None:
        if hasattr(self, "move"):
            self.move.close()
            self.patch.undo()
            shutil.rmtree(self.folder, ignore_errors=True)

    # --- what applications do

    @rule(vehicle=vehicles, hours=st.integers(1, 12), minutes=st.integers(1, 3))
    def write(self, vehicle: str, hours: int, minutes: int) -> None:
        """At a time that may have been written before: late fixes of a journey that is known."""
        self.move.drive_on(vehicle, 2 * hours, minutes)
        self.move.note_truth()

    @rule(vehicle=vehicles)
    def insert_again(self, vehicle: str) -> None:
        if not self._is_retired(vehicle):
            self.move.put_again(vehicle)
            self.move.note_truth()

    @rule(vehicle=vehicles, share=st.integers(1, 3))
    def delete_some(self, vehicle: str, share: int) -> None:
        if not self._is_retired(vehicle):
            held = sorted(document for document, row in self.move.legacy.rows.items() if row[0] == vehicle)
            self.move.legacy.remove(held[: len(held) * share // 3])
            self.move.note_truth()

    @rule()
    def lose_the_stream(self) -> None:
        self.move.legacy.forget()

    # --- what operators do to processes

    @rule()
    def feed(self) -> None:
        is_fed = self.move.feed()
        if not is_fed:
            _count("feed refused")
        if is_fed and self.move.unlock is None:
            for route in self.move.recorded().routes:
                if route.is_fed:
                    assert route.complete, route

    @rule(steps=st.integers(1, 8), looks=st.booleans())
    def let_the_feeder_run(self, steps: int, looks: bool) -> None:
        """``looks`` False: less than half a second goes by."""
        if self.move.running is None:
            self.fed_by = self.move.installation()
            self.move.running = SteppedFeeder(self.fed_by.feeder(), self.patch)
        for _ in range(steps):
            self.move.step_feeder(looks=looks)

    @rule(name=stores, steps=st.integers(1, 6), more=st.integers(0, 6), fed=st.booleans())
    def restore_a_copy_from_amid_a_feed(self, name: str, steps: int, more: int, fed: bool) -> None:
        """``fed``: the feed came to its end since; else it runs on over the copy, and has not looked yet."""
        self.let_the_feeder_run(steps, False)
        self.copy_a_store(name, 0)
        self.let_the_feeder_run(more, False)
        if fed:
            self.stop_the_feeder()
            self.feed()
        self.restore_a_store(name, 0)
        if not fed:
            self.let_the_feeder_run(2, False)

    @precondition(lambda self: self.move.running is not None)
    @rule()
    def stop_the_feeder(self) -> None:
        assert self.move.running is not None
        self.move.running.close()
        self.move.running = None
        self.fed_by.close()

    @rule()
    def restart_the_door(self) -> None:
        if self.move.replica is not None:
            self.move.replica.installation.close()
        self.open_door()

    @rule()
    def stop_legacy(self) -> None:
        self.move.stop_legacy()

    @rule()
    def start_legacy(self) -> None:
        self.move.legacy.broken = None

    @precondition(lambda self: self.move.unlock is None)
    @rule()
    def lock_the_control_database(self) -> None:
        self.move.unlock = self.move.controls.lock("control")
        self.patch.setattr(database, "BUSY_TIMEOUT_S", 0.02)

    @precondition(lambda self: self.move.unlock is not None)
    @rule()
    def unlock_the_control_database(self) -> None:
        assert self.move.unlock is not None
        self.move.unlock()
        self.move.unlock = None
        self.patch.setattr(database, "BUSY_TIMEOUT_S", 10.0)

    # --- what operators do to stores

    @rule(name=stores)
    def delete_a_store(self, name: str) -> None:
        self.touched.add(name)
        self.move.stores.delete(name)

    @rule(name=stores)
    def make_a_store_anew(self, name: str) -> None:
        self.touched.add(name)
        self.move.stores.delete(name)
        self.move.stores.make(name)
        migrated(self.move.stores, name)

    @rule(name=stores, way=st.integers(0, 2))
    def copy_a_store(self, name: str, way: int) -> None:
        if is_readable(self.move.stores, name):
            ways = self.move.stores.ways
            self.copies[name].append(self.move.stores.copy(name, ways[way % len(ways)]))

    @rule(name=stores, which=st.integers(0, 3))
    def restore_a_store(self, name: str, which: int) -> None:
        if self.copies[name]:
            self.touched.add(name)
            self.move.stores.restore(name, self.copies[name][-1 - which % len(self.copies[name])])

    @rule(one=stores, other=stores)
    def swap_the_files_of_two_stores(self, one: str, other: str) -> None:
        if one != other and is_readable(self.move.stores, one) and is_readable(self.move.stores, other):
            self.touched |= {one, other}
            self.move.stores.swap(one, other)

    # --- what operators do to the plan

    @rule(name=slices, feeds=st.booleans())
    def go_on(self, name: str, feeds: bool) -> None:
        held = self.move.wanted[name]
        if feeds:
            self.feed()
        if held.phase is not Phase.RETIRED:
            order = list(Phase)
            self._apply(name, Wanted(held.source, held.target, order[order.index(held.phase) + 1]))

    @rule(name=slices, phase=st.sampled_from(list(Phase)))
    def ask_for_a_phase(self, name: str, phase: Phase) -> None:
        held = self.move.wanted[name]
        self._apply(name, Wanted(held.source, held.target, phase))

    @rule(name=slices, other=stores)
    def swap_a_store_for_another(self, name: str, other: str) -> None:
        held = self.move.wanted[name]
        if other == held.target:
            return
        self._apply(name, Wanted(held.target, other, Phase.SHADOW))

    @rule(name=slices)
    def end_a_swap(self, name: str) -> None:
        held = self.move.wanted[name]
        if held.source == LEGACY:
            return
        kept = held.source if held.phase is Phase.LEGACY else held.target
        self._apply(name, Wanted(LEGACY, kept, Phase.TARGET))

    @rule(name=stores, other=stores)
    def write_another_address_under_a_known_name(self, name: str, other: str) -> None:
        if name == other:
            return
        before = self.move.recorded()
        try:
            with self.move.command(urls={name: self.move.stores.url(other)}) as installation:
                installation.applying("ann").apply("because")
        except JourneymeshError as error:
            _count(f"another address: {type(error).__name__}")
        after = self.move.recorded()
        assert [r.phase for r in after.routes] == [r.phase for r in before.routes]

    @rule()
    def apply_another_plan(self) -> None:
        if not self.move.recorded().routes:
            return
        with self.move.installation(plan_id="another") as installation, pytest.raises(PlanInvalid):
            installation.require_control()

    # --- what always holds

    @invariant()
    def every_answer_is_right_or_an_error_that_has_a_cause(self) -> None:
        if not hasattr(self, "move") or self.move.replica is None:
            return
        replica, routes = self.move.replica, {route.slice.name: route for route in self.move.recorded().routes}
        replica.look()
        for number in NUMBERS:
            of_number = {str(policy.product) for policy in POLICIES if policy.number == number}
            try:
                found = replica.door.journeys(JourneyQuery(policy=number))
                held = replica.door.policies(number)
                for row in range(len(found)):
                    one = replica.door.journey(found["journey_id"][row].as_py())
                    assert one is not None
                    assert answer_bytes(one) == answer_bytes(found.slice(row, 1))
            except JourneymeshError as error:
                self._must_have_a_cause(error, [routes.get(name) for name in of_number])
                continue
            assert [policy for policy in POLICIES if policy.number == number] == held
            shown = {route.slice.name: route for route in replica.routes.now().routes}
            for name in of_number:
                side = shown[name].answering_name if name in shown else LEGACY
                assert answer_bytes(share_of(found, (name, number))) in self.move.allowed((name, number), side), (
                    name,
                    side,
                )

    @invariant()
    def nothing_is_green_and_wrong(self) -> None:
        Operators.steps += 1
        if not hasattr(self, "move") or not self.move.recorded().routes:
            return
        try:
            with self.move.command() as installation:
                unreadable = installation.check_targets()
                policies = installation.policies_at_hand()
                found = status_of(installation.plan, installation.control, policies, unreadable)
        except JourneymeshError:
            return  # it says why it cannot say anything
        for each in found:
            if each.complete and not each.closed_gates and each.phase != Phase.LEGACY:
                assert is_readable(self.move.stores, each.target), each
                with self.move.installation() as installation:
                    store = installation.store(each.target)
                    for number in NUMBERS:
                        share = each.slice, number
                        if any((p.product, p.number) == share for p in POLICIES):
                            journeys = share_of(store.journeys(JourneyQuery(policy=number)), share)
                            assert answer_bytes(journeys) in self.move.allowed(share, each.target), each

    # --- how it is done

    def open_door(self) -> None:
        try:
            self.move.replica = Replica.opened(self.move.installation())
        except JourneymeshError:
            self.move.replica = None

    def _sqlite_engine(self, address: sa.URL, **given: object) -> sa.Engine:
        """One whose connections wait for a writer as long as ``BUSY_TIMEOUT_S`` says at that time."""
        engine = sqlite_engine(address, **given)  # type: ignore[arg-type]

        @sa.event.listens_for(engine, "checkout")
        def _wait(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA busy_timeout = {round(database.BUSY_TIMEOUT_S * 1000)}")

        return engine

    def _apply(self, name: str, asked: Wanted) -> None:
        wanted = self.move.wanted | {name: asked}
        try:
            with self.move.command(wanted=wanted) as installation:
                installation.applying("ann").apply("because")
        except JourneymeshError as error:
            _count(f"apply: {type(error).__name__}")
        held = self.move.recorded()
        for route in held.routes:  # some may have been moved before an error
            now = Wanted(route.source, route.target, route.phase)
            if now != self.move.wanted[route.slice.name]:
                _count(f"{self.move.wanted[route.slice.name].phase} to {route.phase}")
                self.move.wanted[route.slice.name] = now
                if now.phase is Phase.RETIRED and route.slice.name not in self.move.frozen:
                    self.move.frozen[route.slice.name] = self.move.log[-1]
        self.move.note_truth()

    def _must_have_a_cause(self, error: JourneymeshError, routes: list[Route | None]) -> None:
        legacy_needed = any(route is None or route.answering_name == LEGACY for route in routes)
        is_down = self.move.legacy.broken is not None
        names = {route.answering_name for route in routes if route is not None} - {LEGACY}
        known = {each for w in self.move.wanted.values() for each in (w.source, w.target)} - {LEGACY}
        assert (
            (is_down and (legacy_needed or names & self.touched))
            or any(not is_readable(self.move.stores, name) for name in names | known)
            or any(r is not None and r.slice.name in self.move.frozen and names & self.touched for r in routes)
        ), (error, routes)

    def _is_retired(self, vehicle: str) -> bool:
        return any(p.product in self.move.frozen and p.device == vehicle for p in POLICIES)


def _count(what: str) -> None:
    """Count it in Hypothesis' statistics."""
    if currently_in_test_context():
        event(what)


def make_templates(held: Stores) -> None:
    """A store and a control database that are migrated, for every example to begin with."""
    migrated(held, "store_template")
    control = Control(held.url("control_template"))
    control.migrate()
    control.close()
