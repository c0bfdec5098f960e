"""CSV and its kin: rows of columns become fixes, a row that cannot be read is refused and the others are read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.conditions import Where
from journeymesh.sources.coordinates import BOTH_IN_ONE
from journeymesh.sources.csv_dialect import BLANKS, CsvDialect, CsvForm, form_of, place_of, split
from journeymesh.sources.csv_lines import Block, PlainLines, blocks_of, row_starts
from journeymesh.sources.files import FileDamaged, SourceFile, opened, origins_from, read_position
from journeymesh.sources.mapping import NUMBER_COLUMNS, ClockField, FieldMappings
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.refused_rows import CONTENT_BYTES, no_column, refusals_of, refused_text
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.signals import SignalRows
from journeymesh.sources.text_encoding import Utf8Stream

_NAMED_BYTES: Final = 4096
"""A refused row of up to so many bytes is kept with its columns' names, a longer one as its line."""
_HEAD_BYTES: Final = 64 << 10
_INSTANT: Final = pa.timestamp("us", tz="UTC")
_NUMBER_WITH_COMMA: Final = r"^\s*([+-]?\d*),(\d+(?:[eE][+-]?\d+)?)\s*$"


@dataclass(slots=True)
class CsvFile:
    """One file being read: how it is written, and what of it is wanted."""

    file: SourceFile
    number: int
    reading: RowReading
    dialect: CsvDialect
    is_mapped: bool
    signals: SignalRows | None = None
    notes: list[str] = field(default_factory=list)
    keys: RowKeys = field(init=False)

    def __post_init__(self) -> None:
        self.keys = RowKeys(self.file.place)

    def batches(self) -> Iterator[SourceBatch]:
        """Every row once.

        Raises:
            MappingInvalid: a column that fixes need is not there, or is there twice.
            FileDamaged: it is not text with lines.
        """
        with opened(self.file) as raw:
            stream = Utf8Stream(raw, self.dialect.encoding)
            if stream.encoding != "utf-8" and self.dialect.encoding is None:
                self.notes.append(f"encoding {stream.encoding}")
            rows: _Rows | None = None
            position = 0
            for block in _from_row(stream, self.dialect, self.file.name):
                rows = rows or self._rows(block)
                if rows is None:
                    continue
                if block.was_repaired and "bytes that are no UTF-8 are read as Windows-1252" not in self.notes:
                    self.notes.append("bytes that are no UTF-8 are read as Windows-1252")
                moved, position = read_position(raw) - position, read_position(raw)
                yield rows.read(block, moved)
        if self.signals is not None:
            yield self.signals.batch(self.number, self.keys)
            self.notes += self.signals.notes

    def _rows(self, block: Block) -> _Rows | None:
        wanted = self.reading.required if self.signals is None else self.signals.required
        form = form_of(block.text[:_HEAD_BYTES], self.dialect, wanted, _number_paths(self.reading.fields))
        if form is None:
            return None
        self.notes += form.notes
        paths = self.reading.paths + ([] if self.signals is None else wanted)
        places = {path: place_of(form.names, path) for path in dict.fromkeys(paths)}
        absent = [path for path in wanted if not places[path]]
        if absent:
            raise no_column(self.file, absent[0], form.names, is_mapped=self.is_mapped)
        for path, found in places.items():
            if len(found) > 1:
                numbers = " or ".join(f"'{place}'" for place in found)
                raise MappingInvalid(
                    f"{self.file.name}: {len(found)} columns are named {path!r}",
                    todo=f"map it by its number, counted from 0: {numbers}",
                )
        return _Rows(self, form, {path: found[0] for path, found in places.items() if found})


def _from_row(stream: Utf8Stream, dialect: CsvDialect, name: str) -> Iterator[Block]:
    lines = stream if dialect.comment is None and dialect.separator != BLANKS else PlainLines(stream, dialect, name)
    return blocks_of(lines, dialect.between or ",", dialect.quote, name=name)


