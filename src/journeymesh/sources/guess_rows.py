"""The first rows of a source without a mapping: what a guess is made of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np

from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.safe_text import place_of
from journeymesh.sources.csv_dialect import SEPARATORS
from journeymesh.sources.file_kinds import ENDINGS, Kind, ending_of, kind_of
from journeymesh.sources.files import SourceFile, files_of, names_in, opened
from journeymesh.sources.guess_columns import as_number
from journeymesh.sources.json_files import JsonFile
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.tabular import OWN_FIELDS
from journeymesh.sources.text_encoding import Utf8Stream, decoded

ROWS: Final = 2_000
HEAD_BYTES: Final = 4 << 20
MOST_FILES: Final = 500
"""So many files are looked at, to see their kinds and names."""


@dataclass(frozen=True, slots=True)
class GuessRows:
    """Documents or rows of one collection, what the mapping has to call it, and the files of their kind.

    ``kind`` is that of the files, and None where there are none.
    """

    collection: str
    documents: list[dict[str, Any]]
    database: str | None = None
    files: tuple[SourceFile, ...] = ()
    kind: Kind | None = None
    csv: dict[str, Any] = field(default_factory=dict)
    """What a mapping must say of how the file is written."""


def guess_rows(location: str) -> list[GuessRows]:
    """The first documents of every collection, or rows of the first file of the kind that most files are, of any
    source that can be opened.

    Raises:
        SourceMissing: nothing is there. SourceUnreadable: it is there and cannot be read.
        UsageError: it is one file whose format says what its columns mean, so that it needs no mapping.
    """
    if location.startswith(("mongodb://", "mongodb+srv://")):
        return list(_live(location))
    plain = location.lower().removesuffix(".gz")
    if plain.endswith((".gpx", ".nmea")):
        raise UsageError(f"source {location} needs no mapping", todo="give it to `journeymesh preprocess` as it is")
    if ending_of(plain.rpartition("/")[2]) not in ENDINGS:
        from journeymesh.sources.dump_bytes import is_dump

        names = [name.lower().removesuffix(".gz") for name in names_in(location)]
        if is_dump(location) or any(name.endswith((".bson", ".archive")) for name in names):
            return list(_dumped(location))
    return [_of_files(location)]


def _of_files(location: str) -> GuessRows:
    every = files_of(location)
    named = len(every) == 1 and every[0].is_named
    by_kind: dict[Kind, list[SourceFile]] = {}
    why = ""
    for file in every[:MOST_FILES]:
        kind, reason = kind_of(file, named=named)
        why = why or f"{file.name}: {reason}"
        if kind is not None:
            by_kind.setdefault(kind, []).append(file)
    if not by_kind:
        todo = "name a file of columns, JSON, GPX, NMEA or Parquet, or a folder of them"
        raise SourceUnreadable(f"source {location} has no file that can be read ({why})", todo=todo)
    kind, files = max(by_kind.items(), key=lambda one: len(one[1]))
    own = files[0].path.rpartition("/")[2]
    stem = own.partition(".")[0] or "fixes"
    if kind in ("gpx", "nmea"):
        if named:
            raise UsageError(f"source {location} needs no mapping", todo="give it to `journeymesh preprocess` as it is")
        return GuessRows(stem, [], files=tuple(files), kind=kind)
    if kind == "columns":
        rows, written = _columns_of(files[0])
        return GuessRows(stem, rows, files=tuple(files), kind=kind, csv=written)
    return GuessRows(stem, _documents_of(files[0], kind), files=tuple(files), kind=kind)


def _documents_of(file: SourceFile, kind: Kind) -> list[dict[str, Any]]:
    if kind == "parquet":
        return _parquet_rows(file)
    documents = list(islice(JsonFile(file, 0, RowReading(OWN_FIELDS, {})).documents(), ROWS))
    if not documents:
        raise SourceUnreadable(f"{file.name} holds no JSON objects that can be read", todo="check the file")
    return documents


def _parquet_rows(file: SourceFile) -> list[dict[str, Any]]:
    from journeymesh.sources.columnar import opened_parquet

    with opened_parquet(file) as parquet:
        batch = next(parquet.iter_batches(ROWS), None)
        return [] if batch is None else batch.to_pylist()


def _columns_of(file: SourceFile) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """(rows, what a mapping must say of how the file is written)."""
    with opened(file, whole=False) as raw:
        text = decoded(Utf8Stream(raw).peek(HEAD_BYTES))
    try:
        return _csv_rows(text)
    except csv.Error as error:
        todo = "check that the quotes in its values are closed"
        raise SourceUnreadable(f"{file.name} cannot be read as columns: {error}", todo=todo) from error


def _csv_rows(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    lines = text.splitlines()[: ROWS + 50]
    widths = {sign: [_separators(line, sign) for line in lines[:50]] for sign in SEPARATORS}
    separator = max(SEPARATORS, key=lambda sign: (sum(min(n, 4) for n in widths[sign]), -SEPARATORS.index(sign)))
    head = _header(lines[:50], widths[separator], separator)
    names = next(csv.reader(lines[head : head + 1], delimiter=separator), [])
    is_data = sum(as_number(name) is not None for name in names) >= 2
    numbered = [str(number) for number in range(len(names))] if is_data else None
    written = ({"header": False} | ({"skip_lines": head} if head else {})) if is_data else {}
    read = csv.DictReader(io.StringIO("\n".join(lines[head:])), numbered, delimiter=separator, restkey="")
    rows = []
    for row in islice(read, ROWS):
        rows.append({name: value for name, value in row.items() if name and value not in (None, "")})
    return rows, written


def _header(lines: Sequence[str], widths: Sequence[int], separator: str) -> int:
    """The number of the line that names the columns: the first that is as wide as most are and leaves no name out,
    but the last ones."""
    wide = [width for width in widths if width]
    usual = max(dict.fromkeys(wide), key=wide.count, default=0)
    first = None
    for number, line in enumerate(lines):
        if widths[number] != usual:
            continue
        first = number if first is None else first
        names = next(csv.reader([line], delimiter=separator), [])
        if all(name.strip() for name in names[: max(2, len(names) - 1)]):
            return number
    return first or 0


def _separators(line: str, sign: str) -> int:
    """How many separators stand in a line, outside of quotes."""
    return len(next(csv.reader([line], delimiter=sign), [""])) - 1


def _dumped(location: str) -> Iterator[GuessRows]:
    from journeymesh.sources.bson_values import decoded as document_of
    from journeymesh.sources.bson_values import documents_in
    from journeymesh.sources.bson_walker import whole_documents
    from journeymesh.sources.dump_bytes import Reading
    from journeymesh.sources.dump_files import dump_at
    from journeymesh.sources.mongodump import streams_of

    for one in dump_at(location).collections:
        documents: list[dict[str, Any]] = []
        (stream,) = streams_of([(one.collection, one)])
        tail = b""
        for _, piece in stream.pieces(Reading()):
            content = tail + piece.tobytes()
            _, end = whole_documents(np.frombuffer(content, np.uint8))
            for document in islice(documents_in(content[:end]), ROWS - len(documents)):
                if (values := document_of(document)) is not None:
                    documents.append(values)
            tail = content[end:]
            if len(documents) >= ROWS or len(tail) > HEAD_BYTES * 16:
                break
        yield GuessRows(one.collection, documents, one.database)


def _live(url: str) -> Iterator[GuessRows]:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    from journeymesh.sources.bson_values import OPTIONS
    from journeymesh.sources.mongodb_clients import plain_text

    name = place_of(url)
    try:
        client: MongoClient[dict[str, Any]] = MongoClient(url, serverSelectionTimeoutMS=5000)
        with client:
            database = client.get_default_database(codec_options=OPTIONS)
            for collection in sorted(database.list_collection_names()):
                if not collection.startswith("system."):
                    yield GuessRows(collection, list(database[collection].find().limit(ROWS)), None)
    except PyMongoError as error:
        raise SourceUnreadable(
            f"source {name} cannot be read: {plain_text(error)}",
            todo="check the address, and that it ends in /DATABASE",
        ) from error
