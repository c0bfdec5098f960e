"""A slice goes from legacy into one store, and from store to store to store, while changes go on arriving."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.builders import NOON, changed, drive
from tests.support.feeds import plan_for, policy_of
from tests.support.legacy_double import MemoryLegacy

from journeymesh.engines.port import Retention
from journeymesh.engines.recalculation import Recalculation
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.vehicle_port import VehicleRead
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, Superseded
from journeymesh.strangler.control import Control
from journeymesh.strangler.feed_session import FeedSession
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.reconcile import Reconciliation, TargetDifference
from journeymesh.strangler.routes import Route, RouteChange, read_routes, record
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.strangler.store_upstream import StoreUpstream
from journeymesh.wiring import open_store

VEHICLES = [f"V{n}" for n in range(5)]
ALL = Slice("all", Selector())
SWAPS = [("sqlite", "postgresql"), ("postgresql", "mongodb"), ("mongodb", "lake"), ("lake", "again")]


class Legacy(MemoryLegacy):
    """One that also holds a document without a vehicle."""

    def nameless(self) -> VehicleRead:
        return VehicleRead(Fixes.empty(), [Refusal("vehicle_missing", "memory/7", "no vehicle", content="{}")])


@dataclass
class Move:
    """Legacy, the stores by name, and the route of everything."""

    urls: dict[str, str]
    control: Control
    legacy: MemoryLegacy = field(default_factory=Legacy)

    def open(self, name: str) -> Store:
        return open_store(self.urls[name])

    def route(self, source: str, target: str, upstream: str, phase: Phase = Phase.SHADOW) -> None:
        route = Route(ALL, source, target, upstream, phase, False, None, 1)
        with self.control.writing() as connection:
            record(connection, route, RouteChange("test", "test", "moved", None, route.phase))

    def feeder(self) -> Feeder:
        return Feeder(
            plan=plan_for("unused", chunk_fixes=500, batch_events=20),
            control=self.control,
            open_store=self.open,
            open_source=lambda: self.legacy,
            rules=ALWAYS_ON,
        )

    def digest(self, name: str) -> dict[str, str]:
        store = self.open(name)
        try:
            return store.digest()
        finally:
            store.close()

    def is_complete(self) -> bool:
        route = read_routes(self.control).get("all")
        return route is not None and route.complete

    def accept(self, name: str, fixes: Fixes) -> None:
        """Put fixes into a store that outlived legacy."""
        store = self.open(name)
        recalculation = Recalculation(
            store=store,
            rules=ALWAYS_ON,
            policies=store.policies(),
            retention=Retention(),
            now=datetime.now(UTC),
            describe=lambda origins: ["accepted"] * len(origins),
        )
        store.write(recalculation.recalculate(fixes).batch)
        store.close()


@contextmanager
def running(feeder: Feeder) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=feeder.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def soon(holds: Callable[[], object], seconds: float = 30.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.05)
    return bool(holds())


def day_of(vehicle: str, day: int) -> Fixes:
    """A drive with a spike and a missing position."""
    fixes = drive((15.0, 300), (0.0, 400), (18.0, 200), vehicle=vehicle, start=NOON + timedelta(days=day), every_s=5.0)
    fixes = changed(fixes, 20, lat_deg=float("nan"))
    return changed(fixes, 40, lat_deg=float(fixes.lat_deg[40]) + 2.0)


@pytest.fixture
def move(tmp_path: Path, postgresql_url: str, mongodb_url: str) -> Iterator[Move]:
    import psycopg
    from pymongo import MongoClient

    name = f"jm{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[call-overload]
    urls = {
        "sqlite": f"sqlite:///{tmp_path}/first.db",
        "postgresql": urlsplit(postgresql_url)._replace(path=f"/{name}").geturl(),
        "mongodb": urlsplit(mongodb_url)._replace(path=f"/{name}").geturl(),
        "lake": f"lake:///{tmp_path}/lake",
        "again": f"sqlite:///{tmp_path}/again.db",
    }
    control = Control(f"sqlite:///{tmp_path}/control.db")
    control.migrate()
    made = Move(urls, control)
    for url in urls.values():
        store = open_store(url)
        store.migrate()
        store.close()
    for vehicle in VEHICLES:
        made.legacy.put(Fixes.concat([day_of(vehicle, day) for day in range(2)]))
    made.legacy.held_policies = [policy_of(vehicle) for vehicle in VEHICLES]
    made.route("legacy", "sqlite", "legacy")
    made.feeder().run(once=True)
    yield made
    control.close()
    MongoClient(mongodb_url).drop_database(name)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]


def compare(move: Move, upstream: str, target: str, *, repair: bool = False) -> int:
    """How many things differ."""
    return len(differences(move, upstream, target, repair=repair))


def differences(move: Move, upstream: str, target: str, *, repair: bool = False) -> list[TargetDifference]:
    stores = [move.open(upstream), move.open(target)]
    session = FeedSession(
        control=move.control,
        feed=plan_for("unused").feed,
        source=StoreUpstream(upstream, stores[0]),
        store=stores[1],
        rules=ALWAYS_ON,
        retention=Retention(),
        upstream=upstream,
        target=target,
        routes=read_routes(move.control).routes,
    )
    session.reload()
    found = list(Reconciliation(session, ALL, repair=repair).differences())
    for store in stores:
        store.close()
    return found


def test_without_legacy_each_store_is_filled_from_the_one_before_it_and_kept_up(move: Move) -> None:
    move.legacy.broken = AssertionError("legacy is retired")
    assert all(move.digest("sqlite").values())
    for number, (source, target) in enumerate(SWAPS):
        move.route(source, target, source)
        with running(move.feeder()):
            move.accept(source, day_of("V1", 5 + number))
            assert soon(move.is_complete)
            move.accept(source, day_of("V9", 5 + number))
            changes_of_policies(move, source, number)
            assert soon(lambda s=source, t=target: move.digest(s) == move.digest(t)), (source, target)
        assert differences(move, source, target) == []
        damage(move, target)
        assert compare(move, source, target) > 0
        assert compare(move, source, target, repair=True) > 0
        assert move.digest(source) == move.digest(target)
        assert compare(move, source, target) == 0


def changes_of_policies(move: Move, name: str, number: int) -> None:
    """A policy more, one less, one changed."""
    store = move.open(name)
    changed_policy = replace(policy_of("V2"), product=f"product {number}")
    store.write(
        StoreBatch(
            policies=[policy_of(f"X{number}"), changed_policy],
            policies_withdrawn=[policy_of(f"X{number - 1}").term] * (number > 0),
        )
    )
    store.close()


def damage(move: Move, name: str) -> None:
    """Lose a journey and a day's fixes."""
    store = move.open(name)
    [row] = store.journeys(JourneyQuery(vehicle="V2", limit=1)).to_pylist()
    fixes = store.fixes("V3", NOON, NOON + timedelta(hours=1))
    store.write(StoreBatch(superseded=[Superseded(row["journey_id"], None)], fixes=fixes.take(slice(1, None))))
    store.close()


