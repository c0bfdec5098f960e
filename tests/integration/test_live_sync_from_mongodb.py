"""A target fed from a live MongoDB by feeders that are killed: nothing is lost, nothing is there twice."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.feeds import plan_for
from tests.support.proving import times

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.errors import JourneymeshError
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb import MongodbSource
from journeymesh.sources.mongodb_vehicles import MongodbVehicles
from journeymesh.stores.memory import MemoryStore
from journeymesh.strangler import feeder, feeds
from journeymesh.strangler.control import Control
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.feeds import FeedLease, feed_of, owner_process
from journeymesh.strangler.routes import Route, RouteChange, read_routes, record
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.wiring import open_store

URL = os.environ.get("JOURNEYMESH_TEST_MONGODB")
pytestmark = pytest.mark.skipif(not URL, reason="JOURNEYMESH_TEST_MONGODB is unset")
SERVED = mp.get_context("forkserver")
SERVED.set_forkserver_preload(["journeymesh.strangler.feeder", "journeymesh.sources.mongodb_vehicles", __name__])
KILLS = times(20, 8)
BASE = datetime(2025, 3, 10, 6, tzinfo=UTC)
MAPPING = load_mapping("""
collection: boxes
fields:
  vehicle: {path: d}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: y}
  lon: {path: x}
