"""Texts of a CSV that a spreadsheet would take for formulas stay texts."""

from __future__ import annotations

import csv
from pathlib import Path

import pyarrow as pa
import pytest

from journeymesh.services.console.csv_cells import text_columns, without_formulas

SCHEMA = pa.schema(
    [("policy", pa.string()), ("points", pa.float64()), ("zone", pa.dictionary(pa.int32(), pa.string()))]
)


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_text_that_would_be_a_formula_begins_with_an_apostrophe(tmp_path: Path, begins: str) -> None:
    path = tmp_path / "a.csv"
    text = begins + 'cmd|"/C calc"!A0, "x"'
    with path.open("w", newline="") as out:
        csv.writer(out).writerows([["policy", "points", "zone"], [text, "-1.5", "Europe/London"], ["P-1", "2", text]])
    without_formulas(path, text_columns(SCHEMA))
    with path.open(newline="") as made:
        header, first, second = csv.reader(made)
    assert header == ["policy", "points", "zone"]
    assert first == ["'" + text, "-1.5", "Europe/London"]
    assert second == ["P-1", "2", "'" + text]


def test_a_file_without_formulas_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'"policy","points","zone"\n"P=1","-1.5","a-b"\n')
    before = path.read_bytes()
    without_formulas(path, text_columns(SCHEMA))
    assert path.read_bytes() == before
