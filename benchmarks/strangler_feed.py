"""A target synced from a live MongoDB: the lag of the live sync, a burst, and a backfill that is killed many times.

The server is the one of ``JOURNEYMESH_TEST_MONGODB``; the target is SQLite in a temporary folder.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from journeymesh.engines.port import Retention
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.mongodb_vehicles import MongodbVehicles
from journeymesh.strangler.backfill import COMPLETE, backfill_of
from journeymesh.strangler.control import Control
from journeymesh.strangler.feeder import Feeder
from journeymesh.strangler.plan import Feed, LegacySource, Plan, TargetStore
from journeymesh.strangler.routes import Route, RouteChange, record
from journeymesh.strangler.slices import Phase, Selector, Slice
from journeymesh.wiring import open_store

FORK = mp.get_context("fork")
BASE = datetime(2025, 3, 10, 6, tzinfo=UTC)
MAPPING = load_mapping("""
collection: boxes
fields:
  vehicle: {path: d}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: y}
  lon: {path: x}
  speed: {path: v, unit: m/s}
""")


@dataclass(frozen=True)
class Move:
    """A legacy database and the folder of its target."""

    legacy: str
    folder: Path
    chunk_fixes: int = 20_000
    mapping: Mapping = MAPPING

    @property
    def control(self) -> Control:
        """Its control database."""
        return Control(f"sqlite:///{self.folder}/control.db")

    @property
    def target(self) -> str:
        """The target's URL."""
        return f"sqlite:///{self.folder}/target.db"

    def prepare(self) -> None:
        """Make the databases and record a route in shadow."""
        control, store = self.control, open_store(self.target)
        control.migrate()
        store.migrate()
        store.close()
        route = Route(Slice("all", Selector()), "legacy", "embedded", "legacy", Phase.SHADOW, False, None, 1)
        with control.writing() as connection:
            record(connection, route, RouteChange("bench", "bench", "moved", None, route.phase))
        control.close()

    def feed(self, until: threading.Event | None = None) -> None:
        """Feed until told to stop; without an event until everything is there."""
        legacy = LegacySource(source=self.legacy, mapping="boxes.yaml")
        plan = Plan(
            version=1, control=self.target, legacy=legacy, stores={"embedded": TargetStore(url=self.target)},
            feed=Feed(chunk_fixes=self.chunk_fixes, max_source_latency_s=60.0),
        )  # fmt: skip
        source = MongodbVehicles(self.legacy, self.mapping)
        feeder = Feeder(
            plan=plan, control=self.control, open_store=lambda _: open_store(self.target), open_source=lambda: source,
            rules=ALWAYS_ON, retention_of=lambda _: Retention(),
        )  # fmt: skip
        feeder.run(until, once=until is None)
        source.close()

    def digest(self) -> dict[str, str]:
        """What the target holds."""
        store = open_store(self.target)
        try:
            return store.digest()
        finally:
            store.close()


@contextmanager
def legacy_database() -> Iterator[tuple[Any, str]]:
    """An empty legacy database, dropped at the end."""
    from pymongo import MongoClient

    server = os.environ["JOURNEYMESH_TEST_MONGODB"]
    name = f"bench{uuid.uuid4().hex[:10]}"
    client: MongoClient[Any] = MongoClient(server)
    boxes = client[name]["boxes"]
    boxes.create_index([("d", 1), ("t", 1)])
    try:
        yield boxes, urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        client.drop_database(name)
        client.close()


def documents(vehicles: int, each: int, *, every_s: float = 1.0, first: int = 0) -> Iterator[dict[str, Any]]:
    """Fixes of vehicles that all drive north, by time."""
    for k in range(first, first + each):
        for v in range(vehicles):
            at = BASE + timedelta(seconds=k * every_s, milliseconds=v)
            yield {"d": f"V{v:05d}", "t": at, "y": 50.0 + 1e-4 * k * every_s, "x": 4.0 + 0.01 * v, "v": 11.1}


