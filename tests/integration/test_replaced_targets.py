"""A target that is no longer the store that was fed is noticed at once: legacy answers, and it is filled again."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.integration.test_kill_run import fresh_postgresql_url, fresh_url
from tests.integration.test_legacy_stopped import Move
from tests.support.builders import NOON, drive

from journeymesh.errors import JourneymeshError
from journeymesh.journeys.answers import answer_bytes
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch
from journeymesh.strangler import feeder
from journeymesh.strangler.control import Control
from journeymesh.strangler.door import Door
from journeymesh.strangler.routes import RoutesUnreadable, mark_completeness, read_routes
from journeymesh.strangler.status import history_of
from journeymesh.strangler.targets import IDENTITY, WRITES, StoreExchanged, feed_id, held_mark, recorded_mark, sync_id
from journeymesh.wiring import open_store

__all__ = ["fresh_postgresql_url", "fresh_url"]

NUMBERS = ("P0", "P2")


class Accidents:
    """What an operator's accident does to a store."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.kept: dict[str, list] = {}  # type: ignore[type-arg]

    def copy(self) -> None:
        """Make a backup."""
        if self.url.startswith("sqlite"):
            with sa.create_engine(self.url).connect() as connection:
                connection.exec_driver_sql(f"VACUUM INTO '{self.folder}/backup.db'")
        elif self.url.startswith("postgresql"):
            with self._postgresql() as connection:
                connection.exec_driver_sql("CREATE SCHEMA backup")
                for name in self._tables(connection):
                    connection.exec_driver_sql(f"CREATE TABLE backup.{name} AS SELECT * FROM public.{name}")
        else:
            database = self._mongodb()
            self.kept = {name: list(database[name].find()) for name in database.list_collection_names()}

    def put_back(self) -> None:
        """Restore the backup."""
        if self.url.startswith("sqlite"):
            self._delete_files()
            shutil.copy(self.folder / "backup.db", self._file())
        elif self.url.startswith("postgresql"):
            with self._postgresql() as connection:
                for name in self._tables(connection):
                    connection.exec_driver_sql(f"DELETE FROM public.{name}")
                    connection.exec_driver_sql(f"INSERT INTO public.{name} SELECT * FROM backup.{name}")
        else:
            database = self._mongodb()
            for name in database.list_collection_names():
                database[name].delete_many({})
            for name, documents in self.kept.items():
                if documents:
                    database[name].insert_many(documents)

    def make_anew(self) -> None:
        """Delete it and make it anew, as the error of a store that is not there advises."""
        if self.url.startswith("sqlite"):
            self._delete_files()
        elif self.url.startswith("postgresql"):
            with self._postgresql() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
        else:
            database = self._mongodb()
            database.client.drop_database(database.name)
        store = open_store(self.url)
        store.migrate()
        store.close()

    def _file(self) -> Path:
        return Path(self.url.removeprefix("sqlite:///"))

    def _delete_files(self) -> None:
        for each in (self._file(), Path(f"{self._file()}-wal"), Path(f"{self._file()}-shm")):
            each.unlink(missing_ok=True)

    @contextmanager
    def _postgresql(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(self.url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    @staticmethod
    def _tables(connection: sa.Connection) -> list[str]:
        return sa.inspect(connection).get_table_names(schema="public")

    def _mongodb(self):  # type: ignore[no-untyped-def]
        from pymongo import MongoClient

        return MongoClient(self.url).get_default_database()


def _answers(door: Door) -> list[bytes]:
    return [answer_bytes(door.journeys(JourneyQuery(policy=number))) for number in NUMBERS]


def _drive_on(move: Move, hours: int) -> None:
    for number in NUMBERS:
        start = NOON + timedelta(hours=hours)
        move.legacy.put(drive((10.0, 300), start=start, vehicle=f"V{number[1:]}", every_s=10))


def _feed(move: Move) -> None:
    with move.installation() as installation:
        installation.feeder().run(once=True)


@pytest.mark.parametrize("accident", ["make_anew", "put_back"])
def test_a_store_that_is_another_one_gives_its_slices_back_and_is_filled_again(
    accident: str, fresh_url: Callable[[], str], tmp_path: Path
) -> None:
    url = fresh_url()
    move, accidents = Move(url, tmp_path), Accidents(url, tmp_path)
    accidents.copy()
    _drive_on(move, 5)
    _feed(move)
    with move.door() as door:
        right = _answers(door)
        assert door.answering_name(door.policy_book.terms("P0")[0]) == "store"
        getattr(accidents, accident)()
        assert _soon(lambda: door.answering_name(door.policy_book.terms("P0")[0]) == "legacy")
        assert _answers(door) == right
    found = move.status()["car"]
    assert (found.complete, found.answering) == (False, "legacy")
    assert (found.detail or "").startswith("not the store that was fed")
    assert any("not the store that was fed" in gate for gate in found.closed_gates)
    with move.installation() as installation:
        told = history_of(installation.control, "car")[0]
    assert (told.outcome, told.detail) == ("incomplete", found.detail)
    _drive_on(move, 10)
    _feed(move)
    assert move.status()["car"].answering == "store"
    with move.door() as door:
        lengths = [len(door.journeys(JourneyQuery(policy=number))) for number in NUMBERS]
        by_store = _answers(door)
    assert lengths == [3, 3]
    with move.installation() as installation:
        mark_completeness(installation.control.writing(), ["car"], False, "a test", store="store")
    with move.door() as door:
        assert door.answering_name(door.policy_book.terms("P0")[0]) == "legacy"
        assert _answers(door) == by_store


@pytest.mark.parametrize("accident", ["make_anew", "put_back"])
def test_a_feeder_that_runs_fills_a_store_again_that_was_replaced_under_it(
    accident: str, fresh_url: Callable[[], str], tmp_path: Path
) -> None:
    url = fresh_url()
    move, accidents = Move(url, tmp_path), Accidents(url, tmp_path)
    accidents.copy()
    stop = threading.Event()
    with move.installation() as installation:
        running = threading.Thread(target=installation.feeder().run, args=(stop,))
        running.start()
        try:
            _drive_on(move, 5)
            with move.door() as door:
                assert _soon(lambda: len(door.journeys(JourneyQuery(policy="P0"))) == 2)
                right = _answers(door)
                time.sleep(1.0)  # what was written is recorded a few times a second
                getattr(accidents, accident)()
                assert _soon(lambda: _told(move, "incomplete"))
                assert _soon(lambda: move.status()["car"].complete, 60)
                assert _answers(door) == right
                _drive_on(move, 10)
                assert _soon(lambda: len(door.journeys(JourneyQuery(policy="P0"))) == 3)
        finally:
            stop.set()
            running.join()


def test_a_slice_recorded_incomplete_again_at_once_is_filled_again(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(feeder, "FOLLOW_S", 2.0)
    move = Move(f"sqlite:///{tmp_path}/store.db", tmp_path)
    stop = threading.Event()
    with move.installation() as installation:
        running = threading.Thread(target=installation.feeder().run, args=(stop,))
        running.start()
        control = installation.control
        try:
            for _ in range(2):  # the second time before the feeder has seen that the slice was complete between
                mark_completeness(control.writing(), ["car"], False, "somebody's plan names another store")
                assert _soon(lambda: _is_complete(control))
            mark_completeness(control.writing(), ["car"], False, "somebody's plan names another store")
            assert _soon(lambda: _is_complete(control))
        finally:
            stop.set()
            running.join()


def _is_complete(control: Control) -> bool:
    route = read_routes(control).get("car")
    return route is not None and route.complete


def test_a_retired_slice_is_not_answered_by_another_store(fresh_url: Callable[[], str], tmp_path: Path) -> None:
    url = fresh_url()
    move, accidents = Move(url, tmp_path), Accidents(url, tmp_path)
    with move.installation() as installation, installation.control.writing() as connection:
        connection.exec_driver_sql("UPDATE strangler_routes SET phase = 'retired' WHERE slice = 'car'")
        connection.exec_driver_sql("UPDATE strangler_heads SET revision = revision + 1")
    accidents.copy()
    with move.door() as door:
        right = _answers(door)
    accidents.make_anew()
    with move.door() as door, pytest.raises(RoutesUnreadable, match="not the store that was fed"):
        _answers(door)
    assert move.status()["car"].complete is False
    accidents.put_back()
    assert move.status()["car"].complete is True
    with move.door() as door:
        assert _answers(door) == right


def test_another_store_under_a_known_name_is_refused_unless_it_is_a_swap(
    fresh_url: Callable[[], str], tmp_path: Path
) -> None:
    move = Move(fresh_url(), tmp_path)
    former, another = move.store_url, fresh_url()
    with move.door() as door:
        right = _answers(door)
    store = open_store(another)
    store.migrate()
    store.close()
    move.store_url = another
    with move.installation() as installation, pytest.raises(StoreExchanged, match="store 'store' was"):
        installation.applying("ann").apply("because")
    with pytest.raises(StoreExchanged):
        _feed(move)
    with move.door() as door:
        assert _answers(door) == right
    assert move.status()["car"].answering == "legacy"
    move.store_url = former
    _feed(move)
    assert move.status()["car"].answering == "store"
    with move.door() as door:
        assert _answers(door) == right


def test_a_store_that_moved_with_its_content_goes_on(tmp_path: Path) -> None:
    move = Move(f"sqlite:///{tmp_path}/former.db", tmp_path)
    with move.door() as door:
        right = _answers(door)
    for suffix in ("", "-wal", "-shm"):
        if Path(f"{tmp_path}/former.db{suffix}").exists():
            Path(f"{tmp_path}/former.db{suffix}").rename(f"{tmp_path}/present.db{suffix}")
    move.store_url = f"sqlite:///{tmp_path}/present.db"
    with move.installation() as installation:
        assert installation.applying("ann").apply("because") == []
    _drive_on(move, 5)
    _feed(move)
    with move.door() as door:
        assert door.answering_name(door.policy_book.terms("P0")[0]) == "store"
        assert len(door.journeys(JourneyQuery(policy="P0"))) == 2
        assert _answers(door) != right
    assert not _told(move, "incomplete")


def test_a_target_that_was_fed_before_identities_gets_one_and_stays_complete(tmp_path: Path) -> None:
    move = Move(f"sqlite:///{tmp_path}/store.db", tmp_path)
    with move.installation() as installation:
        with installation.control.writing() as connection:
            connection.exec_driver_sql("UPDATE strangler_feeds SET store_identity = NULL, store_writes = NULL")
        store = installation.store("store")
        _write_counts(store, feed_id("legacy"), {})
        assert held_mark(store, "legacy") is None
        assert recorded_mark(installation.control, "legacy", "store") is None
    _feed(move)
    with move.installation() as installation:
        mark = held_mark(installation.store("store"), "legacy")
        assert mark is not None
        assert mark == recorded_mark(installation.control, "legacy", "store")
    assert move.status()["car"].complete
    assert not _told(move, "incomplete")


def test_a_target_whose_mark_a_former_version_left_with_the_position_is_known_again(tmp_path: Path) -> None:
    move = Move(f"sqlite:///{tmp_path}/store.db", tmp_path)
    with move.installation() as installation:
        store = installation.store("store")
        left = held_mark(store, "legacy")
        assert left is not None
        _write_counts(store, sync_id("legacy"), left.counts)
        _write_counts(store, feed_id("legacy"), {})
        assert held_mark(store, "legacy") == left
    _feed(move)
    with move.installation() as installation:
        store = installation.store("store")
        (run,) = (run for run in store.runs() if run.run_id == feed_id("legacy"))
        assert run.counts[IDENTITY] == left.identity
        assert run.counts[WRITES] > left.writes
        assert held_mark(store, "legacy") == recorded_mark(installation.control, "legacy", "store")
    assert move.status()["car"].complete
    assert not _told(move, "incomplete")


def _write_counts(store: Store, run_id: str, marked: dict[str, int]) -> None:
    """Let the run have this mark in its counts, and no other."""
    (run,) = (run for run in store.runs() if run.run_id == run_id)
    counts = {name: count for name, count in run.counts.items() if name not in (IDENTITY, WRITES)}
    store.write(StoreBatch(run=replace(run, counts=counts | marked)))


def _told(move: Move, outcome: str) -> bool:
    with move.installation() as installation:
        return any(each.outcome == outcome for each in history_of(installation.control, "car"))


def _soon(holds: Callable[[], bool], within_s: float = 30) -> bool:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with suppress(JourneymeshError):
            if holds():
                return True
        time.sleep(0.1)
    return False
