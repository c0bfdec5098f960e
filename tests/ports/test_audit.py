"""The audit on both databases: it only grows, commits in groups, survives faults and kills."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from journeymesh.databases import database as databases
from journeymesh.errors import StoreCorrupt, StoreUnavailable, UsageError
from journeymesh.ledger.audit import Audit, RecordQuery
from journeymesh.ledger.audit_tables import SCHEMA, AuditDatabase, metadata
from journeymesh.ledger.port import AuditUnwritable
from tests.support import programs
from tests.support.rooms_databases import database_url, differences

__all__ = ["database_url"]


@pytest.fixture
def database(database_url: str) -> Iterator[AuditDatabase]:
    made = AuditDatabase(database_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def audit(database: AuditDatabase) -> Audit:
    return Audit(database)


def test_migrations_make_the_table(database: AuditDatabase) -> None:
    database.migrate()
    database.require_schema()
    assert differences(database, SCHEMA, metadata) == []


def test_a_record_is_found_as_it_was_appended(audit: Audit) -> None:
    writer = audit.writer("api")
    writer.append("decision.made", {"b": 1, "a": ["x", None]}, key="d1").result(10)
    writer.append("decision.made", {}, key="d2").result(10)
    first, second = audit.find("d1"), audit.find("d2")
    assert first is not None
    assert second is not None
    assert (first.writer, first.number, first.kind, first.body) == (
        "api",
        1,
        "decision.made",
        {"b": 1, "a": ["x", None]},
    )
    assert second.previous == first.digest
    assert audit.find("d3") is None
    writer.close()


def test_the_database_refuses_to_change_a_record(database: AuditDatabase) -> None:
    writer = Audit(database).writer("api")
    writer.append("decision.made", {"a": 1}).result(10)
    writer.close()
    changes = ["UPDATE audit_records SET kind = 'other'", "DELETE FROM audit_records WHERE number = 1"]
    if database.is_sqlite:
        columns = "writer, number, 0, kind, key, body, digest"
        changes.append(f"INSERT OR REPLACE INTO audit_records SELECT {columns} FROM audit_records")
    else:
        changes.append("TRUNCATE audit_records")
    for change in changes:
        with pytest.raises(StoreUnavailable, match="never changed nor removed"), database.writing() as connection:
            connection.exec_driver_sql(change)
    assert [record.at_us > 0 for record in Audit(database).query()] == [True]
    assert Audit(database).verify().holds


def test_what_waits_shares_a_commit(database: AuditDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []
    writing = database.writing

    @contextmanager
    def counted(**options: bool) -> Iterator[sa.Connection]:
        commits.append(1)
        with writing(**options) as connection:
            yield connection

    monkeypatch.setattr(database, "writing", counted)
    writer = Audit(database).writer("api")
    futures = [writer.append("decision.made", {"n": n}) for n in range(2_000)]
    assert all(future.result(30) is None for future in futures)
    assert len(commits) < 200
    assert Audit(database).verify().records == 2_000
    writer.close()


def test_writers_append_side_by_side(audit: Audit) -> None:
    writers = [audit.writer(f"api-{n}") for n in range(4)]

    def append(number: int) -> None:
        for n in range(200):
            writers[number % 4].append("decision.made", {"thread": number, "n": n}).result(30)

    threads = [threading.Thread(target=append, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(head.writer, head.number) for head in audit.heads()] == [(f"api-{n}", 400) for n in range(4)]
    found = audit.verify()
    assert (found.records, found.chains, found.unsigned, found.findings) == (1_600, 4, 1_600, ())
    for writer in writers:
        writer.close()


def test_a_closed_writer_has_written_what_waited_and_refuses_more(audit: Audit) -> None:
    writer = audit.writer("api")
    futures = [writer.append("decision.made", {"n": n}) for n in range(500)]
    writer.close()
    writer.close()
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(AuditUnwritable, match="closed"):
        writer.append("decision.made", {}).result(0)


def test_a_chain_is_continued_by_a_writer_of_the_same_name(audit: Audit) -> None:
    for _ in range(3):
        writer = audit.writer("feeder")
        writer.append("fed", {}).result(10)
        writer.close()
    assert [(head.writer, head.number) for head in audit.heads()] == [("feeder", 3)]
    assert audit.verify().holds


def test_writers_without_a_name_have_chains_of_their_own(audit: Audit) -> None:
    first, second = audit.writer(), audit.writer()
    for writer in (first, second):
        writer.append("decision.made", {}).result(10)
        writer.close()
    assert len(audit.heads()) == 2


@contextmanager
def _refusing_inserts(database: AuditDatabase) -> Iterator[None]:
    if database.is_sqlite:  # somebody else holds the file
        with database.writing():
            yield
        return
    table = "audit_records"
    with database.writing() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} ADD CONSTRAINT full_up CHECK (number < 0) NOT VALID")
    yield
    with database.writing() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {table} DROP CONSTRAINT full_up")


def test_a_failed_commit_fails_its_records_and_no_others(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 0.2)
    database = AuditDatabase(database_url)
    database.migrate()
    audit = Audit(database)
    writer = audit.writer("api")
    before = [writer.append("decision.made", {"n": n}, key=f"before-{n}") for n in range(20)]
    wait(before, 10)
    with _refusing_inserts(database):
        failed = [writer.append("decision.made", {"n": n}, key=f"failed-{n}") for n in range(20)]
        assert not wait(failed, 20).not_done
    after = [writer.append("decision.made", {"n": n}, key=f"after-{n}") for n in range(20)]
    wait(after, 10)
    assert [future.exception() for future in before + after] == [None] * 40
    assert {type(future.exception()) for future in failed} == {AuditUnwritable}
    assert [record.number for record in audit.query()] == list(range(1, 41))
    assert [record.key for record in audit.query() if "failed" in str(record.key)] == []
    assert audit.verify().holds
    writer.close()
    database.close()


def test_a_commit_whose_answer_was_lost_leaves_no_gap(database: AuditDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    audit = Audit(database)
    writer = audit.writer("api")
    writer.append("decision.made", {}).result(10)
    faults = database.faults

    @contextmanager
    def lost() -> Iterator[None]:
        with faults():
            yield
        raise StoreUnavailable("the connection was lost", todo="try again")

    monkeypatch.setattr(database, "faults", lost)
    with pytest.raises(AuditUnwritable, match="the connection was lost"):
        writer.append("decision.made", {"lost": True}).result(10)
    monkeypatch.setattr(database, "faults", faults)
    writer.append("decision.made", {}).result(10)
    assert [record.number for record in audit.query()] == [1, 2, 3]
    assert audit.verify().holds
    writer.close()


def _end_the_writers_connection(database: AuditDatabase) -> None:
    with database.writing() as connection:
        others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.exec_driver_sql(f"{others} AND query LIKE 'INSERT INTO audit_records%%'").all()


def test_a_connection_that_the_server_ended_is_replaced(database: AuditDatabase) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no server")
    audit = Audit(database)
    writer = audit.writer("api")
    writer.append("decision.made", {"n": 0}).result(10)
    _end_the_writers_connection(database)
    with pytest.raises(AuditUnwritable):  # at once after the last one: nobody asked whether it still is a connection
        writer.append("decision.made", {"n": 1}).result(10)
    writer.append("decision.made", {"n": 2}, key="größer").result(10)
    assert [(record.number, record.key) for record in audit.query()] == [(1, None), (2, "größer")]
    assert audit.verify().holds
    writer.close()


def test_a_connection_that_was_idle_is_asked_before_it_is_used(database: AuditDatabase) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no server")
    audit = Audit(database)
    writer = audit.writer("api")
    writer.append("decision.made", {}).result(10)
    _end_the_writers_connection(database)
    time.sleep(1.1)
    writer.append("decision.made", {}).result(10)
    assert [record.number for record in audit.query()] == [1, 2]
    writer.close()


def test_a_second_writer_of_one_chain_fails_and_the_chain_goes_on(audit: Audit) -> None:
    first, second = audit.writer("api"), audit.writer("api")
    first.append("decision.made", {}).result(10)
    with pytest.raises(AuditUnwritable):
        second.append("decision.made", {}).result(10)
    second.append("decision.made", {}).result(10)  # it has looked where the chain is now
    assert [record.number for record in audit.query()] == [1, 2]
    assert audit.verify().holds
    first.close()
    second.close()


def test_more_than_may_wait_is_refused_at_once(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "BUSY_TIMEOUT_S", 5.0)
    database = AuditDatabase(database_url)
    database.migrate()
    audit = Audit(database)
    writer = audit.writer("api", most_waiting=10)
    with database.writing() as connection:  # nobody else writes meanwhile
        if not database.is_sqlite:
            connection.exec_driver_sql("LOCK TABLE audit_records IN SHARE MODE")
        futures = [writer.append("decision.made", {"n": n}) for n in range(1_500)]
        refused = [future for future in futures if future.done()]
        assert len(refused) >= 1_500 - 1_000 - 10
        assert {str(future.exception()).rpartition(": ")[2] for future in refused} == {"try again"}
    wait(futures, 20)
    assert len(audit.query(RecordQuery(limit=1_000))) == sum(1 for future in futures if future.exception() is None)
    writer.close()
    database.close()


def test_what_has_no_json_fails_and_raises_nothing(audit: Audit) -> None:
    writer = audit.writer("api")
    for future in (
        writer.append("decision.made", {"a": object()}),
        writer.append("decision made", {}),
        writer.append("decision.made", {}, key=""),
    ):
        assert isinstance(future.exception(0), AuditUnwritable)
    assert audit.query() == []
    writer.close()


def test_a_caller_who_went_away_disturbs_nobody(audit: Audit) -> None:
    writer = audit.writer("api")
    gone, other = writer.append("decision.made", {}), writer.append("decision.made", {})
    assert not gone.cancel()
    assert (gone.result(10), other.result(10)) == (None, None)
    writer.close()


def test_records_are_asked_for_page_by_page(audit: Audit) -> None:
    writers = [audit.writer(f"api-{n}") for n in range(3)]
    for n in range(30):
        writers[n % 3].append("even" if n % 2 == 0 else "odd", {"n": n}).result(10)
    everything = audit.query(RecordQuery(limit=1_000))
    assert sorted(record.place for record in everything) == [record.place for record in everything]
    pages, after = [], None
    while page := audit.query(RecordQuery(after=after, limit=7)):
        pages += page
        after = page[-1].place
    assert pages == everything
    assert audit.query(RecordQuery(newest_first=True, limit=1_000)) == everything[::-1]
    assert audit.query(RecordQuery(newest_first=True, after=everything[-1].place, limit=3)) == everything[-2:-5:-1]
    assert [record.body["n"] for record in audit.query(RecordQuery(kind="odd", writer="api-1"))] == [1, 7, 13, 19, 25]
    middle = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=everything[15].at_us)
    split = [r for r in everything if r.at_us < everything[15].at_us]
    assert audit.query(RecordQuery(until=middle)) == split
    assert audit.query(RecordQuery(since=middle)) == everything[len(split) :]
    for writer in writers:
        writer.close()


def test_a_page_of_nothing_or_of_everything_is_refused(audit: Audit) -> None:
    for limit in (0, 1_001):
        with pytest.raises(UsageError, match="ask for 1 to 1000"):
            audit.query(RecordQuery(limit=limit))
    with pytest.raises(UsageError, match="no time zone"):
        audit.query(RecordQuery(since=datetime(2025, 1, 1)))  # noqa: DTZ001


def test_a_record_that_cannot_be_read_is_said_to_be_corrupt(database: AuditDatabase) -> None:
    with database.writing() as connection:
        mark = "?, ?, ?, ?, ?, ?, ?" if database.is_sqlite else "%s, %s, %s, %s, %s, %s, %s"
        row = ("api", 1, 1, "decision.made", "k", b"{", b"x" * 32)
        connection.exec_driver_sql(f"INSERT INTO audit_records VALUES ({mark})", row)
    with pytest.raises(StoreCorrupt, match="record 1 cannot be read: verify the audit"):
        Audit(database).find("k")


_APPENDING = """
import sys
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
writer = Audit(AuditDatabase(sys.argv[1])).writer()
waiting = []
for n in range(1_000_000):
    waiting.append((n, writer.append("decision.made", {"n": n}, key=f"{sys.argv[2]}-{n}")))
    if len(waiting) >= 50:
        n, recorded = waiting.pop(0)
        recorded.result()
        print(n, flush=True)
"""


def test_a_kill_leaves_a_valid_chain_with_every_record_that_was_done(audit: Audit, database_url: str) -> None:
    done: set[str] = set()
    for run in range(3):
        child = programs.Popen(
            [sys.executable, "-c", _APPENDING, database_url, str(run)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(300 * (run + 1)):
            done.add(f"{run}-{child.stdout.readline().strip()}")
        child.send_signal(signal.SIGKILL)
        done |= {f"{run}-{line.strip()}" for line in child.stdout if line.endswith("\n")}
        child.wait()
    found, after = set(), None
    while page := audit.query(RecordQuery(after=after, limit=1_000)):
        found |= {record.key for record in page}
        after = page[-1].place
    assert len(done) >= 1_800
    assert done <= found
    assert audit.verify().findings == ()
    assert len(audit.heads()) == 3
