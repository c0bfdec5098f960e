"""The vehicle of documents that do not name one: a constant, in their collection's name or in their file's path."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import bson
import pytest
from tests.support.mongodumps import archive

from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.wiring.journeys import open_source, open_vehicle_source

MAPPING = """
collection: box_*
fields:
  vehicle: {VEHICLE}
  fixed_at: {path: t, clock: epoch_s}
  lat: {path: lat}
  lon: {path: lon}
"""
BY_NAME = "collection: '^box_(.+)'"
BOXES = {"box_7": [1, 2], "box_V 8": [3]}


def documents(seconds: list[int]) -> list[dict[str, Any]]:
    return [{"_id": f"f{at}", "t": at, "lat": 52.5, "lon": 5.25} for at in seconds]


def found_in(place: str, folder: Path, vehicle: str) -> list[tuple[str, int]]:
    (folder / "m.yaml").write_text(MAPPING.replace("VEHICLE", vehicle))
    source = open_source(place, folder / "m.yaml")
    fixes = [batch.fixes for batch in source.batches()]
    source.close()
    return sorted(
        (one.vehicles[code], us // 10**6)
        for one in fixes
        for code, us in zip(one.vehicle.tolist(), one.fixed_at_us.tolist(), strict=True)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dump" / "telematics").mkdir(parents=True)
    for name, seconds in BOXES.items():
        path = tmp_path / "dump" / "telematics" / f"{name.replace(' ', '%20')}.bson"
        path.write_bytes(b"".join(map(bson.encode, documents(seconds))))
    return tmp_path


def test_a_dumps_collections_name_their_vehicles(folder: Path) -> None:
    wanted = [("7", 1), ("7", 2), ("V 8", 3)]
    assert found_in(str(folder / "dump"), folder, BY_NAME) == wanted
    assert found_in(str(folder / "dump"), folder, "file: 'box_([^/]+).bson$'") == wanted
    assert found_in(str(folder / "dump"), folder, "value: V1") == [("V1", 1), ("V1", 2), ("V1", 3)]


def test_one_file_of_documents_names_its_vehicle(folder: Path) -> None:
    path = folder / "dump" / "telematics" / "box_7.bson"
    assert found_in(str(path), folder, BY_NAME) == [("7", 1), ("7", 2)]


def test_an_archives_collections_name_their_vehicles(folder: Path) -> None:
    blocks = [(name, b"".join(map(bson.encode, documents(seconds)))) for name, seconds in BOXES.items()]
    (folder / "a.archive").write_bytes(archive(blocks))
    assert found_in(str(folder / "a.archive"), folder, BY_NAME) == [("7", 1), ("7", 2), ("V 8", 3)]


def test_a_live_mongodbs_collections_name_their_vehicles(tmp_path: Path, mongodb_url: str) -> None:
    from pymongo import MongoClient

    name = f"jm{uuid4().hex[:12]}"
    place = urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        for collection, seconds in BOXES.items():
            client[name][collection].insert_many(documents(seconds))
        try:
            assert found_in(place, tmp_path, BY_NAME) == [("7", 1), ("7", 2), ("V 8", 3)]
            with pytest.raises(MappingInvalid, match="a database has no files"):
                found_in(place, tmp_path, "file: x")
        finally:
            client.drop_database(name)


def test_a_collection_that_says_nothing_of_a_vehicle_stops_the_run(folder: Path) -> None:
    with pytest.raises(MappingInvalid, match="collection box_V 8 does not match"):
        found_in(str(folder / "dump"), folder, "collection: '^box_([0-9]+)'")


def test_files_are_in_no_collection(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("t,lat,lon\n1,52.5,5.25\n")
    with pytest.raises((MappingInvalid, SourceUnreadable), match="a file is in no collection"):
        found_in(str(tmp_path / "c.csv"), tmp_path, BY_NAME)


def test_what_is_asked_by_vehicle_needs_it_in_the_documents(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MAPPING.replace("VEHICLE", BY_NAME))
    with pytest.raises(MappingInvalid, match="needs it in the documents"):
        open_vehicle_source("mongodb://127.0.0.1:1/x", tmp_path / "m.yaml")
