"""Exporting and deleting legacy documents by vehicle: the server of ``JOURNEYMESH_TEST_MONGODB``."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import bson
import pytest

from journeymesh.errors import UsageError
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb_remover import MongodbRemover

MAPPING = """
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
"""


@pytest.fixture
def database(mongodb_url: str) -> Iterator[tuple[str, Any]]:
    pymongo = pytest.importorskip("pymongo")
    name = f"remover_{uuid4().hex[:10]}"
    client = pymongo.MongoClient(mongodb_url)
    yield urlsplit(mongodb_url)._replace(path=f"/{name}").geturl(), client[name]
    client.drop_database(name)
    client.close()


def test_the_documents_of_these_vehicles_and_no_others_are_exported_whole_and_deleted(
    database: tuple[str, Any],
) -> None:
    url, held = database
    at = datetime(2024, 5, 1, tzinfo=UTC)
    devices = ["A", "B", 123, "123", "C"]
    held.boxes.insert_many(
        [
            {"_id": k, "device": devices[k % 5], "t": at, "lat": 52.0, "lon": 5.0, "note": "not mapped"}
            for k in range(50)
        ]
    )
    remover = MongodbRemover(url, load_mapping(MAPPING))
    exported = [bson.decode(document) for document in remover.raw_documents(["A", "123"])]
    assert [document["_id"] for document in exported] == [k for k in range(50) if devices[k % 5] in ("A", 123, "123")]
    assert all(document["note"] == "not mapped" for document in exported)
    assert remover.remove_vehicles(["A", "123"]) == 30
    assert remover.remove_vehicles(["A", "123"]) == 0
    assert held.boxes.count_documents({}) == 20
    remover.close()


def test_nothing_is_removed_for_no_vehicle(database: tuple[str, Any]) -> None:
    url, held = database
    held.boxes.insert_one({"device": "A"})
    remover = MongodbRemover(url, load_mapping(MAPPING))
    assert remover.remove_vehicles([]) == 0
    assert list(remover.raw_documents([])) == []
    assert held.boxes.count_documents({}) == 1
    remover.close()


def test_documents_that_may_hold_several_vehicles_are_not_removed() -> None:
    mixed = MAPPING.replace("boxes", "boxes\nlayout: embedded")
    for name in ("device", "t", "lat", "lon"):
        mixed = mixed.replace(f"path: {name}", f'path: "s[].{name}"')
    with pytest.raises(UsageError, match="several vehicles"):
        MongodbRemover("mongodb://nowhere/telematics", load_mapping(mixed))


@pytest.mark.parametrize("where", ["{kind: position}", "{event.kind: position}"])
def test_only_documents_that_meet_the_conditions_are_removed(database: tuple[str, Any], where: str) -> None:
    url, held = database
    kinds = ["position", "battery", ["position"], None]
    held.boxes.insert_many(
        [{"_id": k, "device": "A", "kind": kind, "event": {"kind": kind}} for k, kind in enumerate(kinds)]
    )
    remover = MongodbRemover(url, load_mapping(f"where: {where}\n{MAPPING}"))
    assert [bson.decode(document)["_id"] for document in remover.raw_documents(["A"])] == [0]
    assert remover.remove_vehicles(["A"]) == 1
    assert sorted(document["_id"] for document in held.boxes.find({}, {"_id": 1})) == [1, 2, 3]
    remover.close()
