"""The naive pass agrees with the door on a fleet's and on real recordings, and shares nothing with it."""

from __future__ import annotations

import ast
import inspect
import math
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from journeymesh.fleets.spec import FleetSpec
from journeymesh.fleets.writers import write_fleet
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, JourneyRules
from journeymesh.sources.bson_values import OPTIONS
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.totals import load_totals
from journeymesh.stores.memory import MemoryStore
from journeymesh.strangler import naive, naive_fixes
from journeymesh.strangler.naive import EARTH_M, naive_journeys, way_m
from journeymesh.strangler.naive_fixes import NaiveFix, NaiveReader, NaiveUnable
from journeymesh.strangler.opinion import GOOD, Class, Opinion
from journeymesh.strangler.policy_book import members_of
from journeymesh.strangler.slices import Selector
from journeymesh.strangler.third_opinion import Comparing
from journeymesh.wiring import open_source
from tests.support.doors import fill

REPOSITORY = Path(__file__).parents[3]
RECORDINGS = Path(os.environ.get("JOURNEYMESH_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
DUMP = RECORDINGS / "legacy-dump"
DEMO = REPOSITORY / "src/journeymesh/cli/demo_mapping/blackbox.yaml"
needs_recordings = pytest.mark.skipif(
    not DUMP.is_dir(), reason=f"no recordings at {RECORDINGS} (JOURNEYMESH_TEST_DATA)"
)
MAPPED = (
    "collection: c\nfields:\n  vehicle: {path: v}\n  fixed_at: {FIXED_AT}\n  lat: {path: lat}\n  lon: {path: lon}\n"
)
AT_S = datetime(2024, 5, 6, 8, tzinfo=UTC).timestamp()


class Dumped:
    """A dump's documents, decoded by the driver's library alone."""

    def __init__(self, dump: Path, mapping: Path) -> None:
        self.mapping: Mapping = load_mapping(mapping)
        self._file = next(dump.rglob(f"{self.mapping.collection}.bson"))

    def documents(self, collection: str) -> Iterator[dict[str, Any]]:
        raise AssertionError("nobody asks for totals")

    def of_vehicles(self, vehicles: Sequence[str]) -> Iterator[dict[str, Any]]:
        path = self.mapping.fields.vehicle.path.split(".")
        with self._file.open("rb") as file:
            for document in bson.decode_file_iter(file, OPTIONS):
                held: Any = document
                for step in path:
                    held = held.get(step) if isinstance(held, dict) else None
                if held in vehicles:
                    yield document


def beside_the_door(dump: Path, mapping: Path, rules: JourneyRules) -> Opinion:
    """A store that was filled by the pass, beside the naive pass over the same dump."""
    source = open_source(str(dump), mapping)
    store = fill(MemoryStore(), source, rules)
    members = members_of(Selector(), list(source.policies()))
    comparing = Comparing(side=store, rules=rules, target=store, documents=lambda: Dumped(dump, mapping))
    found, _ = comparing.with_naive(members)
    return found


@pytest.fixture(scope="module")
def demo_dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    return Path(str(write_fleet(FleetSpec(seed=1, vehicles=3, days=5), folder / "dump").source))


def test_on_the_demos_fleet_every_policy_and_month_is_within_one_percent(demo_dump: Path) -> None:
    found = beside_the_door(demo_dump, DEMO, ALWAYS_ON)
    assert found.policies >= 3
    assert {one.found for one in found.verdicts} == {Class.AGREES}


def test_what_was_truly_driven_trip_by_trip_bears_out_the_door(demo_dump: Path, tmp_path: Path) -> None:
    """The generator knows each journey that it drove: totals of another system, which has no mapping and no pass."""
    truth = demo_dump / "truth" / "journeys.parquet"
    (tmp_path / "totals.yaml").write_text(
        f"file: {truth}\nvehicle: {{path: vehicle}}\nstarted_at: {{path: started_at, clock: bson_date}}\n"
        "distance: {path: distance_m, unit: m}\njourneys: {}\n"
    )
    source = open_source(str(demo_dump), DEMO)
    store = fill(MemoryStore(), source)
    comparing = Comparing(side=store, rules=ALWAYS_ON, target=store, documents=lambda: Dumped(demo_dump, DEMO))
    members = members_of(Selector(), list(source.policies()))
    found, other = comparing.with_totals(members, load_totals(tmp_path / "totals.yaml"))
    assert other.rows > 30
    assert (other.unreadable, other.unclear) == (0, 0)
    assert (found.good, found.share) == (found.policies, 1.0)


@needs_recordings
@pytest.mark.parametrize("rules", [ALWAYS_ON, ENGINE_SWITCHED], ids=lambda rules: rules.profile)
@pytest.mark.parametrize("name", ["blackbox", "trips"])
def test_on_real_recordings_every_policy_and_month_is_within_one_percent(name: str, rules: JourneyRules) -> None:
    found = beside_the_door(DUMP, REPOSITORY / f"examples/mappings/{name}.yaml", rules)
    compared = [one for one in found.verdicts if one.found is not Class.NOT_COMPARED]
    assert found.classes["agrees"] >= 1
    assert all(one.found in GOOD for one in compared)
    assert all(one.off <= 0.01 for one in compared)


@pytest.mark.parametrize("module", [naive, naive_fixes])
def test_it_shares_no_line_with_the_pass_and_the_walker(module: Any) -> None:
    imported = {
        node.module
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and node.module is not None and node.module.startswith("journeymesh")
    }
    assert imported <= {
        "journeymesh.errors",
        "journeymesh.journeys.rules",  # the published numbers
        "journeymesh.sources.mapping",  # what the mapping file says
        "journeymesh.strangler.naive_fixes",
    }


def test_only_the_third_opinion_uses_it() -> None:
    users = {
        path.stem
        for path in (REPOSITORY / "src").rglob("*.py")
        if "strangler.naive" in path.read_text("utf-8") and path.stem not in ("naive", "naive_fixes")
    }
    assert users == {"third_opinion"}


def fix(second: float, north_m: float, speed_mps: float | None = 10.0, **more: Any) -> NaiveFix:
    return NaiveFix("V1", AT_S + second, math.degrees(north_m / EARTH_M), 8.0, speed_mps, **more)


def going(seconds: int, begin: int = 0, from_m: float = 0.0, speed: float = 10.0) -> list[NaiveFix]:
    return [fix(begin + k, from_m + speed * k, speed) for k in range(seconds + 1)]


def journeys(fixes: Sequence[NaiveFix], rules: JourneyRules = ALWAYS_ON) -> list[tuple[float, float]]:
    """(metres, seconds) of each."""
    return [(round(one.distance_m), one.duration_s) for one in naive_journeys(fixes, rules)]


def test_a_drive_of_known_length() -> None:
    assert journeys(going(120)) == [(1200, 120.0)]
    assert way_m(fix(0, 0), fix(1, 1000)) == pytest.approx(1000.0)


def test_order_and_duplicates_do_not_matter() -> None:
    drive = going(120)
    assert journeys([*reversed(drive), *drive[10:50]]) == [(1200, 120.0)]


@pytest.mark.parametrize(
    "odd",
    [
        [fix(50.5, 90_000.0)],
        [fix(50.5, 90_000.0), fix(50.7, 90_010.0)],
        [NaiveFix("V1", AT_S + 50.5, 0.0, 0.0)],
        [NaiveFix("V1", AT_S + 50.5, 91.0, 8.0)],
        [NaiveFix("V1", 0.0, 0.1, 8.0)],
        [NaiveFix("V1", AT_S + 1e10, 0.1, 8.0)],
        [fix(50.5, 900.0, accuracy_m=500.0)],
        [fix(50.5, 900.0, accuracy_m=math.inf)],
    ],
)
def test_a_fix_that_cannot_be_changes_nothing(odd: list[NaiveFix]) -> None:
    assert journeys([*going(120), *odd]) == [(1200, 120.0)]


def test_a_vehicle_that_was_moved_is_believed_and_no_distance_credited() -> None:
    assert sum(way for way, _ in journeys([*going(120), *going(120, 121, 50_000.0)])) == 2400


def test_a_silence_and_a_stop_end_a_journey_and_a_halt_does_not() -> None:
    first = going(120)
    assert len(journeys([*first, *going(120, 120 + 301, 1200.0)])) == 2
    assert len(journeys([*first, *going(120, 120 + 280, 1200.0)])) == 1
    for seconds, count in ((400, 2), (100, 1)):
        halted = [fix(121 + k, 1200.0, 0.0) for k in range(seconds)]
        found = journeys([*first, *halted, *going(120, 121 + seconds, 1200.0)])
        assert (len(found), sum(way for way, _ in found)) == (count, 2400)


def test_a_parked_vehicle_whose_position_wanders_makes_no_journey() -> None:
    parked = [fix(k, 20.0 * math.sin(k), 0.4) for k in range(0, 3600, 5)]
    assert journeys(parked) == []


def test_with_an_engine_switched_recorder_silence_and_ignition_decide() -> None:
    assert len(journeys([*going(120), *going(120, 120 + 101, 1200.0)], ENGINE_SWITCHED)) == 2
    off = [fix(121 + k, 1200.0, 0.0, ignition=False) for k in range(3)]
    again = [fix(125 + k, 1200.0 + 10 * k, 10.0, ignition=True) for k in range(121)]
    assert len(journeys([*going(120), *off, *again], ENGINE_SWITCHED)) == 2


@pytest.mark.parametrize(
    ("clock", "written"),
    [
        ("path: t, clock: bson_date", datetime.fromtimestamp(AT_S, UTC)),
        ("path: t, clock: bson_date, zone: Europe/Berlin", datetime.fromtimestamp(AT_S, UTC) + timedelta(hours=2)),
        ("path: t, clock: epoch_s", AT_S),
        ("path: t, clock: epoch_s", str(int(AT_S))),
        ("path: t, clock: epoch_ms", bson.Int64(AT_S * 1e3)),
        ("path: t, clock: epoch_us", bson.Int64(AT_S * 1e6)),
        ("path: t, clock: epoch_ns", bson.Int64(AT_S * 1e9)),
        ("path: t, clock: iso8601", "2024-05-06T08:00:00Z"),
        ("path: t, clock: iso8601", "2024-05-06T10:00:00+02:00"),
        ("path: t, clock: iso8601, zone: Europe/Berlin", "2024-05-06 10:00:00"),
        ('path: t, clock: strftime, format: "%d.%m.%Y %H:%M", zone: Europe/Berlin', "06.05.2024 10:00"),
    ],
)
def test_clocks_are_read_a_second_time(clock: str, written: Any) -> None:
    reader = NaiveReader(load_mapping(MAPPED.replace("FIXED_AT", clock)))
    (found,) = reader.fixes({"v": 7, "t": written, "lat": "1.5", "lon": bson.Decimal128("2.5")})
    assert (found.vehicle, found.at_s, found.lat, found.lon) == ("7", AT_S, 1.5, 2.5)
    assert list(reader.fixes({"v": 7, "lat": 1.5, "lon": 2.5})) == []
    assert reader.unreadable == 1


def test_arrays_of_fixes_and_arrays_beside_each_other_are_read() -> None:
    text = """
collection: c
layout: LAYOUT
where: {kind: track}
fields:
  vehicle: {path: v.id}
  fixed_at: {path: PATH, clock: offset_s, base: {path: start, clock: epoch_s}}
  lat: {path: "LAT", scale: 1.0e-6}
  lon: {path: "LON", scale: 1.0e-6}
  speed: {path: "SPEED", unit: km/h}
"""
    head = {"v": {"id": "V1"}, "start": AT_S, "kind": "track"}
    embedded = {"f": [{"t": k, "p": [k * 10**6, 2], "s": 36} for k in range(3)]}
    beside = {"t": [0, 1, 2], "y": [0, 10**6, 2 * 10**6], "x": [2, 2, 2], "s": [36, 36, 36]}
    for layout, paths, held in (
        ("embedded", ('"f[].t"', "f[].p.0", "f[].p.1", "f[].s"), embedded),
        ("bucketed", ('"t[]"', "y[]", "x[]", "s[]"), beside),
    ):
        written = text.replace("LAYOUT", layout)
        for name, path in zip(("PATH", "LAT", "LON", "SPEED"), paths, strict=True):
            written = written.replace(name, path)
        reader = NaiveReader(load_mapping(written))
        found = list(reader.fixes(head | held))
        assert [(one.at_s - AT_S, one.lat) for one in found] == [(0, 0), (1, 1.0), (2, 2.0)]
        assert found[0].speed_mps == pytest.approx(10.0)
        assert list(reader.fixes(head | held | {"kind": "photo"})) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (MAPPED.replace("FIXED_AT", "path: t, clock: excel_days"), "clock excel_days"),
        (MAPPED.replace("FIXED_AT", "path: t, clock: epoch_s").replace("path: lat", "path: p, form: lat_lon"), "form"),
        (MAPPED.replace("FIXED_AT", "path: t, clock: epoch_s").replace("{path: v}", "{value: V1}"), "do not name"),
    ],
)
def test_what_is_seldom_is_refused_and_not_read_wrongly(text: str, told: str) -> None:
    with pytest.raises(NaiveUnable, match=told):
        NaiveReader(load_mapping(text))
