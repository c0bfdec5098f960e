"""A live MongoDB followed: the server of ``JOURNEYMESH_TEST_MONGODB``."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from journeymesh.errors import SourceUnreadable
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodb_vehicles import MongodbVehicles
from journeymesh.sources.vehicle_port import ChangeStream, PositionLost, VehicleSource

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

    name = f"jm{uuid.uuid4().hex[:12]}"
    client: MongoClient = MongoClient(mongodb_url)
    client[name]["boxes"].insert_one(box(-1))
    yield client[name], urlsplit(mongodb_url)._replace(path=f"/{name}").geturl()
    client.drop_database(name)
    client.close()


@pytest.fixture
def source(database):
    opened = MongodbVehicles(database[1], BOXES)
    yield opened
    opened.close()


def box(number: int, device: str = "D1") -> dict:
    place = {"type": "Point", "coordinates": [4.0, 50.0]}
    return {"_id": number, "device": device, "t": START + timedelta(seconds=number), "loc": place, "x": "y"}


def drained(stream: ChangeStream, events: int, limit: int = 1000, wait_s: float = 5.0) -> list:
    batches = []
    while sum(batch.events for batch in batches) < events:
        batches.append(stream.next_batch(wait_s, limit))
        assert batches[-1].events, "the stream fell silent"
    return batches


def test_the_source_is_a_vehicle_source(source):
    asked: VehicleSource = source
    assert asked.name.startswith("mongodb://")


def test_every_write_after_a_position_comes_once_and_in_order(database, source):
    collection = database[0]["boxes"]
    position = source.position()
    collection.insert_many([box(number) for number in range(40)])
    stream = source.changes(position)
    batches = drained(stream, 40, limit=7)
    assert max(batch.events for batch in batches) <= 7
    assert [origin for batch in batches for origin in batch.origins] == [f"boxes/{number}" for number in range(40)]
    assert [place.vehicle for batch in batches for place in batch.placed] == ["D1"] * 40
    assert stream.next_batch(0.0).events == 0
    for batch in batches:  # any position is good in another process
        again = source.changes(json.loads(json.dumps(batch.position)))
        after = 40 - 1 - int(batch.origins[-1].split("/")[1])
        assert sum(one.events for one in drained(again, after)) == after
        again.close()
    stream.close()


def test_changes_say_where_documents_are_and_which_are_gone(database, source):
    collection = database[0]["boxes"]
    stream = source.changes(source.position())
    collection.insert_many([box(1), box(2), box(3)])
    drained(stream, 3)
    collection.update_one({"_id": 1}, {"$set": {"device": "D9"}})
    collection.replace_one({"_id": 2}, box(2, "D8"))
    collection.delete_one({"_id": 3})
    batch = _joined(drained(stream, 3))
    assert batch["placed"] == {"D9", "D8"}
    assert len(batch["left"] | batch["unplaced"]) == 3
    assert batch["origins"] == ["boxes/1", "boxes/2", "boxes/3"]
    stream.close()


def _joined(batches) -> dict:
    return {
        "placed": {place.vehicle for batch in batches for place in batch.placed},
        "left": {place.document for batch in batches for place in batch.left},
        "unplaced": {document for batch in batches for document in batch.unplaced},
        "origins": [origin for batch in batches for origin in batch.origins],
    }


def test_policies_and_drops_are_told_and_the_stream_goes_on(database, source):
    stream = source.changes(source.position())
    database[0]["covers"].insert_one({"n": "P1", "d": "D1", "from": START})
    database[0]["others"].insert_one({"n": "P1"})
    (policies,) = drained(stream, 1)
    assert (policies.policies_changed, policies.everything, len(policies.placed)) == (True, False, 0)
    database[0]["boxes"].drop()
    assert any(batch.everything for batch in drained(stream, 1))
    database[0]["boxes"].insert_one(box(5))
    (batch,) = drained(stream, 1)
    assert (batch.origins, batch.everything) == (["boxes/5"], False)
    stream.close()


def test_an_empty_batch_comes_about_when_it_should_and_its_position_moves_on(database, source):
    position = source.position()
    stream = source.changes(position)
    began = time.monotonic()
    empty = stream.next_batch(0.2)
    assert 0.2 <= time.monotonic() - began < 1.0
    assert (empty.events, empty.last_event_at) == (0, None)
    for number in range(3):
        database[0]["elsewhere"].insert_one({"_id": number})
    moved = stream.next_batch(0.2)
    assert moved.events == 0
    assert moved.position != position
    stream.close()


def test_a_change_comes_soon(database, source):
    stream = source.changes(source.position())
    waits = []

    def put(number: int) -> None:
        time.sleep(0.05)
        sent.append(time.monotonic())
        database[0]["boxes"].insert_one(box(number))

    for number in range(20):
        sent: list[float] = []
        writer = threading.Thread(target=put, args=(number,))
        writer.start()
        assert stream.next_batch(5.0).events == 1
        waits.append(time.monotonic() - sent[0])
        writer.join()
    assert sorted(waits)[10] < 0.05
    stream.close()


def test_a_position_that_the_server_lost_is_said_to_be_lost(source):
    for position in ('{"_data": "0000000000000001"}', "nonsense", "{}", "[]"):
        with pytest.raises(PositionLost, match="position"):
            source.changes(position)


class CutWire:
    """A wire to the server that can be cut, for all connections at once."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._open: list[socket.socket] = []
        self.is_down = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            if self.is_down:
                here.close()
                continue
            there = socket.create_connection(self._to)
            self._open += [here, there]
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        try:
            while content := one.recv(65536):
                other.sendall(content)
        except OSError:
            return

    def cut(self) -> None:
        for end in self._open:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.cut()


def test_a_connection_that_breaks_loses_and_repeats_nothing(database):
    parts = urlsplit(database[1])
    wire = CutWire(parts.hostname or "", parts.port or 27017)
    options = "directConnection=true&serverSelectionTimeoutMS=1500"
    source = MongodbVehicles(f"mongodb://127.0.0.1:{wire.port}{parts.path}?{options}", BOXES)
    stream = source.changes(source.position())
    collection = database[0]["boxes"]
    seen: list[str] = []
    refused = 0
    for turn in range(6):
        collection.insert_many([box(turn * 50 + number) for number in range(50)])
        seen += stream.next_batch(1.0, 20).origins
        wire.cut()
        wire.is_down = turn % 3 == 2
        if wire.is_down:
            # What the driver had received may still come; then the server is missed.
            try:
                while True:
                    seen += stream.next_batch(0.1, 20).origins
            except SourceUnreadable:
                refused += 1
            wire.is_down = False
    deadline = time.monotonic() + 20
    while len(seen) < 300 and time.monotonic() < deadline:
        seen += stream.next_batch(0.5, 33).origins
    assert seen == [f"boxes/{number}" for number in range(300)]
    assert refused == 2
    stream.close()
    source.close()
    wire.close()


def test_a_closed_stream_says_so(source):
    stream = source.changes(source.position())
    stream.close()
    stream.close()
    with pytest.raises(SourceUnreadable, match="no longer followed"):
        stream.next_batch(0.0)
