"""The whole move on the server of ``JOURNEYMESH_TEST_MONGODB``: accepted fixes, going back, retiring."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen
from uuid import uuid4

import bson
import pytest
from tests.support.builders import drive

from journeymesh.cli.main import outcome
from journeymesh.errors import UsageError
from journeymesh.journeys.answers import answer_bytes
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.gates import GateClosed
from journeymesh.strangler.installation import Installation
from journeymesh.strangler.legacy_side import LegacyTooMuch, ReadLimits
from journeymesh.strangler.opened_door import opened_door
from journeymesh.strangler.routes import read_routes
from journeymesh.strangler.slices import Phase
from journeymesh.wiring import open_installation

BEGIN = datetime(2024, 6, 3, 8, tzinfo=UTC)
MAPPING = """
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: v, unit: m/s}
policies:
  collection: policies
  number: {path: number}
  device: {path: device}
  valid_from: {path: from, clock: bson_date}
  product: {path: product, default: car}
"""
PLAN = """
version: 1
control: sqlite:///control.db
legacy: {{source: "{url}", mapping: mapping.yaml, reverse_sync: {reverse}}}
stores: {{embedded: {{url: "sqlite:///target.db"}}, lake: {{url: "lake:///lake"}}}}
gates: {{max_lag_s: 600, shadow_coverage: 0, shadow_reads: 0, quiet_days: 0}}
slices:
  - {{name: cars, policies: {{product: car}}, source: {source}, target: {target}, phase: {phase}}}
  - {{name: vans, policies: {{product: van}}, target: embedded, phase: legacy}}
"""


class Move:
    """A legacy database and the folder of a plan."""

    def __init__(self, database: Any, url: str, folder: Path) -> None:
        self.database, self.url, self.folder = database, url, folder
        self.reverse, self.source, self.target = "true", "legacy", "embedded"
        (folder / "mapping.yaml").write_text(MAPPING)

    def installation(self, phase: Phase) -> Installation:
        (self.folder / "plan.yaml").write_text(
            PLAN.format(url=self.url, reverse=self.reverse, source=self.source, target=self.target, phase=phase)
        )
        return open_installation(self.folder / "plan.yaml")

    def go(self, phase: Phase) -> None:
        with self.installation(phase) as installation:
            installation.control.migrate()
            assert all(outcome.moved for outcome in installation.applying("ann").apply("because"))

    def feed(self, phase: Phase) -> None:
        with self.installation(phase) as installation:
            while installation.deliverer().deliver(read_routes(installation.control)):
                continue
            installation.feeder().run(once=True)

    def stored(self, vehicle: str) -> int:
        """How many journeys of the vehicle the target holds."""
        with self.installation(Phase.SHADOW) as installation:
            return len(installation.store("embedded").journeys(JourneyQuery(vehicle=vehicle)))

    def answer(self, phase: Phase, policy: str = "P1") -> tuple[bytes, int, str]:
        """The door's answer, its number of journeys, and who gave it."""
        with self.installation(phase) as installation, opened_door(installation) as door:
            found = door.journeys(JourneyQuery(policy=policy))
            route = door.routing.of(door.policies(policy)[0])
            return answer_bytes(found), len(found), "legacy" if route is None else route.answering_name


@pytest.fixture
def move(mongodb_url: str, tmp_path: Path) -> Iterator[Move]:
    pymongo = pytest.importorskip("pymongo")
    name = f"move_{uuid4().hex[:10]}"
    client = pymongo.MongoClient(mongodb_url)
    database = client[name]
    for k, (device, product) in enumerate((("V1", "car"), ("V2", "car"), ("V3", "van"))):
        database.policies.insert_one({"number": f"P{k + 1}", "device": device, "from": BEGIN, "product": product})
        _write(database, device, 0)
    yield Move(database, urlsplit(mongodb_url)._replace(path=f"/{name}").geturl(), tmp_path)
    client.drop_database(name)
    client.close()


def _drive(device: str, hours: int):  # type: ignore[no-untyped-def]
    return drive((12.0, 300), start=BEGIN + timedelta(hours=hours), vehicle=device, every_s=10)


def _write(database: Any, device: str, hours: int) -> None:
    fixes = _drive(device, hours)
    database.boxes.insert_many(
        [
            {
                "device": device,
                "t": datetime.fromtimestamp(at_us / 1e6, UTC),
                "lat": lat,
                "lon": lon,
                "v": 12.0,
            }
            for at_us, lat, lon in zip(
                fixes.fixed_at_us.tolist(), fixes.lat_deg.tolist(), fixes.lon_deg.tolist(), strict=True
            )
        ]
    )


def to_target(move: Move) -> None:
    move.go(Phase.SHADOW)
    move.feed(Phase.SHADOW)
    move.go(Phase.TARGET_WITH_REVERSE_SHADOW)
    move.go(Phase.TARGET)


def test_fixes_accepted_after_cutover_survive_a_roll_back(move: Move) -> None:
    to_target(move)
    assert move.answer(Phase.TARGET)[1:] == (1, "embedded")
    with move.installation(Phase.TARGET) as installation:
        assert installation.accept(_drive("V1", 2), "batch-1").fixes == 31
        assert installation.accept(_drive("V1", 2), "batch-1").again
    move.feed(Phase.TARGET)
    after_cutover = move.answer(Phase.TARGET)
    assert after_cutover[1:] == (2, "embedded")
    move.go(Phase.SHADOW)
    rolled_back = move.answer(Phase.SHADOW)
    assert rolled_back[1:] == (2, "legacy")
    assert rolled_back[0] == after_cutover[0]
    assert move.database.boxes.count_documents({"device": "V1"}) == 62


