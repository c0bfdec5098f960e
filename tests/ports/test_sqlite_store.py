"""The SQLite store."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreCorrupt, StoreUnavailable, UsageError
from journeymesh.journeys.rules import ScoreRules
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.port import JourneyQuery, StoreBatch
from journeymesh.stores.sql import SqlStore
from tests.support.records import full_batch, refusal, run

from .sql_store_suite import SqlStoreSuite

FILLING = """
import sys
from pathlib import Path
from journeymesh.stores.sql import SqlStore

def resident_kib():
    return int(next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("VmRSS")).split()[1])

store = SqlStore.connect(sys.argv[1])
store.migrate()
rows = [("x" * 3_000,)] * 500
with store._sql.writing() as connection:
    connection.exec_driver_sql("create table filling (content text)")
    connection.connection.cursor().executemany("insert into filling values (?)", rows)
before = resident_kib()
for _ in range(60):
    with store._sql.writing() as connection:
        connection.connection.cursor().executemany("insert into filling values (?)", rows)
print((resident_kib() - before) / 1024)
"""
"""Ninety MiB into the store's file, a MiB and a half at a time; prints by how many MiB the process grew."""


class TestSqliteStore(SqlStoreSuite):
    @pytest.fixture
    def unmigrated(self, tmp_path: Path) -> Iterator[Callable[[], SqlStore]]:
        store = SqlStore.connect(f"sqlite:///{tmp_path}/journeys.db")
        yield lambda: store
        store.close()

    @pytest.fixture
    def store(self, unmigrated: Callable[[], SqlStore]) -> SqlStore:
        store = unmigrated()
        store.migrate()
        return store

    def test_reading_a_file_that_is_not_there_does_not_create_it(self, tmp_path: Path) -> None:
        store = SqlStore.connect(f"sqlite:///{tmp_path}/none.db")
        with pytest.raises(StoreUnavailable, match="no such file"):
            store.journeys(JourneyQuery())
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_folder_is_one_clear_line(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailable, match="cannot be opened") as fault:
            SqlStore.connect(f"sqlite:///{tmp_path}/none/journeys.db").migrate()
        assert "\n" not in str(fault.value)

    def test_a_file_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.db").write_text("dear diary " * 1000)
        with pytest.raises(StoreCorrupt, match="no journeymesh store"):
            SqlStore.connect(f"sqlite:///{tmp_path}/notes.db").migrate()

    def test_a_copy_that_is_written_over_an_open_file_is_read_as_it_is(self, store: SqlStore, tmp_path: Path) -> None:
        file = Path(store.url.removeprefix("sqlite:///"))
        store.write(StoreBatch(run=run("run-1")))
        with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(tmp_path / "backup.db")) as backup:
            connection.backup(backup)
        # Another program has it open, as a door and a feeder have.
        opened = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM runs').fetchall()"
        command = [sys.executable, "-c", f"{opened}; print('open', flush=True); sys.stdin.read()", str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            store.write(StoreBatch(run=run("run-2")))
            assert store.run_count() == 2
            shutil.copyfile(tmp_path / "backup.db", file)
            for suffix in ("-wal", "-shm"):
                Path(f"{file}{suffix}").unlink()
            assert [held.run_id for held in store.runs()] == ["run-1"]
            store.write(StoreBatch(run=run("run-3")))
            fresh = SqlStore.connect(store.url)
            assert [held.run_id for held in fresh.runs()] == ["run-1", "run-3"]
            fresh.close()
            other.communicate()

    @pytest.mark.skipif(sys.platform != "linux", reason="the resident set is read from /proc")
    def test_a_file_larger_than_the_page_cache_takes_no_more_memory(self, tmp_path: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-c", FILLING, f"sqlite:///{tmp_path}/journeys.db"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert float(done.stdout) < 40  # MiB; the cache has 24

    def test_a_full_disk_keeps_nothing_of_the_write(self, store: SqlStore) -> None:
        store.write(full_batch())
        before = store.digest()
        with store._sql.engine().connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        store.close()

        def shrink(connection: sqlite3.Connection, _: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        from sqlalchemy import event

        event.listen(store._sql.engine(), "connect", shrink)
        with pytest.raises(StoreUnavailable, match="disk is full"):
            store.write(StoreBatch(refusals=[refusal(i, content="x" * 9000) for i in range(50)]))
        assert store.digest() == before

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_file_that_may_not_be_written_is_one_clear_line(self, store: SqlStore, tmp_path: Path) -> None:
        store.close()
        (tmp_path / "journeys.db").chmod(0o444)
        with pytest.raises(StoreUnavailable, match="cannot be written"):
            store.write(full_batch())

    def test_a_url_without_a_file_is_refused(self) -> None:
        for url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
            with pytest.raises(UsageError, match="names no file"):
                SqlStore.connect(url)


def test_figures_of_named_policies_are_read_by_their_keys(tmp_path: Path) -> None:
    """Not by an index of the period, all of whose rows would be gone through."""
    asked: list[tuple[str, tuple[object, ...]]] = []

    def note(_: object, __: object, statement: str, parameters: tuple[object, ...], *___: object) -> None:
        if "FROM figures" in statement:
            asked.append((statement, parameters))

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        with closing(SqlStore(f"sqlite:///{tmp_path / 'journeys.db'}")) as store:
            store.migrate()
            for count in (1, 2_000):
                for period, month in (("term", None), ("month", date(2024, 3, 1))):
                    numbers = tuple(f"P-{n}" for n in range(count))
                    store.figures(FiguresQuery("default", period, month, "journeys", numbers=numbers), ScoreRules())
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert len(asked) == 22
    with closing(sqlite3.connect(tmp_path / "journeys.db")) as connection:
        for statement, parameters in asked:
            ((*_, plan),) = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            assert plan.startswith("SEARCH figures USING INDEX sqlite_autoindex_figures_1 (number=? AND tenant=?")
