"""Raw BSON to fixes: the walk, the conversions and the refusals, put together for one mapping."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.bson_cells import Cells
from journeymesh.sources.bson_conditions import BsonConditions
from journeymesh.sources.bson_documents import U8, Rows, Walk, read_only
from journeymesh.sources.bson_paths import PathTrie
from journeymesh.sources.bson_values import (
    CONTENT_BYTES,
    canonical,
    decoded,
    document_id,
    document_key,
    has_id,
    raw_json,
)
from journeymesh.sources.bson_walker import ARRAY_MISSING, FAULTS, ILL_SHAPED, LENGTH_IMPLAUSIBLE, NEEDS_ROOM, NO_ARRAY
from journeymesh.sources.column_values import Faults
from journeymesh.sources.compressed_buckets import Expanded, expanded
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.fix_fields import fixes_of
from journeymesh.sources.mapping import Mapping, mapped_paths
from journeymesh.sources.nested_arrays import NotFlattened, flattened_bson, nesting_of
from journeymesh.sources.paths import array_of, reach
from journeymesh.sources.refused_rows import known_values
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.simple8b import DamagedColumn

ELEMENT_BITS: Final = 21
"""An origin is the offset of a document in its stream, shifted by these bits, and the position in its array."""
_ELEMENT_MASK: Final = (1 << ELEMENT_BITS) - 1
REFUSALS_PER_DOCUMENT: Final = 10_000
"""A document with more elements that do not fit is refused from there on as one: it may hold two million."""
_CONVERT_ROWS: Final = 1 << 18
_EXPANDED_BYTES: Final = 16 << 20
Faulty = tuple[int, int, int]
"""Where a document begins and ends, and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ReadPart:
    """Fixes and refusals of a part of a buffer; ``end`` is the offset up to which it was read.

    ``met`` has a row for every fix, those refused among them: what is known of where and when they are.
    ``others`` counts the documents, and elements of other documents' arrays, that the mapping's conditions leave to
    somebody else.
    ``is_broken``: at ``end`` stands a document of impossible length, so that where the next begins is unknown.
    """

    fixes: Fixes
    refusals: list[Refusal]
    end: int
    documents: int
    met: Fixes
    is_broken: bool = False
    others: int = 0


