"""A listing in the form asked for. Pages are written as they come; only a table and a page are held."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from journeymesh.cli.options import Format
from journeymesh.cli.output import say, say_json
from journeymesh.cli.tables import Column, Row, write_table
from journeymesh.errors import OutputUnwritable, UsageError
from journeymesh.journeys.answers import json_array, json_lines, plain
from journeymesh.safe_text import column_in_spreadsheet, json_on_terminal, on_terminal

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "PrintedRows", "Row", "render", "render_object", "replacing", "rows_to_read"]

TABLE_ROWS: Final = 200
"""More rows than this are nobody's to read: the table ends there and says how to see more."""


@dataclass(frozen=True, slots=True)
class PrintedRows:
    """Pages of one Arrow schema, and the columns that people look at."""

    schema: pa.Schema
    pages: Iterable[pa.Table]
    columns: Sequence[Column]
    title: str = ""
    empty: str = "nothing found"
    more: str = field(default="more rows: use --limit, or --format ndjson for all")
    more_columns: str = "use --format csv, or a wider terminal (COLUMNS=200)"


def rows_to_read(form: Format, limit: int | None) -> int | None:
    """How many rows a listing needs at most, for a table one more than it shows; None: all."""
    return TABLE_ROWS + 1 if limit is None and form is Format.table else limit


def render(listing: PrintedRows, form: Format, out: Path | None = None, *, limited: bool = False) -> None:
    """Write the listing to ``out`` or to standard output. ``limited``: the user chose how many rows."""
    match form:
        case Format.table:
            _table(listing, out, None if limited else TABLE_ROWS)
        case Format.json:
            with _text(out) as file:
                safe = _json_for(file)
                file.writelines(map(safe, json_array(line for page in listing.pages for line in json_lines(page))))
        case Format.ndjson:
            with _text(out) as file:
                safe = _json_for(file)
                for page in listing.pages:
                    file.writelines(f"{safe(line)}\n" for line in json_lines(page))
        case Format.csv:
            with _text(out) as file:
                writer = csv.writer(_EndedByLineFeed(file), lineterminator="\r\n")
                writer.writerow(listing.schema.names)
                for page in listing.pages:
                    columns = [_csv_cells(page[name], on_screen=file.isatty()) for name in listing.schema.names]
                    writer.writerows(zip(*columns, strict=True))
        case Format.parquet:
            _parquet(listing, out)
        case Format.arrow:
            _arrow(listing, out)


def render_object(row: Row, form: Format, show: Callable[[Row], None]) -> None:
    """Write one object: pretty JSON, or as ``show`` does for people."""
    import msgspec

    encoded = msgspec.json.encode(plain(row))
    match form:
        case Format.json:
            say_json(msgspec.json.format(encoded, indent=2).decode())
        case Format.ndjson:
            say_json(encoded.decode())
        case Format.table:
            show(row)
        case _:
            raise UsageError(f"one object cannot be written as {form}", todo="use --format json, ndjson or table")


class _EndedByLineFeed:
    """Takes whole rows that end in CR LF, which makes a row's writer quote a CR in a value, and ends them in LF."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, row: str) -> int:
        """Write one row."""
        return self._file.write(f"{row[:-2]}\n")


def _json_for(file: IO[str]) -> Callable[[str], str]:
    """What JSON goes through on its way: a terminal obeys characters that JSON leaves as they are."""
    return json_on_terminal if file.isatty() else str


def _csv_cells(column: pa.ChunkedArray, *, on_screen: bool) -> list[Any]:
    """The column's values as CSV has them; only what JSON has otherwise is looked at one by one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, values = column.type, column_in_spreadsheet(column).to_pylist()
    plainly = pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)
    if plainly or (pa.types.is_floating(kind) and pc.all(pc.is_finite(column.drop_null())).as_py() is not False):
        cells = list(values)
    else:
        cells = [_csv_cell(value) for value in values]
    if on_screen:
        return [on_terminal(cell) if isinstance(cell, str) else cell for cell in cells]
    return cells


def _csv_cell(value: Any) -> Any:
    import msgspec

    value = plain(value)
    return msgspec.json.encode(value).decode() if isinstance(value, dict | list) else value


class _Decoded(dict[str, list[Any]]):
    """A page's columns as Python values, each decoded when it is first read."""

    def __init__(self, page: pa.Table) -> None:
        self.page = page

    def __missing__(self, name: str) -> list[Any]:
        values: list[Any] = self.page[name].to_pylist()
        self[name] = values
        return values


@dataclass(frozen=True, slots=True)
class _PageRow(Mapping[str, Any]):
    """One row of a page."""

    decoded: _Decoded
    index: int

    def __getitem__(self, name: str) -> Any:
        return self.decoded[name][self.index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.decoded.page.column_names)

    def __len__(self) -> int:
        return len(self.decoded.page.column_names)


def _rows(page: pa.Table) -> Iterator[Row]:
    decoded = _Decoded(page)
    return (_PageRow(decoded, index) for index in range(len(page)))


def _table(listing: PrintedRows, out: Path | None, most: int | None) -> None:
    rows: list[Row] = []
    more = False
    for page in listing.pages:
        rows += _rows(page if most is None else page.slice(0, most + 1 - len(rows)))
        if most is not None and len(rows) > most:
            more = True
            break
    with _text(out) as file:
        if not rows:
            say(listing.empty, file=file)
            return
        write_table(file, listing.columns, rows[:most], title=listing.title, else_by=listing.more_columns)
    if more:
        say(listing.more, file=sys.stderr)


def _parquet(listing: PrintedRows, out: Path | None) -> None:
    import pyarrow.parquet as pq

    with _bytes(out, "Parquet") as sink, pq.ParquetWriter(sink, listing.schema) as writer:
        for page in listing.pages:
            writer.write_table(page.select(listing.schema.names).cast(listing.schema))


def _arrow(listing: PrintedRows, out: Path | None) -> None:
    import pyarrow as pa

    with _bytes(out, "Arrow") as sink, pa.ipc.new_stream(sink, listing.schema) as writer:
        for page in listing.pages:
            writer.write_table(page.select(listing.schema.names).cast(listing.schema))


@contextmanager
def _bytes(out: Path | None, named: str) -> Iterator[Any]:
    if out is None:
        if sys.stdout.isatty():
            raise UsageError(f"cannot write {named} to a terminal", todo="give --out FILE, or redirect the output")
        yield sys.stdout.buffer
        return
    with replacing(out) as temporary, open(temporary, "wb") as file:
        yield file


@contextmanager
def _text(out: Path | None) -> Iterator[IO[str]]:
    if out is None:
        yield sys.stdout
        return
    with replacing(out) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        yield file


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A file beside ``out`` that takes its place once it is whole: nothing is left half-written.

    What is no plain file, such as a pipe or a device, is written to as it stands: it must not be replaced.
    """
    if out.is_symlink():  # /dev/stdout is one
        out = out.resolve()
    if out.exists() and not out.is_file():
        if out.is_dir():
            raise OutputUnwritable(f"cannot write {out}: it is a folder", todo="name a file in it")
        yield out
        return
    try:
        handle, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
        os.close(handle)
    except OSError as error:
        raise OutputUnwritable(f"cannot write {out}: {error.strerror}", todo="name another file") from error
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(out)
    except OSError as error:
        raise OutputUnwritable(f"cannot write {out}: {error.strerror or error}", todo="free space") from error
    finally:
        temporary.unlink(missing_ok=True)
