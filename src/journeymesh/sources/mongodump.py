"""A mongodump as a source: read in pieces of a few MB, whatever its size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bson
import numpy as np
from bson.errors import BSONError

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_fixes import ELEMENT_BITS, BsonReader
from journeymesh.sources.bson_policies import policies_of
from journeymesh.sources.bson_values import OPTIONS
from journeymesh.sources.dump_files import DumpedCollection, Reading, collections_in
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.port import SourceBatch, SourceSize


class MongodumpSource:
    """The mapped collection of a mongodump: a folder, a database's folder, a ``.bson[.gz]`` file or an archive.

    Raises:
        SourceMissing: the dump or the mapped collection is not there (naming those that are).
        SourceUnreadable: it is there and is no dump.
        MappingInvalid: several databases have the collection and the mapping names none.
    """

    def __init__(self, location: str, mapping: Mapping) -> None:
        self.name = location
        self._mapping = mapping
        self._collections = collections_in(location)
        self._dumped = self._collection(mapping.collection, mapping.database)
        ending = next((end for end in (".bson", ".bson.gz") if location.endswith(end)), None)
        if ending is not None and self._dumped.path.rpartition("/")[2] != location.rpartition("/")[2]:
            raise SourceMissing(
                f"source {location} is not the mapped collection {mapping.collection!r}",
                todo=f"give {self._dumped.path}, or correct the mapping's collection",
            )

    def size(self) -> SourceSize:
        """The file's size in bytes."""
        return SourceSize(read_bytes=self._dumped.size)

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:  # noqa: ARG002 - a dump is read from its beginning
        """Every document once, as fixes or refusals. A dump has no position to resume at."""
        reader = BsonReader(self._mapping)
        reading = Reading()
        reported, offset = 0, 0
        tail = np.empty(0, np.uint8)
        for piece in self._dumped.pieces(reading):
            window = np.concatenate([tail, piece]) if len(tail) else piece
            end = 0
            for part in reader.parts(window, offset):
                end = part.end
                yield SourceBatch(part.fixes, part.refusals, reading.read_bytes - reported)
                reported = reading.read_bytes
                if part.is_broken:
                    yield self._broken(reader, window[end:], offset + end, reported)
                    return
            offset += end
            tail = window[end:]
        if len(tail) or reading.fault is not None:
            cause = reading.fault or "the file ends inside a document"
            refusal = reader.unreadable(tail, offset, offset + len(tail) if reading.fault is None else None, cause)
            yield SourceBatch(Fixes.empty(), [refusal], reading.read_bytes - reported)

    def _broken(self, reader: BsonReader, first: U8, at: int, reported: int) -> SourceBatch:
        end = self._dumped.size if self._dumped.is_seekable else None
        refusal = reader.unreadable(first, at, end, "a document's length is impossible")
        return SourceBatch(Fixes.empty(), [refusal], max((self._dumped.size or 0) - reported, 0))

    def describe(self, origins: I64) -> list[str]:
        """``blackbox/5ce7…``, ``trips/T1.samples[17]`` for each origin."""
        known = [int(origin) for origin in origins if origin >= 0]
        documents = self._dumped.documents_at(sorted({origin >> ELEMENT_BITS for origin in known}))
        reader = BsonReader(self._mapping)
        named = {position: reader.document_place(document, position) for position, document in documents.items()}
        return [
            reader.element_place(named[position], int(origin))
            if (position := int(origin) >> ELEMENT_BITS) in named
            else "unknown"
            for origin in origins
        ]

    def policies(self) -> list[Policy]:
        """The policies in the mapping's policies collection, in the same database."""
        section = self._mapping.policies
        if section is None:
            return []
        dumped = self._collection(section.collection, self._dumped.database)
        return policies_of(self._documents(dumped), section)

    def sample(self, documents: int) -> bytes:
        """The first documents of the mapped collection, as they stand in the dump."""
        kept = bytearray()
        for piece in self._dumped.pieces(Reading()):
            kept += piece.tobytes()
            at = count = 0
            while at + 4 <= len(kept) and count < documents:
                length = int.from_bytes(kept[at : at + 4], "little", signed=True)
                if length < 5 or at + length > len(kept):
                    break
                at, count = at + length, count + 1
            if count == documents or len(kept) > 1 << 26:
                return bytes(kept[:at])
        return bytes(kept)

    def close(self) -> None:
        """Nothing is held open between calls."""

    def _documents(self, dumped: DumpedCollection) -> Iterator[dict[str, Any]]:
        reading = Reading()
        content = b"".join(piece.tobytes() for piece in dumped.pieces(reading))
        try:
            yield from bson.decode_iter(content, OPTIONS)
        except BSONError as error:
            reading.fault = reading.fault or str(error)
        if reading.fault is not None:
            raise SourceUnreadable(f"{dumped.path}: {reading.fault}", todo="dump the collection again")

    def _collection(self, collection: str, database: str | None) -> DumpedCollection:
        found = [one for one in self._collections if one.collection == collection and database in (None, one.database)]
        if not found:
            there = ", ".join(sorted({f"{one.database}.{one.collection}" for one in self._collections})[:20]) or "none"
            wanted = collection if database is None else f"{database}.{collection}"
            todo = "correct the mapping's collection or the source"
            raise SourceMissing(f"source {self.name} has no collection {wanted!r}, only {there}", todo=todo)
        if len(found) > 1:
            several = ", ".join(sorted(one.database for one in found))
            raise MappingInvalid(
                f"source {self.name} has {collection!r} in several databases ({several})",
                todo="name one as database in the mapping",
            )
        return found[0]
