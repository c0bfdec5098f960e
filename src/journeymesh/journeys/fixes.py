"""Columns of fixes: the one in-memory shape between sources, the pass and the stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
I32 = npt.NDArray[np.int32]
U32 = npt.NDArray[np.uint32]
I8 = npt.NDArray[np.int8]

NOT_REPORTED_US: Final = np.iinfo(np.int64).min
"""In ``received_at_us``: the source does not say when the fix was received."""

OPTIONAL_FLOATS: Final = (
    "speed_mps",
    "heading_deg",
    "accel_longitudinal_mps2",
    "accel_lateral_mps2",
    "speed_limit_mps",
    "accuracy_m",
)
"""Optional columns; absent (None) as a whole, or NaN where one fix does not report it."""

FIX_SCHEMA: Final = pa.schema(
    [
        pa.field("vehicle", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("fixed_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("lat_deg", pa.float64()),
        pa.field("lon_deg", pa.float64()),
        pa.field("received_at", pa.timestamp("us", tz="UTC")),
        *(pa.field(name, pa.float64()) for name in OPTIONAL_FLOATS[:-1]),
        pa.field("ignition", pa.bool_()),
        pa.field("accuracy_m", pa.float64()),
    ]
)
"""The Arrow form of fixes, in files and blocks. ``vehicle`` is a device's or a vehicle's id, whichever is reported.
A new column is put last: a block says by position which columns it has."""

_FLOATS: Final = ("lat_deg", "lon_deg", *OPTIONAL_FLOATS)
_SHORT_RUN: Final = 256
_INSTANT: Final = pa.timestamp("us", tz="UTC")
_INT64, _FLOAT64 = pa.int64(), pa.float64()


@dataclass(frozen=True, slots=True)
class Fixes:
    """Columns of n fixes. Arrays are read-only by convention; an absent optional column is None.

    - ``vehicles``: the dictionary; ``vehicle``: int32[n] codes into it
    - ``fixed_at_us``: int64[n], device clock, microseconds since 1970 UTC
    - ``lat_deg``, ``lon_deg``: float64[n], WGS84 degrees, NaN where missing
    - ``received_at_us``: int64[n], receipt, ``NOT_REPORTED_US`` where unknown
    - ``speed_mps``, ``heading_deg`` (clockwise from north), ``accel_longitudinal_mps2`` (forward positive),
      ``accel_lateral_mps2``, ``speed_limit_mps``: float64[n], NaN where not reported
    - ``accuracy_m``: float64[n], how far off the position may be by the recorder's own word; infinite where it says
      that the position is not valid
    - ``ignition``: int8[n], 1 on, 0 off, -1 not reported
    - ``origin``: int64[n], the source's own number for the input a fix came from; -1 where unknown. A range where the
      numbers are one after the other: ``origins`` has them as a column either way
    """

    vehicles: tuple[str, ...]
    vehicle: I32
    fixed_at_us: I64
    lat_deg: F64
    lon_deg: F64
    received_at_us: I64 | None = None
    speed_mps: F64 | None = None
    heading_deg: F64 | None = None
    accel_longitudinal_mps2: F64 | None = None
    accel_lateral_mps2: F64 | None = None
    speed_limit_mps: F64 | None = None
    accuracy_m: F64 | None = None
    ignition: I8 | None = None
    origin: I64 | range | None = None

    def __len__(self) -> int:
        return len(self.vehicle)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns, without ``origin`` and without the dictionary ``vehicles``."""
        return sum(column.nbytes for _, column in self._reported())

    @property
    def origins(self) -> I64 | None:
        """``origin`` as a column."""
        held = self.origin
        return np.arange(held.start, held.stop) if isinstance(held, range) else held

    def columns(self) -> list[tuple[str, npt.NDArray[np.generic]]]:
        """The columns that are present, by name, without the dictionary."""
        origins = self.origins
        return self._reported() + ([] if origins is None else [("origin", origins)])

    def _reported(self) -> list[tuple[str, npt.NDArray[np.generic]]]:
        return [(name, column) for name in COLUMN_NAMES[:-1] if (column := getattr(self, name)) is not None]

    def take(self, rows: I64 | U32 | slice | npt.NDArray[np.bool_]) -> Fixes:
        """The rows selected by an index array, a mask or a slice, in that order."""
        taken: dict[str, Any] = {name: column[rows] for name, column in self._reported()}
        return replace(self, **taken, origin=self._origin_of(rows))

    def _origin_of(self, rows: I64 | U32 | slice | npt.NDArray[np.bool_]) -> I64 | range | None:
        held = self.origin
        if not isinstance(held, range):
            return None if held is None else held[rows]
        if isinstance(rows, slice):
            return held[rows]
        return held.start + (np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.int64))

    def rearranged(self, order: U32) -> Fixes:
        """``take`` of rows in another order, faster where they stand in long runs: a run is copied as a whole, and a
        single one not at all."""
        runs = runs_of(order)
        if runs is None:
            return self.take(order)
        if len(runs) <= 1:
            return self.take(runs[0] if runs else slice(0))
        columns: dict[str, Any] = {
            name: np.concatenate([column[run] for run in runs]) for name, column in self._reported()
        }
        return replace(self, **columns, origin=self._origin_of(order))

    @classmethod
    def empty(cls, vehicles: tuple[str, ...] = ()) -> Fixes:
        """No fixes."""
        f64 = np.empty(0, np.float64)
        return cls(vehicles, np.empty(0, np.int32), np.empty(0, np.int64), f64, f64)

    @classmethod
    def concat(cls, parts: Sequence[Fixes]) -> Fixes:
        """The parts one after the other, their dictionaries united, missing columns filled as not reported."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.empty()
        codes: dict[str, int] = {}
        vehicle = [recode(part, codes) for part in parts]
        columns: dict[str, Any] = {"vehicle": np.concatenate(vehicle)}
        if (together := _one_range([part.origin for part in parts])) is not None:
            columns["origin"] = together
        for name in COLUMN_NAMES[1:] if together is None else COLUMN_NAMES[1:-1]:
            present = [part.origins if name == "origin" else getattr(part, name) for part in parts]
            if any(column is not None for column in present):
                columns[name] = np.concatenate(
                    [
                        column if column is not None else np.full(len(part), *NOT_REPORTED[name])
                        for part, column in zip(parts, present, strict=True)
                    ]
                )
        return cls(vehicles=tuple(codes), **columns)

    def to_arrow(self) -> pa.Table:
        """An Arrow table in ``FIX_SCHEMA``, without absent columns and without ``origin``; NaN becomes null."""
        columns: dict[str, pa.Array] = {
            "vehicle": pa.DictionaryArray.from_arrays(pa.array(self.vehicle), pa.array(self.vehicles, pa.string()))
        }
        for name, column in self.columns()[1:]:
            match name:
                case "origin":
                    continue
                case "fixed_at_us" | "received_at_us":
                    mask = column == NOT_REPORTED_US
                    instants = pa.array(column, pa.int64(), mask=mask if mask.any() else None)
                    columns[name.removesuffix("_us")] = instants.cast(pa.timestamp("us", tz="UTC"))
                case "ignition":
                    columns[name] = pa.array(column == 1, mask=column == -1)
                case _:
                    columns[name] = pa.array(column, from_pandas=True)
        return pa.table({name: columns[name] for name in FIX_SCHEMA.names if name in columns})

    @classmethod
    def from_arrow(cls, table: pa.Table | pa.RecordBatch, first_origin: int = -1, *, is_ours: bool = False) -> Fixes:
        """Fixes from an Arrow table with ``FIX_SCHEMA``'s columns (absent optional ones stay absent).

        ``first_origin`` numbers the rows from there on; -1 leaves their origin unknown. ``is_ours`` says that nobody
        else looks at the table's memory: what is missing is then filled in where it is, not in a copy.
        """
        encoded = table["vehicle"]
        if not pa.types.is_dictionary(encoded.type):
            encoded = encoded.dictionary_encode()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.unify_dictionaries().combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):
            encoded = encoded.chunk(0) if encoded.num_chunks else pa.array([], encoded.type)
        columns: dict[str, Any] = {}
        for name in table.schema.names:
            match name:
                case "fixed_at" | "received_at":
                    instants_us: Any = _micros_in_place(table[name]) if is_ours else None
                    if instants_us is None:
                        instants_us = _numpy(_as(_as(table[name], _INSTANT), _INT64), NOT_REPORTED_US)
                    columns[f"{name}_us"] = instants_us
                case "ignition":
                    columns[name] = _numpy(_as(table[name], pa.int8()), -1).astype(np.int8)
                case _ if name in _FLOATS:
                    column = _as(table[name], _FLOAT64)
                    filled = _filled_in_place(column) if is_ours and column.null_count else None
                    columns[name] = _numpy(column, np.nan) if filled is None else filled
        if first_origin >= 0:
            columns["origin"] = range(first_origin, first_origin + len(table))
        codes: Any = _numpy(encoded.indices.cast(pa.int32()), -1)
        return cls(tuple(encoded.dictionary.to_pylist()), codes, **columns)


COLUMN_NAMES: Final = tuple(f.name for f in fields(Fixes) if f.name != "vehicles")

NOT_REPORTED: Final[dict[str, tuple[object, type]]] = {
    **dict.fromkeys(("lat_deg", "lon_deg", *OPTIONAL_FLOATS), (np.nan, np.float64)),
    "fixed_at_us": (NOT_REPORTED_US, np.int64),
    "received_at_us": (NOT_REPORTED_US, np.int64),
    "ignition": (-1, np.int8),
    "origin": (-1, np.int64),
}
"""What a column holds where nothing is reported, and its type."""


def _one_range(origins: Sequence[I64 | range | None]) -> range | None:
    """The one range that these are together; None where they are not."""
    ranges = [origin for origin in origins if isinstance(origin, range) and len(origin)]
    if len(ranges) < len(origins) or any(a.stop != b.start for a, b in pairwise(ranges)):
        return None
    return range(ranges[0].start, ranges[-1].stop)


def renumbered(vehicle: I32) -> tuple[I32, I32]:
    """(the codes that occur, int32[k]; int32[n] places in them). In order of appearance where each vehicle's fixes
    stand together, so that sorting by vehicle finds nothing to move."""
    starts = np.flatnonzero(vehicle[1:] != vehicle[:-1]) + 1
    if not len(starts):
        return vehicle[:1], np.zeros(len(vehicle), np.int32)
    bounds = np.concatenate([[0], starts, [len(vehicle)]])
    codes = vehicle[bounds[:-1]]
    present = np.unique(codes)
    if len(present) == len(codes):
        return codes, np.repeat(np.arange(len(codes), dtype=np.int32), np.diff(bounds))
    place = np.zeros(present[-1] + 1, np.int32)
    place[present] = np.arange(len(present), dtype=np.int32)
    return present, place[vehicle]


def runs_of(order: U32) -> list[slice] | None:
    """The runs of consecutive rows that an order of rows consists of; None where they are not worth being copied as
    such."""
    if not len(order):
        return []
    starts = np.r_[0, np.flatnonzero(np.diff(order) != 1) + 1]
    if len(starts) * _SHORT_RUN > len(order):
        return None
    lengths = np.diff(np.r_[starts, len(order)])
    return [slice(k, k + n) for k, n in zip(order[starts].tolist(), lengths.tolist(), strict=True)]


def recode(part: Fixes, codes: dict[str, int]) -> I32:
    """The part's vehicle codes in this dictionary, which takes up the names that it lacks."""
    table = np.fromiter((codes.setdefault(v, len(codes)) for v in part.vehicles), np.int32, len(part.vehicles))
    if len(table) == 1:
        return np.full(len(part), table[0], np.int32)
    if len(table) and np.array_equal(table, np.arange(len(table))):
        return part.vehicle
    return table[part.vehicle] if len(table) else part.vehicle


