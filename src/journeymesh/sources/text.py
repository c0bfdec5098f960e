"""CSV and NDJSON, plain or gzipped: a line that cannot be read is refused, and the others are read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.files import SourceFile, described, files_of, opened, origins_from
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.paths import column_name, reach
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.refused_rows import refusals_of
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.tabular import Faults, as_array, fields_of, paths_of, required_paths, to_fixes, where_of

CSV_ENDINGS: Final = (".csv", ".csv.gz")
NDJSON_ENDINGS: Final = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
BLOCK_BYTES: Final = 16 << 20
BATCH_LINES: Final = 1 << 16
CONTENT_CHARS: Final = 65_536


def text_source(location: str, mapping: Mapping | None = None) -> CsvSource | NdjsonSource:
    """The source of a CSV or NDJSON file, glob or folder, by its files' endings."""
    with contextlib.suppress(SourceMissing):
        if location.lower().endswith(CSV_ENDINGS) or not location.lower().endswith(NDJSON_ENDINGS):
            return CsvSource(location, mapping)
    return NdjsonSource(location, mapping)


class _TextSource:
    """What both have in common: files, sizes and origins by line."""

    endings: tuple[str, ...]

    def __init__(self, location: str, mapping: Mapping | None = None) -> None:
        self.name = location
        self.tally: FieldTally | None = None
        self._location = location
        self._mapping = mapping
        self._fields = fields_of(mapping)
        self._where = where_of(mapping)
        self._files = files_of(location, self.endings)

    def size(self) -> SourceSize:
        """The bytes of all files; their lines are not known without reading."""
        sizes = [file.size for file in self._files if file.size is not None]
        return SourceSize(sum(sizes) if len(sizes) == len(self._files) else None)

    def describe(self, origins: I64) -> list[str]:
        """``fixes.csv:42``, the first line of the file being 1."""
        return described(self._files, origins)

    def items(self) -> list[SourceItem]:
        """Every file."""
        return [SourceItem(file.name) for file in self._files]

    def policies(self) -> list[Policy]:
        """Those that the mapping names: a file of that name beside this one."""
        from journeymesh.sources.policies_file import policies_beside

        return policies_beside(self._location, self._mapping)

    def close(self) -> None:
        """Nothing is held between batches."""


