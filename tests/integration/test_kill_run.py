"""A run killed at any moment, and run again, leaves what an uninterrupted one does: on every adapter that outlives
its process."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.integration.test_runs import Parts, fleet
from tests.support.proving import times

from journeymesh.engines.local import run
from journeymesh.engines.port import RunOptions
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ENGINE_SWITCHED
from journeymesh.stores.memory import MemoryStore
from journeymesh.wiring import open_store

KILLS = times(50, 15)
KILLS_PER_STORE = 5
FORK = mp.get_context("fork")


def hostile_fleet() -> list[Fixes]:
    """Vehicles with spikes and missing positions, in parts small enough for many batches."""
    fixes = fleet(16, 2)
    lat = fixes.lat_deg.copy()
    lat[::700] = np.nan
    lat[350::700] += 1.0
    fixes = replace(fixes, lat_deg=lat)
    return [fixes.take(slice(k, k + 3_000)) for k in range(0, len(fixes), 3_000)]


PARTS = hostile_fleet()


def run_into(url: str) -> dict[str, str]:
    store = open_store(url)
    store.migrate()
    run(Parts(PARTS), store, RunOptions(rules=ENGINE_SWITCHED, memory_bytes=1, now=datetime(2025, 1, 1, tzinfo=UTC)))
    digest = store.digest()
    store.close()
    return digest


def _child(connection: Connection, work: Callable[..., Any], *args: Any) -> None:
    try:
        connection.send(work(*args))
    except BaseException as error:
        connection.send(error)
        raise
    finally:
        connection.close()


def in_child(work: Callable[..., Any], *args: Any) -> Any:
    """The result of some work in a process of its own, so that this one holds no connections when it forks."""
    receiving, sending = FORK.Pipe(duplex=False)
    child = FORK.Process(target=_child, args=(sending, work, *args))
    child.start()
    sending.close()
    result = receiving.recv()
    child.join()
    if isinstance(result, BaseException):
        raise result
    return result


def killed(after_s: float, work: Callable[..., Any], *args: Any) -> bool:
    """Kill a process that does this work after so long; returns whether it was still at it."""
    child = FORK.Process(target=work, args=args)
    child.start()
    child.join(after_s)
    alive = child.is_alive()
    with suppress(ProcessLookupError):
        os.kill(child.pid or 0, signal.SIGKILL)
    child.join()
    return alive


@pytest.fixture(params=["sqlite", "postgresql", "mongodb"])
def fresh_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """URLs of stores that nobody used yet."""
    match request.param:
        case "sqlite":
            yield lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"
        case "postgresql":
            yield request.getfixturevalue("fresh_postgresql_url")
        case _:
            server = request.getfixturevalue("mongodb_url")
            base, _, query = server.partition("?")
            yield lambda: f"{base.rstrip('/')}/kill_{uuid.uuid4().hex[:12]}?{query}"


@pytest.fixture
def fresh_postgresql_url(postgresql_url: str) -> Callable[[], str]:
    def create() -> str:
        name = f"kill_{uuid.uuid4().hex[:12]}"
        in_child(_create_database, postgresql_url, name)
        return f"{postgresql_url.rpartition('/')[0]}/{name}"

    return create


def _create_database(url: str, name: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')


@pytest.mark.slow
def test_a_killed_run_run_again_equals_an_uninterrupted_one(fresh_url: Callable[[], str]) -> None:
    memory = MemoryStore()
    options = RunOptions(rules=ENGINE_SWITCHED, memory_bytes=1, now=datetime(2025, 1, 1, tzinfo=UTC))
    run(Parts(PARTS), memory, options)
    expected = memory.digest()
    began = time.perf_counter()
    assert in_child(run_into, fresh_url()) == expected
    lasts_s = time.perf_counter() - began
    chance = random.Random(1)
    interrupted = 0
    while interrupted < KILLS:
        url = fresh_url()
        for _ in range(KILLS_PER_STORE):
            interrupted += killed(chance.uniform(0.02, lasts_s), run_into, url)
        assert in_child(run_into, url) == expected
