"""``journeymesh mapping check`` on a dump of two documents."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import bson
import pytest

from journeymesh.cli.main import outcome

MAPPING = """
version: 1
collection: fixes
layout: document
fields:
  vehicle: {path: box}
  fixed_at: {path: ts, clock: bson_date}
  lat: {path: LAT}
  lon: {path: lon}
  speed: {path: kmh, unit: km/h}
"""


def dumped(folder: Path, mapping: str) -> list[str]:
    (folder / "db").mkdir()
    at = datetime(2024, 1, 1, tzinfo=UTC)
    documents = [
        {"_id": 1, "box": "B", "ts": at, "lat": 1.5, "lon": 2.5, "kmh": 36},
        {"_id": 2, "box": "B", "ts": at, "lat": 1.5, "lon": 2.5, "kmh": "fast"},
    ]
    (folder / "db" / "fixes.bson").write_bytes(b"".join(map(bson.encode, documents)))
    (folder / "mapping.yaml").write_text(mapping)
    return ["mapping", "check", "--source", str(folder), "--mapping", str(folder / "mapping.yaml")]


def test_each_field_tells_its_types_its_span_and_its_first_offender(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert outcome(dumped(tmp_path, MAPPING.replace("LAT", "lat"))) == 0
    told = capsys.readouterr().out
    assert "2 documents of fixes: 2 fixes" in told
    assert "string 1" in told
    assert "int32 1" in told
    assert "speed: 1 do not fit; first fixes/2" in told


def test_a_mapping_that_finds_no_position_fails_and_says_what_to_correct(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(dumped(tmp_path, MAPPING.replace("LAT", "latitude"))) == 2
    assert "finds no fix in the first 2 documents of fixes: correct the paths" in capsys.readouterr().err
