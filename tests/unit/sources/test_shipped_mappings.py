"""The mappings that come along: each gives the right journey of a recording as the format's documentation has it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
import pytest

from journeymesh.cli.main import outcome
from journeymesh.errors import NotFound
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.shipped_mappings import shipped, shipped_text

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


def e_mission(folder: Path) -> Path:
    entries: list[dict[str, Any]] = [
        {
            "_id": bson.ObjectId(), "user_id": "V7",
            "metadata": {"key": "background/location", "platform": "android", "write_ts": at.timestamp() + 1},
            "data": {"latitude": lat, "longitude": 5.0, "ts": at.timestamp(), "sensed_speed": SPEED_MPS,
                     "bearing": 0.0, "accuracy": 4.0, "altitude": 10.0},
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
    "envirocar": (envirocar, "V7"),
    "geolife": (geolife, "000"),
    "gpslogger": (gpslogger, "V7"),
    "e-mission": (e_mission, "V7"),
}


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
    assert (counts["accepted"], counts["refused"]) == (61, 0)
    assert outcome(["journeys", "list", "--store", store, "--format", "json"]) == 0
    (journey,) = json.loads(capsys.readouterr().out)
    assert journey["vehicle"] == vehicle
    assert (journey["started_at"], journey["ended_at"]) == ("2024-05-06T08:00:00Z", "2024-05-06T08:05:00Z")
    assert math.isclose(journey["distance_m"], 60 * STEP_M, rel_tol=0.005)
    if name != "geolife":  # which reports no speed
        assert math.isclose(journey["max_speed_mps"], SPEED_MPS, rel_tol=0.02)


def test_every_shipped_mapping_can_be_used_and_says_what_it_is_for() -> None:
    assert set(RECORDINGS) < set(shipped())
    for name, summary in shipped().items():
        load_mapping(shipped_text(name))
        assert len(summary) > 20


def test_an_unknown_name_is_answered_with_those_that_are_there() -> None:
    with pytest.raises(NotFound, match="use one of blackbox, e-mission, envirocar"):
        shipped_text("tracar")
