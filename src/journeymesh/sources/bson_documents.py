"""Documents of a buffer into rows: the loop over the compiled walk, and what it remembers between buffers."""

# ruff: noqa: PLR1714
# Kernels: plain comparisons and loops are what compiles to few instructions; a state machine has branches.

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.journeys.fixes import I32, I64
from journeymesh.kernels.compiled import U8_IN, compiled, entry
from journeymesh.sources.bson_paths import PathTrie
from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES
from journeymesh.sources.bson_walker import (
    DOCUMENTS,
    FAULTY,
    LENGTH_IMPLAUSIBLE,
    MAX_DEPTH,
    NEEDS_BYTES,
    NEEDS_ROOM,
    POSITION,
    ROWS,
    SHAPE_BYTES,
    SHAPES,
    STOP,
    read_i32,
    read_record,
    walk_array,
)

U8 = npt.NDArray[np.uint8]

FIRST_ROOM: Final = 1 << 16
FAULTS_ROOM: Final = 4096


_I32S: Final = types.int32[:, ::1]
_U8S: Final = types.uint8[:, ::1]
_I64: Final = types.int64[::1]
_I64S: Final = types.int64[:, ::1]


@compiled
def _walk_arrays(  # type: ignore[no-untyped-def]
    buffer, trie, keys, arrays, document_slots, offsets, kinds, first, length, stack, mask, shape_bytes, shape_masks,
    shape_heads, shape_offsets, shape_kinds, state,
):  # fmt: skip
    """Walk the arrays of the document whose own values are in row ``first``, one element a row from there on.

    Returns how many rows there are, more than fit where room is short, and a fault or 0.
    """
    room = kinds.shape[0] - first
    added = np.int64(0)
    filled = np.int64(1)
    present = 0
    for slot in range(document_slots, kinds.shape[1]):
        kinds[first, slot] = 0
    for array in range(arrays.shape[0]):
        slot = arrays[array, 0]
        kind = kinds[first, slot]
        if kind == 0 or kind == 0x0A:
            continue
        present += 1
        if kind != 0x03 and kind != 0x04:
            return added, np.int64(9)
        reached = np.int64(
            walk_array(
                buffer, kind, offsets[first, slot], room, length // 9, arrays[array, 1], trie, keys, offsets, kinds,
                first, filled, stack, mask, shape_bytes, shape_masks, shape_heads, shape_offsets, shape_kinds, state,
            )
        )  # fmt: skip
        if reached < 0:
            return added, -reached
        added = max(added, reached)
        if added > room:
            return added, np.int64(0)
        filled = max(filled, reached)
    return added, np.int64(0 if present > 0 else 10)


@entry(
    types.void, U8_IN, _I32S, U8_IN, _I32S, types.int64, _I32S, _U8S, _I64, types.int32[::1], _I64S, _I64S,
    types.uint8[::1], _U8S, _U8S, _I32S, _I32S, _U8S, _I64,
)  # fmt: skip
def _walk_documents(  # type: ignore[no-untyped-def]
    buffer, trie, keys, arrays, document_slots, offsets, kinds, row_document, row_element, faults, stack, mask,
    shape_bytes, shape_masks, shape_heads, shape_offsets, shape_kinds, state,
):  # fmt: skip
    """Walk documents from ``state[POSITION]`` until bytes, room or sense run out; ``state`` says which and how far."""
    at = state[POSITION]
    end = buffer.shape[0]
    room = kinds.shape[0]
    rows = np.int64(0)
    documents = np.int64(0)
    faulty = np.int64(0)
    stop = NEEDS_BYTES
    while True:
        if rows >= room or faulty >= faults.shape[0]:
            stop = NEEDS_ROOM
            break
        if at + 4 > end:
            break
        length = np.int64(read_i32(buffer, at))
        if length < MIN_DOCUMENT_BYTES or length > MAX_DOCUMENT_BYTES:
            stop = LENGTH_IMPLAUSIBLE
            break
        if at + length > end:
            break
        added = np.int64(1)
        if buffer[at + length - 1] != 0:
            fault = np.int64(1)
        else:
            fault = np.int64(
                read_record(
                    buffer, at, at + length, 0, trie, keys, offsets, kinds, rows, stack, mask,
                    shape_bytes, shape_masks, shape_heads, shape_offsets, shape_kinds, state,
                )
            )  # fmt: skip
        if fault == 0 and arrays.shape[0] > 0:
            added, fault = _walk_arrays(
                buffer, trie, keys, arrays, document_slots, offsets, kinds, rows, length, stack, mask, shape_bytes,
                shape_masks, shape_heads, shape_offsets, shape_kinds, state,
            )  # fmt: skip
            if fault == 0 and added > room - rows:
                stop = NEEDS_ROOM
                break
        if fault != 0:
            faults[faulty, 0] = at
            faults[faulty, 1] = at + length
            faults[faulty, 2] = fault
            faulty += 1
        elif arrays.shape[0] == 0:
            row_document[rows] = at
            row_element[rows] = -1
            rows += 1
        else:
            for row in range(rows, rows + added):
                row_document[row] = at
                row_element[row] = row - rows
                for slot in range(document_slots):
                    kinds[row, slot] = kinds[rows, slot]
                    offsets[row, slot] = offsets[rows, slot]
            rows += added
        documents += 1
        at += length
    state[POSITION] = at
    state[ROWS] = rows
    state[DOCUMENTS] = documents
    state[FAULTY] = faulty
    state[STOP] = stop


