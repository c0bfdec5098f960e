"""Journeys as stores keep them: scalars, instants as int64 microseconds, the two nested columns as JSON text, booleans
as 0 and 1.

The stored form is exact (floats keep every bit, −0.0 included) and canonical: equal journeys give equal rows, so
rows can be compared and digested. Conversion is by column, for thousands of journeys at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.fields import FIELDS, HARSH_EVENT_TYPE, HOUR_TYPE, INSTANT
from journeymesh.journeys.journey import JOURNEY_SCHEMA

JourneyRow = tuple[Any, ...]
"""One stored journey: the values of ``STORED_SCHEMA``'s columns, in order."""

NESTED: Final = {"hours": HOUR_TYPE, "harsh_events": HARSH_EVENT_TYPE}
_SHAPES: Final = {
    "hours": list[list[tuple[int, float, float]]],
    "harsh_events": list[list[tuple[str, str, int, int, int, float, float, float, int]]],
}


def _stored_field(field: pa.Field) -> pa.Field:
    if field.type == INSTANT:
        return pa.field(f"{field.name}_us", pa.int64(), field.nullable)
    if field.name in NESTED:
        return pa.field(field.name, pa.string(), field.nullable)
    if pa.types.is_boolean(field.type):
        return pa.field(field.name, pa.int32(), field.nullable)
    return field


STORED_SCHEMA: Final = pa.schema([_stored_field(field) for field in JOURNEY_SCHEMA])
COLUMNS: Final = tuple(STORED_SCHEMA.names)
ID: Final = COLUMNS.index("journey_id")
STARTED: Final = COLUMNS.index("started_at_us")
_SINCE: Final = tuple(field.since for field in FIELDS if field.journeys != "absent")
_FIRST_LATER: Final = tuple(map(_SINCE.index, sorted({since for since in _SINCE if since})))
"""Where the columns of each later schema begin: so many columns a row had before it."""
_ROWS_AT_ONCE: Final = 256
"""So many rows become columns at once: their values are still in the cache, and the next ones take their memory."""


def stored_journeys(journeys: pa.Table) -> pa.Table:
    """The journeys (``JOURNEY_SCHEMA``) in ``STORED_SCHEMA``, in the order given.

    Raises:
        ValueError: a column is missing or of another type, or a value that must be there is null or not finite.
    """
    columns = []
    for field, stored in zip(JOURNEY_SCHEMA, STORED_SCHEMA, strict=True):
        column = journeys[field.name] if field.name in journeys.column_names else None
        if column is None:
            raise ValueError(f"journeys have no column {field.name}")
        column = _one_chunk(column.cast(field.type))
        if column.null_count and not field.nullable:
            raise ValueError(f"journeys: {field.name} is null in {column.null_count} rows")
        if pa.types.is_floating(field.type) and not pc.all(pc.is_finite(column).fill_null(True), min_count=0).as_py():
            raise ValueError(f"journeys: {field.name} is not a finite number in some rows")
        if field.name in NESTED:
            column = pa.array(_nested_texts(column), pa.string())
        columns.append(column.cast(stored.type))
    return pa.table(columns, schema=STORED_SCHEMA)


def journeys_from_stored(stored: pa.Table, columns: Sequence[str] | None = None) -> pa.Table:
    """The inverse of ``stored_journeys``, of a table that holds these columns of ``JOURNEY_SCHEMA``; None: all."""
    schema = _schema_of(columns)
    read = []
    for field, column in zip(schema, stored.columns, strict=True):
        if field.name in NESTED:
            read.append(_nested_column(field.name, column.to_pylist()))
        else:
            read.append(column.cast(field.type))
    return pa.table(read, schema=schema)


def stored_names(columns: Sequence[str] | None) -> tuple[str, ...]:
    """The stored columns that these columns of ``JOURNEY_SCHEMA`` are in; None: all."""
    return tuple(stored_schema(columns).names)


def stored_schema(columns: Sequence[str] | None) -> pa.Schema:
    """``STORED_SCHEMA`` of these columns of ``JOURNEY_SCHEMA``; None: all."""
    return pa.schema([_stored_field(field) for field in _schema_of(columns)])


