"""Stores as they were before they kept figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fields import FIELDS
from journeymesh.stores import tables
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.mongo_database import Database
from journeymesh.stores.port import Store, StoreBatch
from tests.ports.figure_suite import PLAIN, assert_equal_to_computed, random_batches

LATER_FIELDS = tuple(field.name for field in FIELDS if field.since > "0005")
"""The columns of journeys that schemas behind 0005 brought."""


class BeforeFiguresSuite:
    """Inherited by the tests of stores that last."""

    def put_back_to_0005(self, store: Any) -> Store:
        """Give a filled store its schema of before, and open it again."""
        raise NotImplementedError

    def test_a_store_filled_before_figures_were_kept_has_them_once_it_is_upgraded(self, store: Store) -> None:
        first, *later = map(_of_that_time, random_batches(3, 8))
        for batch in (first, *later[:-1]):
            store.write(batch)
        before = store.digest()
        older = self.put_back_to_0005(store)

        with pytest.raises(StoreUnavailable, match="older schema"):
            older.figures(FiguresQuery("default", "term", None, "score"), PLAIN)
        older.migrate()
        assert older.schema_version()[0] == older.schema_version()[1]
        assert older.digest() == before
        assert assert_equal_to_computed(older) > 0
        older.write(later[-1])
        assert assert_equal_to_computed(older) > 0
        older.migrate()
        assert assert_equal_to_computed(older) > 0
        older.close()


def _of_that_time(batch: StoreBatch) -> StoreBatch:
    """The batch without what later schemas brought."""
    journeys = batch.journeys
    for name in LATER_FIELDS if journeys is not None else ():
        at = journeys.schema.get_field_index(name)
        journeys = journeys.set_column(
            at, journeys.schema.field(at), pa.nulls(len(journeys), journeys.schema.field(at).type)
        )
    return replace(batch, journeys=journeys)


def sql_before_figures(connection: sa.Connection) -> None:
    """Tables of schema 0005."""
    for table in tables.metadata.sorted_tables:
        if table.name.startswith("protected_"):
            connection.exec_driver_sql(f"DROP TABLE {table.name}")
    connection.exec_driver_sql("DROP TABLE figures")
    connection.exec_driver_sql("ALTER TABLE rules_used DROP COLUMN score")
    for name in LATER_FIELDS:
        connection.exec_driver_sql(f"ALTER TABLE journeys DROP COLUMN {name}")
    connection.exec_driver_sql(f"UPDATE {SCHEMA.version_table} SET version_num = '0005'")


def mongodb_before_figures(database: Database) -> None:
    """Documents of schema 0005."""
    database.collection("figures").drop()
    database.collection("rules").update_many({}, {"$unset": {"score": ""}})
    if LATER_FIELDS:
        database.collection("journeys").update_many({}, {"$unset": dict.fromkeys(LATER_FIELDS, "")})
    database.collection("head").update_one({}, {"$set": {"schema": "0005"}})
