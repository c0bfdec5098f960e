"""Tables as bytes, in the media type that was negotiated, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from journeymesh.journeys.answers import json_lines, json_rows, plain
from journeymesh.safe_text import column_in_spreadsheet

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
ARROW: Final = "application/vnd.apache.arrow.stream"
PARQUET: Final = "application/vnd.apache.parquet"
CSV: Final = "text/csv"
OFFERED: Final = (JSON, NDJSON, ARROW, PARQUET, CSV)
EXPORTS: Final = frozenset({ARROW, PARQUET, CSV})
"""What one takes away as a file, for which journeys have a capability of its own."""

_ENCODE: Final = msgspec.json.Encoder().encode


def tables(page: type, row: type) -> Mapping[str, Any]:
    """The types of an answer that is rows, by media type: JSON has pages of them, NDJSON one after the other."""
    return {JSON: page, NDJSON: row, ARROW: None, PARQUET: None, CSV: str}


class Rendering(Protocol):
    """A table on its way out."""

    def page(self, table: pa.Table) -> bytes:
        """These rows' bytes, or those that are ready."""

    def end(self) -> bytes:
        """What is left."""


def rendering(media: str, schema: pa.Schema) -> Rendering:
    """What renders tables of this schema in a streamed media type."""
    kinds: Mapping[str, Callable[[pa.Schema], Rendering]] = {
        NDJSON: _Ndjson,
        ARROW: _Arrow,
        PARQUET: _Parquet,
        CSV: _Csv,
    }
    return kinds[media](schema)


def json_items(table: pa.Table, following: str | None = None) -> bytes:
    """The rows as a page: ``{"items": […], "next": …}``."""
    return b"".join((b'{"items":[', ",".join(json_lines(table)).encode(), b'],"next":', _ENCODE(following), b"}"))


def json_object(table: pa.Table) -> bytes:
    """The table's only row."""
    return _ENCODE(json_rows(table)[0])


def whole(media: str, table: pa.Table) -> bytes:
    """The table at once."""
    if media == JSON:
        return json_items(table)
    held = rendering(media, table.schema)
    return held.page(table) + held.end()


class _Ndjson:
    def __init__(self, schema: pa.Schema) -> None:
        del schema

    def page(self, table: pa.Table) -> bytes:
        return "".join(f"{line}\n" for line in json_lines(table)).encode()

    def end(self) -> bytes:
        return b""


class _Sink:
    """A buffer that Arrow's writers write to and that is emptied between pages."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        held, self._parts = b"".join(self._parts), []
        return held


class _Arrow:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, "w"), schema)

    def page(self, table: pa.Table) -> bytes:
        self._writer.write_table(table)
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class _Parquet:
    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(pa.PythonFile(self._sink, "w"), schema, compression="zstd")

    def page(self, table: pa.Table) -> bytes:
        if len(table):
            self._writer.write_table(table)
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


class _Csv:
    """CSV with a header line; a nested value is its JSON, an instant RFC 3339 in UTC, and no text a formula."""

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = _Sink()
        self._flat = pa.schema([_flat_field(field) for field in schema])
        self._writer = pa_csv.CSVWriter(pa.PythonFile(self._sink, "w"), self._flat)

    def page(self, table: pa.Table) -> bytes:
        flat = (_flat(column, kind.type) for column, kind in zip(table.columns, self._flat, strict=True))
        columns = [column_in_spreadsheet(column) for column in flat]
        self._writer.write_table(pa.table(columns, schema=self._flat))
        return self._sink.taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._sink.taken()


def _flat_field(field: pa.Field) -> pa.Field:
    if pa.types.is_nested(field.type) or pa.types.is_timestamp(field.type) or pa.types.is_dictionary(field.type):
        return pa.field(field.name, pa.string())
    return pa.field(field.name, field.type)


def _flat(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
    if column.type == kind:
        return column
    if pa.types.is_dictionary(column.type):
        return column.cast(kind)
    values = [None if value is None else plain(value) for value in column.to_pylist()]
    return pa.array([v if v is None or isinstance(v, str) else _ENCODE(v).decode() for v in values], kind)
