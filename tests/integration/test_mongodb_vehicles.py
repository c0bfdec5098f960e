"""A live MongoDB asked by vehicle: the server of ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import math
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from urllib.parse import urlsplit

import bson
import numpy as np
import pytest

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import COLUMN_NAMES, Fixes
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb_vehicles import MongodbVehicles
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, VehicleTimes

START = datetime(2024, 5, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
DOCUMENTS = """
collection: boxes
fields:
  vehicle: {path: VEHICLE}
  fixed_at: {path: t, clock: CLOCK}
  lat: {path: loc.coordinates.1}
  lon: {path: loc.coordinates.0}
  speed: {path: v, unit: km/h}
"""
EMBEDDED = """
collection: boxes
layout: embedded
fields:
  vehicle: {path: device.id}
  fixed_at: {path: "samples[].t", clock: bson_date}
  lat: {path: "samples[].lat"}
  lon: {path: "samples[].lon"}
"""
MIXED = EMBEDDED.replace("device.id", '"samples[].device"')
BUCKETED = """
collection: boxes
layout: bucketed
fields:
  vehicle: {path: meta}
  fixed_at: {path: "at[]", clock: offset_s, base: {path: from, clock: bson_date}}
  lat: {path: "lats[]"}
  lon: {path: "lons[]"}
