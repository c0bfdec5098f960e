"""A backfill whose feeders are killed over and over, beside one that nobody disturbs: what both targets hold.

``python -m benchmarks.strangler_kills [KILLS DOCUMENTS]`` prints one JSON line. Feeders are processes of their own,
ended by SIGKILL at random instants between their start and some chunks later; the server is the one of
``JOURNEYMESH_TEST_MONGODB``, the target is SQLite. A million documents need about 1 GB of its memory.
"""

from __future__ import annotations

import json
import multiprocessing as mp
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.strangler_feed import BASE, Move, legacy_database
from journeymesh.sources.mapping import load_mapping
from journeymesh.strangler.backfill import backfill_id, backfill_of
from journeymesh.strangler.feeds import feed_of, owner_process
from journeymesh.wiring import open_store

SERVED = mp.get_context("forkserver")
SERVED.set_forkserver_preload(["journeymesh.strangler.feeder", "journeymesh.sources.mongodb_vehicles", __name__])
EACH = 5_000
"""Documents of a vehicle, and fixes of a chunk: many chunks, so that kills meet every part of the work."""
AT_ONCE = 10_000
SOONEST_S, FIRST_LATEST_S = 0.05, 2.5
MAPPING = load_mapping("""
collection: boxes
fields:
  vehicle: {path: d}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: y}
  lon: {path: x}
  speed: {path: v, unit: m/s}
policies: {collection: covers, number: {path: n}, device: {path: d}, valid_from: {path: from, clock: bson_date}}
""")


def documents(vehicles: int, each: int = EACH) -> Iterator[dict[str, Any]]:
    """Drives of 500 fixes with four hours between them; some clocks are no clocks, some positions not of this world."""
    for k in range(each):
        at = BASE + timedelta(seconds=5 * k, hours=4 * (k // 500))
        lat = 50.0 + 5e-4 * k if k % 41 else 95.0
        for v in range(vehicles):
            yield {"d": f"V{v:05d}", "t": at if (k + v) % 97 else "never", "y": lat, "x": 4.0 + 0.01 * v, "v": 11.1}


@dataclass(slots=True)
class Killed:
    """Feeders of one move that are ended, and what became of the backfill each time."""

    move: Move
    vehicles: int
    chance: random.Random
    latest_s: float = FIRST_LATEST_S
    kills: int = 0
    done: list[int] = field(default_factory=list)
    """How many vehicles the target said were done, after each kill."""
    went_back: int = 0
    before_work: int = 0
    """Kills before the feeder had its lease: these are not counted."""

    def until(self, kills: int) -> None:
        """Kill so many, or as many as there are before the last vehicle is done.

        Feeders are given less time where the work would be done too early, and longer where it would not be by then.
        """
        share = 0.0
        while self.kills < kills and share < 1.0:
            before = self.kills
            share = self._one() / self.vehicles
            too_far = self.kills > before and share > self.kills / kills
            self.latest_s *= 0.8 if too_far else 1.15

    @property
    def with_progress(self) -> int:
        """Kills between which a chunk was done."""
        return sum(after > before for before, after in pairwise([0, *self.done]))

    def _one(self) -> int:
        child = SERVED.Process(target=_feed_for_ever, args=(self.move,))
        child.start()
        time.sleep(self.chance.uniform(SOONEST_S, self.latest_s))
        with suppress(ProcessLookupError):
            os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
        if child.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"a feeder ended by itself: {child.exitcode}")
        done = self._vehicles_done()
        self.went_back += bool(self.done) and done < self.done[-1]
        self.done.append(done)
        if self._fed(child.pid):
            self.kills += 1
        else:
            self.before_work += 1
        return done

    def _fed(self, pid: int | None) -> bool:
        control = self.move.control
        feed, state = feed_of(control, "legacy", "embedded"), backfill_of(control, "all", "embedded")
        control.close()
        owner = None if feed is None or feed.owner is None else owner_process(feed.owner)
        return state is not None and owner is not None and owner.pid == pid

    def _vehicles_done(self) -> int:
        """By the position that stands in the target."""
        store = open_store(self.move.target)
        runs = {run.run_id: run for run in store.runs()}
        store.close()
        held = runs.get(backfill_id("all"))
        return 0 if held is None or held.resume is None else int(held.resume.removeprefix("V")) + 1


def backfill_killed(kills: int, documents_wanted: int, each: int = EACH, seed: int = 11) -> dict[str, Any]:
    """Fill a target with feeders that are killed, another one undisturbed, and compare the two.

    Where a target is full before there were so many kills, an empty one follows.
    """
    vehicles, chance = documents_wanted // each, random.Random(seed)
    with legacy_database() as (boxes, url), tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        _fill(boxes, vehicles, each)
        began = time.perf_counter()
        quiet = _prepared(Path(room) / "quiet", url, each)
        quiet.feed()
        expected = quiet.digest()
        filled = time.perf_counter()
        rounds: list[Killed] = []
        differing: list[str] = []
        while (left := kills - sum(killed.kills for killed in rounds)) > 0:
            move = _prepared(Path(room) / str(len(rounds)), url, each)
            rounds.append(Killed(move, vehicles, chance))
            rounds[-1].until(left)
            move.feed()
            found = move.digest()
            differing += [part for part in expected if found[part] != expected[part]]
        return {
            "kills": sum(killed.kills for killed in rounds), "documents": vehicles * each, "vehicles": vehicles,
            "rounds": len(rounds), "differing": differing, "went_back": sum(killed.went_back for killed in rounds),
            "kills_before_work": sum(killed.before_work for killed in rounds),
            "kills_with_progress": sum(killed.with_progress for killed in rounds),
            "killed_s": time.perf_counter() - filled, "undisturbed_s": filled - began,
        }  # fmt: skip


def _prepared(folder: Path, legacy: str, each: int) -> Move:
    folder.mkdir()
    move = Move(legacy, folder, each, MAPPING)
    move.prepare()
    return move


def _fill(boxes: Any, vehicles: int, each: int) -> None:
    covers = boxes.database["covers"]
    covers.insert_many([{"n": f"P{v}", "d": f"V{v:05d}", "from": BASE - timedelta(days=9)} for v in range(vehicles)])
    batch: list[dict[str, Any]] = []
    for document in documents(vehicles, each):
        batch.append(document)
        if len(batch) == AT_ONCE:
            boxes.insert_many(batch, ordered=False)
            batch = []
    if batch:
        boxes.insert_many(batch, ordered=False)


def _feed_for_ever(move: Move) -> None:
    move.feed(threading.Event())


if __name__ == "__main__":
    given = [int(value) for value in sys.argv[1:]]
    print(json.dumps(backfill_killed(*(given or (200, 1_000_000)))))
