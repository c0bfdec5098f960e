import json
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome

MAPPING = (
    "version: 1\ncollection: fixes\nfields:\n  vehicle: {path: vehicle}\n  lat: {path: lat_deg}\n"
    "  lon: {path: lon_deg}\n  fixed_at: {path: fixed_at, clock: iso8601}\n"
)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a drive of ten minutes and a bad line, preprocessed into a store that the settings name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOURNEYMESH_STORE", f"sqlite:///{tmp_path / 'journeys.db'}")
    (tmp_path / "dump").mkdir()
    rows = [f"V1,2025-06-01T12:{s // 60:02}:{s % 60:02}Z,{50 + s * 1e-4:.6f},4.0,11" for s in range(600)]
    text = "\n".join(["vehicle,fixed_at,lat_deg,lon_deg,speed_mps", *rows, "V1,never,50,4,1"])
    (tmp_path / "fixes.csv").write_text(text + "\n")
    (tmp_path / "policies.yaml").write_text("- {number: P1, device: V1, valid_from: 2025-01-01, zone: Europe/London}\n")
    return tmp_path


@pytest.fixture
def filled(room: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert outcome(["preprocess", "--source", "fixes.csv", "--policies", "policies.yaml"]) == 0
    capsys.readouterr()
    return room


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("preprocess --source nowhere.parquet", 3, "nowhere.parquet does not exist"),
        ("preprocess", 2, "no source given"),
        ("preprocess --source dump", 2, "needs a mapping"),
        ("preprocess --source fixes.csv --mapping none.yaml", 2, "none.yaml does not exist"),
        ("preprocess --source fixes.csv --rules none.yaml", 2, "none.yaml cannot be read"),
        ("preprocess --source fixes.csv --keep-fixes long", 2, "400d"),
        ("preprocess --source fixes.csv --policies none.yaml", 3, "none.yaml"),
        ("preprocess --source fixes.csv --store redis://here", 2, "sqlite"),
        ("preprocess --source fixes.csv --store postgresql://127.0.0.1:1/x", 5, "127.0.0.1"),
        ("journeys list", 3, "does not exist"),
        ("journeys list --format xml", 2, "xml"),
        ("bogus", 2, "bogus"),
        ("rules show none.yaml", 2, "always-on"),
    ],
)
def test_a_wrong_call_is_one_line_and_its_exit_code(
    room: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    (room / "dump").mkdir(exist_ok=True)
    (room / "dump/fixes.bson").write_bytes(b"\5\0\0\0\0")
    assert outcome(arguments.split()) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.startswith("error: ")
    assert said in told


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("journeys list --policy P9", 3, "it has P1"),
        ("summary P9", 3, "P9"),
        ("report P9 --out page.html", 3, "P9"),
        ("journeys list --from yesterday", 2, "2019-05-27"),
        ("journeys list --from 2025-06-02 --to 2025-06-01", 2, "--to is not after"),
        ("journeys show nothing", 3, "nothing"),
        ("quarantine list --reason boredom", 2, "position_spike"),
    ],
)
def test_a_question_about_what_is_not_there_says_so(
    filled: Path, capsys: pytest.CaptureFixture[str], arguments: str, code: int, said: str
) -> None:
    assert outcome(arguments.split()) == code
    assert said in capsys.readouterr().err


