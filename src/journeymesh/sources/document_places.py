"""Where documents are: the digest of each ``_id``, and the vehicle and span of its fixes, as columns.

The digest is BLAKE2b (RFC 7693) of 8 bytes over the ``_id``'s BSON type byte and value bytes, read as a signed
little-endian number.
"""

# Kernels: plain comparisons and loops are what compiles to few instructions.

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import types

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.kernels.compiled import U8_IN, compiled, entry
from journeymesh.sources.bson_columns import MISSING_US
from journeymesh.sources.bson_documents import U8, read_only
from journeymesh.sources.bson_fixes import ELEMENT_BITS
from journeymesh.sources.bson_walker import read_i32, value_bytes
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, DocumentPlaces

_IV: Final = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
_SIGMA: Final = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.int64,
)
_DIGEST_BYTES: Final = 8
_BLOCK: Final = 128
_ELEMENT_HEAD: Final = 5
"""The type byte, ``_id`` and its zero."""


@compiled
def _rotated(word, by):  # type: ignore[no-untyped-def]
    return (word >> np.uint64(by)) | (word << np.uint64(64 - by))


@compiled
def _mix(v, a, b, c, d, x, y):  # type: ignore[no-untyped-def]
    v[a] = v[a] + v[b] + x
    v[d] = _rotated(v[d] ^ v[a], 32)
    v[c] = v[c] + v[d]
    v[b] = _rotated(v[b] ^ v[c], 24)
    v[a] = v[a] + v[b] + y
    v[d] = _rotated(v[d] ^ v[a], 16)
    v[c] = v[c] + v[d]
    v[b] = _rotated(v[b] ^ v[c], 63)


@compiled
def _blake(buffer, at, end, kind, h, m, v):  # type: ignore[no-untyped-def]
    """The digest of the byte ``kind`` followed by ``buffer[at:end]``."""
    for i in range(8):
        h[i] = _IV[i]
    h[0] ^= np.uint64(0x01010000 ^ _DIGEST_BYTES)
    total = end - at + 1
    done = np.int64(0)
    while True:
        for i in range(16):
            m[i] = np.uint64(0)
        here = min(np.int64(_BLOCK), total - done)
        for i in range(here):
            place = done + i
            byte = np.uint64(kind) if place == 0 else np.uint64(buffer[at + place - 1])
            m[i >> 3] |= byte << np.uint64(8 * (i & 7))
        done += here
        for i in range(8):
            v[i] = h[i]
            v[i + 8] = _IV[i]
        v[12] ^= np.uint64(done)
        if done == total:
            v[14] = ~v[14]
        for turn in range(12):
            s = _SIGMA[turn]
            _mix(v, 0, 4, 8, 12, m[s[0]], m[s[1]])
            _mix(v, 1, 5, 9, 13, m[s[2]], m[s[3]])
            _mix(v, 2, 6, 10, 14, m[s[4]], m[s[5]])
            _mix(v, 3, 7, 11, 15, m[s[6]], m[s[7]])
            _mix(v, 0, 5, 10, 15, m[s[8]], m[s[9]])
            _mix(v, 1, 6, 11, 12, m[s[10]], m[s[11]])
            _mix(v, 2, 7, 8, 13, m[s[12]], m[s[13]])
            _mix(v, 3, 4, 9, 14, m[s[14]], m[s[15]])
        for i in range(8):
            h[i] ^= v[i] ^ v[i + 8]
        if done == total:
            return np.uint64(h[0]).view(np.int64)


_U64: Final = types.uint64[::1]


@entry(types.int64, U8_IN, types.int64[:, ::1], types.boolean, types.int64[::1], _U64, _U64, _U64)
def _identities(buffer, spans, digesting, digests, h, m, v):  # type: ignore[no-untyped-def]
    """(start, value, end) of each document, its ``_id``'s value and that value's end into ``spans``; how many.

    The value and end are 0 where there is no ``_id``. With ``digesting``, the digests too.
    """
    at = np.int64(0)
    count = np.int64(0)
    while at + 4 <= buffer.shape[0] and count < spans.shape[0]:
        length = np.int64(read_i32(buffer, at))
        if length < 5 or at + length > buffer.shape[0]:
            break
        stop = at + length - 1
        element = at + 4
        spans[count, 0] = at
        spans[count, 1] = 0
        spans[count, 2] = 0
        digests[count] = 0
        while element < stop:
            value = element + 1
            while value < stop and buffer[value] != 0:
                value += 1
            value += 1
            if value > stop:
                break
            size = value_bytes(buffer, buffer[element], value, stop)
            if size < 0:
                break
            named = value - element == 5 and buffer[element + 1] == 95 and buffer[element + 2] == 105
            if named and buffer[element + 3] == 100:
                spans[count, 1] = value
                spans[count, 2] = value + size
                if digesting:
                    digests[count] = _blake(buffer, value, value + size, buffer[element], h, m, v)
                break
            element = value + size
        count += 1
        at += length
    return count