policies: {collection: covers, number: {path: n}, device: {path: d}, valid_from: {path: from, clock: bson_date}}
""")


@dataclass(frozen=True)
class Move:
    """What a feeder in another process needs to know."""

    legacy: str
    folder: Path

    @property
    def target(self) -> str:
        return f"sqlite:///{self.folder}/target.db"

    def control(self) -> Control:
        return Control(f"sqlite:///{self.folder}/control.db")

    def feed(
        self, until: threading.Event | None = None, on_fault: Callable[[str, JourneymeshError], None] = lambda *_: None
    ) -> None:
        source = MongodbVehicles(self.legacy, MAPPING)
        feeder = Feeder(
            plan=plan_for(self.target, chunk_fixes=300, max_source_latency_s=60.0, batch_events=50),
            control=self.control(),
            open_store=lambda _: open_store(self.target),
            open_source=lambda: source,
            rules=ALWAYS_ON,
            retention_of=lambda _: Retention(),
            on_fault=on_fault,
        )
        feeder.run(until, once=until is None)
        source.close()

    def digest(self) -> dict[str, str]:
        store = open_store(self.target)
        found = store.digest()
        store.close()
        return found

    def expected(self) -> dict[str, str]:
        source, store = MongodbSource(self.legacy, MAPPING), MemoryStore()
        run(source, store, RunOptions(rules=ALWAYS_ON))
        source.close()
        return store.digest()


def feed_for_ever(move: Move) -> None:
    move.feed(threading.Event())


def feed_and_stop(move: Move, lease_s: float) -> None:
    """Stop this process between check and write once the file ``stop`` is there, and end it at the first fault."""
    check = FeedLease.check

    def stopping(lease: FeedLease) -> None:
        check(lease)
        if (move.folder / "stop").exists():
            (move.folder / "stop").unlink()
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.5)  # the signal may reach another thread first: this one must not have begun to write

    def told(_: str, fault: JourneymeshError) -> None:
        (move.folder / "fault").write_text(type(fault).__name__)
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeds, "LEASE_S", lease_s)
        # Stopped while it reads the routes it would hold SQLite's lock, and nobody could take over at all.
        patch.setattr(feeder, "FOLLOW_S", 3600.0)
        patch.setattr(FeedLease, "check", stopping)
        move.feed(threading.Event(), told)


def soon(holds: Callable[[], object], seconds: float = 60.0) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)
    return bool(holds())


def documents(vehicle: int, first: int, count: int) -> list[dict[str, Any]]:
    """A drive north, a fix every five seconds, with a clock that is no clock now and then."""
    return [
        {
            "d": f"V{vehicle:03d}",
            "t": BASE + timedelta(seconds=5 * k) if k % 97 else "never",
            "y": 50.0 + 5e-4 * k if k % 41 else 95.0,
            "x": 4.0 + vehicle / 10,
        }
        for k in range(first, first + count)
    ]


@pytest.fixture
def legacy(tmp_path: Path) -> Iterator[tuple[Any, Move]]:
    from pymongo import MongoClient

    assert URL is not None
    name = f"jm{uuid.uuid4().hex[:12]}"
    client: MongoClient[Any] = MongoClient(URL)
    database = client[name]
    for vehicle in range(20):
        database["boxes"].insert_many(documents(vehicle, 0, 100))
        database["covers"].insert_one({"n": f"P{vehicle}", "d": f"V{vehicle:03d}", "from": BASE - timedelta(days=9)})
    database["boxes"].insert_one({"t": BASE, "y": 1.0, "x": 1.0})
    move = Move(urlsplit(URL)._replace(path=f"/{name}").geturl(), tmp_path)
    control, store = move.control(), open_store(move.target)
    control.migrate()
    store.migrate()
    store.close()
    route = Route(Slice("all", Selector()), "legacy", "embedded", "legacy", Phase.SHADOW, False, None, 1)
    with control.writing() as connection:
        record(connection, route, RouteChange("test", "test", "moved", None, route.phase))
    yield database, move
    control.close()
    client.drop_database(name)
    client.close()


def killed_after(seconds: float, move: Move) -> bool:
    """Kill a feeder so long after it began to feed; whether that was what ended it."""
    child = SERVED.Process(target=feed_for_ever, args=(move,))
    child.start()
    control = move.control()

    def feeds_now() -> bool:
        feed = feed_of(control, "legacy", "embedded")
        owner = None if feed is None or feed.owner is None else owner_process(feed.owner)
        return owner is not None and owner.pid == child.pid

    was_feeding = soon(feeds_now, 120.0)
    control.close()
    time.sleep(seconds)
    with suppress(ProcessLookupError):
        os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    return was_feeding and child.exitcode == -signal.SIGKILL


def is_complete(move: Move) -> bool:
    control = move.control()
    route = read_routes(control).get("all")
    control.close()
    return route is not None and route.complete


def test_a_target_fed_from_mongodb_holds_what_a_run_over_it_gives(legacy: tuple[Any, Move]) -> None:
    database, move = legacy
    move.feed()
    assert move.digest() == move.expected()
    boxes = database["boxes"]
    boxes.insert_many(documents(3, 120, 50))
    boxes.delete_many({"d": "V004"})
    boxes.update_many({"d": "V005"}, {"$set": {"x": 8.0}})
    boxes.update_one({"d": "V006", "t": BASE + timedelta(seconds=250)}, {"$set": {"d": "V099"}})
    boxes.delete_one({"d": {"$exists": False}})
    boxes.update_one({"d": "V007", "t": "never"}, {"$set": {"t": BASE}})
    database["covers"].update_one({"n": "P8"}, {"$set": {"from": BASE + timedelta(seconds=200)}})
    database["covers"].delete_one({"n": "P9"})
    move.feed()
    assert move.digest() == move.expected()
    assert is_complete(move)
    boxes.drop()
    boxes.insert_many(documents(1, 0, 60))
    move.feed()
    assert move.digest() == move.expected()


def test_refusals_without_a_clock_all_stand_after_a_backlog_of_many_vehicles(legacy: tuple[Any, Move]) -> None:
    database, move = legacy
    move.feed()
    boxes = database["boxes"]
    for first in (200, 210):  # the feed learns from the first changes to take a few vehicles at once
        boxes.insert_many([document for v in range(20) for document in documents(v, first, 4)])
    boxes.insert_many([{"d": f"V{v:03d}", "t": "never", "y": 50.0, "x": 4.0} for v in range(20)])
    move.feed()
    assert move.digest() == move.expected()
    for v in range(20):
        boxes.update_many({"d": f"V{v:03d}", "t": "never"}, {"$set": {"d": f"V{7 * v % 20:03d}"}})
    move.feed()
    assert move.digest() == move.expected()


def test_a_feeder_stopped_for_longer_than_its_lease_writes_nothing_when_it_goes_on(legacy: tuple[Any, Move]) -> None:
    database, move = legacy
    lease_s = 1.0
    child = SERVED.Process(target=feed_and_stop, args=(move, lease_s))
    child.start()
    try:
        assert soon(lambda: is_complete(move))
        (move.folder / "stop").touch()
        database["boxes"].insert_many(documents(3, 400, 50))
        assert soon(lambda: " T " in Path(f"/proc/{child.pid}/stat").read_text())
        database["boxes"].delete_many({"d": "V003", "t": {"$gte": BASE + timedelta(seconds=5 * 400)}})
        time.sleep(lease_s)
        move.feed()
        assert move.digest() == move.expected()
        os.kill(child.pid or 0, signal.SIGCONT)
        child.join(60)
        assert (move.folder / "fault").read_text() in ("WriterOvertaken", "FeedTaken")  # by the target, or before it
        assert move.digest() == move.expected()
    finally:
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, signal.SIGKILL)
        child.join()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_feeders_killed_while_applications_write_lose_and_double_nothing(legacy: tuple[Any, Move]) -> None:
    database, move = legacy
    boxes, chance = database["boxes"], random.Random(3)
    stop = threading.Event()

    def applications() -> None:
        at = 100
        while not stop.wait(0.05):
            boxes.insert_many(documents(chance.randrange(20), at, 2))
            boxes.delete_one({"d": f"V{chance.randrange(20):03d}"})
            at += 2

    writing = threading.Thread(target=applications)
    writing.start()
    try:
        killed = 0
        while killed < KILLS and killed_after(chance.uniform(0.0, 1.2), move):
            killed += 1
    finally:
        stop.set()
        writing.join()
    assert killed == KILLS
    move.feed()
    assert is_complete(move)
    assert move.digest() == move.expected()