def test_an_unknown_unit_is_named_with_the_known_ones(room: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (room / "m.yaml").write_text(MAPPING + "  speed: {path: speed_mps, unit: furlongs}\n")
    assert outcome(["preprocess", "--source", "fixes.csv", "--mapping", "m.yaml"]) == 2
    assert "km/h" in capsys.readouterr().err


def test_a_wrong_setting_is_named_by_its_variable(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNEYMESH_JOBS", "many")
    assert outcome(["preprocess", "--source", "fixes.csv"]) == 2
    assert "JOURNEYMESH_JOBS is 'many'" in capsys.readouterr().err


def test_the_settings_file_is_read_and_the_environment_wins(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from journeymesh.settings import load_settings

    (room / "journeymesh.toml").write_text('store = "sqlite:///file.db"\njobs = 3\n')
    assert load_settings().jobs == 3
    assert load_settings().store.endswith("journeys.db")


def test_an_unexpected_error_is_told_as_a_bug_without_a_traceback(
    room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def burst(*_: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.delenv("JOURNEYMESH_DEBUG", raising=False)
    monkeypatch.setattr("journeymesh.stores.used_rules.load_rules", burst)
    assert outcome(["rules", "show", "always-on"]) == 70
    told = capsys.readouterr().err
    assert "ZeroDivisionError: boom" in told
    assert "Traceback" not in told


def test_ctrl_c_ends_with_130(room: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("journeymesh.stores.used_rules.load_rules", interrupt)
    assert outcome(["rules", "show", "always-on"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_journey_is_listed_with_names_units_and_instants_of_the_schema(
    filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(["journeys", "list", "--policy", "P1", "--from", "2025-06-01", "--format", "json"]) == 0
    (journey,) = json.loads(capsys.readouterr().out)
    assert (journey["policy"], journey["vehicle"]) == ("P1", "V1")
    assert journey["started_at"] == "2025-06-01T12:00:00Z"
    assert journey["distance_m"] == pytest.approx(6663, rel=0.01)


def test_a_listing_without_rows_is_an_empty_array(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["journeys", "list", "--from", "2030-01-01", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_csv_holds_lists_as_json_text(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import csv

    assert outcome(["journeys", "list", "--format", "csv"]) == 0
    (row,) = csv.DictReader(capsys.readouterr().out.splitlines())
    assert isinstance(json.loads(row["hours"]), list)
    assert row["started_at"] == "2025-06-01T12:00:00Z"


def test_parquet_goes_to_a_file_in_the_schema(filled: Path) -> None:
    import pyarrow.parquet as pq

    from journeymesh.journeys.journey import JOURNEY_SCHEMA

    assert outcome(["journeys", "list", "--format", "parquet", "--out", "j.parquet"]) == 0
    assert pq.read_table(filled / "j.parquet").schema.equals(JOURNEY_SCHEMA)
    assert [path.name for path in filled.iterdir() if path.name.startswith(".")] == []


def test_a_refused_line_is_seen_in_quarantine(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["quarantine", "list", "--format", "ndjson"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    refusal = json.loads(line)
    assert (refusal["reason"], refusal["origin"]) == ("clock_unparseable", "fixes.csv:602")


def test_summary_report_show_and_verify_answer(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["summary", "P1", "--period", "month", "--format", "json"]) == 0
    (month,) = json.loads(capsys.readouterr().out)
    assert (month["journeys"], month["period_from"]) == (1, "2025-06-01")
    assert outcome(["report", "P1", "--out", "page.html"]) == 0
    assert "P1" in (filled / "page.html").read_text()
    assert outcome(["store", "verify"]) == 0
    assert outcome(["store", "export", "--out", "exported"]) == 0
    (exported,) = (filled / "exported" / "journeys.ndjson").read_text().splitlines()
    capsys.readouterr()
    assert outcome(["journeys", "show", json.loads(exported)["journey_id"], "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(exported)


def test_help_needs_nothing_heavy() -> None:
    import subprocess
    import sys

    script = "import sys; from journeymesh.cli.main import outcome; outcome(['--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    for heavy in ("numba", "pyarrow", "numpy", "pymongo", "sqlalchemy", "pydantic"):
        assert f"'{heavy}'" not in done.stdout


def test_a_score_asks_for_the_rules_file_that_the_journeys_were_made_with(tmp_path: Path) -> None:
    from dataclasses import replace

    from journeymesh.cli.summary import score_rules
    from journeymesh.errors import UsageError
    from journeymesh.journeys.rules import ALWAYS_ON
    from journeymesh.stores.memory import MemoryStore
    from journeymesh.stores.port import RulesUsed, StoreBatch

    store = MemoryStore()
    edited = replace(ALWAYS_ON, version="mine")
    store.write(StoreBatch(rules=RulesUsed(edited.version, edited.digest)))
    with pytest.raises(UsageError, match="rules mine: name their file"):
        score_rules(store, None)
    assert score_rules(store, "always-on") == ALWAYS_ON
