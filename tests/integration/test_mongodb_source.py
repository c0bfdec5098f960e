"""A live MongoDB as a source: the server of ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import bson
import pytest
from bson.raw_bson import RawBSONDocument

from journeymesh.errors import SourceMissing, SourceUnreadable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.safe_text import shown_url
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_check import check_mapping
from journeymesh.sources.mongodb import MongodbSource, projection

START = datetime(2024, 5, 1, tzinfo=UTC)
BOXES = load_mapping("""
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: loc.coordinates.1}
  lon: {path: loc.coordinates.0}
policies: {collection: covers, number: {path: n}, device: {path: d}, valid_from: {path: from, clock: bson_date}}
""")


@pytest.fixture
def database(mongodb_url):
    from pymongo import MongoClient

    parts = urlsplit(mongodb_url)
    name = f"jm{uuid.uuid4().hex[:12]}"
    client: MongoClient = MongoClient(mongodb_url)
    yield client[name], parts._replace(path=f"/{name}").geturl()
    client.drop_database(name)
    client.close()


def box(number: object, second: int, **changes: object) -> dict:
    place = {"type": "Point", "coordinates": [4.0, 50.0]}
    return {"_id": number, "device": "D1", "t": START + timedelta(seconds=second), "loc": place, "x": "y", **changes}


def read(source: MongodbSource, resume: str | None = None):
    batches = list(source.batches(resume))
    fixes = Fixes.concat([batch.fixes for batch in batches])
    return batches, fixes, [refusal for batch in batches for refusal in batch.refusals]


def test_every_document_comes_once_and_reading_can_be_taken_up_at_any_batch(database):
    collection, url = database[0]["boxes"], database[1]
    collection.insert_many([box(number, number) for number in range(50)])
    source = MongodbSource(url, BOXES, batch_documents=7)
    batches, fixes, refusals = read(source)
    assert (len(fixes), refusals) == (50, [])
    assert len(batches) >= 7
    done = 0
    for batch in batches:
        done += len(batch.fixes)
        assert sum(len(rest.fixes) for rest in source.batches(batch.resume)) == 50 - done
    places = source.describe(fixes.origin[[49, 0, 13]])
    assert places == [f"boxes/{number}" for number in (49, 0, 13)]
    source.close()


def test_ids_of_several_types_are_all_read_after_a_resume(database):
    collection, url = database[0]["boxes"], database[1]
    ids = [1, 2.5, "a", "b", bson.ObjectId(b"123456789012"), START]
    collection.insert_many([box(identity, second) for second, identity in enumerate(ids)])
    source = MongodbSource(url, BOXES, batch_documents=2)
    batches, fixes, _ = read(source)
    assert len(fixes) == 6
    assert len(read(source, batches[0].resume)[1]) == 6 - len(batches[0].fixes)


def test_a_refused_document_is_named_and_policies_are_read(database):
    database[0]["boxes"].insert_many([box(1, 1), box(2, 2, t="late")])
    database[0]["covers"].insert_one({"n": "P1", "d": "D1", "from": START})
    source = MongodbSource(database[1], BOXES)
    _, fixes, (refusal,) = read(source)
    assert (len(fixes), refusal.reason) == (1, "clock_unparseable")
    assert refusal.origin == "boxes/2"
    assert [policy.number for policy in source.policies()] == ["P1"]
    assert check_mapping(source, BOXES.fields).inputs == 2


def test_a_policy_whose_text_is_not_utf_8_is_refused_and_the_others_are_read(database):
    database[0]["boxes"].insert_one(box(1, 1))
    database[0]["covers"].insert_one({"_id": 1, "n": "P1", "d": "D1", "from": START})
    broken = bson.encode({"_id": 2, "n": "PX", "d": "D2", "from": START}).replace(b"PX\0", b"\xff\xfe\0")
    database[0]["covers"].insert_one(RawBSONDocument(broken))
    raw = database[0].get_collection("covers", codec_options=bson.CodecOptions(RawBSONDocument))
    if b"\xff\xfe" not in raw.find_one({"_id": 2}).raw:
        pytest.skip("the server writes text anew that is not UTF-8")
    found = MongodbSource(database[1], BOXES).policies()
    assert [policy.number for policy in found] == ["P1"]
    (refusal,) = found.refusals
    assert (refusal.origin, refusal.detail) == ("covers/2", "the document cannot be decoded")


def test_a_missing_collection_is_named_with_those_that_are_there(database):
    database[0]["others"].insert_one({})
    with pytest.raises(SourceMissing, match="no collection 'boxes', only others"):
        MongodbSource(database[1], BOXES)


def test_a_server_that_is_not_there_is_one_line_without_the_password():
    with pytest.raises(SourceUnreadable) as caught:
        MongodbSource("mongodb://me:s3cret@127.0.0.1:1/db?serverSelectionTimeoutMS=200", BOXES)
    assert "mongodb://127.0.0.1:1/db" in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mongodb://me:s3/c@ret@h/db", "mongodb://me:s3?cret@h/db", "mongodb://h:port/db"])
def test_a_url_that_cannot_be_understood_never_shows_its_password(url):
    with pytest.raises((UsageError, SourceUnreadable)) as caught:
        MongodbSource(url, BOXES)
    assert "s3" not in str(caught.value)
    assert "s3" not in shown_url(url)


@pytest.mark.parametrize("path", ["kind", "event.kind"])
def test_documents_that_are_not_for_us_are_neither_fixes_nor_refused(database, path):
    from msgspec.structs import replace

    collection, url = database[0]["boxes"], database[1]
    kinds = ["position", "battery", "position", None, 5, ["position"]]
    documents = [box(number, number, kind=kind, event={"kind": kind}) for number, kind in enumerate(kinds)]
    documents[1].pop("t")  # would be refused, were it ours
    collection.insert_many(documents)
    for wanted, ours in (("position", [0, 2]), (("position", 5), [0, 2, 4]), (None, [3])):
        source = MongodbSource(url, replace(BOXES, where={path: wanted}))
        _, fixes, refusals = read(source)
        assert ((fixes.fixed_at_us - int(START.timestamp() * 1e6)) // 1_000_000).tolist() == ours
        assert refusals == []
        assert source.describe(fixes.origin) == [f"boxes/{number}" for number in ours]
        source.close()


def test_several_collections_are_read_one_after_the_other_and_taken_up_where_each_was_left(database):
    from msgspec.structs import replace

    held, url = database
    for month in (1, 2, 3):
        held[f"boxes_{month}"].insert_many([box(number, 10 * month + number) for number in range(4)])
    held["other"].insert_one({"x": 1})
    source = MongodbSource(url, replace(BOXES, named="boxes_*"), batch_documents=3)
    batches, fixes, _ = read(source)
    assert source.describe(fixes.origin) == [f"boxes_{month}/{number}" for month in (1, 2, 3) for number in range(4)]
    states = {item.name.partition(".")[2]: item.state for item in source.items()}
    assert {name for name, state in states.items() if state == "read"} == {"boxes_1", "boxes_2", "boxes_3", "covers"}
    assert states["other"] == "skipped"
    for number, batch in enumerate(batches):
        _, rest, _ = read(source, batch.resume)
        assert len(rest) == 12 - sum(len(one.fixes) for one in batches[: number + 1])
    held["boxes_0"].insert_one(box(0, 0))
    held["boxes_1"].insert_one(box(9, 9))
    later = MongodbSource(url, replace(BOXES, named="boxes_*"))
    _, fixes, _ = read(later, batches[-1].resume)
    assert later.describe(fixes.origin) == ["boxes_0/0", "boxes_1/9"]
    source.close()
    later.close()
    with pytest.raises(SourceMissing, match="no collection 'trips_"):
        MongodbSource(url, replace(BOXES, named="trips_*"))


def test_keys_with_a_dot_in_them_are_read_where_they_are_quoted(database):
    mapping = load_mapping("""
