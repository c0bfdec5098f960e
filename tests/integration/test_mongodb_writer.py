"""Fixes written back to a live MongoDB: the server of ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb_vehicles import MongodbVehicles
from journeymesh.sources.mongodb_writer import MongodbFixWriter, fix_id
from journeymesh.sources.vehicle_port import FixWriter, VehicleTimes

NOON_US = 1_714_564_800_000_000
TEXT = """
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: loc.coordinates.1}
  lon: {path: loc.coordinates.0}
  speed: {path: v, unit: km/h}
"""
BOXES = load_mapping(TEXT)


@pytest.fixture
def database(mongodb_url):
    from pymongo import MongoClient

    name = f"jm{uuid.uuid4().hex[:12]}"
    client: MongoClient = MongoClient(mongodb_url)
    client[name].create_collection("boxes")
    yield client[name], urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    client.drop_database(name)
    client.close()


@pytest.fixture
def writer(database):
    opened = MongodbFixWriter(database[1], BOXES)
    yield opened
    opened.close()


def drive(count: int) -> Fixes:
    rows = np.arange(count)
    us = NOON_US + rows * 1_000_000
    vehicle = (rows % 3).astype(np.int32)
    return Fixes(("A", "B", "C"), vehicle, us, 50 + rows / 1e4, 4 - rows / 1e4, speed_mps=(rows % 130) * (1 / 3.6))


def test_what_is_put_is_read_as_the_very_same_fixes(database, writer):
    port: FixWriter = writer
    fixes = drive(500)
    assert port.put(fixes) == 0
    source = MongodbVehicles(database[1], BOXES)
    assert source.vehicles() == ["A", "B", "C"]
    read = source.read([VehicleTimes(name) for name in ("A", "B", "C")])
    assert read.refusals == []
    order, same = np.argsort(fixes.fixed_at_us), np.argsort(read.fixes.fixed_at_us)
    for name in ("fixed_at_us", "lat_deg", "lon_deg", "speed_mps"):
        np.testing.assert_array_equal(getattr(fixes, name)[order], getattr(read.fixes, name)[same])
    codes = read.fixes.vehicle[same].tolist()
    assert [read.fixes.vehicles[code] for code in codes] == [fixes.vehicles[code] for code in fixes.vehicle[order]]
    source.close()


def test_putting_again_changes_nothing_and_says_how_many_were_there(database, writer):
    assert writer.put(drive(20)) == 0
    before = list(database[0]["boxes"].find().sort("_id"))
    assert writer.put(drive(30)) == 20
    faster = replace(drive(30), speed_mps=np.full(30, 40.0))
    assert writer.put(faster) == 30
    assert database[0]["boxes"].count_documents({}) == 30
    ids = {document["_id"] for document in before}
    assert [one for one in database[0]["boxes"].find().sort("_id") if one["_id"] in ids] == before


def test_a_fix_given_twice_is_one_document(database, writer):
    assert writer.put(Fixes.concat([drive(5), drive(5)])) == 0
    assert database[0]["boxes"].count_documents({}) == 5
    assert writer.put(Fixes.empty()) == 0


def test_an_id_follows_from_vehicle_instant_and_place_and_tells_nothing():
    one = fix_id("NL-01-AB", NOON_US, 50.0, 4.0)
    assert re.fullmatch(r"journeymesh:[0-9a-f]{26}", one)
    assert one == fix_id("NL-01-AB", NOON_US, 50.0, 4.0)
    others = [("NL-01-AC", NOON_US, 50.0, 4.0), ("NL-01-AB", NOON_US + 1, 50.0, 4.0), ("NL-01-AB", NOON_US, 50.0, 4.1)]
    assert len({one, *(fix_id(*other) for other in others)}) == 4


def test_several_writers_of_the_same_fixes_leave_each_once(database, writer):
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: writer.put(drive(200)), range(4)))
    assert database[0]["boxes"].count_documents({}) == 200


def test_what_the_clock_cannot_hold_is_refused_and_nothing_of_it_written(database, writer):
    fixes = drive(10)
    finer = replace(fixes, fixed_at_us=fixes.fixed_at_us + (np.arange(10) == 4))
    with pytest.raises(UsageError, match="1 of 10 fixes"):
        writer.put(finer)
    assert database[0]["boxes"].count_documents({}) == 0


def test_a_collection_that_refuses_is_told_without_the_document(database, writer):
    database[0]["boxes"].create_index("device", unique=True)
    with pytest.raises(SourceUnreadable, match="writes failed, the first with code 11000") as caught:
        writer.put(drive(9))
    assert "50." not in str(caught.value)


def test_a_mapping_of_buckets_is_refused_before_anything_is_opened():
    buckets = TEXT.replace("collection: boxes", "collection: boxes\nlayout: embedded").replace(
        "path: t,", 'path: "s[].t",'
    )
    with pytest.raises(UsageError, match="layout embedded keeps several fixes"):
        MongodbFixWriter("mongodb://127.0.0.1:1/none", load_mapping(buckets))