@entry(types.void, U8_IN, types.int64[:, ::1], types.int64[::1], types.uint8[::1])
def _pack(buffer, spans, begins, packed):  # type: ignore[no-untyped-def]
    """Copy the ``_id`` elements one after the other to where each begins."""
    for document in range(spans.shape[0]):
        at = spans[document, 1] - _ELEMENT_HEAD
        for i in range(begins[document + 1] - begins[document]):
            packed[begins[document] + i] = buffer[at + i]


@dataclass(frozen=True, slots=True)
class PackedIdentities:
    """What is needed to name the documents of a buffer that is no longer there."""

    documents: I64
    begins: I64
    elements: bytes

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return int(self.documents.nbytes + self.begins.nbytes + len(self.elements))

    def document(self, offset: int) -> bytes:
        """A document with nothing but the ``_id`` of the one that stood at this offset; empty if it had none."""
        at = int(np.searchsorted(self.documents, offset))
        if at == len(self.documents) or self.documents[at] != offset:
            return b""
        element = self.elements[int(self.begins[at]) : int(self.begins[at + 1])]
        return (len(element) + 5).to_bytes(4, "little") + element + b"\0"


class Identities:
    """The documents of a buffer and their ``_id``.

    - ``spans``: int64[n, 3], where each document, its ``_id``'s value and the byte after that value are
    - ``digests``: int64[n], zeros where they were not asked for
    """

    def __init__(self, buffer: U8, documents: int, *, digesting: bool) -> None:
        self._buffer = read_only(buffer)
        self.spans = np.empty((documents, 3), np.int64)
        self.digests = np.empty(documents, np.int64)
        words = [np.zeros(size, np.uint64) for size in (8, 16, 16)]
        found = int(_identities(self._buffer, self.spans, digesting, self.digests, *words))
        self.spans, self.digests = self.spans[:found], self.digests[:found]

    def packed(self) -> PackedIdentities:
        """The ids alone, so that the buffer can go."""
        lengths = np.where(self.spans[:, 1] > 0, self.spans[:, 2] - self.spans[:, 1] + _ELEMENT_HEAD, 0)
        begins = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=begins[1:])
        elements = np.empty(int(begins[-1]), np.uint8)
        _pack(self._buffer, self.spans, begins, elements)
        return PackedIdentities(self.spans[:, 0].copy(), begins, elements.tobytes())


def places_of(met: Fixes, identities: Identities, stream_offset: int) -> DocumentPlaces:
    """The places of the documents that these rows, in the order of their documents, come from."""
    assert met.origin is not None
    rows = np.flatnonzero(met.vehicle >= 0)
    if not len(rows):
        return DocumentPlaces.empty()
    starts = (met.origin[rows] >> ELEMENT_BITS) - stream_offset
    document = np.searchsorted(identities.spans[:, 0], starts)
    vehicle, us = met.vehicle[rows], met.fixed_at_us[rows]
    change = np.empty(len(rows), np.bool_)
    change[0] = True
    if len(met.vehicles) > 1 or (np.diff(document) < 0).any():  # compressed buckets come before the others
        ordered = np.lexsort((vehicle, document))
        document, vehicle, us = document[ordered], vehicle[ordered], us[ordered]
    change[1:] = (document[1:] != document[:-1]) | (vehicle[1:] != vehicle[:-1])
    groups = np.flatnonzero(change)
    first = np.minimum.reduceat(np.where(us == MISSING_US, END_US, us), groups)
    last = np.maximum.reduceat(np.where(us == MISSING_US, BEGINNING_US, us), groups)
    unknown = first > last
    first[unknown], last[unknown] = BEGINNING_US, END_US
    return DocumentPlaces(identities.digests[document[groups]], met.vehicles, vehicle[groups], first, last)
