"""The mappings that come along: each gives the right journey of a recording as the format's documentation has it."""

from __future__ import annotations

import json
import math
import re
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import reduce
from operator import xor
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest
from pyarrow import csv, parquet

from journeymesh.cli.main import outcome
from journeymesh.errors import NotFound
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.ordering import in_canonical_order
from journeymesh.sources.gpx_files import GPX_FIELDS
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.nmea_files import NMEA_FIELDS
from journeymesh.sources.shipped_mappings import shipped, shipped_text
from journeymesh.wiring import open_source

USER = uuid.UUID("6f1d8c1e-5a50-4a6e-9c7e-0d1f2a3b4c5d")
START = datetime(2024, 5, 6, 8, tzinfo=UTC)
STEP_DEG = 0.0007
STEP_M = STEP_DEG * 111_267  # of a meridian at 52°
SPEED_MPS = STEP_M / 5


def fixes() -> list[tuple[datetime, float]]:
    return [(START + timedelta(seconds=5 * n), 52 + n * STEP_DEG) for n in range(61)]


def traccar_database(folder: Path) -> Path:
    head = "id,protocol,deviceid,servertime,devicetime,fixtime,valid,latitude,longitude,altitude,speed,course,address,attributes,accuracy,network,geofenceids"  # noqa: E501
    lines = [
        f'{n},osmand,7,{at + timedelta(seconds=1):%Y-%m-%d %H:%M:%S},{at:%Y-%m-%d %H:%M:%S},{at:%Y-%m-%d %H:%M:%S},'
        f'true,{lat:.6f},5,10,{SPEED_MPS / 0.514444:.4f},0,,"{{""ignition"":true}}",4,null,null'
        for n, (at, lat) in enumerate(fixes())
    ]  # fmt: skip
    (folder / "tc_positions.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder / "tc_positions.csv"


def as_lines(folder: Path, documents: list[dict[str, Any]]) -> Path:
    (folder / "a.ndjson").write_text("".join(json.dumps(one) + "\n" for one in documents))
    return folder / "a.ndjson"


def traccar_api(folder: Path) -> Path:
    def position(n: int, at: datetime, lat: float) -> dict[str, Any]:
        text = at.isoformat(timespec="milliseconds")
        return {
            "id": n, "deviceId": 7, "protocol": "osmand", "serverTime": text, "deviceTime": text, "fixTime": text,
            "outdated": False, "valid": True, "latitude": lat, "longitude": 5.0, "altitude": 10.0,
            "speed": SPEED_MPS / 0.514444, "course": 0.0, "address": None, "accuracy": 4.0, "network": None,
            "attributes": {"ignition": True, "distance": 77.9},
        }  # fmt: skip

    return as_lines(folder, [position(n, at, lat) for n, (at, lat) in enumerate(fixes())])


def owntracks(folder: Path) -> Path:
    where = [
        {"_type": "location", "tid": "V7", "tst": int(at.timestamp()), "lat": lat, "lon": 5.0,
         "vel": round(SPEED_MPS * 3.6), "cog": 0, "acc": 4, "batt": 80, "t": "u"}
        for at, lat in fixes()
    ]  # fmt: skip
    return as_lines(folder, [{"_type": "lwt", "tst": 1714982400}, *where, {"_type": "transition", "event": "enter"}])


def gpslogger(folder: Path) -> Path:
    head = "time,lat,lon,elevation,accuracy,bearing,speed,satellites,provider,hdop,vdop,pdop,geoidheight,ageofdgpsdata,dgpsid,activity,battery,annotation,timestamp_ms,time_offset,distance,starttimestamp_ms,profile_name,battery_charging"  # noqa: E501
    lines = [
        f"{at:%Y-%m-%dT%H:%M:%S}.000Z,{lat:.6f},5.0,10.0,4.0,0.0,{SPEED_MPS:.2f},9,gps,0.9,1.1,1.4,,,,,80,,"
        f"{int(at.timestamp() * 1000)},{at:%Y-%m-%dT%H:%M:%S}.000+00:00,0,{int(START.timestamp() * 1000)},V7,false"
        for at, lat in fixes()
    ]
    (folder / "20240506.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder / "20240506.csv"


def torque(folder: Path) -> Path:
    head = (
        "GPS Time, Device Time, Longitude, Latitude,GPS Speed (Meters/second), Horizontal Dilution of Precision, "
        "Altitude, Bearing, G(x), G(y), G(z), G(calibrated),GPS Accuracy(m),Engine RPM(rpm)"
    )
    lines = []
    for n, (at, lat) in enumerate(fixes()):
        if n in (20, 40):
            lines.append(head)
        gps = f"{at:%a %b %d %H:%M:%S} GMT+00:00 {at:%Y}"
        values = f"0.1,9.8,0.2,0.01,{'-' if n % 3 else '4.0'},{'-' if n < 5 else 1800}"
        lines.append(f"{gps},{at:%d-%b-%Y %H:%M:%S}.250,5.0,{lat:.8f},{SPEED_MPS:.2f},38.0,10.0,0.0,{values}")
    nowhere = "-,06-May-2024 08:02:02.000,-,-,-,-,-,-,0.1,9.8,0.2,0.01,-,1800"
    (folder / "trackLog.csv").write_text("\n".join([head, *lines, nowhere]) + "\n")
    return folder / "trackLog.csv"


def owntracks_rec(folder: Path) -> Path:
    place = folder / "rec" / "jane" / "phone"
    place.mkdir(parents=True)
    messages = [json.loads(line) for line in owntracks(folder).read_text().splitlines()]
    lines = [
        f"{datetime.fromtimestamp(one.get('tst', 1714982400), UTC):%Y-%m-%dT%H:%M:%SZ}\t{kind:<18}\t{json.dumps(one)}"
        for one in messages
        for kind in ["*" if one["_type"] == "location" else one["_type"]]
    ]
    (place / "2024-05.rec").write_text("\n".join(lines) + "\n")
    return folder / "rec"


def gpx(folder: Path) -> Path:
    points = [
        f'<trkpt lat="{lat:.6f}" lon="5.0"><ele>10</ele><time>{at:%Y-%m-%dT%H:%M:%SZ}</time><hdop>0.9</hdop>'
        f"<extensions><gpxtpx:TrackPointExtension><gpxtpx:speed>{SPEED_MPS:.2f}</gpxtpx:speed>"
        "<gpxtpx:course>0</gpxtpx:course></gpxtpx:TrackPointExtension></extensions></trkpt>"
        for at, lat in fixes()
    ]
    spaces = 'xmlns="http://www.topografix.com/GPX/1/1" xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2"'
    text = f'<gpx version="1.1" {spaces}><trk><name>Work</name><trkseg>{"".join(points)}</trkseg></trk></gpx>'
    (folder / "V7.gpx").write_text(text)
    return folder / "V7.gpx"


def nmea(folder: Path) -> Path:
    def sentence(body: str) -> str:
        return f"${body}*{reduce(xor, body.encode(), 0):02X}"

    lines = []
    for at, lat in fixes():
        place = f"{int(lat):02d}{lat % 1 * 60:09.6f},N,00500.0000,E"
        knots = f"{SPEED_MPS / 0.514444:.2f}"
        lines.append(sentence(f"GPRMC,{at:%H%M%S}.00,A,{place},{knots},000.0,{at:%d%m%y},,,A"))
        lines.append(sentence(f"GPGGA,{at:%H%M%S}.00,{place},1,08,0.9,10.0,M,45.0,M,,"))
    (folder / "V7.nmea").write_text("\r\n".join(lines) + "\r\n")
    return folder / "V7.nmea"


def e_mission(folder: Path) -> Path:
    entries: list[dict[str, Any]] = [
        {
            "_id": bson.ObjectId(), "user_id": bson.Binary(USER.bytes, bson.binary.OLD_UUID_SUBTYPE),
            "metadata": {"key": "background/location", "platform": "android", "write_ts": at.timestamp() + 1},
            "data": {"latitude": lat, "longitude": 5.0, "ts": at.timestamp(), "sensed_speed": SPEED_MPS,
                     "heading": 0.0, "accuracy": 4.0, "altitude": 10.0},
        }
        for at, lat in fixes()
    ]  # fmt: skip
    battery = {"metadata": {"key": "background/battery"}, "user_id": "V7", "data": {"battery_level_pct": 80}}
    (folder / "db").mkdir()
    content = b"".join(map(bson.encode, [battery, *entries, battery]))
    (folder / "db" / "Stage_timeseries.bson").write_bytes(content)
    return folder / "db" / "Stage_timeseries.bson"


def as_json(folder: Path, document: Any) -> Path:
    (folder / "a.json").write_text(json.dumps(document, indent=1))
    return folder / "a.json"


def traccar_api_array(folder: Path) -> Path:
    return as_json(folder, [json.loads(line) for line in traccar_api(folder).read_text().splitlines()])


def google_records(folder: Path) -> Path:
    locations = [
        {"latitudeE7": round(lat * 1e7), "longitudeE7": 50_000_000, "accuracy": 4, "velocity": SPEED_MPS, "heading": 0,
         "altitude": 10, "verticalAccuracy": 3, "source": "GPS", "deviceTag": -1234567890,
         "timestamp": f"{at:%Y-%m-%dT%H:%M:%S}.000Z", "activity": [{"activity": [{"type": "IN_VEHICLE"}]}]}
        for at, lat in fixes()
    ]  # fmt: skip
    return as_json(folder, {"locations": locations})


def google_timeline(folder: Path) -> Path:
    signals: list[dict[str, Any]] = []
    for n, (at, lat) in enumerate(fixes()):
        here = (at + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000+02:00")
        place = {"LatLng": f"{lat:.7f}°, 5.0000000°", "accuracyMeters": 4, "altitudeMeters": 10.0, "source": "GPS"}
        signals.append({"position": place | {"timestamp": here, "speedMetersPerSecond": SPEED_MPS}})
        if n % 10 == 0:
            signals.append({"activityRecord": {"timestamp": here, "probableActivities": [{"type": "IN_VEHICLE"}]}})
            signals.append({"wifiScan": {"deliveryTime": here, "devicesRecords": [{"mac": 1, "rawRssi": -50}]}})
    path = [{"point": "52.0000000°, 5.0000000°", "time": "2024-05-06T10:00:00.000+02:00"}]
    segment = {"startTime": "2024-05-06T10:00:00.000+02:00", "endTime": "2024-05-06T12:00:00.000+02:00"}
    whole = {"semanticSegments": [segment | {"timelinePath": path}], "rawSignals": signals, "userLocationProfile": {}}
    return as_json(folder, whole)


def google_timeline_path(folder: Path) -> Path:
    def segment(at: datetime, **more: Any) -> dict[str, Any]:
        here = (at + timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%S.000+02:00")
        return {"startTime": here, "endTime": here, "startTimeTimezoneUtcOffsetMinutes": 120, **more}

    points = [
        {"point": f"{lat:.7f}°, 5.0000000°", "time": f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}.000+02:00"}
        for at, lat in fixes()
    ]
    place = {"placeId": "x", "semanticType": "HOME", "probability": 0.9, "placeLocation": {"latLng": "52.0°, 5.0°"}}
    segments = [
        segment(START, visit={"hierarchyLevel": 0, "probability": 0.9, "topCandidate": place}),
        segment(START, timelinePath=points[:40]),
        segment(START, activity={"start": {"latLng": "52.0°, 5.0°"}, "end": {"latLng": "52.1°, 5.0°"}}),
        segment(START, timelinePath=points[40:]),
        segment(START, timelineMemory={"trip": {"distanceFromOriginKms": 12, "destinations": []}}),
    ]
    return as_json(folder, {"semanticSegments": segments, "rawSignals": [], "userLocationProfile": {}})


def google_timeline_iphone(folder: Path) -> Path:
    def segment(at: datetime, **more: Any) -> dict[str, Any]:
        return {"startTime": f"{at + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}.000+02:00", **more}

    entries = [segment(START, visit={"hierarchyLevel": "0", "topCandidate": {"placeLocation": "geo:52.0,5.0"}})]
    for n, (at, lat) in enumerate(fixes()):  # an offset is whole minutes: the seconds are those of its segment's start
        begun = at - timedelta(minutes=n % 3)
        path = [{"point": f"geo:{lat:.6f},5.000000", "durationMinutesOffsetFromStartTime": str(n % 3)}]
        entries.append(segment(begun, timelinePath=path))
    entries.append(segment(START, activity={"start": "geo:52.0,5.0", "end": "geo:52.1,5.0"}))
    return as_json(folder, [*entries, segment(START, timelineMemory={"distanceFromOriginKms": "12"})])


def envirocar(folder: Path) -> Path:
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [5.0, lat]},
         "properties": {"id": f"m{n}", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}",
                        "phenomenons": {"Speed": {"value": SPEED_MPS * 3.6, "unit": "km/h"},
                                        "CO2": {"value": 4.1, "unit": "kg/h"}}}}
        for n, (at, lat) in enumerate(fixes())
    ]  # fmt: skip
    sensor = {"type": "car", "properties": {"id": "V7", "manufacturer": "Any", "fuelType": "gasoline"}}
    return as_json(
        folder, {"type": "FeatureCollection", "properties": {"id": "t1", "sensor": sensor}, "features": features}
    )