class _Rows:
    """The rows of one file, once it is known how it is written."""

    def __init__(self, csv: CsvFile, form: CsvForm, places: dict[str, int]) -> None:
        self._csv = csv
        self._form = form
        self._places = places
        fields = csv.reading.fields
        self._typed = _types(fields, places, csv.reading.where)
        self._numbers = [path for path in _comma_paths(fields) if path in places]
        self._sentinel = (form.header and fields.lat.path) or None

    def read(self, block: Block, read_bytes: int) -> SourceBatch:
        """The block's rows, those that are blank left out."""
        block = self._without_head(block)
        if not block.text:
            return SourceBatch(Fixes.empty(), read_bytes=read_bytes)
        if block.unclosed:
            wrong = self._corrupt(block.first_line, "a quote is opened and not closed", block.text)
            return SourceBatch(Fixes.empty(), [wrong], read_bytes=read_bytes)
        table, bad = self._parsed(block.text)
        read = len(table) + len(bad)
        starts: I64 | None = None
        if block.text.count(b"\n") == read:
            lines = np.arange(read, dtype=np.int64) + block.first_line
        else:
            starts, lines = row_starts(block, self._form.separator, self._form.quote, read)
        good = np.ones(read, np.bool_)
        good[[number for number, _, _ in bad]] = False
        rows = np.flatnonzero(good)
        columns = {path: _flat(table.column(str(place))) for path, place in self._places.items()}
        refusals = [self._corrupt(int(lines[number]), fault, text) for number, fault, text in bad]
        empty = _all_null(columns, len(table))
        repeated = self._repeated_header(columns)
        if empty.any() or repeated is not None:
            if starts is None:
                starts, _ = row_starts(block, self._form.separator, self._form.quote, read)
            kept = np.ones(len(table), np.bool_) if repeated is None else ~repeated
            for row in np.flatnonzero(empty).tolist():
                kept[row] = bool(self._line(block.text, starts, int(rows[row])).strip(self._blank()))
            columns = {path: column.filter(pa.array(kept)) for path, column in columns.items()}
            rows = rows[kept]
        origins = origins_from(self._csv.number, 0, 1)[0] + lines[rows]
        signals = self._csv.signals
        if signals is None:
            fixes, faults = self._csv.reading.fixes(self._with_points(columns).get, origins, untyped=True)
        else:
            fixes, faults = Fixes.empty(), signals.add(self._with_points(columns).get, origins, untyped=True)
        if faults.reasons:
            if starts is None:
                starts, _ = row_starts(block, self._form.separator, self._form.quote, read)
            names = {row: f"{self._csv.file.name}:{lines[rows[row]]}" for row in faults.reasons}
            refusals += refusals_of(
                faults, names, lambda row: self._content(self._line(block.text, starts, int(rows[row]))), self._csv.keys
            )
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)

    def _without_head(self, block: Block) -> Block:
        skipped = self._form.lines_before + 1 - block.first_line
        if skipped <= 0:
            return block
        at = 0
        for _ in range(skipped):
            at = block.text.find(b"\n", at) + 1
            if at == 0:
                return Block(b"", block.first_line)
        return Block(block.text[at:], block.first_line + skipped)

    def _parsed(self, text: bytes) -> tuple[pa.Table, list[tuple[int, str, bytes]]]:
        """The wanted columns, converted where every value of the block can be, and the rows with too few or too many
        values: their number from 0, what is wrong, and the row."""
        form = self._form
        bad: list[tuple[int, str, bytes]] = []

        def refuse(row: Any) -> str:
            fault = f"{row.actual_columns} columns instead of {row.expected_columns}"
            bad.append((row.number - 1, fault, row.text if isinstance(row.text, bytes) else row.text.encode()))
            return "skip"

        def parse(types: dict[str, pa.DataType]) -> pa.Table:
            bad.clear()
            return pa_csv.read_csv(
                pa.py_buffer(text),
                # One thread: only then are bad rows numbered.
                read_options=pa_csv.ReadOptions(
                    use_threads=False, block_size=len(text) + 1, column_names=[str(i) for i in range(len(form.names))]
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=form.separator,
                    quote_char=form.quote or False,
                    invalid_row_handler=refuse,
                    ignore_empty_lines=False,
                ),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=list(dict.fromkeys(str(place) for place in self._places.values())),
                    column_types=types,
                    null_values=[""],
                    strings_can_be_null=True,
                    check_utf8=False,
                    decimal_point=form.decimal,
                ),
            )

        texts = {str(place): pa.string() for place in self._places.values()}
        try:
            try:
                return parse(texts | self._typed), bad
            except pa.ArrowInvalid:
                # Some value is no number or instant: each is then looked at as text.
                return parse(texts), bad
        except pa.ArrowException as error:
            what = " ".join(str(error).split())
            raise FileDamaged(
                f"{self._csv.file.name} cannot be read as CSV: {what}", todo="correct the file"
            ) from error

    def _repeated_header(self, columns: dict[str, pa.Array]) -> Any:
        """Which rows are the header once more, as where files were joined; None where none is."""
        path = self._csv.reading.fields.lat.path
        column = columns.get(path)
        if not self._form.header or column is None or not pa.types.is_string(column.type):
            return None
        same = pc.equal(pc.utf8_trim_whitespace(column), self._form.names[self._places[path]].strip()).fill_null(False)
        return same.to_numpy(zero_copy_only=False) if pc.any(same).as_py() else None

    def _with_points(self, columns: dict[str, pa.Array]) -> dict[str, pa.Array]:
        if self._form.decimal == ".":
            return columns
        changed = {
            path: pc.replace_substring_regex(columns[path], _NUMBER_WITH_COMMA, r"\1.\2")
            for path in self._numbers
            if pa.types.is_string(columns[path].type)
        }
        return columns | changed

    def _line(self, text: bytes, starts: I64, row: int) -> bytes:
        end = int(starts[row + 1]) if row + 1 < len(starts) else len(text)
        return text[int(starts[row]) : end].rstrip(b"\r\n")

    def _blank(self) -> bytes:
        return f" \t\r\n{self._form.separator}{self._form.quote}".encode()

    def _content(self, line: bytes) -> Any:
        """The row by its columns' names, or as it stands where it is long."""
        if len(line) > _NAMED_BYTES:
            return line[:CONTENT_BYTES].decode("utf-8", "replace")
        values = split(line, self._form.separator, self._form.quote)
        return dict(zip(self._form.names, (value or None for value in values), strict=False))

    def _corrupt(self, line: int, fault: str, text: bytes) -> Refusal:
        return refused_text(f"{self._csv.file.name}:{line}", fault, text, self._csv.keys)


