"""Faults that both sides of a slice share, found by legacy's own totals on ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from tests.support.builders import drive

from journeymesh.cli.main import outcome
from journeymesh.strangler.gates import NothingCompared
from journeymesh.strangler.routes import read_routes
from journeymesh.wiring import open_installation

REPOSITORY = Path(__file__).parents[2]
RECORDINGS = Path(os.environ.get("JOURNEYMESH_TEST_DATA") or REPOSITORY.parent / "shared" / "data")
BERLIN = ZoneInfo("Europe/Berlin")
DRIVE_S, SPEED_MPS = 900, 20.0
DRIVE_KM = DRIVE_S * SPEED_MPS / 1000
BEGINS = (
    datetime(2024, 5, 7, 8, tzinfo=BERLIN),
    datetime(2024, 5, 20, 17, tzinfo=BERLIN),
    datetime(2024, 5, 31, 22, 45, tzinfo=BERLIN),
    datetime(2024, 6, 12, 8, tzinfo=BERLIN),
    datetime(2024, 6, 30, 22, 45, tzinfo=BERLIN),
    datetime(2024, 7, 3, 9, tzinfo=BERLIN),
)
VEHICLES = ("V1", "V2", "V3")
RIGHT = {
    "unit": "lat: {path: lat, scale: 1.0e-6}",
    "zone": "zone: Europe/Berlin",
    "path": "lon: {path: lon, scale: 1.0e-6}",
}
MAPPING = """
collection: boxes
fields:
  vehicle: {{path: device}}
  fixed_at: {{path: t, clock: iso8601, {zone}}}
  {unit}
  {path}
  speed: {{path: v, unit: m/s}}
policies:
  collection: policies
  number: {{path: number}}
  device: {{path: device}}
  valid_from: {{path: from, clock: bson_date}}
  zone: {{path: tz}}
