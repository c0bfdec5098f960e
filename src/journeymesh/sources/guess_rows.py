"""The first rows of a source without a mapping: what a guess is made of."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.safe_text import place_of
from journeymesh.sources.file_kinds import ENDINGS, Kind, ending_of, kind_of
from journeymesh.sources.files import SourceFile, files_of, names_in, opened

ROWS: Final = 2_000
HEAD_BYTES: Final = 4 << 20
MOST_FILES: Final = 500
"""So many files are looked at, to see their kinds and names."""
_SEPARATORS: Final = ",;\t|"


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
    return GuessRows(stem, _documents_of(files[0], kind), files=tuple(files), kind=kind)


def _documents_of(file: SourceFile, kind: Kind) -> list[dict[str, Any]]:
    if kind == "parquet":
        return _parquet_rows(file)
    with opened(file) as plain_bytes:
        head = plain_bytes.read(HEAD_BYTES)
    text = _decoded(head)
    if kind == "columns":
        try:
            return _csv_rows(text)
        except csv.Error as error:
            todo = "check that the quotes in its values are closed"
            raise SourceUnreadable(f"{file.name} cannot be read as columns: {error}", todo=todo) from error
    if text.lstrip()[:1] not in ("{", "["):  # objects behind tabs
        text = "\n".join(line[line.find("\t{") + 1 :] for line in text.splitlines() if "\t{" in line)
    return list(islice(_json_documents(text, len(head) == HEAD_BYTES, file.name), ROWS))


def _parquet_rows(file: SourceFile) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.filesystem.open(file.path, "rb") as raw:
            batch = next(pq.ParquetFile(raw).iter_batches(ROWS), None)
    except (pa.ArrowException, OSError) as error:
        what = " ".join(str(error).split())
        raise SourceUnreadable(f"{file.name} cannot be read as Parquet: {what}", todo="check the file") from error
    return [] if batch is None else batch.to_pylist()


def _decoded(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", "replace")
    try:
        return head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Cut in the middle of a character at the end, or another encoding.
        return head[: error.start].decode("utf-8-sig") if error.start > len(head) - 4 else head.decode("latin-1")


def _json_documents(text: str, is_cut: bool, name: str) -> Iterator[dict[str, Any]]:
    """The objects of a line each, of an array, or the one that the text is."""
    if not is_cut:
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            yield from (one for one in (whole if isinstance(whole, list) else [whole]) if isinstance(one, dict))
            return
    decoder = json.JSONDecoder()
    at, is_array, seen = 0, text.lstrip().startswith("["), 0
    at = text.index("[") + 1 if is_array else 0
    while True:
        while at < len(text) and (text[at].isspace() or text[at] == ","):
            at += 1
        try:
            document, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        seen += 1
        if isinstance(document, dict):
            yield document
    if not seen:
        raise SourceUnreadable(f"{name} holds no JSON objects that can be read", todo="check the file")


def _csv_rows(text: str) -> list[dict[str, Any]]:
    lines = text.splitlines()[: ROWS + 50]
    widths = {sign: [_separators(line, sign) for line in lines[:50]] for sign in _SEPARATORS}
    separator = max(_SEPARATORS, key=lambda sign: (sum(min(n, 4) for n in widths[sign]), -_SEPARATORS.index(sign)))
    most = max(widths[separator], default=0)
    head = next((n for n, width in enumerate(widths[separator]) if width == most), 0)
    read = csv.DictReader(io.StringIO("\n".join(lines[head:])), delimiter=separator, restkey="")
    rows = []
    for row in islice(read, ROWS):
        rows.append({name: value for name, value in row.items() if name and value not in (None, "")})
    return rows


def _separators(line: str, sign: str) -> int:
    """How many separators stand in a line, outside of quotes."""
    return len(next(csv.reader([line], delimiter=sign), [""])) - 1


def _dumped(location: str) -> Iterator[GuessRows]:
    import bson
    from bson.errors import BSONError

    from journeymesh.sources.bson_values import OPTIONS
    from journeymesh.sources.dump_bytes import Reading
    from journeymesh.sources.dump_files import dump_at
    from journeymesh.sources.mongodump import streams_of

    for one in dump_at(location).collections:
        documents: list[dict[str, Any]] = []
        (stream,) = streams_of([(one.collection, one)])
        kept = b""
        for _, piece in stream.pieces(Reading()):
            kept += piece.tobytes()
            at = 0
            while len(documents) < ROWS and at + 4 <= len(kept):
                length = int.from_bytes(kept[at : at + 4], "little", signed=True)
                if length < 5 or at + length > len(kept):
                    break
                with contextlib.suppress(BSONError):
                    documents.append(bson.decode(kept[at : at + length], OPTIONS))
                at += length
            kept = kept[at:]
            if len(documents) >= ROWS or len(kept) > HEAD_BYTES * 16:
                break
        yield GuessRows(one.collection, documents, one.database)


def _live(url: str) -> Iterator[GuessRows]:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    from journeymesh.sources.bson_values import OPTIONS
    from journeymesh.sources.mongodb import plain_text

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
