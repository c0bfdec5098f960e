"""The MongoDB store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient

from journeymesh.errors import StoreUnavailable
from journeymesh.stores import mongo_commits
from journeymesh.stores.mongo_commits import Commits
from journeymesh.stores.mongodb import SCHEMA_VERSION, MongodbStore
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, StoreChanges, Superseded
from tests.support.before_figures import BeforeFiguresSuite, mongodb_before_figures
from tests.support.before_limits import BeforeLimitsSuite, mongodb_before_limits
from tests.support.before_terms import BeforeTermsSuite, mongodb_before_terms
from tests.support.former_refusals import FORMER, FormerRefusalsSuite
from tests.support.records import full_batch, journey, journeys, only, refusal, unique_names

from .figure_suite import FigureSuite
from .journey_store_suite import JourneyStoreSuite

_DATABASES = unique_names("jm_test_")


def own_database(url: str, name: str) -> str:
    """The URL with a database of its own."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def drop_database(url: str, name: str) -> None:
    """Leave nothing behind."""
    with MongoClient(url) as client:
        client.drop_database(name)


def _stop(*_: object) -> None:
    raise RuntimeError("injected")


class Killed(BaseException):
    """As if the process ended here: nothing is rolled back."""


def _kill(*_: object) -> None:
    raise Killed