def _as(column: pa.Array | pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    """The column in this type; instants as integers by looking at the same memory."""
    if column.type == kind:
        return column
    if pa.types.is_timestamp(column.type) and isinstance(column, pa.Array) and pa.types.is_int64(kind):
        return column.view(kind)
    if pa.types.is_timestamp(kind):  # What is finer than a microsecond is cut off, as it is in a mapped column.
        return column.cast(options=pc.CastOptions(kind, allow_time_truncate=True))
    return column.cast(kind)


def _filled_in_place(column: pa.Array | pa.ChunkedArray) -> F64 | None:
    """The column's own memory, NaN where it is null; None where it may not be written to."""
    values = _own_memory(column, np.float64)
    if values is not None:
        values[_null_rows(column)] = np.nan
    return values


def _micros_in_place(column: pa.Array | pa.ChunkedArray) -> I64 | None:
    """Nanoseconds as microseconds in the column's own memory; None where they are none, are null or before 1970, or
    may not be written to. Arrow's own conversion takes new memory and eight times as long."""
    values = _own_memory(column, np.int64) if column.type.unit == "ns" and not column.null_count else None
    if values is None or not len(values) or values.min() < 0:
        return None
    values //= 1_000
    return values


def _own_memory(column: pa.Array | pa.ChunkedArray, kind: type[Any]) -> npt.NDArray[Any] | None:
    """The column's own memory, to be written to; None where it may not be."""
    buffer = column.buffers()[1] if isinstance(column, pa.Array) else None
    if buffer is None or not buffer.is_mutable:
        return None
    return np.frombuffer(buffer, kind)[column.offset : column.offset + len(column)]


def _null_rows(column: pa.Array) -> I64:
    """The rows where the column is null, found by the bytes of its bitmap: they are few."""
    if column.offset:
        return np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))
    valid = np.frombuffer(column.buffers()[0], np.uint8)[: (len(column) + 7) // 8]
    places = np.flatnonzero(valid != 0xFF)
    byte, bit = np.nonzero(np.unpackbits(~valid[places], bitorder="little").reshape(-1, 8))
    rows = places[byte] * 8 + bit
    return rows[rows < len(column)]


def _numpy(column: pa.Array | pa.ChunkedArray, missing: object) -> npt.NDArray[np.generic]:
    """A numpy array of the column, without a copy where it has one chunk and no nulls."""
    if column.null_count:
        column = column.fill_null(missing)
    if isinstance(column, pa.ChunkedArray):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # combine_chunks of an empty chunked array
        column = pa.array([], column.type)
    array: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return array