def geolife(folder: Path) -> Path:
    head = ["Geolife trajectory", "WGS 84", "Altitude is in Feet", "Reserved 3", "0,2,255,My Track,0,0,2,8421376", "0"]
    lines = [f"{lat:.6f},5.0,0,492,45418.3333,{at:%Y-%m-%d,%H:%M:%S}" for at, lat in fixes()]
    (folder / "000" / "Trajectory").mkdir(parents=True)
    (folder / "000" / "Trajectory" / "20240506080000.plt").write_text("\r\n".join([*head, *lines]) + "\r\n")
    return folder / "000"


RECORDINGS = {
    "traccar-database": (traccar_database, "7"),
    "traccar-api": (traccar_api_array, "7"),
    "owntracks": (owntracks, "V7"),
    "google-records": (google_records, "-1234567890"),
    "google-timeline": (google_timeline, "my-phone"),
    "google-timeline-path": (google_timeline_path, "my-phone"),
    "google-timeline-iphone": (google_timeline_iphone, "my-phone"),
    "envirocar": (envirocar, "V7"),
    "geolife": (geolife, "000"),
    "gpslogger": (gpslogger, "V7"),
    "e-mission": (e_mission, str(USER)),
    "torque": (torque, "my-car"),
    "owntracks-rec": (owntracks_rec, "jane/phone"),
    "gpx": (gpx, "V7"),
    "nmea": (nmea, "V7"),
}


