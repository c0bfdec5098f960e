"""Cutover and roll back, again and again, under a steady load: failed requests, changed answers, the longest pause.

Legacy is a live MongoDB (``JOURNEYMESH_TEST_MONGODB``), the target SQLite. Two doors ask, each as a replica of its own
would: its own routes, its own policies, its own connections. A feeder keeps the target up meanwhile.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bson

from journeymesh.fleets.spec import FleetSpec
from journeymesh.fleets.writers import write_fleet
from journeymesh.journeys.answers import answer_bytes
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.door import Door
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.opened_door import opened_door
from journeymesh.strangler.plan import with_phases
from journeymesh.strangler.routes import read_routes
from journeymesh.strangler.slices import Phase
from journeymesh.wiring import open_installation

MAPPING = Path(__file__).parents[1] / "examples" / "mappings" / "blackbox.yaml"
PLAN = """
version: 1
control: sqlite:///control.db
legacy: {{source: "{url}", mapping: "{mapping}", rules: always-on}}
stores: {{embedded: {{url: "sqlite:///target.db"}}}}
gates: {{max_lag_s: 30, shadow_coverage: 0, shadow_reads: 0}}
slices:
  - {{name: all, policies: {{}}, target: embedded, phase: shadow}}
"""
REPLICAS = 2


@dataclass(slots=True)
class Asked:
    """What came of the requests. Latencies are in seconds."""

    latencies_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    changed: int = 0
    by_side: Counter[str] = field(default_factory=Counter)


def cycles(times: int = 50, requests_per_s: int = 200, vehicles: int = 6, days: int = 2) -> dict[str, Any]:
    """Cut over and roll back so many times while requests come at this rate."""
    with moved_fleet(vehicles, days) as (plan, folder), ExitStack() as held:
        installations = [held.enter_context(open_installation(plan)) for _ in range(REPLICAS)]
        doors = [held.enter_context(opened_door(each)) for each in installations]
        questions = [JourneyQuery(policy=policy.number) for policy in installations[0].policies()]
        # Every replica has read legacy and hears its changes: what is timed is the move, not the first reading.
        for _ in range(2):
            answers = {q.policy: answer_bytes(door.journeys(q)) for door in doors for q in questions}
            time.sleep(2.0)
        assert any(len(answer) > 10 for answer in answers.values()), folder
        stop = threading.Event()
        asked = [Asked() for _ in doors]
        clients = [
            threading.Thread(target=_ask, args=(door, questions, answers, requests_per_s / len(doors), one, stop))
            for door, one in zip(doors, asked, strict=True)
        ]
        for client in clients:
            client.start()
        _cut_over_and_back(installations[0], doors, times)
        stop.set()
        for client in clients:
            client.join()
        latencies = sorted(s for one in asked for s in one.latencies_s)
        sides: Counter[str] = sum((one.by_side for one in asked), Counter())
        return {
            "cycles": times,
            "requests": len(latencies),
            "failed": sum(len(one.failed) for one in asked),
            "first_failure": next((text for one in asked for text in one.failed), None),
            "changed": sum(one.changed for one in asked),
            "pause_max_ms": 1000 * latencies[-1],
            "p50_ms": 1000 * statistics.median(latencies),
            "p99_ms": 1000 * latencies[int(0.99 * len(latencies))],
            "by_side": dict(sides),
        }


@contextmanager
def moved_fleet(vehicles: int, days: int) -> Iterator[tuple[Path, Path]]:
    """(plan, folder): a fleet in a legacy MongoDB, its target filled and kept up while this is open."""
    from pymongo import MongoClient

    server = os.environ["JOURNEYMESH_TEST_MONGODB"]
    name = f"cutover{uuid.uuid4().hex[:8]}"
    client: MongoClient[Any] = MongoClient(server)
    with tempfile.TemporaryDirectory(prefix="journeymesh-bench-") as room:
        folder = Path(room)
        try:
            spec = FleetSpec(seed=5, vehicles=vehicles, days=days)
            for file in sorted(write_fleet(spec, folder / "dump").source.rglob("*.bson")):
                documents = bson.decode_all(file.read_bytes())
                for at in range(0, len(documents), 10_000):
                    client[name][file.stem].insert_many(documents[at : at + 10_000])
            url = urlsplit(server)._replace(path=f"/{name}").geturl()
            plan = folder / "plan.yaml"
            plan.write_text(PLAN.format(url=url, mapping=MAPPING))
            with _fed(plan):
                yield plan, folder
        finally:
            client.drop_database(name)
            client.close()


@contextmanager
def _fed(plan: Path) -> Iterator[None]:
    """A feeder beside everything else, once the target is complete."""
    with open_installation(plan) as installation:
        installation.control.migrate()
        installation.applying("bench").apply("begin")
        stop = threading.Event()
        thread = threading.Thread(target=installation.feeder().run, args=(stop,))
        thread.start()
        try:
            until = time.monotonic() + 120
            while not all(route.complete for route in read_routes(installation.control).routes):
                if time.monotonic() > until:
                    raise TimeoutError("the target did not become complete within 120 s")
                time.sleep(0.05)
            yield
        finally:
            stop.set()
            thread.join()


def _cut_over_and_back(installation: Installation, doors: list[Door], times: int) -> None:
    for _ in range(times):
        for phase in (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.SHADOW):
            moved = replace(installation, plan=with_phases(installation.plan, {"all": phase.value}))
            outcomes = moved.applying("bench").apply(f"to {phase}")
            assert all(each.moved for each in outcomes), outcomes
            revision = read_routes(installation.control).revision
            while any(door.routing.follower.now().revision < revision for door in doors):
                time.sleep(0.005)


def _ask(
    door: Door,
    questions: list[JourneyQuery],
    answers: dict[str | None, bytes],
    requests_per_s: float,
    asked: Asked,
    stop: threading.Event,
) -> None:
    """Ask at this rate; a request that is late because the one before was slow is late, and counted so."""
    began, number = time.perf_counter(), 0
    while not stop.is_set():
        due = began + number / requests_per_s
        wait_s = due - time.perf_counter()
        if wait_s > 0:
            time.sleep(wait_s)
        question = questions[number % len(questions)]
        number += 1
        sent = time.perf_counter()
        try:
            routed = door.routing.of(door.policy_book.terms(question.policy or "")[-1])
            answer = door.journeys(question)
        except Exception as error:
            asked.failed.append(f"{type(error).__name__}: {error}")
            continue
        asked.latencies_s.append(time.perf_counter() - sent)
        asked.by_side[routed.answering_name if routed else "legacy"] += 1
        asked.changed += answer_bytes(answer) != answers[question.policy]


if __name__ == "__main__":
    print(json.dumps(cycles(int(sys.argv[1]) if len(sys.argv) > 1 else 50)))
