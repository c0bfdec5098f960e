"""Kept fixes, as one compressed block per vehicle and UTC day.

A block is a 20-byte head (format, which columns, rows, bytes uncompressed, checksum) and one zstd frame of the Arrow
IPC record batch of those columns of ``FIX_SCHEMA``, without the vehicle; a column that no fix of the day reports is
left out.
The same fixes give the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from journeymesh.errors import StoreCorrupt
from journeymesh.journeys.fixes import NOT_REPORTED_US, OPTIONAL_FLOATS, Fixes
from journeymesh.stores.digests import KEPT_FIX_SCHEMA

DAY_US: Final = 86_400_000_000
_FORMAT: Final = 1
_HEAD: Final = struct.Struct("<HHIQ")
_CHECKSUM: Final = struct.Struct("<I")
_FRAME_AT: Final = _HEAD.size + _CHECKSUM.size


@dataclass(frozen=True, slots=True)
class FixBlock:
    """The kept fixes of one vehicle on one UTC day (days since 1970); instants in microseconds."""

    vehicle: str
    day: int
    first_us: int
    last_us: int
    rows: int
    content: bytes


def encode_blocks(fixes: Fixes) -> list[FixBlock]:
    """The fixes as blocks, in (vehicle, day) order. Fixes that are not in order are sorted (stably) first."""
    if not len(fixes):
        return []
    names = fixes.vehicles
    rank = np.empty(len(names), np.int64)
    rank[sorted(range(len(names)), key=lambda code: names[code].encode())] = np.arange(len(names))
    ranks = rank[fixes.vehicle]
    instants = fixes.fixed_at_us
    steps = np.diff(ranks)
    if np.any(steps < 0) or np.any((steps == 0) & (np.diff(instants) < 0)):
        fixes = fixes.take(np.lexsort((instants, ranks)))
        ranks, instants = rank[fixes.vehicle], fixes.fixed_at_us
    days = instants // DAY_US
    edges = np.flatnonzero((np.diff(ranks) != 0) | (np.diff(days) != 0)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.append(edges, len(instants))
    columns, reported = _arrow_columns(fixes, starts)
    codec = pa.Codec("zstd", compression_level=1)
    blocks = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        content = _encode(columns, reported[index], start, end - start, codec)
        blocks.append(
            FixBlock(
                vehicle=names[int(fixes.vehicle[start])],
                day=int(days[start]),
                first_us=int(instants[start]),
                last_us=int(instants[end - 1]),
                rows=end - start,
                content=content,
            )
        )
    return blocks


def decode_block(content: bytes) -> pa.RecordBatch:
    """The fixes of a block: a record batch of the columns of ``KEPT_FIX_SCHEMA`` that it has.

    Raises:
        StoreCorrupt: the bytes are not a block.
    """
    try:
        version, mask, rows, size = _HEAD.unpack_from(content)
        if version != _FORMAT:
            raise ValueError(f"format {version}")
        frame = memoryview(content)[_FRAME_AT:]
        if _CHECKSUM.unpack_from(content, _HEAD.size)[0] != zlib.crc32(frame, zlib.crc32(content[: _HEAD.size])):
            raise ValueError("its checksum differs")
        raw = pa.Codec("zstd").decompress(frame, decompressed_size=size)
        schema = pa.schema([field for i, field in enumerate(KEPT_FIX_SCHEMA) if mask >> i & 1])
        batch = pa.ipc.read_record_batch(raw, schema)
        if len(batch) != rows:
            raise ValueError(f"{len(batch)} rows instead of {rows}")
    except (struct.error, pa.ArrowException, ValueError, OSError) as error:
        raise StoreCorrupt(
            f"a block of kept fixes is damaged ({error})", todo="run: journeymesh store verify"
        ) from error
    return batch


def fixes_of(vehicle: str, contents: Sequence[bytes], first_us: int, last_us: int) -> Fixes:
    """The fixes of one vehicle's blocks (in day order) with ``first_us <= fixed_at <= last_us``."""
    parts = []
    for batch in map(decode_block, contents):
        instants = batch["fixed_at"].cast(pa.int64()).to_numpy()
        start, end = np.searchsorted(instants, first_us, "left"), np.searchsorted(instants, last_us, "right")
        if end > start:
            parts.append(_fixes(vehicle, batch.slice(int(start), int(end - start))))
    return Fixes.concat(parts) if parts else Fixes.empty((vehicle,))


def decoded(blocks: Iterator[tuple[str, int, bytes]]) -> Iterator[tuple[str, int, pa.RecordBatch]]:
    """Blocks with their fixes, for ``fixes_digest``."""
    for vehicle, day, content in blocks:
        yield vehicle, day, decode_block(content)


def _fixes(vehicle: str, batch: pa.RecordBatch) -> Fixes:
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(batch), np.int32)), pa.array([vehicle]))
    columns = {"vehicle": names} | {field.name: batch[field.name] for field in batch.schema}
    for name in ("lat_deg", "lon_deg"):
        columns.setdefault(name, pa.nulls(len(batch), pa.float64()))
    return Fixes.from_arrow(pa.table(columns))


def _arrow_columns(fixes: Fixes, starts: np.ndarray) -> tuple[list[pa.Array | None], list[int]]:
    """Each column of ``KEPT_FIX_SCHEMA`` as an array (None: absent), and per block a mask of those it reports."""
    columns: list[pa.Array | None] = []
    masks = np.zeros(len(starts), np.int64)
    for position, field in enumerate(KEPT_FIX_SCHEMA):
        missing, values = _missing(fixes, field.name)
        if values is None:
            columns.append(None)
            continue
        if missing is None or not missing.any():
            masks |= 1 << position
            columns.append(pa.array(values).cast(field.type))
            continue
        masks |= np.logical_or.reduceat(~missing, starts).astype(np.int64) << position
        values = np.where(missing, np.zeros(1, values.dtype), values)
        columns.append(pa.array(values, mask=missing).cast(field.type))
    return columns, masks.tolist()


def _missing(fixes: Fixes, name: str) -> tuple[np.ndarray | None, np.ndarray | None]:
    match name:
        case "fixed_at":
            return None, fixes.fixed_at_us
        case "received_at":
            column = fixes.received_at_us
            return (None, None) if column is None else (column == NOT_REPORTED_US, column)
        case "ignition":
            flags = fixes.ignition
            return (None, None) if flags is None else (flags == -1, flags == 1)
        case "lat_deg" | "lon_deg":
            position = getattr(fixes, name)
            return np.isnan(position), position
        case _:
            assert name in OPTIONAL_FLOATS
            values = getattr(fixes, name)
            return (None, None) if values is None else (np.isnan(values), values)


def _encode(columns: list[pa.Array | None], mask: int, start: int, rows: int, codec: pa.Codec) -> bytes:
    chosen = [(KEPT_FIX_SCHEMA.field(i), columns[i]) for i in range(len(columns)) if mask >> i & 1]
    batch = pa.RecordBatch.from_arrays(
        [column.slice(start, rows) for _, column in chosen if column is not None],
        schema=pa.schema([field for field, _ in chosen]),
    )
    raw = batch.serialize()
    compressed: bytes = codec.compress(raw, asbytes=True)
    head = _HEAD.pack(_FORMAT, mask, rows, raw.size)
    return head + _CHECKSUM.pack(zlib.crc32(compressed, zlib.crc32(head))) + compressed