"""
TOTALS = """
collection: monthly
policy: {path: policyNumber}
month: {paths: [year, month], clock: strftime, format: "%Y %m"}
distance: {path: km, unit: km}
duration: {path: minutes, unit: min}
journeys: {path: trips}
"""
PLAN = """
version: 1
control: sqlite:///control.db
legacy: {{source: "{url}", mapping: mapping.yaml}}
stores: {{embedded: {{url: "sqlite:///target.db"}}}}
gates: {{max_lag_s: 86400, shadow_coverage: 1.0, shadow_reads: 1, quiet_days: 0, third_opinion: 0.995}}
slices: [{{name: all, policies: {{}}, target: embedded, phase: shadow}}]
"""


class Legacy:
    """A legacy database with totals of its own, and the folder of a plan."""

    def __init__(self, database: Any, url: str, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.map()
        (folder / "totals.yaml").write_text(TOTALS)
        (folder / "plan.yaml").write_text(PLAN.format(url=url))

    def map(self, **wrong: str) -> None:
        (self.folder / "mapping.yaml").write_text(MAPPING.format(**(RIGHT | wrong)))

    def run(self, command: str, *more: str) -> int:
        return outcome(["strangler", command, str(self.folder / "plan.yaml"), *more])

    def shadow(self) -> None:
        """Fill the target and compare the sides: nothing differs, whatever the mapping says."""
        assert self.run("apply", "--why", "begin") == 0
        assert self.run("run", "--once") == 0
        assert self.run("compare", "all") == 0

    def against(self, *more: str, totals: str = "totals.yaml") -> int:
        return self.run("compare", "all", "--against", str(self.folder / totals), *more)


@pytest.fixture
def legacy(mongodb_url: str, tmp_path: Path) -> Iterator[Legacy]:
    pymongo = pytest.importorskip("pymongo")
    name = f"opinion_{uuid4().hex[:10]}"
    client = pymongo.MongoClient(mongodb_url)
    database = client[name]
    for number, device in enumerate(VEHICLES, 1):
        began = datetime(2024, 1, 1, tzinfo=UTC)
        database.policies.insert_one({"number": f"P{number}", "device": device, "from": began, "tz": "Europe/Berlin"})
        for begin in BEGINS:
            database.boxes.insert_many(documents(device, begin))
        for month, trips in ((5, 3), (6, 2), (7, 1)):
            km, minutes = round(trips * DRIVE_KM, 1), trips * DRIVE_S / 60
            database.monthly.insert_one(
                {
                    "policyNumber": f"P{number}",
                    "year": 2024,
                    "month": month,
                    "km": km,
                    "minutes": minutes,
                    "trips": trips,
                }
            )
    yield Legacy(database, urlsplit(mongodb_url)._replace(path=f"/{name}").geturl(), tmp_path)
    client.drop_database(name)
    client.close()


def documents(device: str, begin: datetime) -> list[dict[str, Any]]:
    """A drive, one document a fix; every second one is of a firmware that calls the longitude another name."""
    fixes = drive((SPEED_MPS, DRIVE_S), start=begin.astimezone(UTC), vehicle=device, every_s=5)
    found = []
    for row in range(len(fixes)):
        at = datetime.fromtimestamp(int(fixes.fixed_at_us[row]) / 1e6, BERLIN).replace(tzinfo=None)
        lat, lon = round(float(fixes.lat_deg[row]) * 1e6), round(float(fixes.lon_deg[row]) * 1e6)
        of_new_firmware = {} if row < len(fixes) // 2 else {"x": lon}
        found.append({"device": device, "t": at.isoformat(), "lat": lat, "lon": lon, "v": SPEED_MPS, **of_new_firmware})
    return found


def test_with_the_right_mapping_legacy_bears_out_every_policy_and_the_gate_opens(
    legacy: Legacy, capsys: pytest.CaptureFixture[str]
) -> None:
    legacy.shadow()
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    assert "no third opinion is recorded" in capsys.readouterr().out
    assert legacy.against("--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classes"]["agrees"] == len(VEHICLES) * 3
    assert (told["policies"], told["good"], told["share"], told["answering"]) == (3, 3, 1.0, "legacy")
    assert legacy.run("status") == 0
    assert "legacy's totals confirm 100.0 % of 3 policies" in capsys.readouterr().out
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 0
    assert legacy.against() == 0
    assert "the door (embedded answers) beside legacy's totals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ({"unit": "lat: {path: lat, scale: 1.0e-7}"}, None),
        ({"path": "lon: {path: x, scale: 1.0e-6}"}, "of the month's fixes are refused: look at the mapping"),
        ({"zone": "zone: UTC"}, "it would agree if months began at midnight UTC"),
        ({"zone": "zone: America/New_York"}, None),
    ],
    ids=["a wrong unit", "a path that half of the documents have", "a wrong zone", "another wrong zone"],
)
def test_a_mapping_that_is_wrong_leaves_both_sides_equal_and_the_third_opinion_says_no(
    legacy: Legacy, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], hint: str | None
) -> None:
    legacy.map(**wrong)
    legacy.shadow()
    capsys.readouterr()
    assert legacy.against("--format", "json") == 7
    told = json.loads(capsys.readouterr().out)
    assert told["good"] == 0
    assert told["classes"]["differs"] + told["classes"]["only in legacy"] >= len(VEHICLES)
    assert hint is None or any(hint in (one["reason"] or "") for one in told["not_agreeing"])
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    closed = (
        "in the third opinion no policy agrees without an explanation"
        if told["share"] is None
        else "confirm 0.0 % of 3 policies"
    )
    assert closed in capsys.readouterr().out
    assert legacy.run("compare", "all", "--naive", "2") == 0  # it reads by the same mapping, and says so in the docs


def test_a_totals_file_with_a_wrong_unit_is_suspected_in_words(
    legacy: Legacy, capsys: pytest.CaptureFixture[str]
) -> None:
    legacy.shadow()
    (legacy.folder / "miles.yaml").write_text(TOTALS.replace("unit: km", "unit: miles"))
    assert legacy.against(totals="miles.yaml") == 7
    told = " ".join(capsys.readouterr().out.split())
    assert "a wrong unit is suspected: the door has 1/1.6" in told
    assert "(miles and kilometres)" in told


def test_lines_fit_eighty_columns_and_say_both_values(
    legacy: Legacy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    legacy.database.monthly.update_one({"policyNumber": "P2", "month": 5}, {"$set": {"km": 60.0}})
    for month in (2, 8):  # before the first fix, and after the last
        legacy.database.monthly.insert_one({"policyNumber": "P2", "year": 2024, "month": month, "km": 700.0})
    legacy.shadow()
    capsys.readouterr()
    assert legacy.against() == 7
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    table = [line.split() for line in lines]
    assert ["P2", "2024-05", "differs", "54.0", "km", "60.0", "km"] in table
    assert ["P2", "2024-08", "only", "in", "legacy", "0.0", "km", "700.0", "km"] in table
    assert ["P2", "2024-02", "explained", "0.0", "km", "700.0", "km"] in table
    assert "why: legacy no longer has fixes of that time" in " ".join(lines)
    assert "2 of 3 policies are within 1 % or explained" in " ".join(lines)


@pytest.mark.parametrize("content", ["", "other,2024,5,54.0,45,3\n", "P1,2024,May,54.0,45,3\n"])
def test_totals_that_say_nothing_of_the_slice_compare_nothing_and_close_the_gate(
    legacy: Legacy, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    (legacy.folder / "monthly.csv").write_text(f"policyNumber,year,month,km,minutes,trips\n{content}")
    (legacy.folder / "file.yaml").write_text(TOTALS.replace("collection: monthly", "file: monthly.csv"))
    legacy.shadow()
    capsys.readouterr()
    assert legacy.against("--format", "json", totals="file.yaml") == 7
    told = json.loads(capsys.readouterr().out)
    assert told["good"] == 0
    assert told["share"] is None
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    assert "third opinion" in capsys.readouterr().out


def test_a_naive_pass_agrees_before_and_after_the_cutover(legacy: Legacy, capsys: pytest.CaptureFixture[str]) -> None:
    legacy.shadow()
    assert legacy.against() == 0
    for phase, answering in (("shadow", "legacy"), ("target_with_reverse_shadow", "embedded"), ("target", "embedded")):
        if phase != "shadow":
            assert legacy.run("apply", "--set", f"all={phase}", "--why", "on") == 0
        capsys.readouterr()
        assert legacy.run("compare", "all", "--naive", "100%", "--format", "json") == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["answering"], told["policies"], told["good"]) == (answering, 3, 3)
        assert told["classes"]["agrees"] == 9


def test_a_slice_that_is_filled_anew_needs_another_third_opinion(
    legacy: Legacy, capsys: pytest.CaptureFixture[str]
) -> None:
    legacy.shadow()
    assert legacy.against() == 0
    assert legacy.run("apply", "--set", "all=legacy", "--why", "back") == 0
    assert legacy.run("apply", "--why", "again") == 0
    assert legacy.run("run", "--once") == 0
    assert legacy.run("compare", "all") == 0
    capsys.readouterr()
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    assert "no third opinion is recorded" in capsys.readouterr().out


def test_a_mapping_that_finds_no_vehicle_fills_nothing_and_the_gate_says_so(
    legacy: Legacy, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every answer of both sides is empty, and so they are equal."""
    wrong = MAPPING.replace("vehicle: {{path: device}}", "vehicle: {{path: gadget}}")
    (legacy.folder / "mapping.yaml").write_text(wrong.format(**RIGHT))
    legacy.shadow()
    capsys.readouterr()
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    assert "the backfill wrote no fixes" in capsys.readouterr().out
    with open_installation(legacy.folder / "plan.yaml") as installation:
        (route,) = read_routes(installation.control).routes
        with pytest.raises(NothingCompared, match="neither legacy nor embedded has a journey of the slice"):
            installation.differences(route)


def test_a_wider_tolerance_shows_more_and_opens_no_gate(legacy: Legacy, capsys: pytest.CaptureFixture[str]) -> None:
    legacy.database.monthly.update_many({}, {"$mul": {"km": 1.2}})
    legacy.shadow()
    assert legacy.against() == 7
    assert legacy.against("--tolerance", "0.2") == 0
    assert "not recorded" in capsys.readouterr().err
    assert legacy.run("apply", "--set", "all=target_with_reverse_shadow", "--why", "equal") == 7
    assert legacy.against("--naive", "1", "--format", "json") == 2