OTHERS = {"torque": 1}
"""Rows without a position that stand among the fixes."""


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_of_the_format_gives_the_journey_that_was_driven(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write, vehicle = RECORDINGS[name]
    (tmp_path / "mapping.yaml").write_text(shipped_text(name))
    store = f"sqlite:///{tmp_path / 'journeys.db'}"
    source = str(write(tmp_path))
    made = ["preprocess", "--source", source, "--mapping", str(tmp_path / "mapping.yaml"), "--store", store]
    assert outcome([*made, "--format", "json"]) == 0, capsys.readouterr().err
    counts = json.loads(capsys.readouterr().out)["counts"]
    assert (counts["accepted"], counts["refused"]) == (61, OTHERS.get(name, 0))
    assert outcome(["journeys", "list", "--store", store, "--format", "json"]) == 0
    (journey,) = json.loads(capsys.readouterr().out)
    assert journey["vehicle"] == vehicle
    span = [journey[name].replace(".250000Z", "Z") for name in ("started_at", "ended_at")]  # Torque has milliseconds
    assert span == ["2024-05-06T08:00:00Z", "2024-05-06T08:05:00Z"]
    assert math.isclose(journey["distance_m"], 60 * STEP_M, rel_tol=0.005)
    if "speed" in load_mapping(shipped_text(name)).fields.present():
        assert math.isclose(journey["max_speed_mps"], SPEED_MPS, rel_tol=0.02)


@pytest.mark.parametrize("name", RECORDINGS)
def test_each_fix_has_the_values_that_were_recorded(name: str, tmp_path: Path) -> None:
    mapping = load_mapping(shipped_text(name))
    (tmp_path / "mapping.yaml").write_text(shipped_text(name))
    with closing(open_source(str(RECORDINGS[name][0](tmp_path)), tmp_path / "mapping.yaml")) as source:
        read = Fixes.concat([batch.fixes for batch in source.batches() if len(batch.fixes)])
    read = in_canonical_order(read.take(np.isfinite(read.lat_deg)))
    expected = fixes()
    late_us = 250_000 if name == "torque" else 0
    assert read.fixed_at_us.tolist() == [int(at.timestamp()) * 1_000_000 + late_us for at, _ in expected]
    np.testing.assert_allclose(read.lat_deg, [lat for _, lat in expected], atol=2e-6)
    np.testing.assert_allclose(read.lon_deg, 5.0)
    present = mapping.fields.present()
    for field, column, value, within in (
        ("speed", read.speed_mps, SPEED_MPS, 0.15),  # whole km/h in OwnTracks
        ("heading", read.heading_deg, 0.0, 0.0),
        ("accuracy", read.accuracy_m, 4.0, 0.0),
    ):
        assert (column is not None) == (field in present or (field == "accuracy" and "hdop" in present)), field
        if column is not None and field in present:
            np.testing.assert_allclose(column[np.isfinite(column)], value, atol=within)
    if name == "torque":  # "-" is no value
        assert read.accuracy_m is not None
        assert np.flatnonzero(np.isfinite(read.accuracy_m)).tolist() == list(range(0, 61, 3))
    if "received_at" in present:
        assert read.received_at_us is not None
        assert set((read.received_at_us - read.fixed_at_us).tolist()) <= {0, 1_000_000}


def test_gpx_and_nmea_are_mapped_as_they_are_read_without_a_mapping() -> None:
    assert load_mapping(shipped_text("gpx")).fields == GPX_FIELDS
    assert load_mapping(shipped_text("nmea")).fields == NMEA_FIELDS


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_columns_of_traccar_on_h2_are_read_in_capitals(kind: str, tmp_path: Path) -> None:
    place = traccar_database(tmp_path)
    head, _, rows = place.read_text().partition("\n")
    place.write_text(f"{head.upper()}\n{rows}")
    if kind == "parquet":
        table = csv.read_csv(place)
        place.unlink()
        place = place.with_suffix(".parquet")
        parquet.write_table(table, place)
    (tmp_path / "mapping.yaml").write_text(shipped_text("traccar-database"))
    with closing(open_source(str(place), tmp_path / "mapping.yaml")) as source:
        batches = list(source.batches())
    read = Fixes.concat([batch.fixes for batch in batches])
    assert (len(read), read.vehicles, [one for batch in batches for one in batch.refusals]) == (61, ("7",), [])
    assert read.accuracy_m is not None
    assert read.received_at_us is not None
    np.testing.assert_allclose(read.speed_mps, SPEED_MPS, atol=0.01)


def test_an_accuracy_of_0_is_none_to_traccar(tmp_path: Path) -> None:
    place = traccar_database(tmp_path)
    place.write_text(re.sub(r",4,null,null", ",0,null,null", place.read_text()))
    (tmp_path / "mapping.yaml").write_text(shipped_text("traccar-database"))
    with closing(open_source(str(place), tmp_path / "mapping.yaml")) as source:
        read = Fixes.concat([batch.fixes for batch in source.batches() if len(batch.fixes)])
    assert read.accuracy_m is None or np.isnan(read.accuracy_m).all()


def test_every_shipped_format_says_where_its_facts_are_from() -> None:
    for name in set(shipped()) - {"blackbox", "trips"}:  # which are our own
        assert "\n# Source: " in shipped_text(name), name


def test_every_shipped_mapping_can_be_used_and_says_what_it_is_for() -> None:
    assert set(shipped()) - set(RECORDINGS) == {"blackbox", "trips"}
    for name, summary in shipped().items():
        load_mapping(shipped_text(name))
        assert len(summary) > 20


def test_an_unknown_name_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(NotFound, match="use one of blackbox, e-mission, envirocar"):
        shipped_text("tracar")
