"""Tombstones on both databases: what they refuse, and when a service is not ready."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from journeymesh.errors import UsageError
from journeymesh.instants import to_us
from journeymesh.journeys.policies import Policy
from journeymesh.keys.derivations import CommonKey
from journeymesh.keys.memory import MemoryKeyStore
from journeymesh.keys.tombstone_tables import SCHEMA, TombstoneDatabase, metadata
from journeymesh.keys.tombstones import Tombstone, Tombstones, TombstonesNotReady, tombstone_key
from tests.support.rooms_databases import database_url, differences

__all__ = ["database_url"]

FROM, TO = datetime(2024, 3, 1, tzinfo=UTC), datetime(2025, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = CommonKey(bytes(32), 1)


def policy(number: str = "P-1", tenant: str = "acme", since: datetime = FROM, until: datetime | None = TO) -> Policy:
    return Policy(number=number, tenant=tenant, valid_from=since, valid_to=until, device="box-1", vehicle="car-1")


@pytest.fixture
def database(database_url: str) -> Iterator[TombstoneDatabase]:
    made = TombstoneDatabase(database_url)
    yield made
    made.close()


@pytest.fixture
def tombstones(database: TombstoneDatabase) -> Tombstones:
    made = Tombstones(database, KEY)
    made.migrate()
    return made


def test_migrations_make_the_tables(tombstones: Tombstones, database: TombstoneDatabase) -> None:
    tombstones.migrate()
    assert differences(database, SCHEMA, metadata) == []
    assert tombstones.is_empty()


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (policy(), True),
        (policy(since=FROM - DAY, until=TO + DAY), True),
        (policy(since=TO - DAY, until=TO + 400 * DAY), True),
        (policy(since=FROM - 400 * DAY, until=FROM + DAY), True),
        (policy(since=FROM + DAY, until=FROM + 2 * DAY), True),
        (policy(since=FROM - DAY, until=None), True),
        (policy(since=TO, until=TO + 365 * DAY), False),
        (policy(since=FROM - 365 * DAY, until=FROM), False),
        (policy(tenant="other"), False),
        (policy(number="P-2"), False),
    ],
)
def test_any_overlap_of_the_same_policy_is_refused(tombstones: Tombstones, given: Policy, refused: bool) -> None:
    tombstones.add("t-1", [Tombstone(policy())])
    assert tombstones.refuses_policy(given) is refused


def test_fixes_of_vehicle_and_device_are_refused_up_to_the_end_of_the_last_journey(tombstones: Tombstones) -> None:
    ended = to_us(TO + timedelta(minutes=20))
    tombstones.add("t-1", [Tombstone(policy(), ended), Tombstone(policy("P-0", since=FROM - 9 * DAY, until=FROM), 1)])
    expected = ((to_us(FROM - 9 * DAY), to_us(FROM)), (to_us(FROM), ended + 1))
    assert tombstones.refused_intervals("car-1") == tombstones.refused_intervals("box-1") == expected
    assert tombstones.refused_intervals("car-2") == ()
    assert tombstones.refused_intervals_of(["car-2", "box-1"]) == {"box-1": expected}


def test_written_again_with_a_later_end_the_longer_one_stands(tombstones: Tombstones) -> None:
    for ended in (None, to_us(TO) + 5, to_us(TO) + 2):
        tombstones.add("t-1", [Tombstone(policy(), ended)])
    assert tombstones.refused_intervals("car-1") == ((to_us(FROM), to_us(TO) + 6),)
    assert tombstones.count() == 1


def test_another_process_sees_a_tombstone_at_once(tombstones: Tombstones, database_url: str) -> None:
    other = Tombstones(TombstoneDatabase(database_url), KEY)
    assert not other.refuses_policy(policy())
    tombstones.add("t-1", [Tombstone(policy())])
    assert other.refuses_policy(policy())
    other.close()


def test_nothing_that_identifies_stands_in_the_database(tombstones: Tombstones, database: TombstoneDatabase) -> None:
    tombstones.add("t-1", [Tombstone(policy())])
    with database.reading() as connection:
        rows = [tuple(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    assert len(rows) == 5
    assert not [name for name in ("P-1", "acme", "car-1", "box-1") if name in str(rows)]


def test_missing_tombstones_those_of_another_key_and_older_ones_are_not_ready(
    database: TombstoneDatabase, database_url: str
) -> None:
    keys = MemoryKeyStore()
    tombstones = Tombstones(database, KEY)
    with pytest.raises(TombstonesNotReady, match="cannot be read"):
        tombstones.require_ready(keys)
    tombstones.migrate()
    tombstones.require_ready(keys)
    keys.begin_rotation()
    keys.finish_rotation("t-1")
    with pytest.raises(TombstonesNotReady, match="older than the key store: of 1 treatments"):
        tombstones.require_ready(keys)
    tombstones.add("t-1", [])
    tombstones.require_ready(keys)
    other = Tombstones(TombstoneDatabase(database_url), CommonKey(bytes([1]) * 32, 1))
    for ask in (other.require_ready, other.migrate, lambda: other.refuses_policy(policy())):
        with pytest.raises(TombstonesNotReady, match="another key"):
            ask()
    other.close()


def test_tombstones_of_an_older_version_are_upgraded_not_restored(
    tombstones: Tombstones, database: TombstoneDatabase, database_url: str
) -> None:
    tombstones.add("t-1", [Tombstone(policy())])
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE tombstone_refused_input")
        connection.exec_driver_sql("UPDATE tombstones_schema SET version_num = '0001'")
    assert tombstones.refuses_policy(policy()), "what is running goes on"
    opened = Tombstones(TombstoneDatabase(database_url), KEY)
    with pytest.raises(TombstonesNotReady) as refused:
        opened.require_ready()
    assert refused.value.todo == "upgrade their tables with: journeymesh privacy migrate"
    opened.migrate()
    assert opened.refuses_policy(policy())
    opened.close()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [("00" * 32, 0o644, "others"), ("00" * 31, 0o600, "31 bytes"), ("key", 0o600, "not hexadecimal")],
)
def test_a_key_file_that_is_none_is_refused(tmp_path: Path, content: str, mode: int, words: str) -> None:
    file = tmp_path / "key"
    with pytest.raises(UsageError, match="No such file"):
        tombstone_key(file)
    file.write_text(content)
    os.chmod(file, mode)
    with pytest.raises(UsageError, match=words):
        tombstone_key(file)


def test_a_key_file_of_its_owner_is_read(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("00" * 32 + "\n")
    file.chmod(0o640)
    assert tombstone_key(file).token("check") == KEY.token("check")
