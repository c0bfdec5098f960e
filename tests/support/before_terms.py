"""Stores as they were before policies had terms: a number was a policy's whole key, and no journey named a term."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.mongo_database import Database
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, Superseded
from tests.support.before_limits import lake_before_limits, mongodb_before_limits, sql_before_limits
from tests.support.records import BEGIN, DAY, NOON, NOT_RECORDED, full_batch, ids, journey, journeys, only, policy

_TERM = 5
"""Where the term's beginning stands in a history entry's content."""


class BeforeTermsSuite:
    """Inherited by the tests of stores that last."""

    def put_back(self, store: Any) -> Store:
        """Give a filled store its schema of before, and open it again."""
        raise NotImplementedError

    def test_a_store_filled_before_policies_had_terms_goes_on(self, store: Store) -> None:
        others = policy("P-2", tenant="north", vehicle="car-2", valid_from=NOON - DAY)
        of_others = {"policy": "P-2", "tenant": "north", "policy_from": NOON - DAY}
        nobodys = {"policy": None, "tenant": None, "product": None, "policy_from": None}
        held = [
            journey(**NOT_RECORDED),
            journey("car-2", NOON + DAY, **of_others | NOT_RECORDED),
            journey("car-3", NOON + 40 * DAY, **nobodys | NOT_RECORDED),
        ]
        changed = journey(distance_m=-0.0, **NOT_RECORDED)
        store.write(full_batch(journeys=journeys(*held), policies=[policy(), others]))
        again = Superseded(changed["journey_id"], changed["journey_id"])
        store.write(StoreBatch(journeys=journeys(changed), superseded=[again]))
        before, feed = store.digest(), store.changes(None)
        older = self.put_back(store)

        with pytest.raises(StoreUnavailable, match="older schema"):
            older.journeys(JourneyQuery())
        older.migrate()
        assert older.schema_version()[0] == older.schema_version()[1]
        assert older.digest() == before
        assert older.policies() == [policy(), others]
        assert older.journeys(JourneyQuery(policy="P-1", terms=(BEGIN,))).equals(journeys(changed))
        assert older.journeys(JourneyQuery(unattributed=True))["policy_from"].to_pylist() == [None]
        (former,) = older.history(changed["journey_id"])
        assert only(former.journey) == held[0]
        assert set(older.changes(None).vehicles) == set(feed.vehicles)
        older.write(StoreBatch(policies=[policy(valid_from=NOON + DAY)]))
        assert [each.valid_from for each in older.policies("P-1")] == [BEGIN, NOON + DAY]
        older.migrate()
        assert ids(older.journeys(JourneyQuery())) == [row["journey_id"] for row in (changed, *held[1:])]
        older.close()


def sql_before_terms(connection: sa.Connection) -> None:
    """Tables and rows of schema 0003."""
    sql_before_limits(connection)
    connection.exec_driver_sql("ALTER TABLE journeys DROP COLUMN policy_from_us")
    connection.exec_driver_sql("ALTER TABLE policies RENAME TO renewed")
    collation = "" if connection.dialect.name == "sqlite" else ' COLLATE "C"'
    connection.exec_driver_sql(
        f"CREATE TABLE policies (number TEXT{collation} PRIMARY KEY, valid_from_us BIGINT NOT NULL, valid_to_us BIGINT,"
        " zone TEXT NOT NULL, device TEXT, vehicle TEXT, tenant TEXT NOT NULL, product TEXT NOT NULL,"
        " status TEXT NOT NULL, declared_annual_distance_m DOUBLE PRECISION)"
    )
    connection.exec_driver_sql("INSERT INTO policies SELECT * FROM renewed")
    connection.exec_driver_sql("DROP TABLE renewed")
    for entry_id, content in connection.exec_driver_sql("SELECT entry_id, content FROM journey_history").fetchall():
        shorter = sa.text("UPDATE journey_history SET content = :content WHERE entry_id = :entry_id")
        connection.execute(shorter, {"content": content_before(content), "entry_id": entry_id})
    connection.exec_driver_sql(f"UPDATE {SCHEMA.version_table} SET version_num = '0003'")


def mongodb_before_terms(database: Database) -> None:
    """Documents of schema 0003."""
    mongodb_before_limits(database)
    database.collection("journeys").update_many({}, {"$unset": {"policy_from_us": ""}})
    for document in list(database.collection("policies").find({})):
        database.collection("policies").update_one({"_id": document["_id"]}, {"$set": {"key": document["number"]}})
    for document in list(database.collection("history").find({})):
        shorter = {"$set": {"content": content_before(document["content"])}}
        database.collection("history").update_one({"_id": document["_id"]}, shorter)
    database.collection("head").update_one({}, {"$set": {"schema": "0003"}})


def lake_before_terms(root: Path) -> None:
    """Files of schema 0002."""
    lake_before_limits(root)
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "policy_from" in table.column_names:
            pq.write_table(table.drop_columns(["policy_from"]), path)
        elif "content" in table.column_names and "successor_id" in table.column_names:
            contents = [content_before(content) for content in table["content"].to_pylist()]
            at = table.column_names.index("content")
            pq.write_table(table.set_column(at, "content", [contents]), path)
    (root / "lake.json").write_text('{"schema":"0002"}')


def content_before(content: str) -> str:
    """A journey's former content without the beginning of its policy's term."""
    values = msgspec.json.decode(content)
    del values[_TERM]
    return msgspec.json.encode(values).decode()