collection: boxes
where: {'"kind.of"': fix, '"plain"': 1}
fields:
  vehicle: {path: '"device.id"'}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: 'gps."p.lat"'}
  lon: {path: 'gps."p.lon"'}
""")
    keyed = {"kind.of": "fix", "plain": 1, "device.id": "D1", "gps": {"p.lat": 50.5, "p.lon": 4.5}}
    documents = [{"_id": n, "t": START} | keyed | {"device.id": f"D{n}"} for n in range(3)]
    documents.append({"_id": 3, "t": START} | keyed | {"kind.of": "event"})
    database[0]["boxes"].insert_many(documents)
    assert projection(mapping) is None
    source = MongodbSource(database[1], mapping)
    batches, fixes, refusals = read(source)
    source.close()
    assert (sorted(fixes.vehicles), refusals, sum(batch.others for batch in batches)) == (["D0", "D1", "D2"], [], 1)
    assert set(fixes.lat_deg.tolist()) == {50.5}


def test_only_what_stands_beside_a_key_with_a_dot_is_asked_for_as_a_whole():
    text = """
collection: boxes
fields:
  vehicle: {path: device.id}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: 'gps."p.lat"'}
  lon: {path: loc.0}
"""
    assert projection(load_mapping(text)) == ["device.id", "gps", "loc", "t"]