def lag(writes_per_s: int = 200, seconds: int = 30, vehicles: int = 100) -> dict[str, Any]:
    """Milliseconds from a write's acknowledgement until the target shows the change, at a steady rate."""
    with legacy_database() as (boxes, url), tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        boxes.insert_many(list(documents(vehicles, 5)), ordered=False)
        move = Move(url, Path(room))
        move.prepare()
        stop = FORK.Event()
        child = FORK.Process(target=_feed_until, args=(move, stop))
        child.start()
        _until_complete(move)
        time.sleep(1.0)
        written: list[tuple[str, float, float]] = []
        watcher = _Watcher(move.target)
        watcher.start()
        began = time.perf_counter()
        for n, document in enumerate(documents(vehicles, writes_per_s * seconds // vehicles, first=5)):
            wait_s = began + n / writes_per_s - time.perf_counter()
            if wait_s > 0:
                time.sleep(wait_s)
            boxes.insert_one(document)
            written.append((document["d"], document["t"].timestamp(), time.perf_counter()))
        took_s = time.perf_counter() - began
        time.sleep(2.0)
        watcher.stop()
        stop.set()
        child.join()
        lags = watcher.lags_ms(written)
        return {
            "writes": len(written), "unseen": len(written) - len(lags), "writes_per_s": len(written) / took_s,
            "p50_ms": float(np.percentile(lags, 50)), "p99_ms": float(np.percentile(lags, 99)), "max_ms": max(lags),
        }  # fmt: skip


class _Watcher(threading.Thread):
    """Reads the target's kept fixes of whatever changed, every few milliseconds: what a reader could see, and when."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.store, self.ended = open_store(url), threading.Event()
        self.seen: dict[tuple[str, int], float] = {}

    def run(self) -> None:
        position = self.store.changes(None).position
        while not self.ended.is_set():
            found = self.store.changes(position)
            if found.position == position:
                time.sleep(0.002)
                continue
            position = found.position
            for vehicle in found.vehicles:
                fixes = self.store.fixes(vehicle, BASE, BASE + timedelta(days=1))
                at = time.perf_counter()
                for us in fixes.fixed_at_us.tolist():
                    self.seen.setdefault((vehicle, us), at)

    def stop(self) -> None:
        self.ended.set()
        self.join()
        self.store.close()

    def lags_ms(self, written: Sequence[tuple[str, float, float]]) -> list[float]:
        found = [(self.seen.get((v, round(t * 1e6))), at) for v, t, at in written]
        return [max(seen - at, 0.0) * 1000 for seen, at in found if seen is not None]


def burst(events: int = 20_000, vehicles: int = 200) -> dict[str, Any]:
    """Seconds from the last acknowledgement of a burst until the target has all of it."""
    with legacy_database() as (boxes, url), tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        boxes.insert_many(list(documents(vehicles, 5)), ordered=False)
        move = Move(url, Path(room))
        move.prepare()
        stop = FORK.Event()
        child = FORK.Process(target=_feed_until, args=(move, stop))
        child.start()
        _until_complete(move)
        time.sleep(1.0)
        last = list(documents(vehicles, events // vehicles, first=5))
        began = time.perf_counter()
        boxes.insert_many(last, ordered=False)
        acknowledged = time.perf_counter()
        store = open_store(move.target)
        names = sorted({each["d"] for each in last})
        wanted = events // vehicles + 5
        day = BASE + timedelta(days=1)
        while any(len(store.fixes(name, BASE, day)) < wanted for name in names):
            time.sleep(0.02)
            if time.perf_counter() - acknowledged > 120:
                raise RuntimeError("the burst was not drained within 120 s")
        drained = time.perf_counter()
        store.close()
        stop.set()
        child.join()
        return {"burst_s": drained - acknowledged, "with_writing_s": drained - began}


def _feed_until(move: Move, stop: Any) -> None:
    until = threading.Event()
    threading.Thread(target=lambda: (stop.wait(), until.set()), daemon=True).start()
    move.feed(until)


def _until_complete(move: Move, seconds: float = 120.0) -> None:
    control = move.control
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = backfill_of(control, "all", "embedded")
        if state is not None and state.state == COMPLETE:
            control.close()
            return
        time.sleep(0.05)
    raise RuntimeError("the backfill did not end")


if __name__ == "__main__":
    what, *sizes = sys.argv[1:]
    measured = lag(seconds=int(*sizes or (30,))) if what == "lag" else burst(int(*sizes or (20_000,)))
    print(json.dumps(measured))
