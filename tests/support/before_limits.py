"""Stores as they were before journeys said how much of their way had a known speed limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.journey import RECORDED_LATER
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.mongo_database import Database
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, Superseded
from tests.support.before_figures import LATER_FIELDS, mongodb_before_figures, sql_before_figures
from tests.support.records import DAY, NOON, NOT_RECORDED, full_batch, journey, journeys, only

DIGEST_BEFORE = "2-40ccfe04b5cfc55531ffdbea45ff9260"
"""Of these journeys, by digests of version 2: columns that came later, and are null in them, do not change it."""


class BeforeLimitsSuite:
    """Inherited by the tests of stores that last."""

    def put_back_to_0004(self, store: Any) -> Store:
        """Give a filled store its schema of before, and open it again."""
        raise NotImplementedError

    def test_a_store_filled_before_limits_were_recorded_goes_on(self, store: Store) -> None:
        held = [journey(**NOT_RECORDED), journey("car-2", NOON + 40 * DAY, **NOT_RECORDED)]
        changed = journey(distance_m=-0.0, **NOT_RECORDED)
        store.write(full_batch(journeys=journeys(*held)))
        again = Superseded(changed["journey_id"], changed["journey_id"])
        store.write(StoreBatch(journeys=journeys(changed), superseded=[again]))
        before = store.digest()
        assert before["journeys"] == DIGEST_BEFORE
        older = self.put_back_to_0004(store)

        with pytest.raises(StoreUnavailable, match="older schema"):
            older.journeys(JourneyQuery())
        older.migrate()
        assert older.schema_version()[0] == older.schema_version()[1]
        assert older.digest() == before
        assert older.journeys(JourneyQuery()).equals(journeys(changed, held[1]))
        (former,) = older.history(changed["journey_id"])
        assert only(former.journey) == held[0]

        anew = journey("car-2", NOON + 40 * DAY, limit_known_distance_m=-0.0, speed_doubted=False)
        again = Superseded(anew["journey_id"], anew["journey_id"])
        older.write(StoreBatch(journeys=journeys(anew), superseded=[again]))
        assert older.digest() != before
        assert older.journeys(JourneyQuery()).equals(journeys(changed, anew))
        assert [only(entry.journey) for entry in older.history(anew["journey_id"])] == [held[1]]
        older.migrate()
        assert older.journeys(JourneyQuery(columns=RECORDED_LATER)).to_pylist() == [
            NOT_RECORDED,
            {name: anew[name] for name in RECORDED_LATER},
        ]
        older.close()


def sql_before_limits(connection: sa.Connection) -> None:
    """Tables of schema 0004."""
    sql_before_figures(connection)
    for name in set(RECORDED_LATER) - set(LATER_FIELDS):
        connection.exec_driver_sql(f"ALTER TABLE journeys DROP COLUMN {name}")
    connection.exec_driver_sql(f"UPDATE {SCHEMA.version_table} SET version_num = '0004'")


def mongodb_before_limits(database: Database) -> None:
    """Documents of schema 0004."""
    mongodb_before_figures(database)
    database.collection("journeys").update_many({}, {"$unset": dict.fromkeys(RECORDED_LATER, "")})
    database.collection("head").update_one({}, {"$set": {"schema": "0004"}})


def lake_before_limits(root: Path) -> None:
    """Files of schema 0004."""
    for path in root.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if RECORDED_LATER[0] in table.column_names:
            pq.write_table(table.drop_columns(list(RECORDED_LATER)), path)
    (root / "lake.json").write_text('{"schema":"0004"}')
