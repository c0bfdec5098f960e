"""Whether the order in which a target is filled matters: vehicle by vehicle, policy by policy, or in any order.

    python -m benchmarks.import_order [--vehicles N] [--repeat N]

fills an empty PostgreSQL (and MongoDB, where JOURNEYMESH_TEST_MONGODB names one) with the same journeys and kept fixes
in three orders, by turns: ``vehicle``, that of the primary key of kept fixes, which a backfill has; ``policy``, that of
the index by which journeys are read; ``any``. Prints one line of JSON: by store and order the median seconds, and what
PostgreSQL's tables and indexes then take, in MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.book import driven
from benchmarks.postgresql import postgresql
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import JourneyQuery, RulesUsed, StoreBatch
from journeymesh.wiring import open_store

ORDERS = ("vehicle", "policy", "any")
_AT_ONCE = 20
_DAYS, _FIXES_A_DAY = 30, 200
_DAY_US = 86_400_000_000
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_BEGIN_US = int(_BEGIN.timestamp()) * 1_000_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vehicles", type=int, default=1_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    numbers = rng.permutation(options.vehicles)
    policies = [
        Policy(number=f"P-{numbers[n]:07d}", valid_from=_BEGIN, device=f"D-{n:07d}") for n in range(options.vehicles)
    ]
    journeys = driven(policies, 4, rng)
    orders = {
        "vehicle": np.arange(options.vehicles),
        "policy": np.argsort(numbers),
        "any": rng.permutation(options.vehicles),
    }
    found: dict[str, dict[str, list[float]]] = {}
    for turn in range(options.repeat):
        for order in ORDERS[turn % 3 :] + ORDERS[: turn % 3]:
            for kind, url in _stores():
                took_s, mib = _filled(url, policies, journeys, orders[order], rng)
                found.setdefault(f"{kind}_s", {}).setdefault(order, []).append(took_s)
                if mib is not None:
                    found.setdefault(f"{kind}_mib", {}).setdefault(order, []).append(mib)
    medians = {
        name: {order: round(statistics.median(each), 2) for order, each in by.items()} for name, by in found.items()
    }
    print(msgspec.json.encode({"vehicles": options.vehicles, "journeys": len(journeys), **medians}).decode())


def _stores() -> Iterator[tuple[str, str]]:
    with postgresql() as (url, _):
        yield "postgresql", url
    if server := os.environ.get("JOURNEYMESH_TEST_MONGODB"):
        yield "mongodb", server.replace("/?", f"/order_{uuid4().hex[:8]}?")


def _filled(
    url: str, policies: list[Policy], journeys: pa.Table, order: np.ndarray, rng: np.random.Generator
) -> tuple[float, float | None]:
    """(seconds, MiB of tables and indexes or None): of a store that is filled in this order."""
    per_policy = len(journeys) // len(policies)
    batches = []
    for at in range(0, len(order), _AT_ONCE):
        some = order[at : at + _AT_ONCE]
        rows = np.concatenate([np.arange(n * per_policy, (n + 1) * per_policy) for n in some])
        fixes = _fixes([policies[n].device or "" for n in sorted(some)], rng)
        batches.append(StoreBatch(journeys=journeys.take(pa.array(rows)), fixes=fixes))
    with contextlib.closing(open_store(url)) as store:
        store.migrate()
        store.write(StoreBatch(policies=policies, rules=RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)))
        began = time.monotonic()
        for batch in batches:
            store.write(batch)
        took_s = time.monotonic() - began
        count = len(store.journeys(JourneyQuery(columns=("journey_id",))))
        assert count == len(journeys), f"{count} of {len(journeys)} journeys arrived"
    return took_s, _size_mib(url) if url.startswith("postgresql") else None


def _fixes(vehicles: list[str], rng: np.random.Generator) -> Fixes:
    """Kept fixes of these vehicles, sorted by vehicle and time, on thirty days each."""
    day = np.sort(rng.integers(0, _DAY_US // 1_000_000, (len(vehicles), _DAYS, _FIXES_A_DAY)), axis=2) * 1_000_000
    at_us = (_BEGIN_US + np.arange(_DAYS)[None, :, None] * _DAY_US + day).ravel()
    whose = np.repeat(np.arange(len(vehicles), dtype=np.int32), _DAYS * _FIXES_A_DAY)
    return Fixes(
        tuple(vehicles), whose, at_us, 52 + rng.random(len(at_us)) / 10, 5 + rng.random(len(at_us)) / 10,
        speed_mps=rng.random(len(at_us)) * 30,
    )  # fmt: skip


def _size_mib(url: str) -> float:
    import psycopg

    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r'").fetchone()
    assert row is not None
    return float(row[0]) / 2**20


if __name__ == "__main__":
    main()
