"""Stores that an earlier program wrote, opened by this one: nothing is lost, nothing stands or counts twice.

The earlier program is the one of ``JOURNEYMESH_TEST_EARLIER``: the Python in which a checkout of it is installed, for
example ``.venv/bin/python`` of a worktree of an earlier commit.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest
from pymongo import MongoClient
from tests.ports.test_mongodb_store import drop_database, own_database
from tests.ports.test_postgresql_store import drop_schema, own_schema
from tests.support.every_source import write

from journeymesh.cli.main import outcome
from journeymesh.errors import StoreUnavailable
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store
from journeymesh.wiring import open_store

REPOSITORY = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("JOURNEYMESH_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
EARLIER = os.environ.get("JOURNEYMESH_TEST_EARLIER")
START = datetime(2024, 5, 6, 8, tzinfo=UTC)
MAPPING = """
version: 1
collection: c
layout: document
fields:
  fixed_at: {path: ts, clock: iso8601}
  vehicle: {path: dev}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: spd, unit: m/s}
"""

SCHEMA_0002 = Path(__file__).parent / "stores_of_before" / "sqlite_0002.sql"
PLAN = """
version: 1
control: sqlite:///{folder}/control.db
legacy: {{source: "{legacy}", mapping: {mapping}, rules: always-on}}
stores: {{embedded: {{url: "sqlite:///{folder}/moved.db"}}}}
gates: {{max_lag_s: 86400, shadow_coverage: 1.0, shadow_reads: 2}}
slices: [{{name: all, policies: {{hash_percent: [0, 100]}}, target: embedded, phase: shadow}}]
"""
BEGUN = (("apply", "--why", "begin"), ("run", "--once"), ("compare", "all"), ("status",))
CONTINUED = (
    ("status",), ("run", "--once"), ("compare", "all"), ("reconcile", "all"),
    ("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal"),
    ("apply", "--set", "all=shadow", "--why", "back"), ("history",),
)  # fmt: skip

needs_earlier = pytest.mark.skipif(EARLIER is None, reason="JOURNEYMESH_TEST_EARLIER is unset")


@dataclass(frozen=True)
class Input:
    """What a run reads: the options of ``preprocess``."""

    options: tuple[str, ...]
    rules: str = "always-on-2026.1"


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat()


def documents(kind: str) -> list[dict[str, Any]]:
    """A drive of one vehicle, and everything that may be refused of it, several times at one instant and place."""
    held: list[dict[str, Any]] = [
        {"dev": "V1", "ts": at(k), "lat": 51.5 + k * 1e-4, "lon": -0.1, "spd": 11.0} for k in range(300)
    ]
    one = held[100]
    bad: list[dict[str, Any]] = [
        *(one | {"spd": text} for text in ("err", "n.a.", "err")),
        *(one | {"lat": text} for text in ("bad", "worse", "bad")),
        *(one | {"ts": text} for text in ("never", "never")),
        *(one | {"spd": speed} for speed in (1.0, 2.0, 2.0)),  # conflicts
        *(one | {"ts": at(50) + "x"},) * 2,
        *(held[k] | {"lat": 53.5} for k in (20, 20, 21)),  # spikes of one instant and place
        *(held[k] | {"lat": 53.5, "spd": 4.0} for k in (20, 21)),
        *(one | {"ts": "2094-05-06T08:00:00+00:00", "spd": speed} for speed in (1.0, 2.0, 2.0)),
        *(one | {"ts": "1970-01-01T00:00:01+00:00", "spd": speed} for speed in (1.0, 2.0)),
        *(held[k] | {"lat": 0.0, "lon": 0.0} for k in (30, 30, 31)),
        *(held[k] | {"lat": 91.5} for k in (30, 30, 31)),
    ]
    if kind != "csv":
        bad += [{name: value for name, value in one.items() if name != gone} for gone in ("dev", "lat", "ts")] * 2
    return held[:150] + bad + held[150:]


def hostile_inputs(folder: Path) -> list[Input]:
    """``documents`` as BSON, NDJSON and CSV."""
    mapping = folder / "m.yaml"
    mapping.write_text(MAPPING)
    files = [write(kind, folder / kind, documents(kind)) for kind in ("bson", "ndjson", "csv")]
    files[-1].write_text(files[-1].read_text() + "too,few\ntoo,few\n,,,,\n")
    return [Input(("--source", str(file), "--mapping", str(mapping))) for file in files]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[Input]:
    """Recordings, generated fleets with their faults, and hostile files."""
    folder = tmp_path_factory.mktemp("inputs")
    found = hostile_inputs(folder)
    for seed, kind in ((5, "mongodump"), (6, "csv")):
        out = folder / f"fleet-{kind}"
        fleet = ["--out", str(out), "--seed", str(seed), "--vehicles", "4", "--days", "3", "--interval-s", "5"]
        assert outcome(["generate", *fleet, "--format", kind]) == 0
        if kind == "mongodump":
            mapped = REPOSITORY / "examples" / "mappings" / "blackbox.yaml"
            found.append(Input(("--source", str(out), "--mapping", str(mapped))))
        else:
            found.append(Input(("--source", str(out / "fixes.csv"))))  # another's policies contradict the first's
    if (dump := RECORDINGS / "legacy-dump").is_dir():
        for name in ("blackbox", "trips"):
            mapped = REPOSITORY / "examples" / "mappings" / f"{name}.yaml"
            found.append(Input(("--source", str(dump), "--mapping", str(mapped))))
    return found


@pytest.fixture(params=["sqlite", "postgresql", "mongodb", "lake"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Two empty stores of a kind: the one that is upgraded, and one that only this program writes."""
    names = [f"up_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    if request.param == "sqlite":
        yield [f"sqlite:///{tmp_path}/{name}.db" for name in names]
    elif request.param == "lake":
        yield [f"lake:///{tmp_path}/{name}" for name in names]
    elif request.param == "postgresql":
        server = request.getfixturevalue("postgresql_url")
        yield [own_schema(server, name) for name in names]
        for name in names:
            drop_schema(server, name)
    else:
        server = request.getfixturevalue("mongodb_url")
        yield [own_database(server, name) for name in names]
        for name in names:
            drop_database(server, name)


def earlier(*commands: tuple[str, ...]) -> str:
    """What the earlier program prints, of several commands in one process."""
    script = "import sys; from journeymesh.cli.main import outcome\n"
    script += f"sys.exit(max(outcome(list(each)) for each in {commands!r}))"
    done = subprocess.run([str(EARLIER), "-c", script], check=False, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


def ours(*arguments: str) -> None:
    assert outcome(list(arguments)) == 0, arguments


def refusals(store: Store) -> Counter[tuple[Any, ...]]:
    """How often each refused input stands in quarantine."""
    return Counter((one.reason, one.content) for _, one in store.refusals(RefusalQuery()))


def check_upgrade(url: str, fresh: str, inputs: list[Input]) -> None:
    """The store of the earlier program, upgraded and given its inputs again, equals one that was given them once."""
    with closing(open_store(url)) as store, pytest.raises(StoreUnavailable, match="older schema"):
        store.journeys(JourneyQuery())
    for command in ("migrate", "verify", "migrate"):
        ours("store", command, "--store", url)
    with closing(open_store(url)) as store:
        before, journeys = refusals(store), store.journeys(JourneyQuery(limit=10_000)).to_pylist()
        ids = [key for key, _ in store.refusals(RefusalQuery())]
    assert len(journeys) > 0
    assert len(ids) == len(set(ids)) == before.total() > 0
    ours("store", "migrate", "--store", fresh)
    for each in inputs:
        ours("preprocess", *each.options, "--store", url, "--rules", each.rules)
        ours("preprocess", *each.options, "--store", fresh, "--rules", each.rules)
    ours("store", "verify", "--store", url)
    with closing(open_store(url)) as store, closing(open_store(fresh)) as other:
        assert refusals(store) == refusals(other)
        assert not before - refusals(store)
        assert store.digest() == other.digest()
        found = store.journeys(JourneyQuery(limit=10_000)).to_pylist()
        assert {row["journey_id"] for row in journeys} <= {row["journey_id"] for row in found}


@needs_earlier
@pytest.mark.timeout(1800)
def test_a_store_of_before_is_upgraded_and_reading_again_adds_what_was_lost_and_nothing_twice(
    urls: list[str], inputs: list[Input]
) -> None:
    url, fresh = urls
    earlier(*(("preprocess", *each.options, "--store", url, "--rules", "always-on") for each in inputs))
    check_upgrade(url, fresh, inputs)
    if any("trips.yaml" in option for each in inputs for option in each.options):
        ours("summary", "SBT-000201", "--store", url)


def test_a_sqlite_store_written_before_refusals_had_ids_of_inputs(tmp_path: Path) -> None:
    """``SCHEMA_0002`` is what the program wrote of ``documents`` then, as text."""
    with closing(sqlite3.connect(tmp_path / "was.db")) as connection:
        connection.executescript(SCHEMA_0002.read_text())
    check_upgrade(f"sqlite:///{tmp_path}/was.db", f"sqlite:///{tmp_path}/fresh.db", hostile_inputs(tmp_path))


@needs_earlier
@pytest.mark.timeout(1800)
def test_a_move_that_was_begun_before_goes_on(
    tmp_path: Path, mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slice in shadow, filled and compared by the earlier program, is compared, cut over and gone back by ours."""
    fleet = ["--out", str(tmp_path / "legacy"), "--seed", "5", "--vehicles", "3", "--days", "3", "--interval-s", "5"]
    assert outcome(["generate", *fleet]) == 0
    name = f"up_{uuid.uuid4().hex[:12]}"
    plan = tmp_path / "plan.yaml"
    mapped = REPOSITORY / "examples" / "mappings" / "blackbox.yaml"
    plan.write_text(PLAN.format(folder=tmp_path, legacy=own_database(mongodb_url, name), mapping=mapped))
    try:
        with MongoClient(mongodb_url) as client:
            for file in (tmp_path / "legacy" / "telematics").glob("*.bson"):
                client[name][file.stem].insert_many(bson.decode_all(file.read_bytes()))
        strangler = [("strangler", verb, str(plan), *more) for verb, *more in BEGUN]
        earlier(*strangler)
        ours("store", "migrate", "--store", f"sqlite:///{tmp_path}/moved.db")
        ours("store", "verify", "--store", f"sqlite:///{tmp_path}/moved.db")
        for verb, *more in CONTINUED:
            ours("strangler", verb, str(plan), *more)
    finally:
        drop_database(mongodb_url, name)
