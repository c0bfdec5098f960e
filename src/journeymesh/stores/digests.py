"""Canonical digests of what a store holds: equal content gives equal digests on every adapter.

A digest is of a set of rows: each row is hashed by itself and the hashes are added, so the order in which a store
gives its rows does not matter. Nobody is kept from making up rows that cancel each other out: digests compare what
stores hold, they prove nothing to anybody. ``DIGEST_VERSION`` says how they are made, and begins each of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import msgspec
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
DIGEST_VERSION: Final = 2
"""2: the order of rows does not matter. 1: rows were hashed in the order of their keys."""


class RowsDigest:
    """A running digest over rows: the sum of their hashes, and how many there are."""

    def __init__(self) -> None:
        self._sum, self._count = 0, 0

    def add(self, row: bytes) -> None:
        """Add a row, as bytes that are the same for the same content alone."""
        self._sum += int.from_bytes(hashlib.blake2b(row).digest(), "little")
        self._count += 1

    def hexdigest(self) -> str:
        """The digest of all rows added so far: ``2-`` and 32 hexadecimal digits."""
        whole = f"{self._count}/{self._sum % (1 << 512):x}".encode()
        return f"{DIGEST_VERSION}-{hashlib.blake2b(whole, digest_size=16).hexdigest()}"


def table_digest(schema: pa.Schema, pages: Iterable[pa.Table]) -> str:
    """The digest of all the pages' rows, of one flat schema (numbers, instants, booleans and text). A column that is
    absent counts as null throughout."""
    digest = RowsDigest()
    required = max((at for at, field in enumerate(schema) if field.name not in _ADDED_LATER), default=-1) + 1
    encode = msgspec.msgpack.Encoder().encode
    for page in pages:
        columns = [
            _values(page[field.name]) if field.name in page.column_names else [None] * len(page) for field in schema
        ]
        for row in zip(*columns, strict=True):
            end = len(row)
            while end > required and row[end - 1] is None:
                end -= 1
            digest.add(encode(row[:end]))
    return digest.hexdigest()


def fixes_digest(blocks: Iterable[tuple[str, int, pa.RecordBatch]]) -> str:
    """The digest of kept fixes: (vehicle, UTC day, fixes by time), by content and not by encoding."""
    digest = RowsDigest()
    for vehicle, day, fixes in blocks:
        content = msgspec.msgpack.encode((vehicle, day, len(fixes)))
        digest.add(content + _columns_hash(KEPT_FIX_SCHEMA, fixes))
    return digest.hexdigest()


def _values(column: pa.ChunkedArray) -> list[object]:
    number = column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column
    values: list[object] = number.to_pylist()
    return values


def _columns_hash(schema: pa.Schema, batch: pa.RecordBatch) -> bytes:
    """A hash of all the rows, in their order, column by column: there are many of them. A column without a value
    counts as one that is absent."""
    whole = hashlib.blake2b(digest_size=32)
    names = set(batch.schema.names)
    for field in schema:
        if field.name not in names or batch[field.name].null_count == len(batch):
            continue
        whole.update(f"{field.name}\0{field.type}\0".encode())
        parts = [hashlib.blake2b(digest_size=32) for _ in range(3)]
        _add_chunk(parts, batch[field.name])
        for part in parts:
            whole.update(part.digest())
    return whole.digest()


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


def _text_bytes(filled: pa.StringArray) -> bytes:
    _, offsets, content = filled.buffers()
    if content is None or not len(filled):
        return b""
    edges = np.frombuffer(offsets, np.int32)
    first, last = int(edges[filled.offset]), int(edges[filled.offset + len(filled)])
    return memoryview(content)[first:last].tobytes()
