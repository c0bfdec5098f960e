"""Both APIs and the console as processes, over a store whose journeys have what a page can show of one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from journeymesh.cli.demo_apis import Served, served
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import StoreBatch
from journeymesh.wiring import open_store
from tests.support.builders import drive, with_column
from tests.support.console_served import changed_later, policy

LONG, SHORT = "P-LONG", "P-SHORT"
LONG_FIXES = 10_000


def winding(fixes: int, vehicle: str, start: datetime, *, silence: bool = True) -> Fixes:
    """A drive that winds, speeds up and slows down, brakes hard and is faster than the limit at times, once a second;
    with ``silence``, nothing is heard of it for three minutes on the way."""
    rng = np.random.default_rng(7)
    segments: list[tuple[float, float, float]] = []
    speed, left = 0.0, fixes - 1
    while left > 0:
        wanted = float(rng.choice([7.0, 12.0, 14.0, 18.0, 25.0, 29.0]))
        for _ in range(min(left, int(abs(wanted - speed) / 1.4) + 1)):
            speed += float(np.clip(wanted - speed, -4.5 if rng.uniform() < 0.05 else -1.4, 1.4))
            segments.append((speed, 1.0, float(rng.normal(0.0, 2.0))))
            left -= 1
        keeps = min(left, int(rng.integers(8, 40)))
        turn = float(rng.normal(0.0, 1.6))
        segments += [(speed, 1.0, turn)] * keeps
        left -= keeps
    made = drive(*segments, start=start, lat=52.06, lon=-1.15, vehicle=vehicle)
    assert made.speed_mps is not None
    limits = np.select([made.speed_mps < 11.0, made.speed_mps < 17.0], [13.4, 13.4], 26.8)
    made = with_column(made, "speed_limit_mps", limits)
    if not silence:
        return made
    gone = len(made) // 3
    return made.take(np.r_[0:gone, gone + 180 : len(made)])


def write_store(url: str, others: int = 0) -> None:
    """A store with a journey of 10,000 fixes and one of some hundred, a day ago, and ``others`` that drove in the last
    two whole months, too, each its own way."""
    policies = [policy(LONG, "northgate", "V1"), policy(SHORT, "northgate", "V2")]
    before, whole = whole_months()
    policies += [replace(policy(f"P-{n}", "northgate", f"W{n}"), valid_from=before) for n in range(others)]
    begins = (datetime.now(UTC) - timedelta(hours=30)).replace(minute=12, second=0, microsecond=0)
    drives = [winding(LONG_FIXES, "V1", begins, silence=False), winding(1_100, "V2", begins)]
    drives += [winding(600, f"W{n}", begins, silence=False) for n in range(others)]
    rules = replace(ALWAYS_ON, max_silence_s=600.0)
    with closing(open_store(url)) as store:
        store.migrate()
        for fixes, held in zip(drives, policies, strict=True):
            made = make_journeys(fixes, rules, policies, to_us(datetime.now(UTC)))
            assert len(made.journeys) == 1
            store.write(StoreBatch(journeys=made.journeys, fixes=made.timeline, policies=[held]))
            store.write(changed_later(made.journeys, fixes))
        for n in range(others):
            for month, times in ((before, 2), (whole, 1 + n % 4)):
                for k in range(times):
                    start = month.replace(day=4 + 8 * k, hour=23 if n % 3 == 2 and month == whole else 9)
                    made = make_journeys(winding(600, f"W{n}", start, silence=False), rules, policies, to_us(start))
                    store.write(StoreBatch(journeys=made.journeys, fixes=made.timeline))


def whole_months() -> tuple[datetime, datetime]:
    """When the last two whole months of UTC began."""
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = (first - timedelta(days=1)).replace(day=1)
    return (last - timedelta(days=1)).replace(day=1), last


@contextmanager
def console_of_journeys(room: Path, others: int = 0) -> Iterator[Served]:
    """The console over that store."""
    store = f"sqlite:///{room / 'journeys.db'}"
    write_store(store, others)
    with served(room, store, "always-on") as at:
        yield at
