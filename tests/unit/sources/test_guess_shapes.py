"""Shapes that other people's data has: a proposal for each, read as it stands, gives the drive that was written."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.cli.mapping_guess import yaml_lines
from journeymesh.sources.guess_rows import guess_rows
from journeymesh.sources.mapping_guess import Guess, guess_mapping
from journeymesh.wiring.journeys import open_source

START = datetime(2024, 5, 6, 8, tzinfo=UTC)
DRIVE = [(5 * n, 52.5 + n * 0.0006732, 13.4003 + n * 0.0000117) for n in range(40)]
"""(seconds, latitude, longitude): north at 15 m/s."""


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def iso(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


def guessed(place: Path) -> Guess:
    (rows,) = guess_rows(str(place))
    found = guess_mapping(rows.collection, rows.documents, rows.files)
    found.csv = rows.csv
    return found


def drive_read(place: Path, found: Guess) -> list[tuple[float, float, float]]:
    """The fixes that the proposal reads, in the order of their instants."""
    (place.parent / "guess.yaml").write_text("\n".join(yaml_lines(found, None)))
    source = open_source(str(place), place.parent / "guess.yaml")
    fixes = [
        (us / 1e6 - START.timestamp(), lat, lon)
        for batch in source.batches()
        for us, lat, lon in zip(
            batch.fixes.fixed_at_us.tolist(), batch.fixes.lat_deg.tolist(), batch.fixes.lon_deg.tolist(), strict=True
        )
    ]
    source.close()
    return sorted(fixes)


def same(found: list[tuple[float, float, float]]) -> bool:
    return len(found) == len(DRIVE) and all(
        math.dist(one, other) < 1e-4 for one, other in zip(found, DRIVE, strict=True)
    )


SHAPES: dict[str, tuple[Any, str]] = {
    "arrays right inside of arrays": (
        {"device": "V1", "tracks": [
            [{"ts": iso(s), "lat": lat, "lng": lon} for s, lat, lon in part] for part in (DRIVE[:9], DRIVE[9:])
        ]},
        "embedded",
    ),
    "rows of bare values": (
        {"imei": "V1", "points": [[int(at(s).timestamp()), lat, lon, 54] for s, lat, lon in DRIVE]}, "embedded",
    ),
    "arrays beside each other": (
        {"imei": "V1", "t": [iso(s) for s, _, _ in DRIVE], "lat": [lat for _, lat, _ in DRIVE],
         "lon": [lon for _, _, lon in DRIVE]},
        "bucketed",
    ),
    "pairs and seconds since a start": (
        {"athlete": {"id": 77}, "start_date": iso(0), "latlng": {"data": [[lat, lon] for _, lat, lon in DRIVE]},
         "time": {"data": [s for s, _, _ in DRIVE]}},
        "bucketed",
    ),
    "GeoJSON with coordTimes": (
        {"type": "FeatureCollection", "features": [{
            "type": "Feature",
            "geometry": {"type": "LineString", "coordinates": [[lon, lat, 30.0] for _, lat, lon in part]},
            "properties": {"name": "V1", "time": iso(0), "coordTimes": [iso(s) for s, _, _ in part]},
        } for part in (DRIVE[:20], DRIVE[20:])]},
        "embedded",
    ),
    "GeoJSON with coordinateProperties": (
        {"type": "FeatureCollection", "features": [{
            "type": "Feature", "geometry": {"type": "LineString", "coordinates": [[lon, lat] for _, lat, lon in DRIVE]},
            "properties": {"name": "V1", "coordinateProperties": {"times": [iso(s) for s, _, _ in DRIVE]}},
        }]},
        "embedded",
    ),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["json", "bson"])
def test_a_shape_of_arrays_is_proposed_and_read(tmp_path: Path, shape: str, kind: str) -> None:
    document, layout = SHAPES[shape]
    place = tmp_path / f"c.{kind}"
    place.write_bytes(json.dumps(document).encode() if kind == "json" else bson.encode(document))
    found = guessed(place)
    assert (found.missing, found.layout) == ([], layout)
    assert same(drive_read(place, found))


def test_a_line_without_all_of_its_times_loses_only_those_fixes(tmp_path: Path) -> None:
    document = json.loads(json.dumps(SHAPES["GeoJSON with coordTimes"][0]))
    found = guessed(_json(tmp_path, "whole", document))
    del document["features"][0]["properties"]["coordTimes"][-3:]
    document["features"].append({"type": "Feature", "geometry": None, "properties": {"name": "V1"}})
    assert len(drive_read(_json(tmp_path, "c", document), found)) == len(DRIVE) - 3


def _json(folder: Path, name: str, document: Any) -> Path:
    (folder / f"{name}.json").write_text(json.dumps(document))
    return folder / f"{name}.json"


@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_rows_of_one_signal_each_are_proposed_and_read(tmp_path: Path, kind: str) -> None:
    place = tmp_path / f"c.{kind}"
    rows = [
        {"car": "V1", "timestamp": at(s).timestamp(), "name": name, "value": value}
        for s, lat, lon in DRIVE
        for name, value in (("latitude", lat), ("longitude", lon), ("vehicle_speed", 54.0), ("engine_speed", 2000))
    ]
    if kind == "csv":
        place.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows), ""]))
    else:
        place.write_text("\n".join(map(json.dumps, rows)))
    found = guessed(place)
    assert (found.layout, found.signals) == ("signals", {"name": "name", "value": "value"})
    speed = next(one.keys for one in found.fields if one.name == "speed")
    assert speed == {"path": "vehicle_speed", "unit": "km/h"}
    assert same(drive_read(place, found))


@pytest.mark.parametrize(("name", "lat_first"), [("loc", False), ("latlng", True), ("position", False)])
def test_a_pair_without_names_is_proposed_in_the_order_that_its_name_says(
    tmp_path: Path, name: str, lat_first: bool
) -> None:
    rows = [{"vehicle": "V1", "time": iso(s), name: [lat, lon] if lat_first else [lon, lat]} for s, lat, lon in DRIVE]
    place = tmp_path / "c.ndjson"
    place.write_text("\n".join(map(json.dumps, rows)))
    assert same(drive_read(place, guessed(place)))


@pytest.mark.parametrize("turned", [False, True])
def test_a_file_without_a_header_shows_its_positions(tmp_path: Path, turned: bool) -> None:
    place = tmp_path / "taxi7.csv"
    rows = [(f"{at(s):%Y-%m-%d %H:%M:%S}", f"{lat:.6f}", f"{lon + 103:.6f}") for s, lat, lon in DRIVE]
    place.write_text("".join(",".join((t, lon, lat) if turned else (t, lat, lon)) + "\n" for t, lat, lon in rows))
    found = guessed(place)
    keys = {one.name: one.keys.get("path") for one in found.fields}
    assert (keys["fixed_at"], keys["lat"], keys["lon"]) == (("0", "2", "1") if turned else ("0", "1", "2"))
    assert same([(s, lat, lon - 103) for s, lat, lon in drive_read(place, found)])


def test_integer_degrees_have_one_scale(tmp_path: Path) -> None:
    rows = [
        {"imei": "V1", "ts": int(at(s).timestamp()), "latitude": round(lat * 1e7), "longitude": round(lon * 1e7)}
        for s, lat, lon in DRIVE
    ]
    place = tmp_path / "c.ndjson"
    place.write_text("\n".join(map(json.dumps, rows)))
    assert same(drive_read(place, guessed(place)))


def test_a_day_and_a_time_of_parquet_are_one_clock(tmp_path: Path) -> None:
    place = tmp_path / "c.parquet"
    columns = {
        "id": ["V1"] * len(DRIVE), "date": [at(s).date() for s, _, _ in DRIVE],
        "time": [at(s).time() for s, _, _ in DRIVE], "lat": [lat for _, lat, _ in DRIVE],
        "lon": [lon for _, _, lon in DRIVE],
    }  # fmt: skip
    pq.write_table(pa.table(columns), place)
    assert same(drive_read(place, guessed(place)))


def test_seconds_beside_milliseconds_are_one_clock(tmp_path: Path) -> None:
    rows = [
        {"imei": "V1", "ts": int(at(s).timestamp()) * (1000 if s > 100 else 1), "lat": lat, "lon": lon}
        for s, lat, lon in DRIVE
    ]
    place = tmp_path / "c.ndjson"
    place.write_text("\n".join(map(json.dumps, rows)))
    found = guessed(place)
    assert next(one.keys for one in found.fields if one.name == "fixed_at") == {"path": "ts", "clock": "mixed"}
    assert same(drive_read(place, found))


@pytest.mark.parametrize(
    ("per_mps", "keys"),
    [
        (100.0, {"unit": "m/s", "scale": 0.01}),
        (36.0, {"unit": "km/h", "scale": 0.1}),
        (3.6, {"unit": "km/h"}),
        (1.943844, {"unit": "knots"}),
    ],
)
def test_raw_counts_of_speed_have_a_scale(tmp_path: Path, per_mps: float, keys: dict[str, Any]) -> None:
    rows = [{"imei": "V1", "t": iso(s), "lat": lat, "lon": lon, "speed": 15 * per_mps} for s, lat, lon in DRIVE]
    place = tmp_path / "c.ndjson"
    place.write_text("\n".join(map(json.dumps, rows)))
    speed = next(one.keys for one in guessed(place).fields if one.name == "speed")
    assert speed == {"path": "speed"} | keys
