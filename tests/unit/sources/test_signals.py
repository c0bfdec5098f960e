import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support.text_inputs import read

from journeymesh.errors import MappingInvalid
from journeymesh.sources.mapping import load_mapping
from journeymesh.wiring import open_source

TEXT = """version: 1
collection: trace
layout: signals
signals: {name: name, value: value, max_age_s: 2}
fields:
  vehicle: {path: car}
  fixed_at: {path: timestamp, clock: epoch_s}
  lat: {path: latitude}
  lon: {path: longitude}
  speed: {path: vehicle_speed, unit: km/h}
  ignition: {path: ignition_status, on: [run], off: ["off"]}
"""
MAPPING = load_mapping(TEXT)
T = 1_714_982_400


def signal(at: float, name: str, value: Any, car: str = "V1") -> dict[str, Any]:
    return {"car": car, "timestamp": T + at, "name": name, "value": value}


ROWS = [
    signal(0.0, "ignition_status", "run"),
    signal(0.5, "vehicle_speed", 36),
    signal(1.0, "latitude", 52.5),
    signal(1.001, "longitude", 5.25),
    signal(1.5, "odometer", 7),
    signal(2.0, "latitude", 52.6),
    signal(2.001, "longitude", 5.26),
    signal(2.002, "vehicle_speed", 72),
    signal(9.0, "latitude", 52.7),
    signal(9.001, "longitude", 5.27),
    signal(9.0, "latitude", 10.0, "V2"),
]


@pytest.mark.parametrize("form", ["csv", "ndjson"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_gathered_at_positions_whatever_their_order(tmp_path: Path, form: str, seed: int) -> None:
    rows = ROWS.copy()
    random.Random(seed).shuffle(rows)
    if form == "csv":
        text = "car,timestamp,name,value\n" + "".join(",".join(map(str, row.values())) + "\n" for row in rows)
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / f"trace.{form}").write_text(text)
    fixes, refusals = read(tmp_path / f"trace.{form}", MAPPING)
    assert refusals == []
    mine = fixes.take(fixes.vehicle == fixes.vehicles.index("V1"))
    assert [round(us / 1e6 - T, 3) for us in mine.fixed_at_us.tolist()] == [1.001, 2.001, 9.001]
    assert mine.lat_deg.tolist() == [52.5, 52.6, 52.7]
    assert mine.lon_deg.tolist() == [5.25, 5.26, 5.27]
    assert mine.speed_mps is not None
    assert mine.ignition is not None
    # A speed of 1.5 s ago counts, one of 7 s ago does not; so does the ignition of 1 s ago, but not of 2.001 s.
    assert np.nan_to_num(mine.speed_mps, nan=-1).tolist() == [10.0, 10.0, -1]
    assert mine.ignition.tolist() == [1, -1, -1]


def test_a_latitude_without_a_longitude_near_it_has_no_position(tmp_path: Path) -> None:
    (tmp_path / "t.ndjson").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    fixes, _ = read(tmp_path / "t.ndjson", MAPPING)
    lonely = fixes.take(fixes.vehicle == fixes.vehicles.index("V2"))
    assert np.isnan(lonely.lon_deg).tolist() == [True]


def test_a_column_beside_the_signals_serves_as_one(tmp_path: Path) -> None:
    rows = [("V1", T + 1, "vehicle_speed", "36", "52.5", "5.25"), ("V1", T + 2, "rpm", "900", "52.6", "5.26")]
    text = "car,timestamp,name,value,latitude,longitude\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (tmp_path / "t.csv").write_text(text)
    fixes, _ = read(tmp_path / "t.csv", MAPPING)
    assert fixes.lat_deg.tolist() == [52.5, 52.6]
    assert fixes.speed_mps is not None
    assert fixes.speed_mps.tolist() == [10.0, 10.0]


def test_a_row_whose_instant_cannot_be_read_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"car,timestamp,name,value\nV1,soon,latitude,1\nV1,{T},latitude,52\n")
    fixes, refusals = read(tmp_path / "t.csv", MAPPING)
    assert len(fixes) == 1
    assert [(one.origin, one.reason) for one in refusals] == [("t.csv:2", "clock_unparseable")]


def test_documents_of_a_database_are_not_read_as_one_signal_each(tmp_path: Path) -> None:
    (tmp_path / "c.bson").write_bytes(b"")
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(TEXT)
    with pytest.raises(MappingInvalid, match="layout signals is for files"):
        open_source(str(tmp_path / "c.bson"), mapping)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_name_that_no_signal_has_is_told_with_those_that_there_are(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"trace.{form}"
    lines = [json.dumps(row) for row in ROWS]
    if form == "csv":
        lines = ["car,timestamp,name,value", *(",".join(map(str, row.values())) for row in ROWS)]
    path.write_text("\n".join(lines) + "\n")
    mistyped = load_mapping(TEXT.replace("{path: latitude}", "{path: lattitude}"))
    with pytest.raises(MappingInvalid, match=r"no signal is called 'lattitude': map lat to one of latitude, odometer"):
        read(path, mistyped)


def test_signals_of_which_none_can_be_read_are_refused_and_not_called_absent(tmp_path: Path) -> None:
    rows = [row | {"timestamp": "?"} for row in ROWS]
    (tmp_path / "trace.ndjson").write_text("\n".join(map(json.dumps, rows)))
    fixes, refusals = read(tmp_path / "trace.ndjson", MAPPING)
    assert len(fixes) == 0
    assert {refusal.reason for refusal in refusals} == {"clock_unparseable"}


@pytest.mark.parametrize("name", [["latitude"], {"latitude": 1}, True, None, "", 1.5])
def test_what_is_no_name_is_another_signal(name: Any, tmp_path: Path) -> None:
    rows = [*ROWS, signal(3.0, "latitude", 52.65) | {"name": name}, signal(3.0, "longitude", [5.0])]
    (tmp_path / "trace.ndjson").write_text("\n".join(map(json.dumps, rows)))
    expected, _ = read_of(tmp_path, ROWS)
    fixes, _ = read(tmp_path / "trace.ndjson", MAPPING)
    assert fixes.fixed_at_us.tolist() == expected


def read_of(folder: Path, rows: list[dict[str, Any]]) -> tuple[list[int], int]:
    (folder / "expected.ndjson").write_text("\n".join(map(json.dumps, rows)))
    fixes, refusals = read(folder / "expected.ndjson", MAPPING)
    return fixes.fixed_at_us.tolist(), len(refusals)


@pytest.mark.parametrize("written", [7, 7.0, "7"])
def test_a_signal_may_be_known_by_a_number(written: Any, tmp_path: Path) -> None:
    rows = [row | {"name": written} if row["name"] == "latitude" else row for row in ROWS]
    (tmp_path / "trace.ndjson").write_text("\n".join(map(json.dumps, rows)))
    fixes, _ = read(tmp_path / "trace.ndjson", load_mapping(TEXT.replace("{path: latitude}", "{path: '7'}")))
    assert len(fixes) == len(read_of(tmp_path, ROWS)[0])
