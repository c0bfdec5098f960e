"""Journeymesh itself, through the doors that its command line uses."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from journeymesh.engines.memory import keep_decoded_memory

keep_decoded_memory()  # where the command does it: before anything loads Arrow
# ruff: noqa: E402
from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import JourneyPass, make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.policy_summaries import policy_summaries
from journeymesh.stores.port import Store
from journeymesh.wiring import open_source, open_store

MAPPING = Path(__file__).parents[1] / "examples" / "mappings" / "blackbox.yaml"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
CHUNK_FIXES = 65_536


def prepare(name: str, folder: Path) -> Callable[[], dict[str, Any]]:
    """The work of this name, with compiled code already loaded from its cache."""
    make_journeys(Fixes.empty(), ALWAYS_ON, [], 0)
    _load_store()
    policies = None if "bson" in name or "walk" in name else read_policies(folder / "policies.json")
    location = str(folder if policies is None else folder / "fixes.parquet")
    open_source(location, MAPPING if policies is None else None).close()
    match name:
        case "ours_walk":
            return lambda: _walk(location)
        case "ours_pass" | "ours_pass_chunked":
            fixes = Fixes.concat([batch.fixes for batch in open_source(location).batches()])
            chunk = len(fixes) if name == "ours_pass" else CHUNK_FIXES
            return lambda: _pass(fixes, policies or [], chunk)
        case _:
            keep = None if name.endswith("_kept") else timedelta(0)
            return lambda: _everything(location, policies, Retention(keep))


def read_policies(path: Path) -> list[Policy]:
    """The policies that the fleet's writer put beside its fixes."""
    instants = ("valid_from", "valid_to")
    return [
        Policy(**{k: datetime.fromisoformat(v) if k in instants else v for k, v in one.items()})
        for one in json.loads(path.read_text())
    ]


def _everything(location: str, policies: list[Policy] | None, retention: Retention) -> dict[str, Any]:
    """From the files to every policy's months, by way of a store on disk."""
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        store = open_store(f"sqlite:///{room}/journeys.db")
        store.migrate()
        source = open_source(location, MAPPING if policies is None else None)
        options = RunOptions(rules=ALWAYS_ON, policies=policies, retention=retention, now=NOW)
        counts = run(source, store, options).counts
        found = _months(store)
        source.close()
        store.close()
    return found | {"fixes": counts["fixes"], "refused": counts["refused"], "counts": counts}


def _months(store: Store) -> dict[str, Any]:
    months = journeys = 0
    distance_m = 0.0
    for table in policy_summaries(store, store.policies(), "month", ALWAYS_ON.score):
        months += len(table)
        journeys += sum(table["journeys"].to_pylist())
        distance_m += sum(table["distance_m"].to_pylist())
    return {"months": months, "journeys": journeys, "distance_m": distance_m}


def _pass(fixes: Fixes, policies: list[Policy], chunk: int) -> dict[str, Any]:
    passing = JourneyPass(ALWAYS_ON, policies, to_us(NOW))
    journeys = 0
    for first in range(0, len(fixes), chunk):
        result = passing.feed(fixes.take(slice(first, first + chunk)), final=first + chunk >= len(fixes))
        journeys += len(result.journeys)
    return {"fixes": len(fixes), "journeys": journeys}


def _walk(location: str) -> dict[str, Any]:
    source = open_source(location, MAPPING)
    return {"fixes": sum(len(batch.fixes) + len(batch.refusals) for batch in source.batches())}


def _load_store() -> None:
    """Import what a store needs, its migrations too, by making an empty one."""
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        store = open_store(f"sqlite:///{room}/empty.db")
        store.migrate()
        store.close()
