"""Inputs of other people's making that once gave wrong answers, each with its right one.

The folder is ``JOURNEYMESH_TEST_CASES``; each case in it has a ``case.md`` that says what it is and why its answer is
right. The kinds behind them have tests of their own; these run the handed files as they are.
"""

from __future__ import annotations

import json
import os
import resource
import runpy
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from journeymesh.cli.main import outcome

REPOSITORY = Path(__file__).parents[2]
CASES = Path(os.environ.get("JOURNEYMESH_TEST_CASES") or REPOSITORY.parent / "shared" / "cases")

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason=f"no cases at {CASES} (JOURNEYMESH_TEST_CASES)")

Ran = tuple[int, str, str]


class Case:
    """A case's folder, and a store of its own."""

    def __init__(self, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.store = f"sqlite:///{store}"
        self._capsys = capsys

    def run(self, *arguments: str) -> Ran:
        self._capsys.readouterr()
        code = outcome(list(arguments))
        told = self._capsys.readouterr()
        return code, told.out, told.err

    def preprocess(self, source: str, mapping: str = "m.yaml", *more: str) -> Ran:
        return self.run("preprocess", "--source", source, "--mapping", mapping, "--store", self.store, *more)

    def check(self, source: str, mapping: str = "m.yaml") -> Ran:
        return self.run("mapping", "check", "--source", source, "--mapping", mapping)

    def listed(self, what: str, *more: str) -> list[dict[str, Any]]:
        code, out, err = self.run(what, "list", "--store", self.store, "--format", "json", *more)
        assert code == 0, err
        found: list[dict[str, Any]] = json.loads(out)
        return found

    def journeys(self) -> list[dict[str, Any]]:
        return self.listed("journeys")

    def totals(self, source: str, mapping: str = "m.yaml", *more: str) -> tuple[int, float]:
        """(fixes, metres) of the journeys that this source alone gives."""
        code, out, err = self.preprocess(source, mapping, *more)
        assert code == 0, f"{out}\n{err}"
        found = self.journeys()
        return sum(row["fixes"] for row in found), sum(row["distance_m"] for row in found)


@pytest.fixture
def case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Case]:
    numbers = iter(range(1000))

    def opened(name: str) -> Case:
        if not (CASES / name).is_dir():
            pytest.skip(f"no case {name} at {CASES}")
        monkeypatch.chdir(CASES / name)
        return Case(tmp_path / f"{next(numbers)}.db", capsys)

    return opened


Opened = Callable[[str], Case]


@pytest.mark.parametrize(
    ("name", "source", "mapping"),
    [
        ("archive-name", "bus-trips.bson.gz", "m-bus.yaml"),
        ("archive-name", "fleet.dump", "m.yaml"),
        ("archive-time-series", "ts.archive", "m.yaml"),
        ("archive-time-series", "ts.archive", "m-buckets.yaml"),
        ("csv-header-only", "days", "m.yaml"),
        ("oplog-in-root", "dump", "m.yaml"),
        ("field-names", "dump/c.bson", "m-dot.yaml"),
    ],
)
def test_one_drive_is_61_fixes_and_4500_metres(case: Opened, name: str, source: str, mapping: str) -> None:
    fixes, metres = case(name).totals(source, mapping)
    assert fixes == 61
    assert metres == pytest.approx(4500, abs=45)


@pytest.mark.parametrize(
    ("source", "mapping"), [("fixes.parquet", "m.yaml"), ("fixes.ndjson", "m.yaml"), ("dump/c.bson", "m-bson.yaml")]
)
def test_an_imei_held_as_a_double_is_that_integer(case: Opened, source: str, mapping: str) -> None:
    opened = case("id-held-as-double")
    _, metres = opened.totals(source, mapping, "--policies", "policies.yaml")
    [journey] = opened.journeys()
    assert (journey["vehicle"], journey["policy"]) == ("351756051523999", "P1")
    assert metres == pytest.approx(4500, abs=45)


def test_a_check_that_finds_no_usable_fix_ends_with_2(case: Opened) -> None:
    opened = case("check-says-ok")
    assert opened.check("fixes.csv")[0] == 2
    code, out, _ = opened.check("array.ndjson")
    assert code == 2 or "61 fixes" in out
    assert opened.preprocess("fixes.csv")[0] not in (0, 70)


@pytest.mark.parametrize("source", ["latin1-header.csv", "utf16.csv", "duplicate-column.csv"])
def test_what_a_spreadsheet_writes_is_read_or_told_and_no_bug(case: Opened, source: str) -> None:
    code, out, err = case("csv-crashes").check(source)
    assert code != 70
    assert "61 fixes" in out if code == 0 else source in err


@pytest.mark.parametrize(("rows", "columns"), [(3000, 5), (3000, 60), (500, 179)])
def test_a_refused_row_of_csv_costs_no_more_than_a_read_one(
    case: Opened, tmp_path: Path, rows: int, columns: int
) -> None:
    opened = case("csv-refusals-slow")
    written = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(written):
        patch.setattr("sys.argv", ["make.py", str(rows), str(columns)])
        runpy.run_path("make.py", run_name="__main__")
    (tmp_path / "warm.csv").write_text("".join(written.getvalue().splitlines(keepends=True)[:50]))
    (tmp_path / "x.csv").write_text(written.getvalue())
    opened.preprocess(str(tmp_path / "warm.csv"))
    began_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    opened.preprocess(str(tmp_path / "x.csv"))
    took_s = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began_s
    assert took_s < 1.0 + rows * 200e-6


