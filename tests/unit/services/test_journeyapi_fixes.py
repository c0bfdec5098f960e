"""Fixes handed in over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from journeymesh.errors import UsageError
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.identity.identity import Identity
from journeymesh.journeys.fixes import FIX_SCHEMA, Fixes
from journeymesh.journeys.rules import BUILT_IN
from journeymesh.services.journeyapi.ingest import StoreTaker
from journeymesh.services.journeyapi.kept_answers import KeptAnswers, answers_database, key_of
from journeymesh.services.journeyapi.ports import RefusedFix
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, StoreBatch
from tests.support.deciding import Told
from tests.support.journeyapis import FOREIGN, NOON, POLICY, Served

ARROW = "application/vnd.apache.arrow.stream"
RULES = BUILT_IN["always-on"]


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[KeptAnswers]:
    database = answers_database(f"sqlite:///{tmp_path}/answers.db")
    database.migrate()
    yield KeptAnswers(database)
    database.close()


def policies_only() -> MemoryStore:
    store = MemoryStore()
    store.write(StoreBatch(policies=[POLICY, FOREIGN]))
    return store


def drive(vehicle: str = "car-1", count: int = 120) -> list[dict[str, object]]:
    """A drive northwards, a fix every five seconds."""
    return [
        {
            "vehicle": vehicle,
            "fixed_at": (NOON + timedelta(seconds=5 * n)).isoformat(),
            "lat_deg": 51.5 + 0.0005 * n,
            "lon_deg": -0.1,
        }
        for n in range(count)
    ]


class Post:
    def __init__(
        self, kept: KeptAnswers, store: MemoryStore | None = None, decisions: Told | None = None, taker=None
    ) -> None:
        self.store = store or policies_only()
        self.served = Served(self.store, decisions or Told(), taker=taker or StoreTaker(self.store, RULES), kept=kept)

    def __enter__(self) -> Post:
        self.served.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.served.__exit__(*error)

    def __call__(self, rows: object, key: str | None = "k1", **headers: str):
        named = {"authorization": "Bearer analyst", **({} if key is None else {"idempotency-key": key}), **headers}
        if isinstance(rows, bytes):
            return self.served.client.post("/v1/fixes", content=rows, headers=named)
        return self.served.client.post("/v1/fixes", json={"fixes": rows}, headers=named)


def test_fixes_become_journeys_and_those_that_cannot_be_taken_are_listed(kept: KeptAnswers) -> None:
    rows = drive()
    rows[7] |= {"fixed_at": "noon"}
    rows[9] |= {"lat_deg": None}
    rows[11] |= {"lat_deg": 99.0}
    with Post(kept) as post:
        answer = post(rows)
        assert answer.status_code == 200
        told = answer.json()
        assert told["accepted"] == 117
        assert [(each["row"], each["reason"]) for each in told["refused"]] == [
            (7, "clock_unparseable"),
            (9, "position_missing"),
            (11, "position_outside_world"),
        ]
        assert told["again"] is False
        assert len(post.store.journeys(JourneyQuery(policy="P-1"))) == 1
        assert {refusal.reason for _, refusal in post.store.refusals(RefusalQuery())} == {
            "position_missing",
            "position_outside_world",
        }


def test_a_batch_sent_again_is_answered_as_before_and_nothing_is_done_twice(kept: KeptAnswers) -> None:
    with Post(kept) as post:
        first, position = post(drive()).json(), post.store.changes(None).position
        again = post(drive()).json()
        assert again == {**first, "again": True}
        assert post.store.changes(None).position == position


def test_a_key_used_for_another_batch_is_422(kept: KeptAnswers) -> None:
    with Post(kept) as post:
        assert post(drive()).status_code == 200
        assert post(drive(count=60)).status_code == 422


def test_two_clients_may_use_one_key() -> None:
    who = [Identity(provider="static", subject=name, tenant=tenant) for name in ("a", "b") for tenant in ("n", "s")]
    assert key_of(who[0], "k") == key_of(who[0], "k")
    assert len({key_of(each, "k") for each in who}) == 4, "nor does who changes tenants find what they were answered"


def test_a_batch_under_way_is_409(kept: KeptAnswers) -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow:
        def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:
            entered.set()
            leave.wait(10)
            return ()

    with Post(kept, taker=Slow()) as post:
        answers: list[int] = []
        first = threading.Thread(target=lambda: answers.append(post(drive()).status_code))
        first.start()
        assert entered.wait(10)
        second = post(drive())
        leave.set()
        first.join()
        assert second.status_code == 409
        assert second.headers["retry-after"]
        assert answers == [200]


def test_without_a_key_or_of_another_media_type_nothing_is_taken(kept: KeptAnswers) -> None:
    with Post(kept) as post:
        assert post(drive(), key=None).status_code == 400
        assert post(b"<x/>", **{"content-type": "application/xml"}).status_code == 415
        assert post(b"{", **{"content-type": "application/json"}).status_code == 400
        assert post(b'{"fixes":1}', **{"content-type": "application/json"}).status_code == 422
        assert post(b"nonsense", **{"content-type": ARROW}).status_code == 400
        assert post(b"{}", **{"content-type": "application/json", "content-encoding": "gzip"}).status_code == 415
        assert post.store.changes(None).position == policies_only().changes(None).position


def test_an_arrow_stream_is_taken_as_its_json_is(kept: KeptAnswers) -> None:
    rows = drive()
    table = pa.Table.from_pylist(rows)
    at = table["fixed_at"].cast(pa.timestamp("us", tz="UTC"))
    table = table.set_column(1, "fixed_at", at).set_column(0, "vehicle", table["vehicle"].dictionary_encode())
    assert table.schema.field("vehicle").type == FIX_SCHEMA.field("vehicle").type
    with Post(kept) as post, Post(kept) as by_json:
        assert post(_stream(table), **{"content-type": ARROW}).json()["accepted"] == 120
        assert by_json(rows, key="k2").json()["accepted"] == 120
        assert post.store.digest()["journeys"] == by_json.store.digest()["journeys"]


def test_compressed_arrow_buffers_are_refused_unread(kept: KeptAnswers) -> None:
    table = pa.table(
        {"vehicle": ["car-1"] * 1000, "fixed_at": [NOON] * 1000, "lat_deg": [1.0] * 1000, "lon_deg": [1.0] * 1000}
    )
    encoded = table.set_column(0, "vehicle", table["vehicle"].dictionary_encode())
    with Post(kept) as post:
        for each in (table, encoded):
            answer = post(_stream(each, compression="zstd"), **{"content-type": ARROW})
            assert answer.status_code == 415
        assert post(_stream(table.select(["vehicle"])), **{"content-type": ARROW}).status_code == 422


def test_fixes_of_vehicles_that_are_not_ones_own_are_refused_as_unknown_ones_are(kept: KeptAnswers) -> None:
    told = Told(Obligations(rows=RowPredicate(tenants=frozenset({"default"}))))
    with Post(kept, decisions=told) as post:
        answer = post([*drive(count=2), *drive("car-2", 2), *drive("nobody", 2)]).json()
        assert answer["accepted"] == 2
        assert [(each["row"], each["reason"]) for each in answer["refused"]] == [
            (row, "vehicle_not_admitted") for row in (2, 3, 4, 5)
        ]
        assert {each["detail"] for each in answer["refused"]} == {answer["refused"][0]["detail"]}


def test_a_batch_with_too_many_fixes_is_413(kept: KeptAnswers) -> None:
    with Post(kept) as post:
        many = pa.table(
            {
                "vehicle": ["c"] * 200_001,
                "fixed_at": [NOON] * 200_001,
                "lat_deg": [1.0] * 200_001,
                "lon_deg": [1.0] * 200_001,
            }
        )
        assert post(_stream(many), **{"content-type": ARROW}).status_code == 413


def test_where_the_plan_takes_none_it_is_409_and_says_what_to_do(kept: KeptAnswers) -> None:
    class Closed:
        def take(self, fixes: Fixes, key: str) -> Sequence[RefusedFix]:
            raise UsageError("legacy lives", todo="write to legacy")

    with Post(kept, taker=Closed()) as post:
        answer = post(drive())
        assert answer.status_code == 409
        assert "write to legacy" in answer.json()["detail"]
        assert post(drive()).status_code == 409


def _stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("label", ["none", "treated", "allowed"])
@pytest.mark.parametrize("kind", [None, "personal", "treated", "generated", "fake"])
def test_fixes_are_taken_where_the_environment_admits_their_kind(
    kept: KeptAnswers, label: str, kind: str | None
) -> None:
    admitted = {"none": {"generated"}, "treated": {"generated", "treated"}}.get(
        label, {"personal", "treated", "generated"}
    )
    with Post(kept) as post:
        post.served.__exit__()
        post.served.config = {"personal_data": label}
        post.served.__enter__()
        named = {} if kind is None else {"journeymesh-data": kind}
        answer = post(drive(), **named)
        expected = 400 if kind == "fake" else 200 if (kind or "personal") in admitted else 409
        assert answer.status_code == expected
        assert len(post.store.journeys(JourneyQuery())) == (1 if expected == 200 else 0)
        if expected == 409:
            assert f"personal_data={label}" in answer.json()["detail"]
