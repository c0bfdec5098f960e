"""What answers over a whole book of policies cost: policy-months per second and core, from a SQLite store.

    python -m benchmarks.book [--policies N] [--journeys N]

prints one line of JSON: of months with 4 and with 20 journeys each (``--journeys``: of as many), how many are summed
per second of CPU as a table, and how many are written as CSV and as Parquet by ``journeymesh summary --all``, its start
left out: two sizes are measured, and the rate is that of what the larger has more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from benchmarks.results import Bench, Result, printed
from journeymesh.journeys.journey import JOURNEY_SCHEMA
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.policy_summaries import policy_summaries
from journeymesh.stores.port import RulesUsed, StoreBatch
from journeymesh.wiring import open_store

POLICIES, QUICK_POLICIES = 4_000, 400
MONTHS = 12
_BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
_AT_ONCE = 400


def book(bench: Bench, quick: bool) -> None:
    """Policy-months per second and core, in a fresh process."""
    found = printed("benchmarks.book", "--policies", str(QUICK_POLICIES if quick else POLICIES))
    for name, value in found["rates"].items():
        least = 10_000.0 if name.endswith("_4") else None
        bench.add(Result(name, value, "policy-months/s/core", None, least, note=f"{found['months']:,} policy-months"))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policies", type=int, default=POLICIES)
    parser.add_argument("--journeys", type=int, nargs="+", default=[4, 20])
    options = parser.parse_args()
    rates: dict[str, float] = {}
    for journeys in options.journeys:
        with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
            urls = [f"sqlite:///{room}/{size}.db" for size in ("small", "large")]
            sizes = [options.policies // 4, options.policies]
            for url, policies in zip(urls, sizes, strict=True):
                _fill(url, policies, journeys)
            more = (sizes[1] - sizes[0]) * MONTHS
            summed = [_summed_cpu_s(url) for url in urls]
            rates[f"book_summed_{journeys}"] = round(more / (summed[1] - summed[0]))
            for form in ("csv", "parquet"):
                written = [_written_cpu_s(url, form, Path(room)) for url in urls]
                rates[f"book_{form}_{journeys}"] = round(more / (written[1] - written[0]))
    print(msgspec.json.encode({"months": options.policies * MONTHS, "rates": rates}).decode())


def _summed_cpu_s(url: str) -> float:
    with contextlib.closing(open_store(url)) as store:
        policies = store.policies()
        next(policy_summaries(store, policies, "month", ALWAYS_ON.score))  # what is loaded at first use
        began_s = time.process_time()
        assert sum(len(page) for page in policy_summaries(store, policies, "month", ALWAYS_ON.score)) > 0
        return time.process_time() - began_s


def _written_cpu_s(url: str, form: str, room: Path) -> float:
    def used_s() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    program = str(Path(sys.executable).with_name("journeymesh"))
    began_s = used_s()
    command = [program, "summary", "--all", "--store", url, "--format", form, "--out", str(room / f"out.{form}")]
    subprocess.run(command, check=True, env=os.environ)
    return used_s() - began_s


def _fill(url: str, count: int, journeys: int) -> None:
    """A store with this many policies that each have this many journeys in each of twelve months."""
    rng = np.random.default_rng(1)
    policies = [
        Policy(
            number=f"P-{n:07d}", valid_from=_BEGIN, device=f"D-{n:07d}", zone=("Europe/London", "Europe/Berlin")[n % 2]
        )
        for n in range(count)
    ]
    with contextlib.closing(open_store(url)) as store:
        store.migrate()
        store.write(StoreBatch(policies=policies, rules=RulesUsed(ALWAYS_ON.version, ALWAYS_ON.digest)))
        for first in range(0, count, _AT_ONCE):
            store.write(StoreBatch(journeys=driven(policies[first : first + _AT_ONCE], journeys, rng)))


def driven(policies: list[Policy], journeys: int, rng: np.random.Generator) -> pa.Table:
    """So many journeys of each of these policies in each of twelve months, as ``JOURNEY_SCHEMA``."""
    rows = len(policies) * MONTHS * journeys
    whose = np.repeat(np.arange(len(policies)), MONTHS * journeys)
    month_us = int(30.4 * 86_400e6)
    month = np.tile(np.repeat(np.arange(MONTHS), journeys), len(policies))
    start_us = int(_BEGIN.timestamp() * 1e6) + month * month_us + rng.integers(0, month_us, rows)
    columns = {}
    for field in JOURNEY_SCHEMA:
        name, kind = field.name, field.type
        if name in ("started_at", "ended_at", "policy_from"):
            at_us = {"started_at": start_us, "ended_at": start_us + 10**9}.get(name, np.full(rows, _us(_BEGIN)))
            columns[name] = pa.array(at_us, pa.int64()).cast(kind)
        elif name == "journey_id":
            columns[name] = pa.array([f"{one:026x}" for one in rng.integers(0, 2**62, rows)])
        elif pa.types.is_list(kind):
            columns[name] = pa.array([[]] * rows, kind)
        elif pa.types.is_floating(kind):
            columns[name] = pa.array(rng.uniform(0.0, 1.0, rows) * 10_000.0, kind)
        elif pa.types.is_integer(kind):
            columns[name] = pa.array(rng.integers(0, 3, rows), kind)
        elif pa.types.is_boolean(kind):
            columns[name] = pa.array(rng.random(rows) < 0.1, kind)
        else:
            texts = {
                "vehicle": [policy.device for policy in policies],
                "policy": [policy.number for policy in policies],
                "rules_version": [ALWAYS_ON.version] * len(policies),
                "zone": [policy.zone for policy in policies],
            }.get(name, ["default"] * len(policies))
            columns[name] = pa.array(texts, pa.string()).take(pa.array(whose))
    return pa.table(columns).select(JOURNEY_SCHEMA.names).cast(JOURNEY_SCHEMA)


def _us(at: datetime) -> int:
    return int(at.timestamp() * 1e6)


if __name__ == "__main__":
    main()
