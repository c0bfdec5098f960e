"""Change events as a server sends them, with and without pre-images."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import bson
import pytest

from journeymesh.errors import SourceUnreadable
from journeymesh.sources.change_events import ChangeDecoder
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, ChangeBatch

START = datetime(2024, 5, 1, tzinfo=UTC)
START_US = int(START.timestamp()) * 1_000_000
BOXES = load_mapping("""
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
policies: {collection: covers, number: {path: n}, device: {path: d}, valid_from: {path: from, clock: bson_date}}
""")


def digest(identity: object) -> int:
    element = bson.encode({"v": identity})
    return int.from_bytes(blake2b(element[4:5] + element[7:-1], digest_size=8).digest(), "little", signed=True)


def box(identity: object, device: object = "D1", second: int = 0) -> dict:
    return {"_id": identity, "device": device, "t": START + timedelta(seconds=second), "lat": 50.0, "lon": 4.0}


def event(operation: str, identity: object = None, coll: str = "boxes", **parts: object) -> bytes:
    held: dict = {"_id": {"_data": "00"}, "operationType": operation, "wallTime": START, **parts}
    if coll:
        held["ns"] = {"db": "fleet", "coll": coll}
    if identity is not None:
        held["documentKey"] = {"_id": identity}
    return bson.encode(held)


def decoded(*events: bytes) -> ChangeBatch:
    return ChangeDecoder(BOXES).batch(events, "here")


def spans(places) -> list[tuple]:
    return [(place.document, place.vehicle, (place.first_us - START_US) // 1_000_000) for place in places]


def test_an_insert_is_placed_where_it_is_now():
    batch = decoded(event("insert", 1, fullDocument=box(1, "D7", 5)))
    assert spans(batch.placed) == [(digest(1), "D7", 5)]
    assert (list(batch.left), batch.unplaced, batch.origins) == ([], [], ["boxes/1"])
    assert (batch.events, batch.position, batch.last_event_at) == (1, "here", START)


@pytest.mark.parametrize("operation", ["update", "replace"])
def test_a_changed_document_left_where_its_pre_image_was(operation):
    batch = decoded(
        event(operation, 1, fullDocument=box(1, "D2", 9), fullDocumentBeforeChange=box(1, "D1", 3)),
    )
    assert spans(batch.placed) == [(digest(1), "D2", 9)]
    assert spans(batch.left) == [(digest(1), "D1", 3)]
    assert batch.unplaced == []


@pytest.mark.parametrize("missing", [{}, {"fullDocumentBeforeChange": None}])
def test_without_a_pre_image_a_changed_or_deleted_document_is_unplaced(missing):
    batch = decoded(
        event("update", 1, fullDocument=box(1, "D2", 9), **missing),
        event("delete", "two", **missing),
        event("update", 3, fullDocument=None, **missing),
        event("delete", 3, **missing),
    )
    assert spans(batch.placed) == [(digest(1), "D2", 9)]
    assert batch.unplaced == [digest(1), digest("two"), digest(3)]
    assert batch.origins == ["boxes/1", "boxes/two", "boxes/3"]


def test_of_a_document_that_changed_several_times_only_the_last_place_counts():
    batch = decoded(
        event("insert", 1, fullDocument=box(1, "D1", 1)),
        event("replace", 1, fullDocument=box(1, "D1", 2)),
        event("insert", 2, fullDocument=box(2, "D1", 3)),
        event("delete", 2),
        event("delete", 4),
        event("insert", 4, fullDocument=box(4, "D1", 4)),
    )
    assert spans(batch.placed) == [(digest(1), "D1", 2), (digest(4), "D1", 4)]
    assert spans(batch.left) == [(digest(1), "D1", 1), (digest(2), "D1", 3)]
    assert batch.unplaced == [digest(4)]


def test_a_document_without_a_clock_has_its_whole_vehicle_as_its_span():
    batch = decoded(event("insert", 1, fullDocument={"_id": 1, "device": "D1", "t": "late"}))
    assert [(place.first_us, place.last_us) for place in batch.placed] == [(BEGINNING_US, END_US)]


def test_a_document_without_a_vehicle_is_told_as_a_refusal():
    batch = decoded(event("insert", 1, fullDocument={"_id": 1, "t": START}))
    assert (len(batch.placed), batch.origins) == (0, ["boxes/1"])
    assert [(refusal.reason, refusal.origin) for refusal in batch.refusals] == [("vehicle_missing", "boxes/1")]


@pytest.mark.parametrize(
    ("events", "everything", "policies"),
    [
        ([event("drop")], True, False),
        ([event("rename", to={"db": "fleet", "coll": "old"})], True, False),
        ([event("rename", coll="fresh", to={"db": "fleet", "coll": "boxes"})], True, False),
        ([event("dropDatabase", coll="")], True, True),
        ([event("invalidate", coll="")], True, True),
        ([event("insert", 1, coll="covers", fullDocument={"_id": 1})], False, True),
        ([event("delete", 1, coll="covers")], False, True),
        ([event("drop", coll="covers")], False, True),
        ([event("rename", coll="x", to={"db": "fleet", "coll": "covers"})], False, True),
        ([event("drop", coll="x")], False, False),
        ([event("insert", 1, fullDocument=box(1))], False, False),
    ],
)
def test_what_was_dropped_or_renamed_says_what_may_be_gone(events, everything, policies):
    batch = decoded(*events)
    assert (batch.everything, batch.policies_changed) == (everything, policies)
    assert batch.events == 1


def test_a_writer_of_policies_places_no_documents():
    batch = decoded(event("insert", 1, coll="covers", fullDocument=box(1)))
    assert (len(batch.placed), batch.origins) == (0, [])


def test_no_events_are_an_empty_batch_and_noise_is_refused():
    assert decoded() == ChangeBatch("here")
    with pytest.raises(SourceUnreadable, match="malformed"):
        decoded(event("insert", 1)[:-1] + b"\1")
    with pytest.raises(SourceUnreadable, match="without its key"):
        decoded(event("insert"))
