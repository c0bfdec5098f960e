"""``journeymesh mapping guess``: a mapping that can be used as it comes, with the evidence for each field."""

from __future__ import annotations

import gzip
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.written_sources import Row, Write, as_csv, as_ndjson, every_source

from journeymesh.cli.main import outcome
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.wiring import open_source

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


NAMES = {
    "German": ("Fahrzeug", "Zeit", "Breite", "Länge", "Geschwindigkeit", "Richtung", "Zündung"),
    "German by degrees": (
        "Kennzeichen", "Zeitstempel", "Breitengrad", "Laengengrad", "Geschwindigkeit [km/h]", "Kurs", "Zuendung",
    ),
    "French": ("Véhicule", "Horodatage", "Latitude", "Longitude", "Vitesse", "Cap", "Contact"),
    "Spanish": ("Vehículo", "Fecha hora", "Latitud", "Longitud", "Velocidad", "Rumbo", "Encendido"),
    "Italian": ("Veicolo", "Data ora", "Latitudine", "Longitudine", "Velocità", "Rotta", "Accensione"),
    "Dutch": ("Voertuig", "Tijdstip", "Breedtegraad", "Lengtegraad", "Snelheid", "Koers", "Ontsteking"),
    "capitals": ("VEHICLE_ID", "GPS_TIME", "LATITUDE", "LONGITUDE", "SPEED", "HEADING", "IGNITION"),
}  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.parametrize("language", NAMES)
def test_columns_are_known_in_the_languages_of_our_neighbours(
    language: str, encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = NAMES[language]
    lines = [";".join(names)]
    for n in range(60):
        values = ("B-AB 12", instant(5 * n).strftime("%Y-%m-%d %H:%M:%S"), f"{52 + n * STEP_DEG:.5f}", "5.00000")
        lines.append(";".join([*values, f"{15.57 * 3.6:.1f}", "359.0", "1"]).replace(".", ","))
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n", encoding)
    mapping, told = guessed(str(tmp_path / "a.csv"), capsys)
    fields = mapping.fields
    assert (fields.vehicle.path, fields.fixed_at.path, fields.lat.path, fields.lon.path) == names[:4]
    assert fields.speed is not None
    assert fields.heading is not None
    assert fields.ignition is not None
    assert (fields.speed.path, fields.speed.unit, fields.heading.path, fields.ignition.path) == (
        names[4], "km/h", names[5], names[6],
    )  # fmt: skip
    assert "of 60 inputs 60 can be used, 1 vehicles" in told


@pytest.mark.parametrize(
    ("write_clock", "expected"),
    [
        (lambda at: int(at.timestamp() * 1e6), {"clock": "epoch_us"}),
        (lambda at: int(at.timestamp()) * 10**9, {"clock": "epoch_ns"}),
        (lambda at: at.timestamp() / 86_400 + 25_569, {"clock": "excel_days"}),
        (lambda at: f"{at:%Y-%m-%dT%H:%M:%S}+02:00[Europe/Paris]", {"clock": "iso8601"}),
        (lambda at: f"{at:%Y-%m-%d %H:%M:%S},250", {"clock": "iso8601"}),
        (lambda at: f"{at:%Y%m%d%H%M%S}", {"clock": "iso8601"}),
        (lambda at: f"{at:%Y%m%dT%H%M%S}z", {"clock": "iso8601"}),
        (lambda at: f"{at:%d.%m.%y %H:%M:%S}", {"clock": "strftime", "format": "%d.%m.%y %H:%M:%S"}),
        (lambda at: f"{at:%d-%b-%Y %H:%M:%S}.123", {"clock": "strftime", "format": "%d-%b-%Y %H:%M:%S.%f"}),
        (lambda at: f"{at:%m/%d/%Y %I:%M:%S %p}", {"clock": "strftime", "format": "%m/%d/%Y %I:%M:%S %p"}),
    ],
)
def test_every_form_of_a_clock_that_a_mapping_can_have_is_known(
    write_clock: Any, expected: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        device=lambda s, lat: "V1", time=lambda s, lat: write_clock(instant(s)), lat=lambda s, lat: lat,
        lon=lambda s, lat: 5.0,
    )  # fmt: skip
    mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
    found = {"clock": mapping.fields.fixed_at.clock, "format": mapping.fields.fixed_at.format}
    assert {name: value for name, value in found.items() if value is not None} == expected
    assert "of 60 inputs 60 can be used" in told
    names_a_zone = str(write_clock(START)).endswith(("]", "z")) or expected["clock"].startswith("epoch")
    assert ("local time or UTC?" in told) != names_a_zone


def test_a_day_and_a_time_in_two_columns_are_one_clock(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form, clock in (("%d.%m.%Y", "strftime"), ("%Y-%m-%d", "iso8601")):
        content = drive(
            Fahrzeug=lambda s, lat: "V1", Datum=lambda s, lat, form=form: instant(s).strftime(form),
            Uhrzeit=lambda s, lat: instant(s).strftime("%H:%M:%S"), Breite=lambda s, lat: lat, Länge=lambda s, lat: 5.0,
            Geschwindigkeit=lambda s, lat: 15.57,
        )  # fmt: skip
        mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
        assert (mapping.fields.fixed_at.paths, mapping.fields.fixed_at.clock) == (("Datum", "Uhrzeit"), clock)
        assert "of 60 inputs 60 can be used" in told
        assert "unit by the way travelled: over 59 steps" in told


def test_a_day_that_could_be_a_month_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = drive(
        device=lambda s, lat: "V1", time=lambda s, lat: instant(s).strftime("%d/%m/%Y %H:%M:%S"),
        lat=lambda s, lat: lat, lon=lambda s, lat: 5.0,
    )  # fmt: skip
    _, told = guessed(as_ndjson(tmp_path, content), capsys)
    assert "the day or the month first? All of them could be read as %m/%d/%Y %H:%M:%S, too" in told


def test_an_identifier_may_be_a_whole_double(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = drive(
        imei=lambda s, lat: 351756051523999.0, ts=lambda s, lat: instant(s).isoformat(), lat=lambda s, lat: lat,
        lon=lambda s, lat: 5.0,
    )  # fmt: skip
    mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
    assert mapping.fields.vehicle.path == "imei"
    assert "1 different, such as 351756051523999\n" in told
    assert "60 can be used, 1 vehicles" in told


@pytest.mark.parametrize(
    ("places", "vehicles"),
    [
        (["device=V1/a.csv", "device=V2/a.csv"], {"V1", "V2"}),
        (["year=2024/imei=V1/a.csv", "year=2024/imei=V2/a.csv"], {"V1", "V2"}),
        (["V1.csv", "V2.csv"], {"V1", "V2"}),
        (["V1_2024-05-06.csv", "V2_2024-05-06.csv", "V2_20240507.csv"], {"V1", "V2"}),
        (["2024-05-06_V1.csv", "2024-05-06_V2.csv"], {"V1", "V2"}),
        (["V1/20240506.csv", "V1/20240507.csv", "V2/20240506080000.csv"], {"V1", "V2"}),
        (["V1/trackLog.csv", "V2/trackLog.csv"], {"V1", "V2"}),
        (["V 7.csv"], {"V 7"}),
        (["data.csv"], {"my-vehicle"}),
        (["20240506.csv"], {"my-vehicle"}),
    ],
)
def test_the_vehicle_is_found_in_the_names_of_files_and_folders(
    places: list[str], vehicles: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day, place in enumerate(places):
        (tmp_path / "in" / place).parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{instant(86_400 * day + 5 * n).isoformat()},{52 + n * STEP_DEG:.5f},5.0" for n in range(20)]
        (tmp_path / "in" / place).write_text("\n".join(["time,lat,lon", *lines]) + "\n")
    source = str(tmp_path / "in") if len(places) > 1 else str(tmp_path / "in" / places[0])
    mapping, told = guessed(source, capsys)
    (tmp_path / "m.yaml").write_text(told)
    with closing(open_source(source, tmp_path / "m.yaml")) as opened:
        named = {name for batch in opened.batches() for name in batch.fixes.vehicles}
    assert named == vehicles
    assert mapping.fields.vehicle.is_beside
    how = "one for all, name it" if "my-vehicle" in vehicles else "no column names a vehicle"
    assert how in told


def test_a_folder_of_gpx_or_nmea_is_mapped_by_its_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("V1", "V2"):
        points = "".join(
            f'<trkpt lat="{52 + n * STEP_DEG:.5f}" lon="5.0"><time>{instant(5 * n):%Y-%m-%dT%H:%M:%SZ}</time></trkpt>'
            for n in range(20)
        )
        (tmp_path / "gpx" / name).mkdir(parents=True)
        text = f'<gpx xmlns="http://www.topografix.com/GPX/1/1"><trk><trkseg>{points}</trkseg></trk></gpx>'
        (tmp_path / "gpx" / name / "track.gpx").write_text(text)
    mapping, told = guessed(str(tmp_path / "gpx"), capsys)
    assert mapping.fields.vehicle.file == "([^/]+)/[^/]*$"
    assert (mapping.fields.lat.path, mapping.fields.speed) == ("lat", None)
    assert "20 of 20 points of the first file, by the format GPX" in told
    assert "of 40 inputs 40 can be used, 2 vehicles" in told
    (tmp_path / "nmea").mkdir()
    for name in ("V1", "V2"):
        lines = [
            f"$GPRMC,{instant(5 * n):%H%M%S}.00,A,52{n:02d}.0000,N,00500.0000,E,30.0,0.0,060524,,,A" for n in range(20)
        ]
        (tmp_path / "nmea" / f"{name}.log").write_text("\n".join(lines) + "\n")
    mapping, told = guessed(str(tmp_path / "nmea"), capsys)
    assert mapping.fields.vehicle.file is not None
    assert mapping.fields.speed is not None
    assert (mapping.fields.speed.path, mapping.fields.speed.unit) == ("speed_kn", "knots")
    assert "by the format NMEA 0183" in told
    assert outcome(["mapping", "guess", str(tmp_path / "gpx" / "V1" / "track.gpx")]) == 2
    assert "needs no mapping" in capsys.readouterr().err


POSITIONS_IN_ONE_TEXT = {
    "wkt": lambda lat: f"POINT({5.25:.5f} {lat:.5f})",
    "geojson": lambda lat: json.dumps({"type": "Point", "coordinates": [5.25, round(lat, 5)]}),
    "lat_lon": lambda lat: f"{lat:.5f}, {5.25:.5f}",
    "lon_lat": lambda lat: f"{95.25:.5f};{lat:.5f}",
    "geo URI": lambda lat: f"geo:{lat:.6f},5.250000",
}


@every_source
@pytest.mark.parametrize("column", ["position", "f7"])
@pytest.mark.parametrize("written", POSITIONS_IN_ONE_TEXT)
def test_a_position_in_one_text_is_found_by_its_look(
    write: Write, written: str, column: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        deviceId=lambda s, lat: "V1", time=lambda s, lat: instant(s).isoformat(), note=lambda s, lat: "a,b",
        **{column: lambda s, lat: POSITIONS_IN_ONE_TEXT[written](lat)}, speed=lambda s, lat: str(round(15.57 * 3.6, 2)),
    )  # fmt: skip
    mapping, told = guessed(write(tmp_path, content), capsys)
    form = {"geo URI": "lat_lon"}.get(written, written)
    assert [(one.path, one.form) for one in (mapping.fields.lat, mapping.fields.lon)] == [(column, form)] * 2
    assert mapping.fields.speed is not None
    assert mapping.fields.speed.unit == "km/h"
    assert "of 60 inputs 60 can be used, 1 vehicles" in told
    assert ("could be read as lon_lat, too" in told) == (written == "lat_lon")


@pytest.mark.parametrize(
    ("text", "value"),
    [("a decimal number", "52,5123"), ("two counts", "3,4"), ("a pair of forces", "0.1,9.8"), ("a name", "POINT")],
)
def test_what_is_no_position_is_not_taken_for_one(
    text: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(deviceId=lambda s, lat: "V1", time=lambda s, lat: instant(s).isoformat(), f7=lambda s, lat: value)
    assert outcome(["mapping", "guess", as_ndjson(tmp_path, content)]) == 2, text
    assert "no column of fixes looks like lat or lon" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lat_of", "lon_of", "forms"),
    [
        (lambda lat: f"{lat:.5f}N", lambda lon: f"{lon:.5f}W", ("hemisphere", "hemisphere")),
        (lambda lat: f"{int(lat)}°{int(lat % 1 * 60)}'12.5\"N", lambda lon: "5°15'00.0\"W", ("dms", "dms")),
        (lambda lat: int(lat) * 100 + lat % 1 * 60, lambda lon: 515.25, ("ddmm", "ddmm")),
        (lambda lat: f"{int(lat) * 100 + lat % 1 * 60:.4f}N", lambda lon: "00515.25W", ("ddmm", "ddmm")),
        (lambda lat: lat, lambda lon: 360 - lon, ("degrees", "0_to_360")),
    ],
)
def test_a_coordinate_has_the_form_that_its_values_have(
    lat_of: Any, lon_of: Any, forms: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = drive(
        deviceId=lambda s, lat: "V1", time=lambda s, lat: instant(s).isoformat(),
        latitude=lambda s, lat: lat_of(lat), longitude=lambda s, lat: lon_of(5.25),
    )  # fmt: skip
    mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
    assert (mapping.fields.lat.form, mapping.fields.lon.form) == forms
    assert "of 60 inputs 60 can be used" in told


def test_a_hemisphere_in_a_column_of_its_own_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = drive(
        deviceId=lambda s, lat: "V1", time=lambda s, lat: instant(s).isoformat(), latitude=lambda s, lat: lat,
        latitude_ns=lambda s, lat: "S", longitude=lambda s, lat: 5.25, longitude_ew=lambda s, lat: "W",
    )  # fmt: skip
    mapping, told = guessed(as_ndjson(tmp_path, content), capsys)
    assert (mapping.fields.lat.hemisphere_path, mapping.fields.lon.hemisphere_path) == ("latitude_ns", "longitude_ew")
    assert "of 60 inputs 60 can be used" in told


@pytest.mark.parametrize("arrays", ["points", "segments[].points", "days[].trips[].points"])
def test_fixes_in_arrays_within_arrays_are_found(
    arrays: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The innermost elements are the fixes; the others hold no position, though one of them has more elements."""
    content: Any = [{"at": instant(5 * n).isoformat(), "p": f"{52 + n * STEP_DEG:.5f}, 5.25000"} for n in range(60)]
    for name in reversed(arrays.split("[].")):
        content = [{"note": "x", name: content}]
    document = {"vehicle": "V1", "users": [{"name": str(n)} for n in range(100)], **content[0]}
    mapping, told = guessed(as_ndjson(tmp_path, [document]), capsys)
    assert mapping.fields.lat.path == f"{arrays}[].p"
    assert mapping.fields.fixed_at.path == f"{arrays}[].at"
    assert "60 can be used, 1 vehicles" in told