"""
ODD_NAMES = [
    "D1", "d1", "123", 123, bson.Int64(123), 123.0, 7.0, bson.Decimal128("123"), bson.ObjectId(b"123456789012"),
    bson.ObjectId(b"123456789012").__str__(), "", None, True, ["D1"], [], {"id": "D1"}, b"D1", START, math.nan, "0123",
    -5, "-5", " ", "ü", bson.Int64(2**62), math.inf,
]  # fmt: skip
ODD_CLOCKS = [
    None, "late", "1714521600", 1714521600, 1714521600.5, bson.Int64(1714521600), math.nan, 1e300, True, [], [START],
    {"a": 1}, bson.Timestamp(1714521600, 1), bson.DatetimeMS(2**60), bson.DatetimeMS(-(2**60)), b"x",
    bson.Decimal128("1714521600.25"), bson.ObjectId(b"123456789012"), "",
]  # fmt: skip


def mapping_of(text: str, vehicle: str = "device", clock: str = "bson_date"):
    return load_mapping(text.replace("VEHICLE", vehicle).replace("CLOCK", clock))


@pytest.fixture
def database(mongodb_url):
    from pymongo import MongoClient

    name = f"jm{uuid.uuid4().hex[:12]}"
    client: MongoClient = MongoClient(mongodb_url)
    yield client[name], urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    client.drop_database(name)
    client.close()


def box(second: int = 0, **changes: object) -> dict:
    document = {
        "device": "D1",
        "t": START + timedelta(seconds=second),
        "loc": {"type": "Point", "coordinates": [4.0 + second / 1e4, 50.0]},
        "v": 36,
        "x": "y",
        **changes,
    }
    return {key: value for key, value in document.items() if value is not ...}


def rows_of(source: MongodbVehicles, fixes: Fixes) -> Counter:
    """Every fix as a row, with its vehicle and place by name."""
    named = [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
    if not len(fixes):
        return Counter()
    origins = source.describe(fixes.origin)
    held = [np.asarray(column).tolist() for name, column in fixes.columns() if name not in ("vehicle", "origin")]
    return Counter((named[at], origins[at], *map(str, row)) for at, row in enumerate(zip(*held, strict=True)))


def told(refusals) -> dict:
    return {one.refusal_id: (one.reason, one.origin, one.content, one.vehicle) for one in refusals}


def assert_reads_as_a_batch_run(url: str, mapping, **options):
    """Vehicle by vehicle, and all at once, gives what a run over the whole collection gives."""
    source = MongodbVehicles(url, mapping, **options)
    batches = list(source.batches())
    whole = Fixes.concat([batch.fixes for batch in batches])
    refused = [refusal for batch in batches for refusal in batch.refusals]
    vehicles = source.vehicles()
    assert vehicles == sorted(set(vehicles))
    reads = [source.read([VehicleTimes(vehicle)]) for vehicle in vehicles]
    nameless = source.nameless()
    assert len(nameless.fixes) == 0
    found = sum((rows_of(source, read.fixes) for read in reads), Counter())
    assert found == rows_of(source, whole)
    assert len(whole) > 0
    refusals = [refusal for read in [*reads, nameless] for refusal in read.refusals]
    assert told(refusals) == told(refused)
    assert len(refusals) == len(refused)
    together = source.read([VehicleTimes(vehicle) for vehicle in vehicles])
    assert rows_of(source, together.fixes) == rows_of(source, whole)
    assert told([*together.refusals, *nameless.refusals]) == told(refused)
    source.close()
    return reads, nameless


@pytest.mark.parametrize("clock", ["bson_date", "epoch_s", "epoch_ms", "iso8601"])
@pytest.mark.parametrize("vehicle", ["device", "who.device", "ids.0"])
def test_reading_by_vehicle_gives_what_a_batch_run_gives(database, clock, vehicle):
    def put(name: object) -> dict:
        placed = {"device": {"device": name}, "who.device": {"who": {"device": name}}, "ids.0": {"ids": [name]}}
        return {"device": ..., **placed[vehicle]}

    documents = [box(second, **put(name)) for second, name in enumerate([*ODD_NAMES, *ODD_NAMES[:5]])]
    documents += [box(second, **put("D2"), t=t) for second, t in enumerate(ODD_CLOCKS)]
    documents += [box(1, device=...), box(2, **put("D2"), t=...), box(3, **put("D2"), loc=5)]
    documents += [box(3, **put("D3"), v="fast"), box(device=..., who=[{"device": "D1"}], ids="D1")]
    for document in documents:
        if clock == "iso8601" and document.get("t") == START:
            document["t"] = START.isoformat()
    database[0]["boxes"].insert_many(documents)
    assert_reads_as_a_batch_run(database[1], mapping_of(DOCUMENTS, vehicle, clock), batch_documents=7)


def samples(*seconds: int, **changes: object) -> list[dict]:
    return [{"t": START + timedelta(seconds=at), "lat": 50.0, "lon": 4.0, **changes} for at in seconds]


@pytest.mark.parametrize("text", [EMBEDDED, MIXED, BUCKETED])
def test_fixes_in_arrays_are_read_by_vehicle_as_in_a_batch_run(database, text):
    documents: list[dict] = []
    for name in ODD_NAMES:
        bucket = {"meta": name, "from": START, "at": [0, 1, "x", None], "lats": [50.0] * 4, "lons": [4.0, 4.0, "?"]}
        documents.append({"device": {"id": name}, "samples": samples(1, 2, device=name), **bucket})
    documents += [
        {"device": {"id": "D1"}, "meta": "D1", "samples": "none", "at": 5},
        {"device": {"id": "D1"}, "meta": "D1"},
        {"device": {"id": "D1"}, "meta": "D1", "samples": [], "at": []},
        {"samples": [{"t": "x", "device": "D1"}, {"device": "D2"}, *samples(3, device="D2"), {}], "at": [1]},
        {"device": {"id": "D1"}, "meta": "D1", "samples": {"a": {"t": START}}, "at": {"a": 1}},
    ]
    database[0]["boxes"].insert_many(documents)
    assert_reads_as_a_batch_run(database[1], load_mapping(text))


@pytest.mark.parametrize(("clock", "stored"), [("bson_date", lambda at: at), ("epoch_s", datetime.timestamp)])
def test_a_span_brings_what_lies_in_it_and_every_clock_that_cannot_be_compared(database, clock, stored):
    documents = [box(second, t=stored(START + timedelta(seconds=second))) for second in range(0, 1000, 10)]
    odd = [box(n, _id=f"odd{n}", t=t) for n, t in enumerate(ODD_CLOCKS) if not isinstance(t, list)]
    database[0]["boxes"].insert_many([*documents, *odd, box(5, device="D2")])
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS, clock=clock))
    wanted = VehicleTimes("D1", START_US + 100_000_000, START_US + 200_000_000)
    read = source.read([wanted])
    whole = source.read([VehicleTimes("D1")])
    assert told(read.refusals) == told(whole.refusals)

    def inside(fixes: Fixes) -> Counter:
        return rows_of(
            source, fixes.take((fixes.fixed_at_us >= wanted.first_us) & (fixes.fixed_at_us <= wanted.last_us))
        )

    assert inside(read.fixes) == inside(whole.fixes)
    assert sum(inside(read.fixes).values()) == 11
    assert read.documents < whole.documents - 80
    both = source.read([wanted, VehicleTimes("D1", END_US - 5, END_US), VehicleTimes("D2", BEGINNING_US, START_US)])
    assert len(both.fixes) == len(read.fixes)  # D2's only fix comes later
    assert len(source.read([VehicleTimes("D2", START_US, END_US), wanted]).fixes) == len(read.fixes) + 1
    source.close()


def test_places_say_where_each_document_is(database):
    ids = [1, bson.Int64(1 << 40), "a" * 200, bson.ObjectId(), {"a": 1}, 1.5]
    database[0]["boxes"].insert_many([box(second, _id=one) for second, one in enumerate(ids)])
    database[0]["boxes"].insert_one(box(0, _id="no clock", t="x"))
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS))
    read = source.read([VehicleTimes("D1")], places=True)
    assert read.documents == len(read.places) == 7
    by_document = {place.document: place for place in read.places}
    for second, one in enumerate(ids):
        element = bson.encode({"v": one})
        digest = blake2b(element[4:5] + element[7:-1], digest_size=8).digest()
        place = by_document[int.from_bytes(digest, "little", signed=True)]
        at = START_US + second * 1_000_000
        assert (place.vehicle, place.first_us, place.last_us) == ("D1", at, at)
    assert sum((place.first_us, place.last_us) == (BEGINNING_US, END_US) for place in read.places) == 1
    source.close()


def test_a_document_with_fixes_of_several_vehicles_has_a_place_for_each(database):
    mixed = [*samples(1, 5, device="D1"), *samples(3, device="D2"), *samples(9, device="D1")]
    database[0]["boxes"].insert_many([{"_id": 1, "samples": mixed}, {"_id": 2, "samples": samples(2, device="D2")}])
    source = MongodbVehicles(database[1], load_mapping(MIXED))
    assert source.vehicles() == ["D1", "D2"]
    places = source.read([VehicleTimes("D1"), VehicleTimes("D2")], places=True).places
    spans = sorted((p.vehicle, (p.first_us - START_US) // 10**6, (p.last_us - START_US) // 10**6) for p in places)
    assert spans == [("D1", 1, 9), ("D2", 2, 2), ("D2", 3, 3)]
    alone = source.read([VehicleTimes("D2")], places=True)
    assert (len(alone.fixes), {place.vehicle for place in alone.places}) == (2, {"D2"})
    source.close()


def test_a_read_of_too_much_is_refused_with_the_bound(database):
    database[0]["boxes"].insert_many([box(second) for second in range(20)])
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS), max_documents=19)
    with pytest.raises(SourceUnreadable, match="more than 19 documents"):
        source.read([VehicleTimes("D1")])
    assert len(source.read([VehicleTimes("D1", START_US, START_US + 18_000_000)]).fixes) == 19
    assert source.latency_s() > 0
    source.close()


def test_several_threads_ask_at_once_and_each_origin_is_told(database):
    documents = [box(second, device=f"D{second % 8}", _id=f"{second % 8}-{second}") for second in range(800)]
    database[0]["boxes"].insert_many(documents)
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS), batch_documents=30)

    def ask(number: int) -> bool:
        read = source.read([VehicleTimes(f"D{number % 8}")])
        names = source.describe(read.fixes.origin)
        return len(set(names)) == 100 and all(name.startswith(f"boxes/{number % 8}-") for name in names)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(64)))
    source.close()


def test_origins_of_reads_are_forgotten_in_the_order_they_were_read(database):
    database[0]["boxes"].insert_many([box(second) for second in range(50)])
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS))
    source._trail._most_bytes = 1
    first = source.read([VehicleTimes("D1")]).fixes
    assert len(set(source.describe(first.origin))) == 50
    last = source.read([VehicleTimes("D1")]).fixes
    assert set(source.describe(first.origin)) == {"boxes"}
    assert len(set(source.describe(last.origin))) == 50
    source.close()


def test_columns_are_those_of_the_fixes_port(database):
    database[0]["boxes"].insert_one(box())
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS))
    fixes = source.read([VehicleTimes("D1")]).fixes
    assert {name for name, _ in fixes.columns()} <= set(COLUMN_NAMES)
    assert fixes.speed_mps.tolist() == [10.0]
    assert len(source.read([VehicleTimes("nobody"), VehicleTimes("")]).fixes) == 0
    source.close()


def test_who_else_uses_the_server_is_told_without_us_or_said_not_to_be_known(database, mongodb_url):
    from pymongo import MongoClient

    database[0]["boxes"].insert_many([box(second) for second in range(300)])
    source = MongodbVehicles(database[1], mapping_of(DOCUMENTS))
    other: MongoClient = MongoClient(mongodb_url, appname="reports")
    cursor = other[database[0].name]["boxes"].find(batch_size=2)
    next(cursor)
    found = source.other_clients()
    source.close()
    cursor.close()
    other.close()
    if found.unknown is not None:
        assert found.clients == ()
        assert found.unknown.strip()
    else:
        applications = {each.application for each in found.clients}
        assert "reports" in applications
        assert "journeymesh" not in applications
