"""One place makes foreign text safe for each medium, held to one list of hostile texts."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
import pty
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.cli.main import outcome
from journeymesh.cli.options import Format
from journeymesh.cli.render import Column, PrintedRows, render
from journeymesh.errors import UsageError
from journeymesh.safe_text import (
    column_in_spreadsheet,
    in_spreadsheet,
    json_on_terminal,
    on_terminal,
)
from journeymesh.services.http.logs import structured_log
from journeymesh.services.journeyapi.rendering import CSV, rendering
from tests.support.hostile_texts import HOSTILE_TEXTS

OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What terminals and readers obey, but for line feeds and tabs."""
FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
TABLE = pa.table({"policy": list(HOSTILE_TEXTS), "lon_deg": [-13.4] * len(HOSTILE_TEXTS)})


def listing(table: pa.Table = TABLE) -> PrintedRows:
    return PrintedRows(table.schema, [table], [Column("policy", lambda row: row["policy"])], title=HOSTILE_TEXTS[3])


def shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch, form: Format) -> str:
    """What reaches a terminal, a real pseudo-terminal whose output processing is left alone."""
    ours, theirs = pty.openpty()
    got = bytearray()

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:
                return
            if not part:
                return
            got.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    with open(theirs, "w", encoding="utf-8", newline="") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        render(listing(), form, limited=True)
        terminal.flush()
        monkeypatch.undo()
    reader.join(10)
    os.close(ours)
    return got.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("form", [Format.table, Format.json, Format.ndjson, Format.csv])
def test_nothing_that_a_terminal_obeys_reaches_it(monkeypatch: pytest.MonkeyPatch, form: Format) -> None:
    shown = shown_on_a_terminal(monkeypatch, form)
    assert OBEYED.findall(shown) == []
    assert "forged line" in shown
    assert not re.search("^P-4 forged", shown, re.MULTILINE)
    if form is Format.json:
        assert [row["policy"] for row in json.loads(shown)] == list(HOSTILE_TEXTS)
    if form is Format.ndjson:
        assert [json.loads(line)["policy"] for line in shown.splitlines()] == list(HOSTILE_TEXTS)


def test_a_table_is_safe_in_a_file_too(tmp_path: Path) -> None:
    render(listing(), Format.table, tmp_path / "out", limited=True)
    assert OBEYED.findall((tmp_path / "out").read_text("utf-8")) == []


def csv_cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def test_a_file_of_csv_has_no_formula_and_its_numbers_stay_numbers(tmp_path: Path) -> None:
    render(listing(), Format.csv, tmp_path / "out.csv", limited=True)
    (_, *rows) = csv_cells((tmp_path / "out.csv").read_bytes().decode())
    for text, (cell, longitude) in zip(HOSTILE_TEXTS, rows, strict=True):
        assert cell == in_spreadsheet(text)
        assert not FORMULA.match(cell)
        assert float(longitude) == -13.4


def test_the_api_writes_csv_alike() -> None:
    written = rendering(CSV, TABLE.schema)
    sent = (written.page(TABLE) + written.end()).decode()
    for text, (cell, longitude) in zip(HOSTILE_TEXTS, csv_cells(sent)[1:], strict=True):
        assert cell == in_spreadsheet(text)
        assert not FORMULA.match(cell)
        assert float(longitude) == -13.4


@given(st.lists(st.one_of(st.none(), st.sampled_from(HOSTILE_TEXTS), st.text(st.characters(codec="utf-8")))))
def test_a_column_is_made_safe_as_its_values_are(values: list[str | None]) -> None:
    made = column_in_spreadsheet(pa.chunked_array([pa.array(values, pa.string())]))
    assert made.to_pylist() == [None if value is None else in_spreadsheet(value) for value in values]
    numbers = pa.chunked_array([[-1.5, None]])
    assert column_in_spreadsheet(numbers) is numbers


@given(st.text())
def test_texts_on_a_terminal_keep_what_is_harmless(text: str) -> None:
    assert on_terminal(text).isprintable()
    if text.isprintable():
        assert on_terminal(text) == text
    assert json.loads(json_on_terminal(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_errors_are_one_harmless_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(["journeys", "show", text or "x", "--store", "memory://"]) != 0
    told = capsys.readouterr().err
    assert OBEYED.findall(told) == []
    assert told.count("\n") == 1
    assert OBEYED.findall(on_terminal(str(UsageError(text)))) == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_log_is_one_harmless_line_of_json(text: str) -> None:
    to = io.BytesIO()
    structured_log("test", to).warning("refused", what=text)
    line = to.getvalue().decode()
    assert line.count("\n") == 1
    assert OBEYED.findall(line) == []
    assert json.loads(line)["what"] == text


def test_journeys_of_hostile_policies_are_listed_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Through the command line: a policy number in Rich's markup crashed the list."""
    began = datetime(2026, 3, 2, 8, tzinfo=UTC)
    with open(tmp_path / "fixes.ndjson", "w") as file:
        for vehicle, step in itertools.product(range(len(HOSTILE_TEXTS)), range(120)):
            at = began + timedelta(seconds=10 * step)
            row = {"vehicle": f"V-{vehicle}", "fixed_at": at.isoformat(), "lat_deg": 52 + step * 1e-3, "lon_deg": 13.4}
            file.write(json.dumps(row) + "\n")
    policies = [
        {"number": text, "vehicle": f"V-{n}", "valid_from": "2026-01-01T00:00:00Z", "product": text, "zone": "UTC"}
        for n, text in enumerate(HOSTILE_TEXTS)
    ]
    (tmp_path / "policies.json").write_text(json.dumps(policies))
    url = f"sqlite:///{tmp_path}/journeys.db"
    given = ["--source", str(tmp_path / "fixes.ndjson"), "--policies", str(tmp_path / "policies.json")]
    assert outcome(["preprocess", *given, "--store", url]) == 0
    told = capsys.readouterr()
    assert OBEYED.findall(told.out + told.err) == []
    assert outcome(["journeys", "list", "--store", url, "--format", "ndjson"]) == 0
    journeys = [json.loads(line) for line in capsys.readouterr().out.split("\n")[:-1]]
    assert len({each["policy"] for each in journeys}) > len(HOSTILE_TEXTS) - 5
    ids = [each["journey_id"] for each in journeys]
    for arguments in (["journeys", "list"], ["policies", "list"], *(["journeys", "show", each] for each in ids)):
        assert outcome([*arguments, "--store", url]) == 0, arguments
        assert OBEYED.findall(capsys.readouterr().out) == [], arguments
