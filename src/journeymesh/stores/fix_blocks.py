"""Kept fixes, as one compressed block per vehicle and UTC day.

A block is a 20-byte head (format, which columns, rows, bytes, checksum) and those columns of ``KEPT_FIX_SCHEMA`` one
after the other, packed (``stores/packing``); a column that no fix of the day reports is left out. The same fixes give
the same bytes. Blocks of format 1, one zstd frame of the Arrow IPC record batch, are read and no longer written.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from journeymesh.errors import StoreCorrupt
from journeymesh.journeys.fixes import NOT_REPORTED_US, OPTIONAL_FLOATS, Fixes
from journeymesh.stores.digests import KEPT_FIX_SCHEMA
from journeymesh.stores.packing.columns import pack, packed_bytes, unpacked

DAY_US: Final = 86_400_000_000
_FORMAT: Final = 2
_FORMAT_1: Final = 1
_HEAD: Final = struct.Struct("<HHIQ")
_CHECKSUM: Final = struct.Struct("<I")
_BODY_AT: Final = _HEAD.size + _CHECKSUM.size


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
    columns, reported = _columns(fixes, starts)
    scratch = np.empty(int((ends - starts).max()), np.int64)
    out = np.empty(packed_bytes(len(scratch)) * len(columns), np.uint8)
    blocks = []
    for index, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        blocks.append(
            FixBlock(
                vehicle=names[int(fixes.vehicle[start])],
                day=int(days[start]),
                first_us=int(instants[start]),
                last_us=int(instants[end - 1]),
                rows=end - start,
                content=_encode(columns, reported[index], start, end, scratch, out),
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
        if version not in (_FORMAT, _FORMAT_1):
            raise ValueError(f"format {version}")
        body = memoryview(content)[_BODY_AT:]
        if _CHECKSUM.unpack_from(content, _HEAD.size)[0] != zlib.crc32(body, zlib.crc32(content[: _HEAD.size])):
            raise ValueError("its checksum differs")
        schema = pa.schema([field for i, field in enumerate(KEPT_FIX_SCHEMA) if mask >> i & 1])
        if version == _FORMAT_1:
            raw = pa.Codec("zstd").decompress(body, decompressed_size=size)
            batch = pa.ipc.read_record_batch(raw, schema)
        else:
            if size != len(body):
                raise ValueError(f"{len(body)} bytes instead of {size}")
            batch = unpacked(body, schema, rows)
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


def merged_content(one: bytes, other: bytes) -> bytes:
    """The block of the fixes of both, which are of one vehicle and day."""
    (block,) = encode_blocks(Fixes.concat([_fixes("", decode_block(content)) for content in (one, other)]))
    return block.content


def split_content(block: tuple[Any, ...], bounds: Sequence[int]) -> list[tuple[Any, ...]]:
    """The pieces of a block (vehicle, day, first, last, fixes, content) between these instants (µs), each of which is
    the first of a piece."""
    vehicle, day, *_, content = block
    fixes = _fixes("", decode_block(bytes(content)))
    edges = [0, *np.searchsorted(fixes.fixed_at_us, np.array(bounds, np.int64), "left").tolist(), len(fixes)]
    pieces = []
    for start, end in pairwise(edges):
        if end > start:
            (piece,) = encode_blocks(fixes.take(slice(start, end)))
            pieces.append((vehicle, day, piece.first_us, piece.last_us, piece.rows, piece.content))
    return pieces


def _fixes(vehicle: str, batch: pa.RecordBatch) -> Fixes:
    names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(batch), np.int32)), pa.array([vehicle]))
    columns = {"vehicle": names} | {field.name: batch[field.name] for field in batch.schema}
    for name in ("lat_deg", "lon_deg"):
        columns.setdefault(name, pa.nulls(len(batch), pa.float64()))
    return Fixes.from_arrow(pa.table(columns))


def _columns(fixes: Fixes, starts: np.ndarray) -> tuple[list[np.ndarray | None], list[int]]:
    """Each column of ``KEPT_FIX_SCHEMA`` to be packed (None: absent), and per block a mask of those it reports."""
    columns: list[np.ndarray | None] = []
    masks = np.zeros(len(starts), np.int64)
    for position, field in enumerate(KEPT_FIX_SCHEMA):
        values = _column(fixes, field.name)
        columns.append(values)
        if values is None:
            continue
        there = values != NOT_REPORTED_US if values.dtype == np.int64 else ~np.isnan(values)
        masks |= np.logical_or.reduceat(there, starts).astype(np.int64) << position
    return columns, masks.tolist()


def _column(fixes: Fixes, name: str) -> np.ndarray | None:
    """int64 with ``NOT_REPORTED_US``, or float64 with NaN, where a fix does not report it."""
    match name:
        case "fixed_at" | "received_at":
            values = getattr(fixes, f"{name}_us")
        case "ignition":
            flags = fixes.ignition
            values = None if flags is None else np.where(flags == -1, NOT_REPORTED_US, flags.astype(np.int64))
        case _:
            assert name in OPTIONAL_FLOATS or name in ("lat_deg", "lon_deg")
            values = getattr(fixes, name)
    return None if values is None else np.ascontiguousarray(values)


def _encode(
    columns: list[np.ndarray | None], mask: int, start: int, end: int, scratch: np.ndarray, out: np.ndarray
) -> bytes:
    at = 0
    for position, values in enumerate(columns):
        if mask >> position & 1:
            assert values is not None
            at = pack(values, start, end, scratch, out, at)
    body = out[:at].tobytes()
    head = _HEAD.pack(_FORMAT, mask, end - start, at)
    return head + _CHECKSUM.pack(zlib.crc32(body, zlib.crc32(head))) + body
