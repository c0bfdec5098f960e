"""The rows of a SQL store, within one transaction."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.stores import tables
from journeymesh.stores.row_kinds import KINDS, OF_VEHICLES, Condition, Row, chunks, vehicles_of
from journeymesh.stores.sql_bulk import delete_rows, escape_for, put_rows, put_table, rows_one_by_one, unescaped

_TABLES: Final = dict(
    zip(
        KINDS,
        (
            tables.journeys, tables.history, tables.refusals, tables.policies, tables.rules, tables.runs,
            tables.blocks, tables.vehicle_changes, tables.figures, tables.protected_journeys,
            tables.protected_history, tables.protected_refusals, tables.protected_policies, tables.protected_runs,
            tables.protected_blocks, tables.protected_changes, tables.protected_figures, tables.protected_index,
            tables.protected_state,
        ),
        strict=True,
    )
)  # fmt: skip
_OPERATORS: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "=": operator.eq, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class SqlRows:
    """``WritableRows`` of a connection; they can be written where its transaction can."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def select(
        self,
        kind: str,
        where: Sequence[Condition] = (),
        *,
        order: Sequence[str] = (),
        after: Sequence[Any] | None = None,
        limit: int | None = None,
        columns: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Iterator[Row]:
        """Rows that meet every condition, each made when it is asked for."""
        table = _TABLES[kind]
        statement = sa.select(table) if columns is None else sa.select(*(table.c[name] for name in columns))
        by = [table.c[name].desc() if descending else table.c[name] for name in order]
        statement = statement.where(*self.conditions(kind, where)).order_by(*by)
        if after is not None:
            last = [
                sa.literal(self._stored(value), table.c[name].type) for name, value in zip(order, after, strict=True)
            ]
            here: Any = table.c[order[0]] if len(last) == 1 else sa.tuple_(*(table.c[name] for name in order))
            there: Any = last[0] if len(last) == 1 else sa.tuple_(*last)
            statement = statement.where(here < there if descending else here > there)
        return rows_one_by_one(self._connection, statement if limit is None else statement.limit(limit))

    def conditions(self, kind: str, where: Sequence[Condition]) -> Iterator[sa.ColumnElement[bool]]:
        """The conditions as SQL."""
        for name, comparison, value in where:
            if comparison == "any":
                yield sa.or_(*self.conditions(kind, value))
            elif comparison == "in":
                yield _TABLES[kind].c[name].in_([self._stored(one) for one in value])
            else:
                yield _OPERATORS[comparison](_TABLES[kind].c[name], self._stored(value))

    def count(self, kind: str) -> int:
        """How many rows there are."""
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(_TABLES[kind])).scalar_one())

    def spans(self, kind: str, first: str, last: str, vehicles: Sequence[str]) -> Iterator[tuple[str, Any, Any]]:
        """By vehicle the least ``first`` and the greatest ``last``: as text, for it is asked for every batch."""
        is_sqlite = self._connection.dialect.name == "sqlite"
        marks = ", ".join(["?" if is_sqlite else "%s"] * len(vehicles))
        statement = (
            f"SELECT vehicle, min({first}), max({last}) FROM {_TABLES[kind].name} "  # noqa: S608 - constants
            f"WHERE vehicle IN ({marks}) GROUP BY vehicle"
        )
        found = self._connection.exec_driver_sql(statement, tuple(map(self._stored, vehicles)))
        return ((name if is_sqlite else unescaped(name), low, high) for name, low, high in found)

    def position(self) -> int:
        """The position of the store's last change."""
        return self._counted("changes", 0)

    def put(self, kind: str, put: Sequence[Row] | pa.Table, *, update: Sequence[str] | None = None) -> list[str | None]:
        """Put rows by key; the vehicles of all."""
        if isinstance(put, pa.Table):
            put_table(self._connection, _TABLES[kind], put)
        else:
            put_rows(self._connection, _TABLES[kind], put, update=update)
        return vehicles_of(kind, put)

    def delete(self, kind: str, keys: Iterable[Row]) -> list[str | None]:
        """Delete the rows with these keys, many in one statement; the vehicles of those that were there."""
        returning = "vehicle" if kind in OF_VEHICLES else None
        gone: dict[str | None, None] = {}
        for some in chunks(list(keys)):
            gone |= dict.fromkeys(delete_rows(self._connection, _TABLES[kind], some, returning))
        return list(gone)

    def number(self) -> int:
        """The next number of a write."""
        return self._counted("batches", 1)

    def advance(self, count: int) -> int:
        """Move the position on."""
        return self._counted("changes", count)

    def _counted(self, name: str, count: int) -> int:
        """A counter of the store, moved on by so many."""
        counter = tables.sequence.c
        if count:
            change = sa.update(tables.sequence).where(counter.name == name).values(last=counter.last + count)
            self._connection.execute(change)
        return int(self._connection.execute(sa.select(counter.last).where(counter.name == name)).scalar_one())

    def _stored(self, value: Any) -> Any:
        return escape_for(self._connection, value)
