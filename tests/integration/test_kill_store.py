"""kill -9 at any point of a series of writes loses nothing: run again, the store is as if nothing had happened.

The series runs in children forked from this process, which has everything imported and nothing connected.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import monitoring
from tests.ports.test_mongodb_store import drop_database, own_database
from tests.ports.test_postgresql_store import drop_schema, own_schema
from tests.support.follower import Follower
from tests.support.proving import times
from tests.support.records import NOON, fixes, journey, journeys, policy, refusal, run, unique_names

from journeymesh.journeys.fixes import Fixes
from journeymesh.stores import tables
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.mongodb import MongodbStore
from journeymesh.stores.port import JourneyQuery, RulesUsed, Store, StoreBatch, Superseded
from journeymesh.stores.sql import SqlStore

KILLS = times(50, 15)
_NAMES = unique_names("jm_kill_")


def series(seed: int = 3) -> list[StoreBatch]:
    """Batches as runs make them: new journeys, late fixes that supersede some, refusals put and withdrawn."""
    chance = random.Random(seed)
    batches = []
    live: dict[str, dict[str, Any]] = {}
    held: list[str] = []
    for number in range(6):
        put, moved = [], []
        for row in chance.sample(sorted(live.values(), key=lambda r: r["journey_id"]), min(len(live), 4)):
            shift = timedelta(seconds=chance.choice((0, 1)))
            after = journey(row["vehicle"], row["started_at"] - shift, distance_m=chance.random())
            moved.append(Superseded(row["journey_id"], after["journey_id"]))
            del live[row["journey_id"]]
            put.append(after)
        put += [journey(f"car-{number}-{i}", NOON + i * timedelta(hours=1)) for i in range(12)]
        live |= {row["journey_id"]: row for row in put}
        refusals = [refusal(number * 100 + i) for i in range(8)]
        gone = chance.sample(held, min(len(held), 3))
        held = [key for key in held if key not in gone] + [item.refusal_id for item in refusals]
        at = [NOON + i * timedelta(hours=3) for i in range(8)]
        kept = [fixes(f"car-{chance.randrange(number + 1)}-{i}", *at, lat_deg=chance.random()) for i in range(3)]
        batches.append(
            StoreBatch(
                journeys=journeys(*put),
                superseded=moved,
                refusals=refusals,
                refusals_withdrawn=gone,
                fixes=Fixes.concat(kept),
                policies=[policy(f"P-{number}")],
                rules=RulesUsed("r-1", "d1"),
                run=run(counts={"batches": number + 1}),
            )
        )
    return batches


def history_of(store: Store) -> dict[str, list[tuple[str | None, float]]]:
    """The history of every journey that the series supersedes: successors and contents, oldest first."""
    every = {moved.journey_id for batch in series() for moved in batch.superseded}
    return {
        key: [(entry.successor_id, entry.journey["distance_m"][0].as_py()) for entry in store.history(key)]
        for key in sorted(every)
    }


def in_child(work: Callable[[], None], *, kill_after_s: float | None = None) -> bool:
    """Run the work in a forked child; whether it came to its end (False: killed, by us or by itself)."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as fault:
            os.write(2, f"child: {fault!r}\n".encode())
            os._exit(9)
        os._exit(0)
    timer = threading.Timer(kill_after_s, os.kill, (child, signal.SIGKILL)) if kill_after_s is not None else None
    if timer:
        timer.start()
    _, status = os.waitpid(child, 0)
    if timer:
        timer.cancel()
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return not os.WIFSIGNALED(status)


def write_series(connect: Callable[[], Store], batches: list[StoreBatch]) -> None:
    store = connect()
    store.migrate()
    for batch in batches:
        store.write(batch)
    store.close()


def check_whole_batches(store: Store, prefixes: list[dict[str, str]], seen: set[int]) -> None:
    """What the kill left is the store after some number of whole batches: all before it, and none in part."""
    if store.schema_version()[0] is not None:
        found = store.digest()
        assert found in prefixes
        seen.add(prefixes.index(found))


def kill_repeatedly(connect: Callable[[], Store], afresh: Callable[[], None]) -> None:
    """Kill a child at points spread over the series; each time run the series again and compare."""
    batches = series()
    uninterrupted = MemoryStore()
    prefixes = [uninterrupted.digest()]
    for batch in batches:
        uninterrupted.write(batch)
        prefixes.append(uninterrupted.digest())
    expected_history = history_of(uninterrupted)
    afresh()
    began = time.perf_counter()
    assert in_child(lambda: write_series(connect, batches))
    whole_s = time.perf_counter() - began
    chance = random.Random(11)
    killed, seen = 0, set[int]()
    for number in range(KILLS * 4):
        afresh()
        moment = whole_s * ((number % KILLS) + chance.random()) / KILLS
        began = time.perf_counter()
        if in_child(lambda: write_series(connect, batches), kill_after_s=moment):
            whole_s = min(whole_s, time.perf_counter() - began)  # the first may have been slow for other reasons
            continue
        killed += 1
        store = connect()
        check_whole_batches(store, prefixes, seen)
        follower = Follower()
        if store.schema_version()[0] is not None:
            follower.follow(store)
            assert killed % 5 or follower.differences(store) == []
        write_series(lambda store=store: store, batches)  # type: ignore[misc]
        assert store.digest() == prefixes[-1]
        assert history_of(store) == expected_history
        follower.follow(store)
        assert follower.differences(store) == []
        store.close()
        if killed == KILLS:
            break
    assert killed == KILLS
    assert len(seen) > 2, "the kills did not spread over the series"


