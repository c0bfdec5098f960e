"""Canonical digests of what a store holds: equal content gives equal digests on every adapter.

Rows come in key order, in pages of any size; a digest depends on the rows only, not on the pages. Each column is
hashed by itself (values, then which are null, then text lengths), and the column digests are hashed together, so
that everything is done by column.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.fixes import FIX_SCHEMA
from journeymesh.journeys.journey import RECORDED_LATER

REFUSAL_DIGEST_SCHEMA: Final = pa.schema(
    [
        ("refusal_id", pa.string()),
        ("reason", pa.string()),
        ("vehicle", pa.string()),
        ("fixed_at_us", pa.int64()),
        ("lat_deg", pa.float64()),
        ("lon_deg", pa.float64()),
    ]
)
POLICY_SCHEMA: Final = pa.schema(
    [
        ("number", pa.string()),
        ("valid_from_us", pa.int64()),
        ("valid_to_us", pa.int64()),
        ("zone", pa.string()),
        ("device", pa.string()),
        ("vehicle", pa.string()),
        ("tenant", pa.string()),
        ("product", pa.string()),
        ("status", pa.string()),
        ("declared_annual_distance_m", pa.float64()),
    ]
)
KEPT_FIX_SCHEMA: Final = pa.schema([field for field in FIX_SCHEMA if field.name != "vehicle"])
_ADDED_LATER: Final = frozenset({"accuracy_m", *RECORDED_LATER})
"""Columns that count only where a row has a value, so that what was held before they came keeps its digest."""
_BLOCK_SCHEMA: Final = pa.schema([("vehicle", pa.string()), ("day", pa.int64()), ("rows", pa.int64())])


class TableDigest:
    """A running digest over tables of one flat schema (numbers, instants, booleans and text)."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._told: set[str] = set()
        self._hashes = [[hashlib.blake2b(digest_size=32) for _ in range(3)] for _ in schema]

    def add(self, table: pa.Table) -> None:
        """Add the table's rows, in its order. A column that is absent counts as null throughout."""
        for field, hashes in zip(self._schema, self._hashes, strict=True):
            if field.name not in table.column_names:
                _add_absent(hashes, field.type, len(table))
                continue
            if table[field.name].null_count < len(table):
                self._told.add(field.name)
            for chunk in table[field.name].chunks:
                _add_chunk(hashes, chunk)

    def hexdigest(self) -> str:
        """The digest of all rows added so far."""
        whole = hashlib.blake2b(digest_size=16)
        for field, hashes in zip(self._schema, self._hashes, strict=True):
            if field.name in _ADDED_LATER and field.name not in self._told:
                continue
            whole.update(f"{field.name}\0{field.type}\0".encode())
            for part in hashes:
                whole.update(part.digest())
        return whole.hexdigest()


def table_digest(schema: pa.Schema, pages: Iterable[pa.Table]) -> str:
    """The digest of all the pages' rows."""
    digest = TableDigest(schema)
    for page in pages:
        digest.add(page)
    return digest.hexdigest()


def fixes_digest(blocks: Iterable[tuple[str, int, pa.RecordBatch]]) -> str:
    """The digest of kept fixes: (vehicle, UTC day, fixes) in (vehicle, day) order, by content and not by encoding."""
    days, fixes = TableDigest(_BLOCK_SCHEMA), TableDigest(KEPT_FIX_SCHEMA)
    for vehicle, day, batch in blocks:
        days.add(pa.table({"vehicle": [vehicle], "day": [day], "rows": [len(batch)]}, schema=_BLOCK_SCHEMA))
        fixes.add(pa.Table.from_batches([batch]))
    return hashlib.blake2b(f"{days.hexdigest()}{fixes.hexdigest()}".encode(), digest_size=16).hexdigest()


def _add_chunk(hashes: list[hashlib.blake2b], chunk: pa.Array) -> None:
    values, presence, lengths = hashes
    if pa.types.is_string(chunk.type):
        filled = chunk.fill_null("") if chunk.null_count else chunk
        lengths.update(pc.binary_length(filled).to_numpy(zero_copy_only=False).astype("<i4").tobytes())
        values.update(_text_bytes(filled))
    else:
        number = chunk.cast(pa.int8()) if pa.types.is_boolean(chunk.type) else chunk
        if pa.types.is_timestamp(number.type):
            number = number.cast(pa.int64())
        filled = number.fill_null(0) if number.null_count else number
        column = filled.to_numpy(zero_copy_only=False)
        values.update(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("<"), copy=False)).tobytes())
    present = np.ones(len(chunk), np.bool_)
    if chunk.null_count:
        present = chunk.is_valid().to_numpy(zero_copy_only=False)
    presence.update(present.astype(np.int8).tobytes())


def _add_absent(hashes: list[hashlib.blake2b], kind: pa.DataType, rows: int) -> None:
    _add_chunk(hashes, pa.nulls(rows, kind))


def _text_bytes(filled: pa.StringArray) -> bytes:
    _, offsets, content = filled.buffers()
    if content is None or not len(filled):
        return b""
    edges = np.frombuffer(offsets, np.int32)
    first, last = int(edges[filled.offset]), int(edges[filled.offset + len(filled)])
    return memoryview(content)[first:last].tobytes()
