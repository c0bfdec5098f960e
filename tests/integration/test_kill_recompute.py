"""``store recompute`` killed at any moment, and run again, leaves what a run that nobody stopped does, on every store
that outlives its process; and its journeys are those of a store that was read by these rules from the beginning."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from tests.integration.test_kill_run import FORK, PARTS, fresh_postgresql_url, fresh_url, in_child, killed
from tests.integration.test_runs import Parts
from tests.support.proving import times

from journeymesh.engines.local import run
from journeymesh.engines.port import RunOptions
from journeymesh.engines.recompute import SOURCE, recompute
from journeymesh.journeys.rules import ENGINE_SWITCHED, ENGINE_SWITCHED_2026_1, JourneyRules
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store
from journeymesh.wiring import open_store

__all__ = ["fresh_postgresql_url", "fresh_url"]

KILLS = times(40, 8)
KILLS_PER_STORE = 4
NOW = datetime(2025, 1, 1, tzinfo=UTC)
AFTER_EVERY_RUN = datetime(2090, 1, 1, tzinfo=UTC)
"""A run says of itself when it began by the real clock."""


def read_by(rules: JourneyRules, store: Store) -> None:
    store.migrate()
    run(Parts(PARTS), store, RunOptions(rules=rules, memory_bytes=1, now=NOW))


def fill(url: str) -> None:
    store = open_store(url)
    read_by(ENGINE_SWITCHED_2026_1, store)
    store.close()


def recompute_in(url: str) -> int:
    """Recompute; how many vehicles were left to do."""
    store = open_store(url)
    done = recompute(store, ENGINE_SWITCHED, now=AFTER_EVERY_RUN).vehicles
    store.close()
    return done


def recompute_slowly(url: str, written: Any) -> None:
    """Recompute; tell of each vehicle that is done, and wait a moment before the next."""

    def tell(vehicles: int) -> None:
        written.send(vehicles)
        time.sleep(0.02)

    store = open_store(url)
    recompute(store, ENGINE_SWITCHED, now=AFTER_EVERY_RUN, on_vehicle=tell)
    store.close()


def killed_between_vehicles(vehicles: int, url: str) -> bool:
    """Kill a recomputing process when so many vehicles are done; returns whether it was still at it."""
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=recompute_slowly, args=(url, sending))
    child.start()
    sending.close()
    with suppress(EOFError):
        while receiving.recv() < vehicles:
            pass
    alive = child.is_alive()
    child.kill()
    child.join()
    return alive


Content = tuple[dict[str, str], list[str], list[object]]


def content(store: Store) -> Content:
    """Digests of all parts, the history of every journey by its id, and the rules."""
    ids = store.journeys(JourneyQuery(limit=10_000))["journey_id"].to_pylist()
    histories = [repr((key, [(e.successor_id, e.journey.to_pylist()) for e in store.history(key)])) for key in ids]
    return store.digest(), histories, list(store.rules())


def content_of(url: str) -> tuple[Content, list[bool]]:
    store = open_store(url)
    found = content(store), [one.finished_at is not None for one in store.runs() if one.source == SOURCE]
    store.close()
    return found


def test_a_killed_recomputing_run_again_equals_an_uninterrupted_one(fresh_url: Callable[[], str]) -> None:
    memory = MemoryStore()
    read_by(ENGINE_SWITCHED_2026_1, memory)
    before = content(memory)
    whole = recompute(memory, ENGINE_SWITCHED, now=AFTER_EVERY_RUN).vehicles
    expected = content(memory)
    anew = MemoryStore()
    read_by(ENGINE_SWITCHED, anew)
    assert expected[0]["journeys"] == anew.digest()["journeys"] != before[0]["journeys"]
    assert expected[0]["fixes"] == anew.digest()["fixes"]
    assert {key for key, _ in memory.refusals(RefusalQuery())} == {key for key, _ in anew.refusals(RefusalQuery())}

    chance = random.Random(5)
    lasts_s, interrupted, in_between = 0.0, 0, 0
    while interrupted + in_between < KILLS:
        url = fresh_url()
        in_child(fill, url)
        if not lasts_s:
            began = time.perf_counter()
            assert in_child(recompute_in, url) == whole
            lasts_s = time.perf_counter() - began
            assert in_child(content_of, url) == (expected, [True])
            continue
        in_between += killed_between_vehicles(chance.randint(1, whole - 1), url)
        for _ in range(KILLS_PER_STORE - 1):
            interrupted += killed(chance.uniform(0.02, lasts_s), recompute_in, url)
        in_child(recompute_in, url)
        found, finished = in_child(content_of, url)
        assert found == expected
        assert finished == [True]
    assert in_between