class BsonReader:
    """Reads documents of one mapping out of buffers. Keeps what it learnt of their shapes; for one thread at a time.

    ``keys`` tell documents without an ``_id`` apart, where they come from a file.
    """

    def __init__(self, mapping: Mapping, tally: FieldTally | None = None) -> None:
        self.mapping = mapping
        self.collection: str = mapping.collection
        """What documents are said to be of: with several collections, the one that is being read."""
        self.vehicle: str | None = None
        """The vehicle of documents that do not name one themselves."""
        self._tally = tally
        self.keys: RowKeys | None = None
        self._last_keyed: tuple[int, str | None] = (-1, None)
        self.trie = PathTrie.of(mapped_paths(mapping))
        self._conditions = BsonConditions(mapping.where, self.trie.slots)
        self._arrays = sorted({array for path in self.trie.slots if (array := array_of(path)) is not None})
        self._nesting = nesting_of(self.trie.slots)
        self._of_expanded: BsonReader | None = None
        """Reads buckets that were compressed, and documents with arrays in their arrays; made when the first comes."""
        self._moved: Expanded | None = None
        """Where the buckets that are being read stood before, of such a reader."""
        self._walk = Walk(self.trie)
        self._last_decoded: tuple[int, dict[str, Any] | None] = (-1, None)

    def parts(self, buffer: U8, stream_offset: int = 0) -> Iterator[ReadPart]:
        """The documents of a buffer, part by part. ``stream_offset`` is where the buffer begins in its stream.

        Reading stops before a document that is not whole or has an impossible length; the last part says where.
        """
        buffer = read_only(buffer)
        at = 0
        while True:
            rows = self._walk.rows(buffer, at)
            end = rows.end
            faults, others = self._faults(buffer, rows)
            if any(fault == NO_ARRAY for _, _, fault in faults):
                without = ((start, buffer[start:stop].tobytes()) for start, stop, fault in faults if fault == NO_ARRAY)
                plain = yield from self._rewritten(without, self._uncompressed, stream_offset, at)
                faults = [fault for fault in faults if fault[2] != NO_ARRAY or fault[0] in plain]
            if (nesting := self._nesting) is not None:
                nested = ((start, _document(buffer, start)) for start in np.unique(rows.document).tolist())
                yield from self._rewritten(nested, partial(flattened_bson, nesting=nesting), stream_offset, at)
                rows = _slice(rows, slice(0))
            refusals = [self._corrupt(buffer, *fault, stream_offset) for fault in faults]
            pieces = max(1, -(-len(rows.document) // _CONVERT_ROWS))
            for piece in range(pieces):
                here = slice(piece * _CONVERT_ROWS, (piece + 1) * _CONVERT_ROWS)
                ours = _slice(rows, here)
                wanted, left = self._conditions.rows(buffer, ours)
                if wanted is not None:
                    ours = _slice(ours, wanted)
                fixes, refused, met = self._convert(buffer, ours, stream_offset)
                last = piece == pieces - 1
                broken = last and rows.stop == LENGTH_IMPLAUSIBLE
                documents = rows.documents if last else 0
                left += others
                yield ReadPart(fixes, refusals + refused, end if last else at, documents, met, broken, left)
                refusals, others = [], 0
            at = end
            if rows.stop != NEEDS_ROOM:
                return

    def _uncompressed(self, document: bytes) -> bytes | None:
        return expanded(document, self._arrays)

    def _rewritten(
        self,
        documents: Iterable[tuple[int, bytes]],
        rewrite: Callable[[bytes], bytes | None],
        stream_offset: int,
        at: int,
    ) -> Generator[ReadPart, None, set[int]]:
        """The fixes of documents (offset, content) once they are rewritten, some at a time, and the refusals of those
        that cannot be; returns the offsets of those that need not be."""
        plain: set[int] = set()
        rewritten: list[tuple[int, bytes]] = []
        size = 0
        for start, document in documents:
            try:
                whole = rewrite(document)
            except (DamagedColumn, NotFlattened) as error:
                yield self._unusable(document, stream_offset + start, str(error), at)
                continue
            if whole is None:
                plain.add(start)
                continue
            rewritten.append((start, whole))
            size += len(whole)
            if size > _EXPANDED_BYTES:
                yield from self._expanded(rewritten, stream_offset, at)
                rewritten, size = [], 0
        if rewritten:
            yield from self._expanded(rewritten, stream_offset, at)
        return plain

    def _unusable(self, document: bytes, place: int, fault: str, at: int) -> ReadPart:
        """The refusal of a whole document."""
        code, key = Reason.DOCUMENT_CORRUPT.code, self._key(document, place)
        named = self.document_place(document, place)
        refusal = Refusal(code, named, fault, content=raw_json(document), input_key=key)
        return ReadPart(Fixes.empty(), [refusal], at, 0, Fixes.empty())

    def _expanded(self, buckets: list[tuple[int, bytes]], stream_offset: int, at: int) -> Iterator[ReadPart]:
        reader = self._of_expanded
        if reader is None:
            reader = self._of_expanded = BsonReader(self.mapping, self._tally)
            reader._nesting = None
        reader.collection, reader.keys, reader.vehicle = self.collection, self.keys, self.vehicle
        reader._moved = moved = Expanded.of(buckets)
        reader._last_decoded = reader._last_keyed = (-1, None)
        for part in reader.parts(moved.content, stream_offset):
            yield replace(part, end=at, documents=0, is_broken=False)

    def unreadable(self, first: U8, at: int, end: int | None, cause: str) -> Refusal:
        """The refusal of all from stream offset ``at`` to ``end`` (None: unknown), of which ``first`` is at hand."""
        return Refusal(
            Reason.DOCUMENT_CORRUPT.code,
            f"{self.collection}@{at}",
            f"bytes {at} to {'the end' if end is None else end}: {cause}, so what follows cannot be read",
            content=raw_json(first[: CONTENT_BYTES + 1].tobytes()),
            input_key=None if self.keys is None else self.keys.key(first[:CONTENT_BYTES].tobytes(), at),
        )

    def place(self, document: bytes, origin: int) -> str:
        """Where an input is, given its document and its origin."""
        return self.element_place(self.document_place(document, origin >> ELEMENT_BITS), origin)

    def document_place(self, document: bytes, position: int) -> str:
        """Where a document is: ``trips/T1_03_29_2021``, given its bytes and its position."""
        return document_id(document, self.collection, position)

    def element_place(self, place: str, origin: int) -> str:
        """Where an input is in the document at ``place``: ``trips/T1_03_29_2021.samples[17]``."""
        if self.mapping.layout == "document":
            return place
        array = self.mapping.array_path
        return f"{place}{'.' + array if array else ''}[{origin & _ELEMENT_MASK}]"

    def _faults(self, buffer: U8, rows: Rows) -> tuple[list[Faulty], int]:
        """(start, end and fault of the corrupt documents, how many of the sound ones are not for us)."""
        faults = [(int(start), int(end), int(fault)) for start, end, fault in rows.faults]
        kept = [
            (start, end, fault)
            for start, end, fault in faults
            if fault not in (ARRAY_MISSING, *ILL_SHAPED) or not self._conditions.leave_out(buffer[start:end])
        ]
        return kept, len(faults) - len(kept)

    def _convert(self, buffer: U8, rows: Rows, stream_offset: int) -> tuple[Fixes, list[Refusal], Fixes]:
        cells = Cells(buffer, rows.offsets, rows.kinds, self.trie.slots)
        starts = rows.document if self._moved is None else self._moved.origin_of(rows.document)
        origins = ((starts + stream_offset) << ELEMENT_BITS) | np.maximum(rows.element, 0)
        fixes, faults = fixes_of(cells, self.mapping.fields, origins, self._tally, rows.element, self.vehicle)
        met = fixes if faults.met is None else faults.met
        return fixes, self._refusals(buffer, rows, met, faults, stream_offset) if faults.reasons else [], met

    def _refusals(self, buffer: U8, rows: Rows, fixes: Fixes, refused: Faults, stream_offset: int) -> list[Refusal]:
        refusals: list[Refusal] = []
        at, document, content, identity = -1, b"", None, ""
        key: str | None = None
        assert fixes.origin is not None
        here = 0
        for row, (reason, detail) in sorted(refused.reasons.items()):
            here += 1
            if int(rows.document[row]) != at:
                here = 1
                at = int(rows.document[row])
                document = _document(buffer, at)
                content = self._decoded(document, stream_offset + at)
                identity = document_id(document, self.collection, stream_offset + at)
                key = self._key(document, stream_offset + at)
            origin = int(fixes.origin[row])
            input_key = None if key is None else self.element_place(key, origin)
            if here > REFUSALS_PER_DOCUMENT:
                if here == REFUSALS_PER_DOCUMENT + 1:
                    more = f"{detail}; this and every further element of the document that does not fit"
                    place = self.element_place(identity, origin)
                    refusals.append(Refusal(reason.code, place, more, input_key=input_key))
                continue
            refusals.append(
                Refusal(
                    reason.code,
                    self.element_place(identity, origin),
                    detail,
                    *known_values(fixes, row),
                    content=self._content(document, content, int(rows.element[row]), here == 1),
                    input_key=input_key,
                )
            )
        return refusals

    def _key(self, document: bytes, at: int) -> str | None:
        """What tells this document from every other where its place does not; None where it does."""
        if self.keys is None or has_id(document):
            return document_key(document, self.collection)
        if self._last_keyed[0] != at:  # its rows may come in several pieces
            self._last_keyed = (at, self.keys.key(document, at))
        return self._last_keyed[1]

    def _decoded(self, document: bytes, at: int) -> dict[str, Any] | None:
        """The document at this stream offset, decoded once though its rows come in several pieces."""
        if self._last_decoded[0] != at:
            self._last_decoded = (at, decoded(document))
        return self._last_decoded[1]

    def _content(self, document: bytes, content: dict[str, Any] | None, element: int, first: bool) -> str | None:
        """What is kept of a refused row: its document, or the element: the values at its place in each array.

        A document that cannot be decoded is kept as bytes, with the ``first`` of its rows only.
        """
        if content is None or (element < 0 and len(document) > CONTENT_BYTES):
            return raw_json(document) if first else None
        kept: Any = content
        if element >= 0:
            found = {array: _item(reach(content, array), element) for array in self._arrays}
            kept = found[self._arrays[0]] if len(self._arrays) == 1 else found
        return canonical(kept) or (raw_json(document) if first else None)

    def _corrupt(self, buffer: U8, start: int, end: int, fault: int, stream_offset: int) -> Refusal:
        document, at = buffer[start:end].tobytes(), stream_offset + start
        if fault == ARRAY_MISSING:
            array = self.mapping.array_path or "its arrays"
            origin, content = self.document_place(document, at), self._content(document, decoded(document), -1, True)
            detail, key = f"{array}: no array of fixes", self._key(document, at)
            return Refusal(Reason.CLOCK_MISSING.code, origin, detail, content=content, input_key=key)
        if fault in ILL_SHAPED:  # its bytes are sound, and so is its id
            origin, where, key = self.document_place(document, at), "the document", self._key(document, at)
        else:
            origin = f"{self.collection}@{at}"
            where = f"the document at bytes {at} to {stream_offset + end}"
            key = None if self.keys is None else self.keys.key(document, at)
        detail = f"{where}: {FAULTS[fault]}"
        return Refusal(Reason.DOCUMENT_CORRUPT.code, origin, detail, content=raw_json(document), input_key=key)


def _slice(rows: Rows, here: slice | npt.NDArray[np.bool_]) -> Rows:
    return Rows(
        rows.offsets[here], rows.kinds[here], rows.document[here], rows.element[here], rows.faults, rows.end,
        rows.documents, rows.stop,
    )  # fmt: skip


def _document(buffer: U8, at: int) -> bytes:
    return buffer[at : at + int.from_bytes(buffer[at : at + 4].tobytes(), "little")].tobytes()


def _item(array: Any, position: int) -> Any:
    if isinstance(array, dict):
        return array.get(str(position))
    return array[position] if isinstance(array, list) and position < len(array) else None
