"""Bodies of handed-in fixes: JSON or an Arrow stream becomes columns, and a list of rows that cannot be read."""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.services.http.problems import (
    MALFORMED,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.services.journeyapi.ports import RefusedFix
from journeymesh.services.journeyapi.rendering import ARROW, JSON
from journeymesh.sources.column_values import ColumnOf, as_array
from journeymesh.sources.tabular import OWN_FIELDS, paths_of, required_paths, to_fixes

TAKEN_TYPES: Final = (JSON, ARROW)


class _Body(msgspec.Struct):
    fixes: list[dict[str, Any]]


def read_fixes(media: str, body: bytes, most: int) -> tuple[Fixes, list[RefusedFix]]:
    """The fixes, ``origin`` being their row in the batch, and the rows that cannot be read.

    Raises:
        ProblemRaised: the body is of another media type, cannot be read as what it says it is, or has more than
            ``most`` fixes.
    """
    media = media.partition(";")[0].strip().lower()
    if media == JSON:
        column, rows = _json_columns(body)
    elif media == ARROW:
        column, rows = _arrow_columns(body)
    else:
        raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, f"send {' or '.join(TAKEN_TYPES)}")
    if rows > most:
        raise ProblemRaised(TOO_LARGE, f"at most {most} fixes at once")
    if not rows:
        return Fixes.empty(), []
    fixes, faults = to_fixes(column, OWN_FIELDS, np.arange(rows, dtype=np.int64))
    return fixes, [RefusedFix(row, reason.code, detail) for row, (reason, detail) in sorted(faults.reasons.items())]


def _json_columns(body: bytes) -> tuple[ColumnOf, int]:
    try:
        rows = msgspec.json.decode(body, type=_Body).fixes
    except msgspec.ValidationError as error:
        raise ProblemRaised(UNPROCESSABLE, f"body: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProblemRaised(MALFORMED, "the body is not JSON") from error
    columns: dict[str, pa.Array] = {}
    for path in paths_of(OWN_FIELDS):
        values = [row.get(path) for row in rows]
        if any(value is not None for value in values):
            columns[path] = as_array(values)
    return columns.get, len(rows)


def _arrow_columns(body: bytes) -> tuple[ColumnOf, int]:
    try:
        _refuse_compressed(body)
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, struct.error, IndexError) as error:
        raise ProblemRaised(MALFORMED, "the body is not an Arrow stream") from error
    absent = [path for path in required_paths(OWN_FIELDS) if path not in table.column_names]
    if absent:
        raise ProblemRaised(UNPROCESSABLE, f"body: there is no column {absent[0]!r}")
    if len(set(table.column_names)) != len(table.column_names):
        raise ProblemRaised(UNPROCESSABLE, "body: two columns have one name")

    def column(path: str) -> pa.Array | None:
        if path not in table.column_names:
            return None
        held = table[path]
        if pa.types.is_dictionary(held.type):
            held = held.cast(held.type.value_type)
        held = held.combine_chunks()
        if isinstance(held, pa.ChunkedArray):
            held = held.chunk(0) if held.num_chunks else pa.array([], held.type)
        return held

    return column, len(table)


def _refuse_compressed(body: bytes) -> None:
    """A few bytes of compressed buffers can become more than memory holds; they are refused unread."""
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(body))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary") and _has_compression(bytes(message.metadata), message.type):
            raise ProblemRaised(UNSUPPORTED_MEDIA_TYPE, "send Arrow buffers uncompressed")


def _has_compression(metadata: bytes, kind: str) -> bool:
    """Whether the flatbuffer of a Message has RecordBatch.compression (Arrow's Message.fbs)."""
    header = _table_field(metadata, struct.unpack_from("<I", metadata)[0], 2)
    if header is not None and kind == "dictionary":
        inner = _table_field(metadata, header + struct.unpack_from("<I", metadata, header)[0], 1)
        header = inner
    if header is None:
        return False
    return _table_field(metadata, header + struct.unpack_from("<I", metadata, header)[0], 3) is not None


def _table_field(data: bytes, table: int, number: int) -> int | None:
    """Where the table's field of this number stands; None: it is absent."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, vtable)[0]
    at = 4 + 2 * number
    offset = struct.unpack_from("<H", data, vtable + at)[0] if at < size else 0
    return table + offset if offset else None