def test_any_column_name_can_be_mapped(case: Opened) -> None:
    for source, mapping in (("ved.csv", "m-ved.yaml"), ("dump/c.bson", "m-dot.yaml")):
        code, out, err = case("field-names").check(source, mapping)
        assert code == 0, err
        assert "61 fixes" in out


@pytest.mark.parametrize(("source", "mapping"), [("speed.csv", "m.yaml"), ("heading.csv", "m-heading.yaml")])
def test_a_dropout_is_no_harsh_event(case: Opened, source: str, mapping: str) -> None:
    opened = case("harsh-from-dropouts")
    opened.totals(source, mapping)
    assert [row["harsh_events"] for row in opened.journeys() if row["harsh_events"]] == []


def test_positions_of_no_worth_are_left_out_where_their_accuracy_is_mapped(case: Opened, tmp_path: Path) -> None:
    opened = case("no-accuracy")
    mapping = tmp_path / "m.yaml"
    mapping.write_text(Path("m.yaml").read_text("utf-8") + "  accuracy: {path: acc, unit: m}\n", "utf-8")
    _, metres = opened.totals("fixes.csv", str(mapping))
    assert metres == pytest.approx(18_000, rel=0.01)


@pytest.mark.parametrize("source", ["not-taken-up", "no-device-yet"])
def test_a_policy_that_cannot_be_used_hides_no_other(case: Opened, source: str) -> None:
    opened = case("one-bad-policy")
    fixes, _ = opened.totals(source)
    assert fixes > 0
    assert any(row["policy"] for row in opened.journeys())
    assert any("policy" in row["reason"] for row in opened.listed("quarantine"))


@pytest.mark.parametrize("source", ["far-future", "renewal-same-number", "number-is-double"])
def test_a_policy_as_databases_hold_it_is_used(case: Opened, source: str) -> None:
    opened = case("one-bad-policy")
    fixes, _ = opened.totals(source)
    assert fixes > 0
    assert all(row["policy"] for row in opened.journeys())


def test_a_check_of_a_collection_of_several_kinds_finds_the_fixes(case: Opened, tmp_path: Path) -> None:
    opened = case("other-documents")
    code, out, err = opened.check("dump/c.bson")
    assert code == 0, err
    assert "61" in out
    chosen = tmp_path / "m.yaml"
    chosen.write_text(Path("m.yaml").read_text("utf-8") + "where: {battery: null}\n", "utf-8")
    assert opened.totals("dump/c.bson", str(chosen))[0] == 61
    assert [row["quarantined"] for row in opened.journeys()] == [0]
    assert opened.listed("quarantine") == []


def test_whatever_is_refused_stays_in_quarantine(case: Opened) -> None:
    opened = case("quarantine-loses")
    opened.preprocess("dump/c.bson")
    unreadable = [row for row in opened.listed("quarantine") if row["reason"] == "value_unparseable"]
    assert len({row["origin"] for row in unreadable}) == len(unreadable) == len(opened.listed("quarantine")) == 3
    opened = case("quarantine-loses")
    for _ in range(2):
        opened.preprocess("day1/fixes.csv", "m-iso.yaml")
        opened.preprocess("day2/fixes.csv", "m-iso.yaml")
        assert len(opened.listed("quarantine")) == 2


def test_a_speed_that_is_always_0_is_not_believed(case: Opened) -> None:
    opened = case("speed-always-zero")
    opened.totals("fixes.csv")
    [journey] = opened.journeys()
    assert journey["distance_m"] == pytest.approx(6000, rel=0.01)
    assert journey["driving_s"] == pytest.approx(300, abs=10)
    assert journey["idle_s"] == pytest.approx(10, abs=10)
    assert journey["mean_speed_mps"] == pytest.approx(20, rel=0.03)
    assert journey["max_speed_mps"] == pytest.approx(20, rel=0.1)


def test_an_hour_at_one_place_is_a_stop_whatever_the_speed_says(case: Opened) -> None:
    opened = case("speed-repeated-while-parked")
    opened.totals("fixes.csv")
    found = opened.journeys()
    assert [row["duration_s"] for row in found] == pytest.approx([300, 300], abs=10)
    assert [row["distance_m"] for row in found] == pytest.approx([4500, 4500], rel=0.01)


def test_a_directive_that_python_lacks_is_refused_with_what_to_use(case: Opened) -> None:
    code, _, err = case("strftime-percent-s").check("dump/c.bson")
    assert code == 2
    assert "clock: epoch_s" in err


def test_a_refused_row_has_its_vehicle_and_its_clock(case: Opened) -> None:
    opened = case("text-refusals-nameless")
    opened.preprocess("fixes.csv")
    [refusal] = opened.listed("quarantine", "--vehicle", "V1")
    assert refusal["vehicle"] == "V1"
    assert refusal["fixed_at"] == "2024-05-06T08:02:30Z"


@pytest.mark.parametrize(
    ("source", "mapping"), [("local.csv", "m.yaml"), ("local.parquet", "m.yaml"), ("dump/c.bson", "m-bson.yaml")]
)
def test_a_local_time_is_read_in_its_zone_in_every_source(case: Opened, source: str, mapping: str) -> None:
    opened = case("zone-ignored")
    opened.totals(source, mapping)
    [journey] = opened.journeys()
    assert journey["started_at"] == "2024-05-06T08:00:00Z"
