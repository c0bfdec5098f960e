"""The SQL store: SQLite and PostgreSQL from one SQLAlchemy Core code base. A batch is one transaction."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.stores import records, rows, tables
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA, fixes_digest, table_digest
from journeymesh.stores.fix_blocks import DAY_US, decoded, encode_blocks, fixes_of
from journeymesh.stores.migrations import SCHEMA
from journeymesh.stores.port import (
    HistoryEntry,
    JourneyQuery,
    RefusalQuery,
    RulesUsed,
    Run,
    StoreBatch,
    StoreChanges,
    Superseded,
    VehicleSpan,
)
from journeymesh.stores.records import from_us, to_us
from journeymesh.stores.rows import COLUMNS, ID, JourneyRow
from journeymesh.stores.sql_bulk import (
    chunks,
    delete_ids,
    delete_keys,
    escape_for,
    put_rows,
    put_table,
    read_rows,
    rows_one_by_one,
    unescaped,
)
from journeymesh.stores.sql_changes import (
    advance,
    note_changes,
    read_changes,
    vehicles_held_after,
    vehicles_of_refusals,
)
from journeymesh.stores.sql_engine import BUSY_TIMEOUT_S, SqlConnections, require_version
from journeymesh.stores.writers import row_to_put

_PAGE: Final = 20_000
_VEHICLE: Final = COLUMNS.index("vehicle")
_BLOCK_PAGE: Final = 200
_SPANS: Final = " UNION ALL ".join(
    f"SELECT vehicle, min({first}), max({last}) FROM {table.name} WHERE vehicle IN (%s) GROUP BY vehicle"  # noqa: S608
    for table, first, last in (
        (tables.journeys, "started_at_us", "ended_at_us"),
        (tables.blocks, "first_us", "last_us"),
    )
)
"""From when to when journeys and fixes of some vehicles are: as text, for it is asked for every batch."""
_BLOCK_COLUMNS: Final = (tables.blocks.c.vehicle, tables.blocks.c.day, tables.blocks.c.content)


class SqlStore:
    """Both ports on SQLite or PostgreSQL. Safe for threads; a forked child must connect anew."""

    def __init__(self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._sql = SqlConnections(url, busy_timeout_s)
        self.url = self._sql.shown

    @classmethod
    def connect(cls, url: str) -> SqlStore:
        """The store at ``sqlite:///path``, ``sqlite:////absolute/path`` or ``postgresql://user:pw@host/database``.

        Nothing is opened before the first call.
        """
        return cls(url)

    def migrate(self) -> None:
        """Create or upgrade the schema to this version's. Idempotent; safe to run beside a reader."""
        if self._sql.version() == SCHEMA.head:
            return
        self._sql.prepare_file()
        with self._sql.writing(migrating=True) as connection:
            found = SCHEMA.version_in(connection)
            if found is not None and found > SCHEMA.head:
                require_version(found, self.url)
            if found != SCHEMA.head:
                SCHEMA.upgrade(connection)

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        return self._sql.version(), SCHEMA.head

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none."""
        stored = None if batch.journeys is None else rows.stored_journeys(batch.journeys)
        blocks = [] if batch.fixes is None else encode_blocks(batch.fixes)
        changed: list[str | None] = [] if stored is None else stored["vehicle"].unique().to_pylist()
        changed += [refusal.vehicle for refusal in batch.refusals]
        changed += [block.vehicle for block in blocks]
        changed += [vehicle for vehicle, _ in batch.fixes_withdrawn]
        with self._sql.writing() as connection:
            if batch.under is not None:
                self._admit(connection, batch, batch.under.run_id)
            changed += vehicles_of_refusals(connection, list(batch.refusals_withdrawn))
            if batch.superseded:
                put = {} if stored is None else {row[ID]: row for row in rows.rows_of(stored)}
                changed += _move_to_history(connection, batch.superseded, put)
            note_changes(connection, changed)
            if stored is not None:
                put_table(connection, tables.journeys, stored)
            delete_ids(connection, tables.refusals.c.refusal_id, list(batch.refusals_withdrawn))
            put_rows(connection, tables.refusals, [records.refusal_row(r) for r in batch.refusals], keep=True)
            delete_keys(connection, tables.policies, [records.term_row(term) for term in batch.policies_withdrawn])
            put_rows(connection, tables.policies, [records.policy_row(policy) for policy in batch.policies])
            for gone in batch.rules_withdrawn:
                used = tables.rules.c
                this = sa.and_(used.version == gone.version, used.digest == gone.digest)
                connection.execute(sa.delete(tables.rules).where(this))
            if batch.rules is not None:
                put_rows(connection, tables.rules, [(batch.rules.version, batch.rules.digest)])
            if batch.run is not None:
                put_rows(connection, tables.runs, [records.run_row(batch.run)])
            for vehicle, day in batch.fixes_withdrawn:
                held = tables.blocks.c
                this = sa.and_(held.vehicle == escape_for(connection, vehicle), held.day == day)
                connection.execute(sa.delete(tables.blocks).where(this))
            put_rows(
                connection,
                tables.blocks,
                [(b.vehicle, b.day, b.first_us, b.last_us, b.rows, b.content) for b in blocks],
            )

    def _admit(self, connection: sa.Connection, batch: StoreBatch, run_id: str) -> None:
        """Nobody else writes until this transaction ends, so what stands now stands when it commits."""
        this = tables.runs.c.run_id == escape_for(connection, run_id)
        held = read_rows(connection, sa.select(tables.runs).where(this))
        if (row := row_to_put(batch, held[0] if held else None, self.url)) is not None:
            put_rows(connection, tables.runs, [row])

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, ``JOURNEY_SCHEMA``; at most ``query.limit``."""
        with self._sql.reading() as connection:
            return rows.journeys_of(rows_one_by_one(connection, _select_journeys(connection, query)), query.columns)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone, or
        not of the tenant that is given."""
        held, seen = tables.history.c, set[str]()
        current: str | None = journey_id
        with self._sql.reading() as connection:
            while current is not None and current not in seen:
                asked = sa.select(tables.journeys).where(tables.journeys.c.journey_id == current)
                if found := read_rows(
                    connection, asked if tenant is None else asked.where(tables.journeys.c.tenant == tenant)
                ):
                    return rows.journeys_of(found)
                seen.add(current)
                named = sa.select(held.successor_id).where(held.journey_id == current)
                current = connection.execute(named.order_by(held.latest.desc()).limit(1)).scalar()
        return None

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""
        held = tables.history.c
        statement = sa.select(held.successor_id, held.superseded_at_us, held.content)
        statement = statement.where(held.journey_id == journey_id).order_by(held.position, held.entry_id)
        with self._sql.reading() as connection:
            found = read_rows(connection, statement)
        return [
            HistoryEntry(journey_id, from_us(at), successor, rows.journeys_of([rows.row_from_content(content)]))
            for successor, at, content in found
        ]

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""
        spans: dict[str, tuple[int, int]] = {}
        with self._sql.reading() as connection:
            for part in chunks(list(dict.fromkeys(among))):
                marks = ", ".join(["?" if self._sql.is_sqlite else "%s"] * len(part))
                names = [escape_for(connection, name) for name in part]
                found = connection.exec_driver_sql(_SPANS % (marks, marks), (*names, *names)).fetchall()
                for held, low, high in found:
                    name = held if self._sql.is_sqlite else unescaped(held)
                    known = spans.get(name, (low, high))
                    spans[name] = min(low, known[0]), max(high, known[1])
        return {name: VehicleSpan(from_us(low), from_us(high)) for name, (low, high) in spans.items()}

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""
        with self._sql.reading() as connection:
            return vehicles_held_after(connection, after, limit)

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles written after a position (None: the beginning), each once, in order of their last change."""
        with self._sql.reading() as connection:
            return read_changes(connection, after, limit)

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        statement = sa.select(tables.policies).order_by(*tables.policies.primary_key.columns)
        with self._sql.reading() as connection:
            if number is not None:
                statement = statement.where(tables.policies.c.number == escape_for(connection, number))
            return [records.policy_of(row) for row in read_rows(connection, statement)]

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), in refusal_id order, all from one state of the store."""
        after, left = query.after, query.limit
        with self._sql.reading() as connection:
            while left is None or left > 0:
                size = _PAGE if left is None else min(left, _PAGE)
                page = read_rows(connection, _select_refusals(connection, query, after).limit(size))
                yield from map(records.refusal_of, page)
                if len(page) < size:
                    return
                after, left = page[-1][0], None if left is None else left - len(page)

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""
        used = tables.rules.c
        with self._sql.reading() as connection:
            found = read_rows(connection, sa.select(used.version, used.digest).order_by(used.version, used.digest))
        return [RulesUsed(version, digest) for version, digest in found]

    def runs(self) -> list[Run]:
        """Runs, oldest first."""
        statement = sa.select(tables.runs).order_by(tables.runs.c.started_at_us, tables.runs.c.run_id)
        with self._sql.reading() as connection:
            return [records.run_of(row) for row in read_rows(connection, statement)]

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes. Reads page by page in one snapshot."""
        with self._sql.reading() as connection:
            journeys = map(rows.table_of, _pages(connection, tables.journeys, _PAGE))
            refusals = _pages(connection, tables.refusals, _PAGE)
            policies = _pages(connection, tables.policies, _PAGE)
            return {
                "journeys": table_digest(rows.STORED_SCHEMA, journeys),
                "refusals": table_digest(
                    REFUSAL_DIGEST_SCHEMA,
                    (records.table_from_rows(page, REFUSAL_DIGEST_SCHEMA) for page in refusals),
                ),
                "policies": table_digest(
                    POLICY_SCHEMA, (records.table_from_rows(page, POLICY_SCHEMA) for page in policies)
                ),
                "fixes": fixes_digest(decoded(_all_blocks(connection))),
            }

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""
        held, first_us, last_us = tables.blocks.c, to_us(first), to_us(last)
        statement = sa.select(held.content).where(held.day.between(first_us // DAY_US, last_us // DAY_US))
        with self._sql.reading() as connection:
            statement = statement.where(held.vehicle == escape_for(connection, vehicle)).order_by(held.day)
            contents = [bytes(content) for (content,) in connection.execute(statement)]
        return fixes_of(vehicle, contents, first_us, last_us)

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went."""
        held = tables.blocks.c
        old = held.day < to_us(before) // DAY_US
        with self._sql.writing() as connection:
            counted = sa.select(held.vehicle, sa.func.sum(held.fixes)).where(old).group_by(held.vehicle)
            gone = dict(read_rows(connection, counted.order_by(held.vehicle)))
            if gone:
                connection.execute(sa.delete(tables.blocks).where(old))
                note_changes(connection, gone)
        return int(sum(gone.values()))

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._sql.close()


def _move_to_history(
    connection: sa.Connection, superseded: Sequence[Superseded], put: dict[str, JourneyRow]
) -> list[str]:
    """Move live journeys to history, unless the batch puts the very content that is live: it was written before.

    Returns the vehicles of those moved.
    """
    position = advance(connection, "batches", 1)
    successors = {moved.journey_id: moved.successor_id for moved in superseded}
    live: list[tuple[Any, ...]] = []
    for part in chunks(list(successors)):
        live += read_rows(connection, sa.select(tables.journeys).where(tables.journeys.c.journey_id.in_(part)))
    now_us = time.time_ns() // 1000
    entries, ids, vehicles = [], [], []
    for row in live:
        content, planned = rows.row_content(row), put.get(row[ID])
        if planned is not None and rows.row_content(planned) == content:
            continue
        successor = successors[row[ID]]
        entry_id = rows.history_id(row[ID], successor, content)
        entries.append((entry_id, row[ID], successor, now_us, position, position, content.decode()))
        ids.append(row[ID])
        vehicles.append(row[_VEHICLE])
    put_rows(connection, tables.history, entries, update=["latest"])
    delete_ids(connection, tables.journeys.c.journey_id, ids)
    return vehicles


def _select_journeys(connection: sa.Connection, query: JourneyQuery) -> sa.Select[Any]:
    held = tables.journeys.c
    wanted = [tables.journeys.c[name] for name in rows.stored_names(query.columns)]
    statement = sa.select(*wanted)
    if not query.in_any_order or query.limit is not None:
        statement = statement.order_by(held.started_at_us, held.journey_id)
    for column, value in (
        (held.policy, query.policy),
        (held.vehicle, query.vehicle),
        (held.tenant, query.tenant),
        (held.product, query.product),
    ):
        if value is not None:
            statement = statement.where(column == escape_for(connection, value))
    if query.policies is not None:
        statement = statement.where(held.policy.in_([escape_for(connection, number) for number in query.policies]))
    if query.terms is not None:
        statement = statement.where(held.policy_from_us.in_([to_us(at) for at in query.terms]))
    if query.unattributed:
        statement = statement.where(held.policy.is_(None))
    if query.started_from is not None:
        statement = statement.where(held.started_at_us >= to_us(query.started_from))
    if query.started_to is not None:
        statement = statement.where(held.started_at_us < to_us(query.started_to))
    if query.after is not None:
        last = sa.tuple_(sa.literal(to_us(query.after[0])), sa.literal(query.after[1], tables.KEY))
        statement = statement.where(sa.tuple_(held.started_at_us, held.journey_id) > last)
    return statement if query.limit is None else statement.limit(query.limit)


def _select_refusals(connection: sa.Connection, query: RefusalQuery, after: str | None) -> sa.Select[Any]:
    held = tables.refusals.c
    statement = sa.select(tables.refusals).order_by(held.refusal_id)
    if query.reason is not None:
        statement = statement.where(held.reason == query.reason)
    if query.vehicle is not None:
        statement = statement.where(held.vehicle == escape_for(connection, query.vehicle))
    if query.without_vehicle:
        statement = statement.where(held.vehicle.is_(None))
    if query.fixed_from is not None:
        statement = statement.where(held.fixed_at_us >= to_us(query.fixed_from))
    if query.fixed_to is not None:
        statement = statement.where(held.fixed_at_us < to_us(query.fixed_to))
    if query.among is not None:
        statement = statement.where(held.refusal_id.in_(query.among))
    return statement if after is None else statement.where(held.refusal_id > after)


def _pages(connection: sa.Connection, table: sa.Table, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """All rows in key order, page by page."""
    keys = list(table.primary_key.columns)
    names = table.columns.keys()
    places = [names.index(key.name) for key in keys]
    after: list[Any] | None = None
    while True:
        statement = sa.select(table).order_by(*keys).limit(size)
        if after is not None:
            last = [sa.literal(escape_for(connection, at), key.type) for key, at in zip(keys, after, strict=True)]
            statement = statement.where(sa.tuple_(*keys) > sa.tuple_(*last))
        page = read_rows(connection, statement)
        if page:
            yield page
        if len(page) < size:
            return
        after = [page[-1][place] for place in places]


def _all_blocks(connection: sa.Connection) -> Iterator[tuple[str, int, bytes]]:
    held = tables.blocks.c
    after: tuple[str, int] | None = None
    while True:
        statement = sa.select(*_BLOCK_COLUMNS).order_by(held.vehicle, held.day).limit(_BLOCK_PAGE)
        if after is not None:
            last = sa.tuple_(sa.literal(escape_for(connection, after[0]), tables.KEY), sa.literal(after[1]))
            statement = statement.where(sa.tuple_(held.vehicle, held.day) > last)
        page = read_rows(connection, statement)
        for vehicle, day, content in page:
            yield vehicle, day, bytes(content)
        if len(page) < _BLOCK_PAGE:
            return
        after = page[-1][0], page[-1][1]
