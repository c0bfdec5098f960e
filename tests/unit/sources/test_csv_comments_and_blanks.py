"""Comment lines and runs of blanks between columns, as a mapping says them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.text_inputs import read

from journeymesh.errors import MappingInvalid
from journeymesh.sources import csv_lines
from journeymesh.sources.mapping import Mapping, load_mapping


def mapping_of(dialect: str) -> Mapping:
    return load_mapping(f"""
collection: c
fields:
  vehicle: {{path: v}}
  fixed_at: {{path: t, clock: epoch_s}}
  lat: {{path: lat}}
  lon: {{path: lon}}
csv: {{{dialect}}}
""")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [40, 16 << 20])
def test_comment_lines_are_no_rows_and_lines_keep_their_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, block: int
) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", block)
    lines = ["# it's a \"log", "v,t,lat,lon", "V1,1,52,5", "  # a pause", "#", "V1,2,north,5", "V#1,3,52,5", "# end"]
    (tmp_path / "c.csv").write_bytes(end.join(lines).encode())
    fixes, refusals = read(tmp_path / "c.csv", mapping_of('comment: "#"'))
    assert [fixes.vehicles[code] for code in fixes.vehicle.tolist()] == ["V1", "V#1"]
    assert [(one.origin, one.reason) for one in refusals] == [("c.csv:6", "position_unparseable")]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("block", [40, 16 << 20])
def test_runs_of_blanks_separate_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, block: int) -> None:
    monkeypatch.setattr(csv_lines, "BLOCK_BYTES", block)
    lines = [
        "  v    t  lat   lon",
        "V1  1\t 52.5      5",
        "",
        '"V 2"   2 \t  52.5 5  ',
        "V1 3 52.5",
        "  V1   4  52.5   5",
    ]
    (tmp_path / "c.txt").write_bytes(end.join(lines).encode() + end.encode())
    fixes, refusals = read(tmp_path / "c.txt", mapping_of("separator: blanks"))
    assert [fixes.vehicles[code] for code in fixes.vehicle.tolist()] == ["V1", "V 2", "V1"]
    assert (fixes.fixed_at_us // 10**6).tolist() == [1, 2, 4]
    assert [one.origin for one in refusals] == ["c.txt:5"]


def test_a_file_without_a_header_may_begin_with_comments(tmp_path: Path) -> None:
    (tmp_path / "c.dat").write_text("%% made by a logger\n%% v t lat lon\nV1   1   52,5   5\nV1  2  52,6  5\n")
    dialect = 'separator: blanks, comment: "%%", header: [v, t, lat, lon]'
    fixes, refusals = read(tmp_path / "c.dat", mapping_of(dialect))
    assert (fixes.lat_deg.tolist(), refusals) == ([52.5, 52.6], [])


@pytest.mark.parametrize(
    ("dialect", "why"),
    [
        ('comment: ""', "csv.comment"),
        ('comment: "\\n"', "csv.comment"),
        ("separator: spaces", "csv.separator 'spaces' is not one character"),
    ],
)
def test_a_dialect_that_cannot_be_meant_is_refused(dialect: str, why: str) -> None:
    with pytest.raises(MappingInvalid, match=why):
        mapping_of(dialect)
