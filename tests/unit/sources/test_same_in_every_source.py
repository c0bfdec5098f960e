"""One value means one thing, wherever it stands."""

# ruff: noqa: DTZ001 - wall clocks are meant

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import bson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.every_source import SOURCES, read

from journeymesh.sources.mapping import load_mapping
from journeymesh.wiring.journeys import open_source

MAPPING = """
collection: c
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
"""
GOOD = {"v": "V1", "t": "2024-05-06T08:00:00Z", "lat": 52.0, "lon": 5.0}
EIGHT_US = 1_714_982_400_000_000
"""2024-05-06T08:00:00Z."""


@pytest.mark.parametrize("kind", SOURCES)
def test_an_identifier_kept_as_a_double_is_its_integer(tmp_path, kind):
    held = [351756051523999.0, 351756051523999.0, None]
    found = read(kind, tmp_path, [GOOD | {"v": value} for value in held], MAPPING)
    assert [one if isinstance(one, str) else one["vehicle"] for one in found] == [
        "351756051523999", "351756051523999", "vehicle_missing",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("path", ["Latitude[deg]", "gps.lat", "No.", "a..b", "lat (°)", "x,y", '"x[]"', '"a.b".c'])
def test_any_name_of_a_column_is_found(tmp_path, kind, path):
    name = {'"x[]"': "x[]", '"a.b".c': "a.b.c"}.get(path, path)
    document = {key: value for key, value in GOOD.items() if key != "lat"}
    document |= {"a.b": {"c": 52.0}} if kind in ("bson", "ndjson", "parquet") and path == '"a.b".c' else {name: 52.0}
    mapping = MAPPING.replace("{path: lat}", "{path: '" + path + "'}")
    (found,) = read(kind, tmp_path, [document], mapping)
    assert found["lat_deg"] == 52.0


@pytest.mark.parametrize("kind", ["bson", "ndjson", "parquet"])
@pytest.mark.parametrize("order", [("g.lat", "g"), ("g", "g.lat")])
def test_a_path_is_one_name_before_it_is_several_steps(tmp_path, kind, order):
    both = {"g.lat": 52.0, "g": {"lat": 53.0}}
    documents = [GOOD | {name: both[name] for name in order}]
    (found,) = read(kind, tmp_path, documents, MAPPING.replace("{path: lat}", "{path: g.lat}"))
    assert found["lat_deg"] == 52.0


def test_a_name_with_a_dot_is_found_inside_the_elements_of_an_array(tmp_path):
    mapping = """
collection: c
layout: embedded
fields:
  vehicle: {path: car.id}
  fixed_at: {path: "s[].t", clock: bson_date}
  lat: {path: "s[].g.lat"}
  lon: {path: "s[].g.lon"}
"""
    at = datetime(2024, 5, 6, 8, tzinfo=UTC)
    document = {"_id": 1, "car.id": "V1", "s": [
        {"t": at, "g.lat": 52.0, "g": {"lon": 5.0}},
        {"t": at, "g": {"lat": 53.0, "lon": 6.0}},
    ]}  # fmt: skip
    (tmp_path / "c.bson").write_bytes(bson.encode(document))
    (tmp_path / "m.yaml").write_text(mapping)
    (batch,) = open_source(str(tmp_path), tmp_path / "m.yaml").batches()
    assert batch.fixes.vehicles == ("V1",)
    assert batch.fixes.lat_deg.tolist() == [52.0, 53.0]
    assert batch.fixes.lon_deg.tolist() == [5.0, 6.0]


LOCAL = datetime(2024, 5, 6, 4)  # in New York, where it is UTC-4


@pytest.mark.parametrize("zone", ["America/New_York", "Eastern Standard Time", "-04:00", "UTC-4", "GMT-0400"])
def test_local_times_are_in_the_zone_of_the_mapping_whatever_holds_them(tmp_path, zone):
    iso = MAPPING.replace("iso8601", f"iso8601, zone: {zone}")
    dates = MAPPING.replace("iso8601", f"bson_date, zone: {zone}")
    for kind, held, mapping in (
        ("csv", LOCAL.isoformat(), iso),
        ("ndjson", LOCAL.isoformat(" "), iso),
        ("parquet", LOCAL, iso),
        ("parquet", LOCAL, dates),
        ("bson", LOCAL.replace(tzinfo=UTC), dates),
    ):
        (found,) = read(kind, tmp_path / kind, [GOOD | {"t": held}], mapping)
        assert found["fixed_at_us"] == EIGHT_US, kind


def test_a_date_that_is_an_instant_is_not_moved_by_the_zone_of_local_texts(tmp_path):
    mapping = MAPPING.replace("iso8601", "iso8601, zone: America/New_York")
    eight = datetime(2024, 5, 6, 8, tzinfo=UTC)
    for kind in ("bson", "parquet"):
        (found,) = read(kind, tmp_path / kind, [GOOD | {"t": eight}], mapping)
        assert found["fixed_at_us"] == EIGHT_US, kind


@pytest.mark.parametrize("kind", ["bson", "parquet"])
def test_a_date_of_the_hour_that_clocks_skip_is_refused_where_dates_are_local(tmp_path, kind):
    mapping = MAPPING.replace("iso8601", "bson_date, zone: America/New_York")
    skipped = datetime(2024, 3, 10, 2, 30, tzinfo=UTC if kind == "bson" else None)
    good = skipped + timedelta(hours=1)
    found = read(kind, tmp_path, [GOOD | {"t": skipped}, GOOD | {"t": good}], mapping)
    assert found[0] == "clock_unparseable"
    assert found[1]["fixed_at_us"] == int(datetime(2024, 3, 10, 7, 30, tzinfo=UTC).timestamp()) * 1_000_000


def test_a_zone_that_each_document_names_moves_dates_too(tmp_path):
    mapping = MAPPING.replace("iso8601", "bson_date, zone_path: z")
    at = datetime(2024, 5, 6, 10, tzinfo=UTC)
    for kind, held in (("bson", at), ("parquet", at.replace(tzinfo=None))):
        documents = [GOOD | {"t": held, "z": "Romance Standard Time"}, GOOD | {"t": held, "z": None}]
        paris, nowhere = read(kind, tmp_path / kind, documents, mapping)
        assert paris["fixed_at_us"] == EIGHT_US, kind
        assert nowhere == "clock_unparseable", kind


def test_a_uuid_of_parquet_is_its_text_and_bytes_without_a_type_are_text(tmp_path):
    uuid = bytes.fromhex("00112233445566778899aabbccddeeff")
    for number, (column, name) in enumerate((
        (pa.array([uuid], pa.uuid()), "00112233-4455-6677-8899-aabbccddeeff"),
        (pa.array([b"V1"], pa.binary()), "V1"),
        (pa.array([b"\xff\x01"], pa.binary()), "ff01"),
        (pa.array([17], pa.uint16()), "17"),
    )):  # fmt: skip
        path = tmp_path / f"c{number}.parquet"
        pq.write_table(pa.table({"v": column} | {key: [GOOD[key]] for key in ("t", "lat", "lon")}), path)
        (tmp_path / "m.yaml").write_text(MAPPING)
        (batch,) = open_source(str(path), tmp_path / "m.yaml").batches()
        assert batch.fixes.vehicles == (name,)


def test_a_mapping_says_which_of_its_paths_stands_for_an_array():
    mapping = load_mapping(MAPPING.replace("path: lat}", "path: '\"lat[]\"'}"))
    assert mapping.array_path is None
