"""Where sessions are kept, in a process's memory and in both databases."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from journeymesh.cli.main import outcome
from journeymesh.errors import StoreUnavailable, UsageError
from journeymesh.identity.session_rows import SessionRows
from journeymesh.identity.session_tables import SCHEMA, SessionDatabase, metadata
from journeymesh.wiring.sessions import migrate_sessions, open_session_rows
from tests.support.rooms_databases import differences
from tests.support.session_places import BOUNDS, database, row, rows

__all__ = ["database", "rows"]


def test_migrations_make_the_table(database: SessionDatabase) -> None:
    database.migrate()
    database.require_schema()
    assert differences(database, SCHEMA, metadata) == []


def test_in_postgresql_sessions_are_in_no_log_that_could_bring_ended_ones_back(database: SessionDatabase) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no such log beside its file")
    with database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT relpersistence FROM pg_class WHERE relname = 'console_sessions'")
        assert kept.scalar_one() in ("u", b"u")


def test_a_row_is_found_as_it_was_added(rows: SessionRows) -> None:
    given = row("a", subject=b"s", sid=b"t", seen_us=7, generation=3, renewing_until_us=5, content=b"\0\xff")
    rows.add(given, BOUNDS, 0)
    assert rows.get(b"a") == given
    assert rows.get(b"b") is None
    rows.touch(b"a", 9)
    rows.touch(b"a", 8)  # a replica whose clock is behind
    rows.touch(b"b", 9)
    assert rows.get(b"a") == replace(given, seen_us=9)
    rows.remove(b"a")
    rows.remove(b"a")
    assert len(rows) == 0


def test_beyond_a_bound_the_one_that_was_used_longest_ago_goes(rows: SessionRows) -> None:
    for number, person in enumerate("aaabbb"):
        rows.add(row(f"{person}{number}", person=person.encode(), seen_us=number), BOUNDS, number)
    assert len(rows) == 5
    assert rows.get(b"a0") is None
    rows.touch(b"a1", 10)
    for number in range(11, 14):
        rows.add(row(f"a{number}", seen_us=number, person=b"a"), BOUNDS, number)
    assert rows.get(b"a1") is None  # three of one person, and nobody else's for it
    assert rows.get(b"b5") is not None
    assert len(rows) == 5


def test_who_begins_sessions_at_once_stays_within_the_bounds(rows: SessionRows) -> None:
    with ThreadPoolExecutor(4) as threads:
        added = [threads.submit(rows.add, row(f"r{number}", seen_us=number), BOUNDS, 0) for number in range(12)]
    assert [each.result() for each in added] == [None] * 12
    assert len(rows) == BOUNDS.most_per_person


def test_what_has_ended_is_removed(rows: SessionRows) -> None:
    rows.add(row("late", seen_us=50, ends_us=100), BOUNDS, 0)
    rows.add(row("unused", seen_us=1, person=b"b"), BOUNDS, 0)
    rows.add(row("used", seen_us=50, person=b"c"), BOUNDS, 0)
    assert rows.remove_ended(99, 99) == 0
    assert rows.remove_ended(100, 99) == 2
    assert rows.get(b"used") is not None


def test_of_all_who_would_renew_at_once_one_does(rows: SessionRows) -> None:
    kept = row("a")
    rows.add(kept, BOUNDS, 0)
    together = threading.Barrier(4)

    def claim() -> bool:
        together.wait()
        return rows.claim_renewal(kept, 1, 100)

    with ThreadPoolExecutor(4) as threads:
        won = [each.result() for each in [threads.submit(claim) for _ in range(4)]]
    assert sorted(won) == [False, False, False, True]
    assert not rows.claim_renewal(kept, 99, 200)
    assert rows.claim_renewal(kept, 100, 200)  # whoever claimed it first is gone
    assert rows.renew(b"a", 0, b"next")
    assert not rows.renew(b"a", 0, b"late")
    assert not rows.renew(b"gone", 0, b"x")
    assert rows.get(b"a") == replace(kept, generation=1, content=b"next")
    assert not rows.claim_renewal(kept, 300, 400)  # of what was renewed already


def test_a_provider_ends_one_session_or_all_of_a_person(rows: SessionRows) -> None:
    for name, subject, sid in (("a", b"ann", b"1"), ("b", b"ann", b"2"), ("c", b"bob", b"3"), ("d", None, None)):
        rows.add(row(name, person=name.encode(), subject=subject, sid=sid), BOUNDS, 0)
    assert rows.remove_of(sid=b"1", subject=b"bob") == [b"a"]
    assert rows.remove_of(sid=None, subject=b"ann") == [b"b"]
    assert rows.remove_of(sid=None, subject=None) == []
    assert rows.remove_of(sid=b"nobody's", subject=None) == []
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("mysql://host/db", UsageError, "unknown kind: use sqlite:///FILE or postgresql"),
        ("nonsense", UsageError, "is not a URL"),
        ("sqlite://", StoreUnavailable, "there is no such file"),
        ("sqlite:////nowhere/room.db", StoreUnavailable, "there is no such file"),
        ("postgresql://user:secret@127.0.0.1:1/db", StoreUnavailable, "cannot be reached"),
    ],
)
def test_a_url_that_is_of_no_place_of_sessions_says_what_to_do(url: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as refused, open_session_rows(url):
        pass
    assert "secret" not in str(refused.value)


def test_a_database_without_the_table_says_how_it_comes_about(tmp_path: Path) -> None:
    (tmp_path / "room.db").touch()
    with (
        pytest.raises(StoreUnavailable, match="journeymesh access migrate"),
        open_session_rows(f"sqlite:///{tmp_path}/room.db"),
    ):
        pass


def test_a_database_of_their_own_has_the_table_of_sessions_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/room.db"
    assert migrate_sessions(url) == migrate_sessions(url) == url
    with open_session_rows(url) as rows:
        assert len(rows) == 0
    with closing(sqlite3.connect(tmp_path / "room.db")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"console_sessions", "sessions_schema"}


def test_the_command_makes_tables_where_it_is_told_and_says_where_it_is_told_nothing(tmp_path: Path) -> None:
    assert outcome(["access", "migrate", "--sessions", f"sqlite:///{tmp_path}/room.db"]) == 0
    with open_session_rows(f"sqlite:///{tmp_path}/room.db") as rows:
        assert len(rows) == 0
    assert outcome(["access", "migrate"]) == 2