def test_while_legacy_lives_it_feeds_both_stores_of_a_swap(move: Move) -> None:
    before = move.digest("sqlite")
    for source, target in SWAPS:
        move.route(source, target, "legacy")
        with running(move.feeder()):
            documents = move.legacy.put(day_of("V1", 7 + len(source)))
            assert soon(move.is_complete)
            move.legacy.remove(documents[:30])
            move.legacy.set_policies([*move.legacy.policies(), policy_of(f"Y-{source}")])
            assert soon(lambda held=(source, target), was=before: is_fed(move, *held, than=was)), (source, target)
        before = move.digest(target)


def is_fed(move: Move, source: str, target: str, *, than: dict[str, str]) -> bool:
    """Whether both hold the same, and more than before."""
    found = move.digest(source)
    return found == move.digest(target) and all(found[part] != than[part] for part in ("journeys", "policies", "fixes"))


def test_a_feeder_that_comes_back_goes_on_from_the_position_in_the_target(move: Move) -> None:
    move.legacy.broken = AssertionError("legacy is retired")
    move.route("sqlite", "postgresql", "sqlite")
    move.feeder().run(once=True)
    assert move.digest("postgresql") == move.digest("sqlite")
    move.accept("sqlite", day_of("V0", 9))
    changes_of_policies(move, "sqlite", 0)
    store = move.open("postgresql")
    position = store.changes(None).position
    move.feeder().run(once=True)
    assert store.changes(position).vehicles == ("V0",)
    store.close()
    assert move.digest("postgresql") == move.digest("sqlite")