class TestMongodbStore(
    BeforeFiguresSuite, BeforeLimitsSuite, BeforeTermsSuite, FormerRefusalsSuite, FigureSuite, JourneyStoreSuite
):
    @pytest.fixture
    def unmigrated(self, mongodb_url: str) -> Iterator[Callable[[], MongodbStore]]:
        name = next(_DATABASES)
        drop_database(mongodb_url, name)
        opened: list[MongodbStore] = []

        def connect() -> MongodbStore:
            opened.append(MongodbStore(own_database(mongodb_url, name), busy_timeout_s=1.0))
            return opened[-1]

        yield connect
        for store in opened:
            store.close()
        drop_database(mongodb_url, name)

    @pytest.fixture
    def store(self, unmigrated: Callable[[], MongodbStore]) -> MongodbStore:
        store = unmigrated()
        store.migrate()
        return store

    @pytest.fixture
    def store_of_before(self, store: MongodbStore) -> Callable[[], Store]:
        def opened() -> Store:
            store.write(StoreBatch(refusals=FORMER))
            store._database.collection("head").update_one({}, {"$set": {"schema": "0002"}})
            return store

        return opened

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Commits, "commit", _stop)

    def put_back_to_0005(self, store: MongodbStore) -> MongodbStore:
        mongodb_before_figures(store._database)
        return MongodbStore(store._given)

    def put_back_to_0004(self, store: MongodbStore) -> MongodbStore:
        mongodb_before_limits(store._database)
        return MongodbStore(store._given)

    def put_back(self, store: MongodbStore) -> MongodbStore:
        mongodb_before_terms(store._database)
        return MongodbStore(store._given)

    def test_a_store_without_its_schema_says_how_to_create_it(self, unmigrated: Callable[[], MongodbStore]) -> None:
        store = unmigrated()
        assert store.schema_version() == (None, SCHEMA_VERSION)
        for call in (lambda: store.journeys(JourneyQuery()), lambda: store.write(full_batch())):
            with pytest.raises(StoreUnavailable, match="journeymesh store migrate"):
                call()

    def test_a_store_of_a_newer_journeymesh_is_refused(self, store: MongodbStore) -> None:
        store._database.collection("head").update_one({}, {"$set": {"schema": "9999"}})
        for call in (store.migrate, lambda: store.journeys(JourneyQuery()), lambda: store.write(full_batch())):
            with pytest.raises(StoreUnavailable, match="newer journeymesh"):
                call()

    def test_the_feed_of_an_older_store_begins_with_every_vehicle_it_holds(
        self, store: MongodbStore, unmigrated: Callable[[], MongodbStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(full_batch(refusals=[refusal(), refusal(2, vehicle="car-3")]))
        store._database.collection("changes").drop()
        older = {"$set": {"schema": "0001"}, "$unset": {"position": ""}}
        store._database.collection("head").update_one({}, older)
        again = unmigrated()
        with pytest.raises(StoreUnavailable, match="older schema 0001"):
            again.changes(None)
        with monkeypatch.context() as patch:
            patch.setattr(Commits, "commit", _stop)
            with pytest.raises(RuntimeError, match="injected"):
                again.migrate()
        assert again.schema_version()[0] == "0001"
        again.migrate()
        assert again.changes(None) == StoreChanges("4", ("car-1", "car-2", "car-3"), True, ("1", "2", "3"))
        again.write(StoreBatch(journeys=journeys(journey("car-1", distance_m=3.0))))
        assert again.changes("4").vehicles == ("car-1",)

    def test_a_batch_whose_writer_was_killed_before_the_commit_is_rolled_back(
        self, store: MongodbStore, unmigrated: Callable[[], MongodbStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.write(StoreBatch(journeys=journeys(journey())))
        before = store.digest()
        with monkeypatch.context() as patch:
            patch.setattr(Commits, "commit", _kill)
            patch.setattr(Commits, "roll_back", _stop)
            with pytest.raises(Killed):
                store.write(full_batch(journeys=journeys(journey(distance_m=9.0))))
        assert store._database.collection("runs").find_one() is not None
        other = unmigrated()
        assert other.digest() == before
        monkeypatch.setattr(mongo_commits, "_is_dead", lambda writer: True)
        other.migrate()
        assert other.digest() == before
        assert store._database.collection("runs").find_one() is None
        other.write(full_batch())
        assert len(other.runs()) == 1

    def test_a_batch_whose_writer_was_killed_after_the_commit_is_whole(
        self, store: MongodbStore, unmigrated: Callable[[], MongodbStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        same = [Superseded(journey()["journey_id"], journey()["journey_id"])]
        store.write(full_batch())
        with monkeypatch.context() as patch:
            patch.setattr(Commits, "apply", _stop)
            store.write(StoreBatch(journeys=journeys(journey(distance_m=9.0)), superseded=same))
            assert store._database.collection("journeys").count_documents({}) == 3
            assert only(store.journey(journey()["journey_id"]))["distance_m"] == 9.0
            assert len(store.journeys(JourneyQuery(policy="P-1"))) == 2
            assert len(store.journeys(JourneyQuery(limit=1))) == 1
            assert set(store.vehicles(["car-1", "car-2"])) == {"car-1", "car-2"}
            before = store.digest()
            feed = store.changes(None)
            assert feed.vehicles == ("car-2", "car-1")
        other = unmigrated()
        assert other.changes(None) == feed
        other.write(StoreBatch(superseded=[Superseded("none", None)]))
        assert store._database.collection("journeys").count_documents({}) == 2
        assert store._database.collection("replaced").count_documents({}) == 0
        assert store.digest() == before

    def test_a_writer_taken_for_dead_cannot_commit(
        self, store: MongodbStore, unmigrated: Callable[[], MongodbStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = unmigrated()
        commit = Commits.commit

        def overtaken(commits: Commits, *told: Any) -> None:
            if commits is store._commits:
                with monkeypatch.context() as patch:
                    patch.setattr(mongo_commits, "_is_dead", lambda writer: True)
                    other.write(StoreBatch(journeys=journeys(journey("car-9"))))
            commit(commits, *told)

        monkeypatch.setattr(Commits, "commit", overtaken)
        with pytest.raises(StoreUnavailable, match="rolled this batch back"):
            store.write(full_batch())
        assert store.journeys(JourneyQuery())["vehicle"].to_pylist() == ["car-9"]
        assert store.runs() == []

    def test_a_second_writer_waits_and_then_gives_up(
        self, store: MongodbStore, unmigrated: Callable[[], MongodbStore]
    ) -> None:
        other = unmigrated()
        sequence, _ = store._commits.begin()
        with pytest.raises(StoreUnavailable, match="another writer holds it"):
            other.write(full_batch())
        store._commits.roll_back(sequence)
        other.write(full_batch())
        assert len(store.runs()) == 1

    def test_more_replaced_documents_than_fit_one_note_are_replaced(
        self, store: MongodbStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mongo_commits, "_IDS_PER_PART", 7)
        rows = [journey(f"car-{i}") for i in range(50)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        store.write(StoreBatch(journeys=journeys(*(row | {"distance_m": 8.0} for row in rows))))
        assert set(store.journeys(JourneyQuery())["distance_m"].to_pylist()) == {8.0}
        assert store._database.collection("journeys").count_documents({}) == 50

    def test_writing_the_same_again_commits_nothing(self, store: MongodbStore) -> None:
        store.write(full_batch())
        before = _head(store)["committed"]
        position = store.changes(None).position
        store.write(full_batch())
        assert store.changes(None).position == position
        assert _head(store)["committed"] == before
        assert _head(store)["rolled_back"] == []


def _head(store: MongodbStore) -> dict[str, Any]:
    head = store._commits.head()
    assert head is not None
    return head


class TestMongodbUnreachable:
    def test_it_is_one_clear_line_without_the_password(self) -> None:
        store = MongodbStore.connect("mongodb://me:s3cret%40x@127.0.0.1:1/journeys?serverSelectionTimeoutMS=50")
        with pytest.raises(StoreUnavailable, match="cannot be reached") as fault:
            store.journeys(JourneyQuery())
        for text in (str(fault.value), store.url):
            assert "s3cret" not in text
            assert "\n" not in text
