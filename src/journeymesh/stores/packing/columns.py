"""Packing of whole columns, and Arrow record batches made of packed ones."""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from journeymesh.stores.packing import kernels

MOST_ROWS: Final = 1 << 26
"""More fixes than a recorder of 100 Hz makes in a week: a damaged head asks for no more memory than that."""


def packed_bytes(rows: int) -> int:
    """The most bytes that a column of so many rows is packed into."""
    return kernels.HEAD_BYTES + (rows + 7) // 8 + 8 * rows


def pack(values: np.ndarray, start: int, end: int, scratch: np.ndarray, out: np.ndarray, at: int) -> int:
    """Pack rows of a contiguous column, int64 (``NO_VALUE`` where missing) or float64 (NaN), into ``out`` from ``at``.

    ``scratch`` has room for an int64 of each row, ``out`` for ``packed_bytes`` of them. Returns where the bytes end.
    """
    if values.dtype == np.int64:
        return int(kernels.pack_integers(values, start, end, True, scratch, out, at))
    return int(kernels.pack_doubles(values, start, end, scratch, out, at))


def unpacked(body: memoryview, schema: pa.Schema, rows: int) -> pa.RecordBatch:
    """The packed columns of this schema, one after the other, as a record batch; missing values are nulls.

    Raises:
        ValueError: the bytes are not that.
    """
    data = np.frombuffer(body, np.uint8)
    if not 0 < rows <= MOST_ROWS:
        raise ValueError(f"{rows} rows")
    scratch = np.empty(rows, np.int64)
    columns, at = [], 0
    for field in schema:
        if pa.types.is_floating(field.type):
            values = np.empty(rows, np.float64)
            at = int(kernels.unpack_doubles(data, at, rows, scratch, values))
            missing = np.isnan(values)
        else:
            values = np.empty(rows, np.int64)
            at = int(kernels.unpack_integers(data, at, rows, values))
            missing = values == kernels.NO_VALUE
        if at < 0:
            raise ValueError(f"{field.name} cannot be unpacked")
        if pa.types.is_boolean(field.type):
            values = values == 1
        mask = missing if missing.any() else None
        columns.append(pa.array(values, mask=mask).cast(field.type))
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes too many")
    return pa.RecordBatch.from_arrays(columns, schema=schema)
