"""``journeymesh mapping guess``: a mapping that can be used as it comes, with the evidence for each field."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.written_sources import Row, Write, as_csv, as_ndjson, every_source

from journeymesh.cli.main import outcome
from journeymesh.sources.mapping import Mapping, load_mapping

START = datetime(2024, 5, 6, 8, tzinfo=UTC)
STEP_DEG = 0.0007
"""Five seconds at 15.57 m/s on a meridian."""


def drive(number: int = 60, **made: Any) -> list[Row]:
    """A drive north at 15.57 m/s; ``made`` gives each column as a function of seconds and latitude."""
    return [{name: make(5 * n, 52 + n * STEP_DEG) for name, make in made.items()} for n in range(number)]


def instant(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def guessed(source: str, capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[Mapping, str]:
    assert outcome(["mapping", "guess", source]) == code, capsys.readouterr().err
    told = capsys.readouterr().out
    return load_mapping(told), told


@every_source
@pytest.mark.parametrize(("unit", "factor"), [("m/s", 1.0), ("km/h", 3.6), ("mph", 2.2369), ("knots", 1.9438)])
def test_a_speed_has_the_unit_that_agrees_with_the_way_travelled(
    write: Write, unit: str, factor: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        deviceId=lambda s, lat: "V1", time=lambda s, lat: instant(s).isoformat(), latitude=lambda s, lat: lat,
        longitude=lambda s, lat: 5.0, speed=lambda s, lat: 15.57 * factor,
    )  # fmt: skip
    if write is as_csv:
        content = [{name: str(value) for name, value in row.items()} for row in content]
    mapping, told = guessed(write(tmp_path, content), capsys)
    assert mapping.fields.speed is not None
    assert (mapping.fields.speed.path, mapping.fields.speed.unit) == ("speed", unit)
    assert "of 60 inputs 60 can be used, 1 vehicles" in told
    assert "over 59 steps" in told


@pytest.mark.parametrize(
    ("write_clock", "clock"),
    [
        (lambda s: instant(s).timestamp(), "epoch_s"),
        (lambda s: int(instant(s).timestamp() * 1000), "epoch_ms"),
        (lambda s: instant(s).isoformat(), "iso8601"),
        (lambda s: instant(s).strftime("%d.%m.%Y %H:%M:%S"), "strftime"),
    ],
)
def test_a_clock_has_the_form_that_its_values_have(
    write_clock: Any, clock: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        imei=lambda s, lat: "351756051523999", ts=lambda s, lat: write_clock(s), lat=lambda s, lat: lat,
        lng=lambda s, lat: 5.0,
    )  # fmt: skip
    mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
    assert mapping.fields.fixed_at.clock == clock
    assert "2024-05-06T08:00:00Z to 2024-05-06T08:04:55Z" in told
    assert "of 60 inputs 60 can be used" in told


def test_geojson_scaled_integers_and_nested_names_are_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nested = drive(
        vehicle=lambda s, lat: {"vin": "W1"}, gps=lambda s, lat: {"fixTime": instant(s).isoformat()},
        loc=lambda s, lat: {"type": "Point", "coordinates": [5.0, lat]}, battery=lambda s, lat: 12,
    )  # fmt: skip
    mapping, _ = guessed(as_ndjson(tmp_path, nested), capsys)
    assert (mapping.fields.lat.path, mapping.fields.lon.path) == ("loc.coordinates.1", "loc.coordinates.0")
    assert (mapping.fields.vehicle.path, mapping.fields.fixed_at.path) == ("vehicle.vin", "gps.fixTime")
    scaled = drive(
        dev=lambda s, lat: "V1", ts=lambda s, lat: instant(s).isoformat(),
        latitudeE7=lambda s, lat: round(lat * 1e7), longitudeE7=lambda s, lat: 50_000_000,
    )  # fmt: skip
    mapping, _ = guessed(as_ndjson(tmp_path, scaled), capsys)
    assert (mapping.fields.lat.scale, mapping.fields.lon.scale) == (1e-7, 1e-7)


def test_the_collection_with_positions_is_chosen_and_fixes_in_arrays_are_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import bson

    (tmp_path / "db").mkdir()
    people = [{"_id": n, "name": f"n{n}", "age": n} for n in range(50)]
    samples = drive(at=lambda s, lat: instant(s), lat=lambda s, lat: lat, lon=lambda s, lat: 5.0)
    for name, documents in (("people", people), ("trips", [{"_id": 1, "car": "V1", "samples": samples}])):
        (tmp_path / "db" / f"{name}.bson").write_bytes(b"".join(map(bson.encode, documents)))
    mapping, told = guessed(str(tmp_path), capsys)
    assert (mapping.collection, mapping.layout, mapping.fields.lat.path) == ("trips", "embedded", "samples[].lat")
    assert (mapping.fields.vehicle.path, mapping.fields.fixed_at.clock) == ("car", "bson_date")
    assert "of 60 inputs 60 can be used" in told


def test_what_is_not_found_is_said_with_the_columns_there_are_and_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with gzip.open(tmp_path / "a.ndjson.gz", "wt") as file:
        file.write("".join(json.dumps({"volts": 12, "lat": 52.0}) + "\n" for _ in range(5)))
    assert outcome(["mapping", "guess", str(tmp_path / "a.ndjson.gz")]) == 2
    told = capsys.readouterr()
    assert "no column of a looks like vehicle or fixed_at or lon: map it by hand to one of volts, lat" in told.err
    assert "# lon: not found" in told.out


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"[1, 2", b"a,b\n", b"PAR1"])
@pytest.mark.parametrize("ending", ["csv", "json", "ndjson", "parquet", "bson"])
def test_a_file_that_is_no_recording_is_never_a_bug(
    content: bytes, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"a.{ending}").write_bytes(content)
    assert outcome(["mapping", "guess", str(tmp_path / f"a.{ending}")]) in (2, 3, 4)
    assert "bug" not in capsys.readouterr().err
