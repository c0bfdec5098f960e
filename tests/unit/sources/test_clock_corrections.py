"""Clocks of single vehicles that are known to be off, corrected alike in every source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.every_source import SOURCES, read, read_live

from journeymesh.cli.mapping_fields import check_lines
from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_check import check_mapping
from journeymesh.sources.mapping_inverse import MappingInverse
from journeymesh.sources.mongodb_queries import orders_as_time
from journeymesh.wiring.journeys import open_source

T = 1_714_982_400
MAPPING = """
collection: c
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: epoch_s, corrections: {V1: 3600, 17: -2.5}}
  lat: {path: lat}
  lon: {path: lon}
  received_at: {path: r, clock: epoch_s}
"""
HELD = "{V1: 3600, 17: -2.5}"


def document(vehicle: str, at: float = T) -> dict[str, Any]:
    return {"v": vehicle, "t": float(at), "lat": 52.0, "lon": 5.0, "r": float(at + 9)}


DOCUMENTS = [document("V1"), document("17"), document("V2"), document("V1", T + 60)]
WANTED = [T + 3600, T - 2.5, T, T + 3660]


def seconds(found: list[Any]) -> list[float]:
    return [one["fixed_at_us"] / 1e6 for one in found]


@pytest.mark.parametrize("kind", SOURCES)
def test_what_a_vehicles_clock_is_off_is_added_to_it_and_to_no_other(tmp_path: Path, kind: str) -> None:
    found: list[Any] = read(kind, tmp_path, DOCUMENTS, MAPPING)
    assert seconds(found) == WANTED
    assert [one["received_at_us"] / 1e6 for one in found] == [T + 9, T + 9, T + 9, T + 69]


@pytest.mark.parametrize("kind", SOURCES)
def test_corrections_may_stand_in_a_file_beside_the_mapping(tmp_path: Path, kind: str) -> None:
    (tmp_path / "clocks.csv").write_text("vehicle,seconds\nV1,3600\n\n17, -2.5\n")
    assert seconds(read(kind, tmp_path, DOCUMENTS, MAPPING.replace(HELD, "clocks.csv"))) == WANTED


def test_a_live_mongodb_is_corrected_too_and_not_asked_by_its_clock(tmp_path: Path, mongodb_url: str) -> None:
    assert seconds(read_live(mongodb_url, tmp_path, DOCUMENTS, MAPPING)) == WANTED
    assert not orders_as_time(load_mapping(MAPPING))


def test_samples_of_an_array_are_corrected_once(tmp_path: Path) -> None:
    mapping = MAPPING.replace(
        "path: t, clock: epoch_s", "path: 's[]', clock: offset_s, base: {path: t, clock: epoch_s}"
    )
    mapping = mapping.replace("{path: lat}", "{path: 'lat[]'}").replace("{path: lon}", "{path: 'lon[]'}")
    mapping = mapping.replace("collection: c", "collection: c\nlayout: bucketed")
    (tmp_path / "m.yaml").write_text(mapping)
    bucket = {"v": "V1", "t": T, "r": 1, "s": [0, 1], "lat": [52, 52], "lon": [5, 5]}
    (tmp_path / "c.ndjson").write_text(json.dumps(bucket))
    fixes = Fixes.concat([one.fixes for one in open_source(str(tmp_path / "c.ndjson"), tmp_path / "m.yaml").batches()])
    assert (fixes.fixed_at_us / 1e6).tolist() == [T + 3600, T + 3601]


def test_signals_are_corrected_once(tmp_path: Path) -> None:
    mapping = MAPPING.replace("collection: c", "collection: c\nlayout: signals\nsignals: {name: n, value: x}")
    (tmp_path / "m.yaml").write_text(mapping.replace("  received_at: {path: r, clock: epoch_s}\n", ""))
    (tmp_path / "c.csv").write_text(f"v,t,n,x\nV1,{T},lat,52.5\nV1,{T},lon,5\n")
    fixes = Fixes.concat([one.fixes for one in open_source(str(tmp_path / "c.csv"), tmp_path / "m.yaml").batches()])
    assert (fixes.fixed_at_us / 1e6).tolist() == [T + 3600]


def test_a_clock_that_is_missing_stays_so_and_the_calendar_has_an_end(tmp_path: Path) -> None:
    far = 253_402_300_799.0
    documents = [document("V1") | {"t": None}, document("V1", far)]
    missing, last = read("bson", tmp_path, documents, MAPPING)
    assert missing == "clock_missing"
    assert isinstance(last, dict)
    assert last["fixed_at_us"] == 253_402_300_799_999_999


def test_fixes_are_written_back_as_the_device_would_have_said_them() -> None:
    at_us = np.array([T * 10**6, T * 10**6])
    fixes = Fixes(("V1", "V2"), np.arange(2, dtype=np.int32), at_us, np.full(2, 52.0), np.full(2, 5.0))
    documents = MappingInverse(load_mapping(MAPPING)).documents(fixes)
    assert [one["t"] for one in documents] == [T - 3600, T]


def test_a_check_names_the_vehicles_of_the_table_that_it_did_not_meet(tmp_path: Path) -> None:
    mapping = MAPPING.replace(HELD, "{V1: 3600, V9: 1}")
    read("csv", tmp_path, DOCUMENTS, mapping)
    found = check_mapping(open_source(str(tmp_path / "c.csv"), tmp_path / "mapping.yaml"), load_mapping(mapping).fields)
    assert (found.corrections, found.corrections_unmet) == (2, ("V9",))
    assert "in doubt: clock corrections name 1 vehicles that are not in these inputs: V9" in check_lines(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vehicle,offset\nV1,1\n", "columns are not vehicle and seconds"),
        ("vehicle,seconds\nV1,soon\n", "clocks.csv, line 2: no number of seconds"),
        ("vehicle,seconds\nV1,1\nV1,2\n", "clocks.csv, line 3: V1 is there twice"),
        ("vehicle,seconds\n,1\n", "clocks.csv, line 2: no vehicle"),
        ("vehicle,seconds\nV1,1e12\n", "correction of V1: 1000000000000.0 s is too much"),
        (None, "clocks.csv cannot be read"),
    ],
)
def test_a_file_of_corrections_that_cannot_be_meant_is_refused(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "clocks.csv").write_text(text)
    (tmp_path / "m.yaml").write_text(MAPPING.replace(HELD, "clocks.csv"))
    with pytest.raises(MappingInvalid, match=why):
        load_mapping(tmp_path / "m.yaml")


def test_only_the_device_has_a_clock_that_is_off() -> None:
    with pytest.raises(MappingInvalid, match="corrections are of fixed_at"):
        load_mapping(MAPPING.replace("path: r, clock: epoch_s", "path: r, clock: epoch_s, corrections: {V1: 1}"))
