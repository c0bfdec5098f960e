"""``journeymesh mapping guess`` on formats as they are: what a file has beside its fixes is not taken for theirs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.written_sources import as_csv, as_ndjson
from tests.unit.cli.test_mapping_guess import START, STEP_DEG, drive, guessed, instant
from tests.unit.sources.test_shipped_mappings import RECORDINGS

from journeymesh.cli.main import outcome

SHIPPED = {
    "traccar-api": {"fixed_at": "fixTime", "received_at": "serverTime", "vehicle": "deviceId"},
    "google-timeline": {"fixed_at": "rawSignals[].position.timestamp", "lat": "rawSignals[].position.LatLng"},
    "google-timeline-path": {"fixed_at": "semanticSegments[].timelinePath[].time"},
    "google-timeline-iphone": {"fixed_at": "timelinePath[].durationMinutesOffsetFromStartTime",
                               "lat": "timelinePath[].point"},
    "envirocar": {"vehicle": "properties.sensor.properties.id", "fixed_at": "features[].properties.time"},
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_the_fields_of_a_format_that_we_know_are_found_without_its_mapping(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mapping, told = guessed(str(RECORDINGS[name][0](tmp_path)), capsys)
    for field, path in SHIPPED[name].items():
        assert getattr(mapping.fields, field).path == path
    assert " 61 can be used, 1 vehicles" in told


def test_what_stands_where_no_position_is_tells_nothing_of_the_fixes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for n in range(60):
        lines.append({"scan": {"deviceId": "wifi-7", "timestamp": instant(5 * n + 2).isoformat(), "speed": 400.0}})
        lines.append({"gps": {"dev": "V1", "t": instant(5 * n).isoformat(), "lat": 52 + n * STEP_DEG, "lon": 5.0}})
    (tmp_path / "a.ndjson").write_text("".join(json.dumps(one) + "\n" for one in lines))
    mapping, told = guessed(str(tmp_path / "a.ndjson"), capsys)
    assert (mapping.fields.vehicle.path, mapping.fields.fixed_at.path) == ("gps.dev", "gps.t")
    assert mapping.fields.speed is None
    assert "of 120 inputs 60 can be used" in told


def test_the_array_of_a_trip_is_mapped_and_not_where_the_trip_began(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [{"t": instant(5 * n).timestamp(), "lat": 52 + n * STEP_DEG, "lon": 5.0} for n in range(60)]
    trip = {"vehicle": "V1", "start": {"lat": 52.0, "lon": 5.0}, "timestamp": START.isoformat(), "samples": samples}
    (tmp_path / "a.json").write_text(json.dumps([trip]))
    mapping, told = guessed(str(tmp_path / "a.json"), capsys)
    assert (mapping.layout, mapping.fields.lat.path) == ("embedded", "samples[].lat")
    assert mapping.fields.fixed_at.path == "samples[].t"
    assert "60 can be used, 1 vehicles" in told


@pytest.mark.parametrize(
    ("column", "value"), [("speed_unit", "km/h"), ("unit", "mph"), ("vehicleType", "van"), ("car.model", "Golf")]
)
def test_a_unit_or_a_type_is_no_vehicle(
    column: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        time=lambda s, lat: instant(s).isoformat(), lat=lambda s, lat: lat, lon=lambda s, lat: 5.0,
        other=lambda s, lat: value,
    )  # fmt: skip
    source = as_csv(tmp_path, [{(column if name == "other" else name): str(one) for name, one in row.items()}
                               for row in content])  # fmt: skip
    mapping, _ = guessed(source, capsys)
    assert mapping.fields.vehicle.path != column


@pytest.mark.parametrize(("value", "field"), [("0.9", "hdop"), ("38", None)])
def test_a_dilution_is_no_accuracy_in_metres(
    value: str, field: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = " Horizontal Dilution of Precision"  # as Torque calls it, whose values are none
    head = f"device,time,lat,lon,{name}"
    lines = [f"V1,{instant(5 * n).isoformat()},{52 + n * STEP_DEG},5.0,{value}" for n in range(60)]
    (tmp_path / "a.csv").write_text("\n".join([head, *lines]) + "\n")
    mapping, _ = guessed(str(tmp_path / "a.csv"), capsys)
    assert mapping.fields.accuracy is None
    assert (mapping.fields.hdop is None) == (field is None)


def test_lines_before_the_header_are_not_taken_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"true,{instant(5 * n):%Y-%m-%d %H:%M:%S},{52 + n * STEP_DEG:.6f},5.0,10 m,,,x=1" for n in range(60)]
    head = "Valid,Time,Latitude,Longitude,Altitude,Speed,Address,Attributes"
    (tmp_path / "a.csv").write_text("\n".join(["Positions", "", "Device:,V1,,,,,,", "", head, *rows]) + "\n")
    mapping, told = guessed(str(tmp_path / "a.csv"), capsys)
    assert (mapping.fields.fixed_at.path, mapping.fields.lat.path) == ("Time", "Latitude")
    assert "of 60 inputs 60 can be used" in told


def test_columns_without_names_are_numbered_and_the_lines_before_them_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{52 + n * STEP_DEG:.6f},5.0,0,492,45418.3333,{instant(5 * n):%Y-%m-%d,%H:%M:%S}" for n in range(60)]
    head = ["Geolife trajectory", "WGS 84", "Reserved 3", "0,2,255,My Track,0,0,2,8421376", "0"]
    (tmp_path / "a.plt").write_text("\n".join([*head, *rows]) + "\n")
    assert outcome(["mapping", "guess", str(tmp_path / "a.plt")]) == 2
    told = capsys.readouterr()
    assert "csv: {header: false, skip_lines: 5}" in told.out
    assert 'fixed_at: {paths: ["5", "6"]' in told.out
    assert "map it by hand to one of 0, 1, 2, 3, 4, 5, 6" in told.err


def test_a_proposal_by_which_hardly_a_fix_can_be_used_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(vehicle=lambda s, lat: "V1", time=lambda s, lat: START.isoformat(), lat=lambda s, lat: lat,
                    lon=lambda s, lat: 5.0)  # fmt: skip
    source = as_ndjson(tmp_path, content)
    assert outcome(["mapping", "guess", source]) == 2
    told = capsys.readouterr()
    assert "fixed_at: {path: time" in told.out
    assert "of 60 inputs of a this proposal can use 1" in told.err.replace("fixes", "a")
