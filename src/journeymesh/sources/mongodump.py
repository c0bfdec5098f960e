"""A mongodump as a source: read in pieces of a few MB, whatever its size."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator

import numpy as np
from bson.errors import BSONError

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_fixes import ELEMENT_BITS, BsonReader
from journeymesh.sources.bson_policies import policies_of
from journeymesh.sources.bson_values import documents_in
from journeymesh.sources.dump_bytes import Reading
from journeymesh.sources.dump_choice import chosen, namespaces_of, one_named
from journeymesh.sources.dump_files import DumpedCollection, dump_at
from journeymesh.sources.dump_streams import DumpStream
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.file_vehicles import require_rows_of_files, vehicle_of_collection
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.row_keys import RowKeys


class MongodumpSource:
    """The mapped collections of a mongodump: a folder, a database's folder, a file of BSON documents or an archive.

    Raises:
        SourceMissing: the dump or the mapped collection is not there (naming those that are).
        SourceUnreadable: it is there and is no dump.
        MappingInvalid: several databases have the collection and the mapping names none.
    """

    def __init__(self, location: str, mapping: Mapping) -> None:
        self.name = location
        self.tally: FieldTally | None = None
        require_rows_of_files(mapping.fields)
        self._mapping = mapping
        self._dump = dump_at(location)
        self._chosen = chosen(self._dump, mapping)
        self._streams = streams_of(self._chosen)
        for name, one in self._chosen:
            self._vehicle_of(name, one.path)
        self._starts = [0] * len(self._streams)
        self._faults: dict[str, str] = {}

    def _vehicle_of(self, collection: str, path: str) -> str | None:
        return vehicle_of_collection(collection, path, self._mapping.fields.vehicle)

    def size(self) -> SourceSize:
        """The files' size in bytes."""
        sizes = {one.path: one.size for _, one in self._chosen}
        return SourceSize(read_bytes=None if None in sizes.values() else sum(size or 0 for size in sizes.values()))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a dump is read from its beginning
        """Every document once, as fixes or refusals. A dump has no position to resume at."""
        reader = BsonReader(self._mapping, self.tally)
        self._faults = {}
        offset = 0
        for number, stream in enumerate(self._streams):
            self._starts[number] = offset
            offset = yield from self._stream_batches(reader, stream, offset)

    def _stream_batches(self, reader: BsonReader, stream: DumpStream, start: int) -> Generator[SourceBatch, None, int]:
        """One file's documents; returns the stream offset behind them."""
        reader.keys = RowKeys(stream.place)
        reading = Reading()
        reported, offset = 0, start
        tail = np.empty(0, np.uint8)
        for collection, piece in stream.pieces(reading):
            reader.collection, reader.vehicle = collection, self._vehicle_of(collection, stream.path)
            window = np.concatenate([tail, piece]) if len(tail) else piece
            end = 0
            for part in reader.parts(window, offset):
                end = part.end
                yield SourceBatch(part.fixes, part.refusals, reading.read_bytes - reported, others=part.others)
                reported = reading.read_bytes
                if part.is_broken:
                    yield self._broken(reader, stream, window[end:], offset + end, start, reported)
                    return offset + len(window)
            offset += end
            tail = window[end:]
        if len(tail) or reading.fault is not None:
            cause = reading.fault or "the file ends inside a document"
            self._faults[stream.path] = f"{cause}; what came before is read"
            behind = offset + len(tail) - start if reading.fault is None else None
            refusal = reader.unreadable(tail, offset - start, behind, cause)
            yield SourceBatch(Fixes.empty(), [refusal], reading.read_bytes - reported)
        return offset + len(tail)

    def _broken(
        self, reader: BsonReader, stream: DumpStream, first: U8, at: int, start: int, reported: int
    ) -> SourceBatch:
        size = next((one.size for _, one in self._chosen if one.path == stream.path), None)
        end = size if stream.is_seekable else None
        cause = "a document's length is impossible"
        self._faults[stream.path] = f"{cause}; what came before is read"
        return SourceBatch(
            Fixes.empty(), [reader.unreadable(first, at - start, end, cause)], max((size or 0) - reported, 0)
        )

    def describe(self, origins: I64) -> list[str]:
        """``blackbox/5ce7…``, ``trips/T1.samples[17]`` for each origin."""
        positions = sorted({int(origin) >> ELEMENT_BITS for origin in origins if origin >= 0})
        by_stream: dict[int, list[int]] = {}
        for position in positions:
            by_stream.setdefault(bisect_right(self._starts, position) - 1, []).append(position)
        reader = BsonReader(self._mapping)
        named = {}
        for number, members in by_stream.items():
            start = self._starts[number]
            found = self._streams[number].documents_at([position - start for position in members])
            for at, (collection, document) in found.items():
                reader.collection = collection
                named[at + start] = reader.document_place(document, at)
        return [
            reader.element_place(named[position], int(origin))
            if (position := int(origin) >> ELEMENT_BITS) in named
            else "unknown"
            for origin in origins
        ]

    def items(self) -> list[SourceItem]:
        """Every collection and every other file of the dump."""
        mine = {id(one): name for name, one in self._chosen}
        section = self._mapping.policies
        told = []
        for one in sorted(self._dump.collections, key=lambda one: (one.name, one.path)):
            if id(one) in mine:
                called = "" if mine[id(one)] in (one.collection, one.stored_as) else f"as {mine[id(one)]}"
                told.append(SourceItem(one.name, "read", self._faults.get(one.path, called)))
            elif section is not None and section.collection in (one.collection, one.stored_as):
                told.append(SourceItem(one.name, "read", "policies"))
            elif self._dump.only is None:
                why = "the mapping does not name it" if one.view_on is None else f"a view on {one.view_on}"
                told.append(SourceItem(one.name, "skipped", why))
        return [*told, *(self._dump.others if self._dump.only is None else ())]

    def policies(self) -> UsablePolicies:
        """The policies in the mapping's policies collection, in the same database."""
        section = self._mapping.policies
        if section is None:
            return UsablePolicies()
        dumped = one_named(self._dump, section.collection, self._chosen[0][1].database)
        return policies_of(self._documents(dumped), section)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _documents(self, dumped: DumpedCollection) -> Iterator[bytes]:
        reading = Reading()
        (stream,) = streams_of([(dumped.collection, dumped)])
        content = b"".join(piece.tobytes() for _, piece in stream.pieces(reading))
        try:
            yield from documents_in(content)
        except BSONError as error:
            reading.fault = reading.fault or str(error)
        if reading.fault is not None:
            raise SourceUnreadable(f"{dumped.path}: {reading.fault}", todo="dump the collection again")


def streams_of(collections: list[tuple[str, DumpedCollection]]) -> list[DumpStream]:
    """The files to read, each once: what each collection goes by in places, and where it is."""
    wanted: dict[str, dict[tuple[str, str], str]] = {}
    for name, one in collections:
        if one.in_archive:
            wanted.setdefault(one.path, {}).update(dict.fromkeys(namespaces_of(one), name))
    first = {one.path: (name, one) for name, one in reversed(collections)}
    paths = dict.fromkeys(one.path for _, one in collections)
    return [DumpStream(first[path][1].filesystem, path, first[path][0], wanted.get(path, {})) for path in paths]
