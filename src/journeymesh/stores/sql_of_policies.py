"""Journeys of many policies out of SQLite, to be added up: what a policy's journeys share is read once.

Python's driver makes an object of each value of each row, and a text is dear to make and again to become a column. So
policy, tenant, term and rules are read from a policy's first journey, and each journey says whether it has the same;
numbers go from the driver's rows straight into the memory of columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import starmap
from struct import Struct
from typing import Any, Final

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from journeymesh.stores import rows, tables
from journeymesh.stores.port import JourneyQuery

Statement = sa.Select[Any]
Conditions = Sequence[sa.ColumnElement[bool]]
"""What a query asks for, but for its policies."""

_TERM: Final = "policy_from_us"
_SAME: Final = "same"
_NO_INT: Final = int(np.iinfo(np.int64).min)
_NO_FLOAT: Final = "9e999"
"""Infinity, which no store takes: it stands for null on the way, as ``_NO_INT`` does among integers."""


def reads_shared(is_sqlite: bool, query: JourneyQuery) -> bool:
    """Whether ``shared_read`` can answer: SQLite, named policies in any order, and no text that is each journey's."""
    return (
        is_sqlite
        and query.in_any_order
        and query.limit is None
        and query.after is None
        and query.policies is not None
        and query.terms is None
        and query.columns is not None
        and not {"journey_id", *rows.NESTED} & set(query.columns)
    )


def shared_read(connection: sa.Connection, query: JourneyQuery, where: Conditions) -> pa.Table:
    """Journeys of ``query.policies``, policy by policy, each policy's in (started_at, journey_id) order."""
    schema = rows.stored_schema(query.columns)
    shared = [field.name for field in schema if field.name == _TERM or pa.types.is_string(field.type)]
    numbers = [field for field in schema if field.name not in shared]
    reading = _PolicyReading.of(connection, where, shared, numbers)
    pieces = [piece for number in dict.fromkeys(query.policies or ()) for piece in reading.pieces(number)]
    held = np.frombuffer(b"".join(content for content, _ in pieces), reading.row)
    owner = pa.array(np.repeat(np.arange(len(pieces)), [len(content) // reading.row.itemsize for content, _ in pieces]))
    columns = {field.name: _column(held[field.name], field) for field in numbers}
    for place, name in enumerate(shared):
        columns[name] = pa.array([values[place] for _, values in pieces], schema.field(name).type).take(owner)
    return rows.journeys_from_stored(pa.table([columns[name] for name in schema.names], schema=schema), query.columns)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A statement as the driver takes it; the policy and what is shared are given each time."""

    cursor: Any
    text: str
    places: Sequence[str]
    held: Mapping[str, Any]

    @classmethod
    def of(cls, connection: sa.Connection, statement: Statement) -> _Prepared:
        made = statement.compile(connection.engine)
        return cls(connection.connection.cursor(), str(made), made.positiontup or (), made.params)

    def run(self, **values: Any) -> Any:
        given = {**self.held, **values}
        return self.cursor.execute(self.text, [given[name] for name in self.places])


@dataclass(frozen=True, slots=True)
class _PolicyReading:
    """How one policy after the other is read. ``row``: the bytes of a journey's numbers."""

    row: np.dtype[Any]
    shared: Sequence[str]
    first: _Prepared
    all: _Prepared
    each: _Prepared

    @classmethod
    def of(
        cls, connection: sa.Connection, where: Conditions, shared: Sequence[str], numbers: Sequence[pa.Field]
    ) -> _PolicyReading:
        held = tables.journeys.c

        def prepared(*columns: Any, limit: int | None = None) -> _Prepared:
            statement = sa.select(*columns).where(*where, held.policy == sa.bindparam("of_policy"))
            return _Prepared.of(connection, statement.order_by(held.started_at_us, held.journey_id).limit(limit))

        texts = [held[name] for name in shared]
        same = sa.and_(
            sa.true(), *(column.is_not_distinct_from(sa.bindparam(f"shared_{column.name}")) for column in texts)
        )
        kinds = [(field.name, "f8" if pa.types.is_floating(field.type) else "i8") for field in numbers]
        return cls(
            np.dtype([*kinds, (_SAME, "i8")]),
            [f"shared_{name}" for name in shared],
            prepared(*texts, limit=1),
            prepared(*map(_never_null, numbers), sa.cast(same, sa.Integer)),
            prepared(*texts),
        )

    def pieces(self, number: str) -> Iterator[tuple[bytes, tuple[Any, ...]]]:
        """The policy's journeys: the bytes of some in a row, and what these share."""
        first = self.first.run(of_policy=number).fetchone()
        if first is None:
            return
        pack = Struct("=" + "".join("d" if self.row[name].kind == "f" else "q" for name in self.row.names or ())).pack
        values = dict(zip(self.shared, first, strict=True))
        content = b"".join(starmap(pack, self.all.run(of_policy=number, **values)))
        if np.frombuffer(content, self.row)[_SAME].all():
            yield content, first
            return
        for place, own in enumerate(self.each.run(of_policy=number).fetchall()):
            yield content[place * self.row.itemsize : (place + 1) * self.row.itemsize], own


def _never_null(field: pa.Field) -> sa.ColumnElement[Any]:
    column: sa.ColumnElement[Any] = tables.journeys.c[field.name]
    if not field.nullable:
        return column
    absent: sa.ColumnElement[Any] = sa.literal_column(_NO_FLOAT if pa.types.is_floating(field.type) else str(_NO_INT))
    return sa.func.coalesce(column, absent)


def _column(values: Any, field: pa.Field) -> pa.Array:
    values = np.ascontiguousarray(values)
    if not field.nullable:
        return pa.array(values).cast(field.type)
    absent = np.isinf(values) if values.dtype.kind == "f" else values == _NO_INT
    return pa.array(values, mask=absent).cast(field.type)