def test_memory_starts_over_in_a_fresh_process() -> None:
    first, again = MemoryStore(), MemoryStore()
    for batch in series():
        first.write(batch)
    for batch in series()[:3] + series():
        again.write(batch)
    assert again.digest() == first.digest()
    assert history_of(again) == history_of(first)
    assert len(first.journeys(JourneyQuery())) > 50


def test_sqlite_loses_nothing_to_kill_9(tmp_path: Path) -> None:
    import alembic.command  # noqa: F401  # so that children do not import it each

    def afresh() -> None:
        for path in tmp_path.glob("journeys.db*"):
            path.unlink()

    kill_repeatedly(lambda: SqlStore.connect(f"sqlite:///{tmp_path}/journeys.db"), afresh)


def test_postgresql_loses_nothing_to_kill_9(postgresql_url: str) -> None:
    name = next(_NAMES)
    url = own_schema(postgresql_url, name)

    rounds = itertools.count()

    def afresh() -> None:
        """Empty tables; now and then no tables, so that migrations are killed, too."""
        if next(rounds) % 5 == 0:
            own_schema(postgresql_url, name)
            return
        store = SqlStore.connect(url)
        store.migrate()
        with store._sql.writing() as connection:
            connection.exec_driver_sql(f"TRUNCATE {', '.join(tables.metadata.tables.keys() - {'write_sequence'})}")
        store.close()

    kill_repeatedly(lambda: SqlStore.connect(url), afresh)
    drop_schema(postgresql_url, name)


@pytest.mark.timeout(900)  # every kill's child and check opens DuckDB anew
def test_a_lake_loses_nothing_to_kill_9_while_written_and_compacted(tmp_path: Path) -> None:
    pytest.importorskip("duckdb", reason="duckdb is not installed (the lake extra)")
    from journeymesh.stores.lake import LakeStore

    root = tmp_path / "lake"

    class CompactedLake(LakeStore):
        def write(self, batch: StoreBatch) -> None:
            super().write(batch)
            self.compact(grace_s=0.0)

    def afresh() -> None:
        shutil.rmtree(root, ignore_errors=True)

    kill_repeatedly(lambda: CompactedLake.connect(f"lake:///{root}"), afresh)


@pytest.fixture
def mongodb_database(mongodb_url: str) -> Iterator[str]:
    name = next(_NAMES)
    yield name
    drop_database(mongodb_url, name)


def test_mongodb_loses_nothing_to_kill_9(mongodb_url: str, mongodb_database: str) -> None:
    url = own_database(mongodb_url, mongodb_database)

    def afresh() -> None:
        drop_database(mongodb_url, mongodb_database)

    kill_repeatedly(lambda: MongodbStore.connect(url), afresh)


class KillAtCommand(monitoring.CommandListener):
    """Kills its own process just before the n-th command goes out, or just after it was answered."""

    def __init__(self, number: int, *, answered: bool) -> None:
        self.left, self.answered = number, answered

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if not self.answered:
            self._count(event.command_name)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if self.answered:
            self._count(event.command_name)

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        """A refused command is no step of the protocol."""

    def _count(self, name: str) -> None:
        if name in ("insert", "update", "delete"):
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("answered", [False, True])
def test_mongodb_loses_nothing_between_any_two_steps_of_a_write(
    mongodb_url: str, mongodb_database: str, answered: bool
) -> None:
    url, batches = own_database(mongodb_url, mongodb_database), series()[:3]
    twin = MemoryStore()
    for batch in batches[:2]:
        twin.write(batch)
    before = twin.digest()
    twin.write(batches[2])
    after = twin.digest()
    seen = set[str]()

    def write_last(step: int) -> None:
        monitoring.register(KillAtCommand(step, answered=answered))
        store = MongodbStore.connect(url)
        store.write(batches[2])

    for step in range(1, 100):
        drop_database(mongodb_url, mongodb_database)
        store = MongodbStore.connect(url)
        write_series(lambda store=store: store, batches[:2])  # type: ignore[misc]
        if in_child(lambda step=step: write_last(step)):  # type: ignore[misc]
            break
        found = store.digest()
        assert found in (before, after), step
        follower = Follower()
        follower.follow(store)
        assert follower.differences(store) == [], step
        seen.add("before" if found == before else "after")
        for batch in batches:
            store.write(batch)
        assert store.digest() == after, step
        assert history_of(store) == history_of(twin), step
        follower.follow(store)
        assert follower.differences(store) == [], step
        store.close()
    assert step > 12
    assert seen == {"before", "after"}
