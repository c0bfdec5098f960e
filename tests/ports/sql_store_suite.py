"""What the two SQL stores must do beyond the port's suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from journeymesh.databases.database import Schema
from journeymesh.errors import StoreUnavailable
from journeymesh.stores import records, sql_rows, tables
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch, StoreChanges
from journeymesh.stores.sql import SqlStore
from tests.support.before_figures import BeforeFiguresSuite, sql_before_figures
from tests.support.before_limits import BeforeLimitsSuite, sql_before_limits
from tests.support.before_terms import BeforeTermsSuite, sql_before_terms
from tests.support.former_refusals import FORMER, FormerRefusalsSuite
from tests.support.records import DAY, NOON, full_batch, journey, journeys, refusal

from .figure_suite import FigureSuite
from .journey_store_suite import JourneyStoreSuite


class SqlStoreSuite(
    BeforeFiguresSuite, BeforeLimitsSuite, BeforeTermsSuite, FormerRefusalsSuite, FigureSuite, JourneyStoreSuite
):
    """Inherited by the tests of SQLite and PostgreSQL. ``unmigrated`` opens an empty database."""

    @pytest.fixture
    def unmigrated(self) -> Callable[[], SqlStore]:
        raise NotImplementedError

    @pytest.fixture
    def store_of_before(self, unmigrated: Callable[[], SqlStore]) -> Callable[[], Store]:
        def opened() -> Store:
            store = unmigrated()
            with store._sql.migrating() as connection:
                SCHEMA.upgrade(connection, "0002")
                sql_rows.put_rows(connection, tables.refusals, [records.refusal_row(one) for one in FORMER])
            return store

        return opened

    def break_next_write(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        put_rows = sql_rows.put_rows

        def fail_at_runs(connection: sa.Connection, table: sa.Table, *rest: Any, **options: Any) -> None:
            if table is tables.runs:
                raise RuntimeError("injected")
            put_rows(connection, table, *rest, **options)

        monkeypatch.setattr(sql_rows, "put_rows", fail_at_runs)

    def put_back_to_0005(self, store: SqlStore) -> SqlStore:
        with store._sql.writing() as connection:
            sql_before_figures(connection)
        return SqlStore.connect(store._sql.url)

    def put_back_to_0004(self, store: SqlStore) -> SqlStore:
        with store._sql.writing() as connection:
            sql_before_limits(connection)
        return SqlStore.connect(store._sql.url)

    def put_back(self, store: SqlStore) -> SqlStore:
        with store._sql.writing() as connection:
            sql_before_terms(connection)
        return SqlStore.connect(store._sql.url)

    def test_the_migrations_make_exactly_the_tables_of_the_code(self, store: SqlStore) -> None:
        def ours(item: Any, name: str | None, kind: str, *_: object) -> bool:
            return not (kind == "table" and name == SCHEMA.version_table)

        with store._sql.reading() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
            differences = [str(difference) for difference in compare_metadata(context, tables.metadata)]
        assert differences == []

    def test_in_any_order_are_the_same_journeys_and_pages_are_in_order_all_the_same(self, store: Store) -> None:
        rows = [journey(f"car-{i % 3}", NOON + (7 - i) * DAY, policy=f"P-{i % 2}") for i in range(8)]
        store.write(StoreBatch(journeys=journeys(*rows)))
        query = JourneyQuery(policies=("P-0", "P-1"))
        found = store.journeys(replace(query, in_any_order=True))
        order = [("started_at", "ascending"), ("journey_id", "ascending")]
        assert found.sort_by(order).equals(store.journeys(query))
        assert store.journeys(replace(query, in_any_order=True, limit=3)).equals(store.journeys(query).slice(0, 3))

    def test_migrating_twice_is_fine_and_the_version_is_told(self, unmigrated: Callable[[], SqlStore]) -> None:
        store = unmigrated()
        assert store.schema_version() == (None, SCHEMA.head)
        store.migrate()
        store.write(full_batch())
        store.migrate()
        assert store.schema_version() == (SCHEMA.head, SCHEMA.head)
        assert len(store.journeys(JourneyQuery())) == 2

    def test_a_store_without_its_schema_says_how_to_create_it(self, unmigrated: Callable[[], SqlStore]) -> None:
        store = unmigrated()
        with pytest.raises(StoreUnavailable, match="journeymesh store migrate"):
            store.journeys(JourneyQuery())
        with pytest.raises(StoreUnavailable, match="journeymesh store migrate"):
            store.write(full_batch())

    def test_a_store_of_a_newer_journeymesh_is_refused(self, unmigrated: Callable[[], SqlStore]) -> None:
        store = unmigrated()
        store.migrate()
        with store._sql.writing() as connection:
            connection.exec_driver_sql(f"UPDATE {SCHEMA.version_table} SET version_num = '9999'")
        again = SqlStore.connect(store._sql.url)
        for call in (again.migrate, lambda: again.journeys(JourneyQuery()), lambda: again.write(full_batch())):
            with pytest.raises(StoreUnavailable, match="newer journeymesh"):
                call()
        again.close()

    def test_the_feed_of_an_older_store_begins_with_every_vehicle_it_holds(
        self, unmigrated: Callable[[], SqlStore]
    ) -> None:
        store = unmigrated()
        store.migrate()
        store.write(full_batch(refusals=[refusal(), refusal(2, vehicle="car-3")]))
        with store._sql.writing() as connection:
            sql_before_terms(connection)
            connection.exec_driver_sql("DROP TABLE vehicle_changes")
            connection.exec_driver_sql("DELETE FROM write_sequence WHERE name = 'changes'")
            connection.exec_driver_sql(f"UPDATE {SCHEMA.version_table} SET version_num = '0001'")
        again = SqlStore.connect(store._sql.url)
        with pytest.raises(StoreUnavailable, match="older schema 0001"):
            again.changes(None)
        again.migrate()
        assert again.changes(None) == StoreChanges("3", ("car-1", "car-2", "car-3"), True, ("1", "2", "3"))
        again.write(StoreBatch(journeys=journeys(journey("car-1", distance_m=3.0))))
        assert again.changes("3").vehicles == ("car-1",)
        again.close()

    def test_a_second_writer_waits_and_then_gives_up(self, store: SqlStore) -> None:
        other = SqlStore(store._sql.url, busy_timeout_s=0.2)
        with store._sql.writing(), pytest.raises(StoreUnavailable, match="another writer holds it"):
            other.write(full_batch())
        other.write(full_batch())
        assert len(store.runs()) == 1
        other.close()

    def test_a_faulty_migration_leaves_nothing(
        self, unmigrated: Callable[[], SqlStore], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = unmigrated()
        upgrade = Schema.upgrade

        def fail_late(schema: Schema, connection: sa.Connection) -> None:
            upgrade(schema, connection)
            raise RuntimeError("injected")

        with monkeypatch.context() as patch:
            patch.setattr(Schema, "upgrade", fail_late)
            with pytest.raises(RuntimeError, match="injected"):
                store.migrate()
        assert store.schema_version() == (None, SCHEMA.head)
        store.migrate()
        assert store.schema_version() == (SCHEMA.head, SCHEMA.head)
