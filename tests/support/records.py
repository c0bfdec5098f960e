"""What the tests of stores put into them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, RECORDED_LATER, Refusal, journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import RulesUsed, Run, StoreBatch

NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_RECORDED: dict[str, Any] = dict.fromkeys(RECORDED_LATER)
"""What a journey made before there were these columns says in them."""
BEGIN = NOON - 99 * DAY
"""When the policies begin."""
ODD_NAMES = ("Käfer 🚗", "O'Brien; DROP TABLE", 'a"b\\c,d\te', " ", "$where", "a.b", "zero\0byte\1one", "é", "e\u0301")


def journey(vehicle: str = "car-1", start: datetime = NOON, **changed: Any) -> dict[str, Any]:
    """One journey as a dict; ``changed`` overrides its values."""
    row: dict[str, Any] = {field.name: 1.5 for field in JOURNEY_SCHEMA if field.type == pa.float64()}
    row |= {field.name: 2 for field in JOURNEY_SCHEMA if field.type == pa.int32()}
    row |= {
        "journey_id": journey_id(vehicle, round(start.timestamp() * 1e6)),
        "vehicle": vehicle,
        "policy": "P-1",
        "tenant": "default",
        "product": "motor",
        "policy_from": BEGIN,
        "zone": "Europe/London",
        "started_at": start,
        "ended_at": start + timedelta(minutes=20),
        "rules_version": "r-1",
        "hours": [{"hour_of_week": 12, "distance_m": 1.5, "driving_s": 0.1 + 0.2}],
        "harsh_events": [],
        "speed_doubted": True,
    }
    return row | changed


def journeys(*found: dict[str, Any]) -> pa.Table:
    """The journeys as a table."""
    return pa.Table.from_pylist(list(found), schema=JOURNEY_SCHEMA)


def fixes(vehicle: str, *instants: datetime, lat_deg: float = 51.5, **columns: Any) -> Fixes:
    """Fixes of one vehicle at these instants."""
    at = np.array([round((t - EPOCH) / timedelta(microseconds=1)) for t in instants], np.int64)
    positions = np.full(len(at), lat_deg), np.full(len(at), -0.1)
    return Fixes((vehicle,), np.zeros(len(at), np.int32), at, *positions, **columns)


def refusal(number: int = 1, **changed: Any) -> Refusal:
    """A refusal at reading, known by its origin."""
    values: dict[str, Any] = {"reason": "clock_missing", "origin": f"blackbox/{number}", "detail": "no ts"}
    return Refusal(**(values | changed))


def policy(number: str = "P-1", **changed: Any) -> Policy:
    """A policy of vehicle car-1."""
    return Policy(**({"number": number, "valid_from": BEGIN, "vehicle": "car-1"} | changed))


def run(run_id: str = "run-1", **changed: Any) -> Run:
    """A finished run."""
    values: dict[str, Any] = {"source": "dump", "rules_version": "r-1", "started_at": NOON, "finished_at": NOON + DAY}
    return Run(**({"run_id": run_id, "counts": {"fixes": 3}, "resume": None} | values | changed))


def ids(table: pa.Table) -> list[str]:
    """The journey ids, in order."""
    return list(table["journey_id"].to_pylist())


def only(table: pa.Table | None) -> dict[str, Any]:
    """The one row of a table."""
    assert table is not None
    (row,) = table.to_pylist()
    return dict(row)


def full_batch(**changed: Any) -> StoreBatch:
    """A batch with something of everything."""
    values: dict[str, Any] = {
        "journeys": journeys(journey(), journey("car-2", NOON + DAY)),
        "refusals": [refusal(), refusal(2, reason="position_spike", vehicle="car-1", fixed_at=NOON, lat_deg=91.0)],
        "fixes": fixes("car-1", NOON, NOON + timedelta(hours=1)),
        "policies": [policy()],
        "rules": RulesUsed("r-1", "d1"),
        "run": run(),
    }
    return StoreBatch(**(values | changed))


def unique_names(prefix: str) -> Iterator[str]:
    """Names no other test of this session uses."""
    return (f"{prefix}{number}" for number in itertools.count())


def a_series(seed: int = 7, count: int = 12) -> Iterator[StoreBatch]:
    """Batches whose order does not matter: each about other vehicles."""
    random = np.random.default_rng(seed)
    for number in range(count):
        names = [f"v{number}-{i} é" for i in range(int(random.integers(1, 6)))]
        rows = [
            journey(
                name, NOON + int(random.integers(0, 10**12)) * timedelta(microseconds=1), distance_m=random.random()
            )
            for name in names
        ]
        at = [NOON + int(x) * timedelta(seconds=1) for x in sorted(random.integers(0, 200_000, 8))]
        yield StoreBatch(
            journeys=journeys(*rows),
            refusals=[refusal(number * 10 + i, vehicle=names[0]) for i in range(int(random.integers(0, 4)))],
            fixes=Fixes.concat([fixes(name, *at, lat_deg=float(random.random())) for name in names]),
            policies=[policy(f"P-{number}")] if number % 3 == 0 else (),
        )
