"""``journeymesh mapping check``: one verdict whatever the source, told field by field."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from tests.written_sources import MAPPING, START, Row, Write, as_csv, as_ndjson, as_parquet, every_source, rows

from journeymesh.cli.main import outcome


def check(folder: Path, source: str, *more: str, mapping: str = MAPPING) -> int:
    (folder / "mapping.yaml").write_text(mapping)
    return outcome(["mapping", "check", "--source", source, "--mapping", str(folder / "mapping.yaml"), *more])


@every_source
def test_fixes_that_fit_end_with_0_and_each_field_tells_its_span(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path, write(tmp_path, rows()), "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["inputs"], told["usable"], told["refused"], told["vehicles"]) == (60, 60, {}, 1)
    assert (told["first_at"], told["last_at"]) == ("2024-01-01T00:00:00Z", "2024-01-01T00:04:55Z")
    lat = next(one for one in told["fields"] if one["field"] == "lat")
    assert (lat["found"], lat["missing"], lat["unreadable"], lat["lowest"]) == (60, 0, 0, 51.5)


@every_source
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"lat": "Nfiftyone"}, "lat at `lat`"),
        ({"ts": "noon"}, "fixed_at at `ts`"),
        ({"lat": "951.5"}, "lat at `lat` and lon at `lon`"),
        ({"ts": "1970-01-01T00:00:00Z"}, "fixed_at at `ts`"),
        ({"box": None}, "vehicle at `box`"),
    ],
)
def test_where_no_fix_can_be_used_every_source_ends_with_2_and_names_the_field(
    write: Write, changes: Row, field: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = [{name: value for name, value in row.items() if value is not None} for row in rows(**changes)]
    if "box" in changes:  # a column there must be
        content.insert(0, rows(1)[0] | {"lat": "951.5"})
    assert check(tmp_path, write(tmp_path, content)) == 2
    told = capsys.readouterr().err
    assert "the mapping finds no fix in" in told
    assert field in told


@every_source
def test_other_documents_among_the_fixes_do_not_make_a_good_mapping_useless(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    later = [(START + timedelta(hours=1, seconds=n)).isoformat() for n in range(200)]
    batteries = [{"box": "B", "ts": at, "volts": "12", "lat": None, "lon": None} for at in later]
    content = [{name: value for name, value in row.items() if write is as_parquet or value} for row in batteries]
    assert check(tmp_path, write(tmp_path, [*content, *rows()]), "--sample", "10") == 0
    assert "60 fixes of 1 vehicles" in capsys.readouterr().out


@every_source
def test_a_check_that_refuses_almost_all_ends_with_10(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path, [*rows(99, lat="951.5"), *rows(1)])
    assert check(tmp_path, source) == 10
    told = capsys.readouterr().err
    assert "99 of 100 inputs were refused" in told
    assert "position_outside_world (99), from lat at `lat` and lon at `lon`" in told
    assert check(tmp_path, source, "--max-refused", "99.5%") == 0


def test_each_field_tells_what_is_missing_and_the_first_value_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = [*rows(5), *rows(1, lat="Nfiftyone", lon="east"), *rows(1, lat="")]
    assert check(tmp_path, as_csv(tmp_path, content), "--format", "json") == 0
    fields = {one["field"]: one for one in json.loads(capsys.readouterr().out)["fields"]}
    assert [fields["lat"][name] for name in ("rows", "found", "missing", "unreadable")] == [7, 5, 1, 1]
    # The row is refused for its latitude, and its longitude is told all the same.
    assert fields["lon"]["unreadable"] == 1
    assert fields["lat"]["first_unreadable"]["origin"] == "fixes.csv:7"


def test_a_source_without_documents_ends_with_2_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, as_ndjson(tmp_path, [])) == 2
    assert "finds no fix in 0 inputs" in capsys.readouterr().err