class CsvSource(_TextSource):
    """CSV with a header line; every field stands on one line. Without a mapping, ``FIX_SCHEMA``'s names."""

    endings = CSV_ENDINGS

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a file is read whole
        """Every line once, file by file."""
        for file_number, file in enumerate(self._files):
            try:
                yield from self._file_batches(file_number, file)
            except pa.ArrowException as error:
                what = " ".join(str(error).split())
                raise SourceUnreadable(f"{file.name} cannot be read as CSV: {what}", todo="correct the file") from error

    def _file_batches(self, file_number: int, file: SourceFile) -> Iterator[SourceBatch]:
        bad: list[tuple[int, str, str]] = []
        keys = RowKeys(file.place)

        def refuse(row: Any) -> str:
            bad.append((row.number, f"{row.actual_columns} columns instead of {row.expected_columns}", row.text))
            return "skip"

        with opened(file) as raw:
            names = self._header(file, raw)
            reader = pa_csv.open_csv(
                pa.PythonFile(raw, "r"),
                # One thread: only then are bad lines numbered.
                read_options=pa_csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES, column_names=names),
                parse_options=pa_csv.ParseOptions(invalid_row_handler=refuse, ignore_empty_lines=False),
                convert_options=pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, check_utf8=False
                ),
            )
            read, told, position = 0, 0, raw.tell()
            for batch in reader:
                lines = _lines_of(read, len(batch), [number for number, _, _ in bad])
                read += len(batch)
                moved, position = raw.tell() - position, raw.tell()
                yield self._read(batch, origins_from(file_number, 0, 1)[0] + lines + 1, moved, keys)
                yield from self._told(file, bad[told:], keys)
                told = len(bad)
            yield from self._told(file, bad[told:], keys)

    def _header(self, file: SourceFile, raw: Any) -> list[str]:
        line = raw.readline(1 << 20)
        try:
            parsed = pa_csv.read_csv(pa.py_buffer(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n") + b"\n"))
        except pa.ArrowInvalid as error:
            raise SourceUnreadable(f"{file.name} has no header line", todo="name the columns in line 1") from error
        names: list[str] = list(parsed.column_names)
        absent = [
            name for path in required_paths(self._fields, self._where) if (name := column_name(path)) not in names
        ]
        if absent:
            some = ", ".join(names[:20])
            todo = f"map it to one of {some}" if self._mapping else f"give a --mapping; the columns are {some}"
            raise MappingInvalid(f"{file.name}: there is no column {absent[0]!r}", todo=todo)
        return names

    def _read(self, batch: pa.RecordBatch, origins: I64, read_bytes: int, keys: RowKeys) -> SourceBatch:
        blank = np.ones(len(batch), np.bool_)
        for column in batch.columns:
            blank &= column.is_null().to_numpy(zero_copy_only=False)
        if blank.any():
            batch, origins = batch.filter(pa.array(~blank)), origins[~blank]
        columns = {
            path: _clean_text(batch.column(name))
            for path in paths_of(self._fields, self._where)
            if (name := column_name(path)) in batch.schema.names
        }
        fixes, faults = to_fixes(columns.get, self._fields, origins, self.tally, self._where, untyped=True)
        names = self.describe(origins) if faults.reasons else []
        refusals = refusals_of(faults, names, lambda row: _text_row(batch, row), keys)
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)

    def _told(self, file: SourceFile, bad: list[tuple[int, str, str]], keys: RowKeys) -> Iterator[SourceBatch]:
        if bad:
            yield SourceBatch(
                Fixes.empty(),
                [
                    _corrupt(f"{file.name}:{number + 1}", fault, text, keys.key(text.encode(), number + 1))
                    for number, fault, text in bad
                ],
            )


class NdjsonSource(_TextSource):
    """One JSON object per line. Without a mapping, ``FIX_SCHEMA``'s names."""

    endings = NDJSON_ENDINGS

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a file is read whole
        """Every line once, file by file."""
        for file_number, file in enumerate(self._files):
            keys = RowKeys(file.place)
            with opened(file) as raw:
                line, position = 1, 0
                while lines := list(islice(raw, BATCH_LINES)):
                    held = raw.tell() if file.path.endswith(".gz") else position + sum(map(len, lines))
                    yield self._read(lines, origins_from(file_number, line, len(lines)), held - position, keys)
                    line, position = line + len(lines), held

    def _read(self, lines: list[bytes], origins: I64, read_bytes: int, keys: RowKeys) -> SourceBatch:
        documents, refusals = [], []
        kept = np.ones(len(lines), np.bool_)
        decoder = msgspec.json.Decoder()
        for row, line in enumerate(lines):
            try:
                document = decoder.decode(line) if line.strip() else None
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                document, fault = None, str(error) or type(error).__name__
            else:
                fault = "" if document is None and not line.strip() else "it is not a JSON object"
            if isinstance(document, dict):
                documents.append(document)
                continue
            kept[row] = False
            if fault:
                origin = self.describe(origins[row : row + 1])[0]
                key = keys.key(line.strip(), int(origin.rpartition(":")[2]))
                refusals.append(_corrupt(origin, fault, line.decode("utf-8", "replace").strip(), key))
        origins = origins[kept]
        columns = {}
        for path in paths_of(self._fields, self._where):
            values = [reach(document, path) for document in documents]
            if any(value is not None for value in values):
                columns[path] = as_array(values)
        fixes, faults = (
            to_fixes(columns.get, self._fields, origins, self.tally, self._where)
            if documents
            else (Fixes.empty(), Faults())
        )
        names = self.describe(origins) if faults.reasons else []
        refusals += refusals_of(faults, names, documents.__getitem__, keys)
        return SourceBatch(fixes, refusals, read_bytes=read_bytes, others=faults.others)


def _lines_of(first: int, rows: int, bad: list[int]) -> I64:
    """The line after the header, from 1, of each of ``rows`` good rows from the ``first`` (0) on.

    ``bad`` are the lines skipped, in order: a good row is as many lines further down as bad ones stand before it.
    """
    wanted = np.arange(first + 1, first + rows + 1, dtype=np.int64)
    skipped = np.array(bad, np.int64) - np.arange(len(bad))
    return wanted + np.searchsorted(skipped, wanted, "right")


def _clean_text(column: pa.Array) -> pa.Array:
    """Bytes that are no UTF-8 would make Arrow stop at the whole column: they become marks in their own value."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        texts = [None if v is None else v.decode("utf-8", "replace") for v in column.cast(pa.binary()).to_pylist()]
        column = pa.array(texts, pa.string())
    return pc.if_else(pc.equal(column, ""), None, column)


def _text_row(batch: pa.RecordBatch, row: int) -> dict[str, Any]:
    held = batch.slice(row, 1)
    return {name: _clean_text(held.column(name))[0].as_py() for name in held.schema.names}


def _corrupt(origin: str, fault: str, text: str, key: str) -> Refusal:
    """The refusal of a line that is no row. It is kept as a JSON text, cut where it is absurdly long."""
    content = msgspec.json.encode(text[:CONTENT_CHARS]).decode()
    return Refusal(Reason.DOCUMENT_CORRUPT.code, origin, fault, content=content, input_key=key)