def test_a_mapping_that_cannot_be_inverted_refuses_reverse_sync(move: Move) -> None:
    (move.folder / "mapping.yaml").write_text(
        """
collection: boxes
layout: embedded
fields:
  vehicle: {path: device}
  fixed_at: {path: "s[].t", clock: bson_date}
  lat: {path: "s[].lat"}
  lon: {path: "s[].lon"}
"""
    )
    with pytest.raises(UsageError, match="embedded"):
        move.go(Phase.SHADOW)


def test_a_retired_slice_answers_as_before_and_legacy_no_longer_has_it(move: Move) -> None:
    to_target(move)
    before = move.answer(Phase.TARGET)
    move.go(Phase.RETIRED)
    assert move.answer(Phase.RETIRED) == before
    assert move.database.boxes.distinct("device") == ["V3"]
    exported = bson.decode_all((move.folder / "retired/cars/documents.bson").read_bytes())
    assert sorted({document["device"] for document in exported}) == ["V1", "V2"]
    assert len(exported) == 62
    move.feed(Phase.RETIRED)
    assert move.answer(Phase.RETIRED) == before
    assert move.answer(Phase.RETIRED, "P3")[1:] == (1, "legacy")


def test_fixes_of_a_retired_slice_go_into_its_store(move: Move) -> None:
    to_target(move)
    move.reverse = "false"
    move.go(Phase.RETIRED)
    with move.installation(Phase.RETIRED) as installation:
        installation.accept(_drive("V1", 2), "batch-1")
        with pytest.raises(UsageError, match="reverse sync"):
            installation.accept(_drive("V3", 2), "batch-2")
    move.feed(Phase.RETIRED)
    assert move.answer(Phase.RETIRED)[1:] == (2, "embedded")
    assert move.database.boxes.distinct("device") == ["V3"]


def test_a_target_that_differs_is_not_retired_to(move: Move) -> None:
    to_target(move)
    _write(move.database, "V1", 4)  # nobody feeds: the target lacks it
    with pytest.raises(GateClosed, match="journeys differ"):
        move.go(Phase.RETIRED)
    with move.installation(Phase.TARGET) as installation:
        assert read_routes(installation.control).routes[0].phase is Phase.TARGET
    assert move.database.boxes.count_documents({"device": "V1"}) == 62


def test_one_command_begins_to_swap_the_store_and_legacy_feeds_both(
    move: Move, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("duckdb")
    to_target(move)
    before = move.answer(Phase.TARGET)
    plan = str(move.folder / "plan.yaml")
    assert outcome(["strangler", "swap", plan, "cars", "--to", "lake", "--why", "analysts"]) == 0
    assert "source: embedded, target: lake, phase: shadow" in capsys.readouterr().out
    move.source, move.target = "embedded", "lake"
    move.feed(Phase.SHADOW)
    assert move.answer(Phase.SHADOW) == before
    _write(move.database, "V1", 2)
    move.feed(Phase.SHADOW)
    swapping = move.answer(Phase.SHADOW)
    assert swapping[1:] == (2, "embedded")
    move.go(Phase.TARGET_WITH_REVERSE_SHADOW)
    move.go(Phase.TARGET)
    assert move.answer(Phase.TARGET) == (swapping[0], 2, "lake")
    move.source = "legacy"
    move.go(Phase.TARGET)
    _write(move.database, "V1", 4)
    move.feed(Phase.TARGET)
    assert move.answer(Phase.TARGET)[1:] == (3, "lake")


def test_the_feeder_runs_as_a_service_tells_its_lag_and_ends_on_sigterm(move: Move) -> None:
    move.go(Phase.SHADOW)
    program = [str(Path(sys.executable).with_name("journeymesh")), "strangler", "run", str(move.folder / "plan.yaml")]
    feeder = subprocess.Popen([*program, "--metrics-port", "0"], stderr=subprocess.PIPE, text=True)
    assert feeder.stderr is not None
    try:
        told = feeder.stderr.readline()
        assert told.startswith("metrics: http://127.0.0.1:")
        assert feeder.stderr.readline().startswith("feeder started")
        metrics = _until_it_says(told.removeprefix("metrics: ").strip(), "journeymesh_strangler_lag_seconds{")
        assert 'journeymesh_strangler_target_complete{slice="cars"} 1.0' in metrics
        assert 'journeymesh_strangler_slice_phase{phase="shadow",slice="cars"} 1.0' in metrics
        assert "P1" not in metrics
        assert "V1" not in metrics
        _write(move.database, "V1", 2)
        deadline = time.monotonic() + 20
        while (found := move.stored("V1")) < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found == 2
        feeder.send_signal(signal.SIGTERM)
        assert feeder.wait(20) == 0
    finally:
        feeder.kill()
        feeder.wait()


def _until_it_says(url: str, what: str) -> str:
    deadline = time.monotonic() + 30
    while True:
        with urlopen(url, timeout=10) as answer:
            text: str = answer.read().decode()
        if (what in text and 'target_complete{slice="cars"} 1.0' in text) or time.monotonic() > deadline:
            return text
        time.sleep(0.1)


def test_how_long_legacy_may_take_is_the_askers_to_say(move: Move) -> None:
    """A service's callers wait for half a minute at most; an operator who compares may wait for longer."""
    move.go(Phase.LEGACY)
    with move.installation(Phase.LEGACY) as installation:
        with opened_door(installation, limits=ReadLimits(seconds=0.0)) as door, pytest.raises(LegacyTooMuch):
            door.journeys(JourneyQuery(policy="P1"))
        with opened_door(installation, limits=ReadLimits(seconds=600.0)) as door:
            assert len(door.journeys(JourneyQuery(policy="P1"))) > 0