@dataclass(frozen=True, slots=True)
class Rows:
    """Where the mapped values of n rows are, in one buffer.

    - ``offsets``: int32[n, slots], ``kinds``: uint8[n, slots], the BSON type there, 0 where nothing is
    - ``document``: int64[n], the offset of the row's document; ``element``: int32[n], its array position, -1 if none
    - ``faults``: int64[f, 3], start, end and fault number of each corrupt document
    - ``end``: the offset up to which the buffer was read; ``documents``: how many were met; ``stop``: why it stopped
    """

    offsets: I32
    kinds: U8
    document: I64
    element: I32
    faults: I64
    end: int
    documents: int
    stop: int


class Walk:
    """The walk for one set of paths. Keeps the shapes it has met; not for use by two threads at once."""

    def __init__(self, trie: PathTrie) -> None:
        self.trie = trie
        width = max(trie.width, 1)
        self._stack = np.zeros((MAX_DEPTH + 1, 4), np.int64)
        self._mask = np.zeros(SHAPE_BYTES, np.uint8)
        self._shape_bytes = np.zeros((SHAPES, SHAPE_BYTES), np.uint8)
        self._shape_masks = np.zeros((SHAPES, SHAPE_BYTES), np.uint8)
        self._shape_heads = np.full((SHAPES, 2), -1, np.int32)
        self._shape_offsets = np.zeros((SHAPES, width), np.int32)
        self._shape_kinds = np.zeros((SHAPES, width), np.uint8)
        self._state = np.zeros(9, np.int64)
        self._room = 0
        self._make_room(FIRST_ROOM)

    def _make_room(self, rows: int) -> None:
        width = max(self.trie.width, 1)
        self._room = rows
        self._offsets = np.zeros((rows, width), np.int32)
        self._kinds = np.zeros((rows, width), np.uint8)
        self._document = np.zeros(rows, np.int64)
        self._element = np.zeros(rows, np.int32)
        self._faults = np.zeros((FAULTS_ROOM, 3), np.int64)

    def rows(self, buffer: U8, at: int = 0) -> Rows:
        """The rows of the documents from ``at`` on, as many as there is room for; read on from ``end``.

        The result's arrays are views that the next call overwrites. ``buffer`` must be shorter than 2 GiB.
        """
        trie = self.trie
        while True:
            self._state[POSITION] = at
            _walk_documents(
                read_only(buffer), trie.nodes, trie.keys, trie.arrays, trie.document_slots, self._offsets, self._kinds,
                self._document, self._element, self._faults, self._stack, self._mask, self._shape_bytes,
                self._shape_masks, self._shape_heads, self._shape_offsets, self._shape_kinds, self._state,
            )  # fmt: skip
            rows, faulty, stop = (int(self._state[place]) for place in (ROWS, FAULTY, STOP))
            if stop == NEEDS_ROOM and rows == 0 and faulty == 0:  # one document has more rows than there is room
                self._make_room(self._room * 2)
                continue
            return Rows(
                self._offsets[:rows],
                self._kinds[:rows],
                self._document[:rows],
                self._element[:rows],
                self._faults[:faulty],
                int(self._state[POSITION]),
                int(self._state[DOCUMENTS]),
                stop,
            )


def read_only(buffer: U8) -> U8:
    """The buffer as the one array type that the kernels are compiled for: read-only, contiguous bytes."""
    if not buffer.flags.writeable:
        return buffer
    view = buffer.view()
    view.flags.writeable = False
    return view