def selected(journeys: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """The journeys with these columns alone, in this order; None: all."""
    return journeys if columns is None else journeys.select(columns)


def _schema_of(columns: Sequence[str] | None) -> pa.Schema:
    return JOURNEY_SCHEMA if columns is None else pa.schema([JOURNEY_SCHEMA.field(name) for name in columns])


def rows_of(stored: pa.Table) -> list[JourneyRow]:
    """The rows of a table in ``STORED_SCHEMA``."""
    return list(zip(*(_values(column) for column in stored.columns), strict=True))


def table_of(rows: Sequence[JourneyRow], schema: pa.Schema = STORED_SCHEMA) -> pa.Table:
    """A table in ``STORED_SCHEMA``, or some columns of it, of these rows."""
    if not rows:
        return schema.empty_table()
    columns = [pa.array(values, field.type) for field, values in zip(schema, zip(*rows, strict=True), strict=True)]
    return pa.table(columns, schema=schema)


def journeys_of(rows: Iterable[JourneyRow], columns: Sequence[str] | None = None) -> pa.Table:
    """A table in ``JOURNEY_SCHEMA`` of these rows, which hold these columns of it alone; None: all."""
    schema = stored_schema(columns)
    left, pieces = iter(rows), [schema.empty_table()]
    while some := list(islice(left, _ROWS_AT_ONCE)):
        pieces.append(table_of(some, schema))
    return journeys_from_stored(pa.concat_tables(pieces).combine_chunks(), columns)


def row_content(row: JourneyRow) -> bytes:
    """The row as JSON text, exact and canonical: how history keeps it. Of a journey made before some of the fields were
    recorded it is what it was."""
    for first in reversed(_FIRST_LATER):
        if any(value is not None for value in row[first:]):
            break
        row = row[:first]
    return msgspec.json.encode(row)


def row_from_content(content: bytes | str) -> JourneyRow:
    """The inverse of ``row_content``."""
    values = msgspec.json.decode(content)
    if len(values) in _FIRST_LATER:
        values += [None] * (len(COLUMNS) - len(values))
    return tuple(
        float(value) if pa.types.is_floating(field.type) and value is not None else value
        for field, value in zip(STORED_SCHEMA, values, strict=True)
    )


def content_digest(row: JourneyRow) -> str:
    """A digest of everything in the row."""
    return hashlib.blake2b(row_content(row), digest_size=16).hexdigest()


def history_id(journey_id: str, successor_id: str | None, content: bytes) -> str:
    """The identity of a history entry: the same content superseded by the same successor is the same entry."""
    key = f"{journey_id}\0{successor_id or ''}\0".encode() + content
    return hashlib.blake2b(key, digest_size=16).hexdigest()


def nested_values(name: str, text: str) -> list[dict[str, Any]]:
    """The entries of a nested column's text, by field name."""
    names = [NESTED[name].field(i).name for i in range(NESTED[name].num_fields)]
    return [dict(zip(names, entry, strict=True)) for entry in msgspec.json.decode(text)]


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _values(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    if column.null_count and not pa.types.is_string(column.type):
        return list(column.to_pylist())
    array = column.to_numpy() if isinstance(column, pa.ChunkedArray) else column.to_numpy(zero_copy_only=False)
    values: list[Any] = array.tolist()
    return values


def _nested_texts(column: pa.ListArray) -> list[str]:
    flat = column.flatten()
    columns = [_values(part.cast(pa.int64()) if part.type == INSTANT else part) for part in flat.flatten()]
    entries = list(zip(*columns, strict=True))
    ends = np.cumsum(pc.list_value_length(column).to_numpy(zero_copy_only=False)).tolist()
    encode = msgspec.json.Encoder().encode
    texts, start = [], 0
    for end in ends:
        texts.append(encode(entries[start:end]).decode() if end > start else "[]")
        start = end
    return texts


def _nested_column(name: str, texts: Sequence[str]) -> pa.ListArray:
    kind = NESTED[name]
    lists = msgspec.json.decode(f"[{','.join(texts)}]", type=_SHAPES[name])
    offsets = np.zeros(len(lists) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, lists), np.int32, len(lists)), out=offsets[1:])
    columns = list(zip(*chain.from_iterable(lists), strict=True)) or [()] * kind.num_fields
    fields = [kind.field(i) for i in range(kind.num_fields)]
    parts = [
        pa.array(values, pa.int64()).cast(field.type) if field.type == INSTANT else pa.array(values, field.type)
        for field, values in zip(fields, columns, strict=True)
    ]
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.StructArray.from_arrays(parts, fields=fields), type=pa.list_(kind)
    )