def _types(fields: FieldMappings, places: dict[str, int], where: Where) -> dict[str, pa.DataType]:
    """The columns that the parser itself can convert, and what to."""
    types: dict[str, pa.DataType] = {}
    for name, mapped in fields.present().items():
        if name in NUMBER_COLUMNS and _is_plain(mapped, ("path", "unit", "scale", "negate")) and mapped.path in places:
            types[str(places[mapped.path])] = pa.float64()
    for clock in (fields.fixed_at, fields.received_at):
        if clock is None or clock.clock != "iso8601" or clock.path not in places:
            continue
        if _is_plain(clock, ("path", "clock", "zone", "fold", "corrections")):
            types[str(places[clock.path])] = _INSTANT
    vehicle = fields.vehicle
    if _is_plain(vehicle, ("path",)) and vehicle.path in places:
        types[str(places[vehicle.path])] = pa.dictionary(pa.int32(), pa.string())
    for path in where:
        types.pop(str(places.get(path)), None)  # conditions are on what stands there
    return types


def _is_plain(mapped: msgspec.Struct, plain: tuple[str, ...]) -> bool:
    """Whether the field says nothing about its values beyond these."""
    said = {one.name: one.default for one in msgspec.structs.fields(mapped)}
    return all(name in plain or getattr(mapped, name) == default for name, default in said.items())


def _number_paths(fields: FieldMappings) -> list[str]:
    """The columns of one number each; a comma in a position stands between two."""
    named = [(name, mapped) for name, mapped in fields.present().items() if name in NUMBER_COLUMNS and mapped.path]
    return [mapped.path for _, mapped in named if getattr(mapped, "form", None) not in BOTH_IN_ONE]


def _comma_paths(fields: FieldMappings) -> list[str]:
    """The columns in which 52,1 is a number."""
    clocks = [mapped.path for mapped in fields.present().values() if isinstance(mapped, ClockField) and mapped.path]
    return [*_number_paths(fields), *clocks]


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _all_null(columns: dict[str, pa.Array], rows: int) -> Any:
    empty = np.ones(rows, np.bool_)
    for column in columns.values():
        if not column.null_count:
            return np.zeros(rows, np.bool_)
        empty &= column.is_null().to_numpy(zero_copy_only=False)
    return empty
