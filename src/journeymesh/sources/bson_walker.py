"""The compiled walk over raw BSON: where the mapped values of each document are, without building a document.

The walk finds, for every row (a document, or an element of an array in it), the type and the offset of the value at
each mapped path; ``bson_columns`` turns them into columns. Numba checks no bounds, so every read here is preceded by
an explicit comparison with the end of the enclosing document, and every loop advances. Descent follows only the trie
of mapped paths, whose depth is limited: nesting elsewhere is skipped by its length and costs nothing.

Documents of one collection mostly have one *shape*: the same keys, types and lengths at the same offsets. The walk
remembers the bytes that steered it (the mask) together with the offsets it found. A record whose steering bytes equal
a remembered shape's would be walked to the very same offsets, so comparing replaces walking.
"""

# ruff: noqa: PLR1714, PLR0912, PLR0915, SIM102, E501
# Kernels: plain comparisons and loops are what compiles to few instructions; a state machine has branches.

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.kernels.compiled import U8_IN, compiled, entry
from journeymesh.sources.bson_paths import (
    FIRST_CHILD,
    KEY_AT,
    KEY_LENGTH,
    NEXT_SIBLING,
    SLOT,
    SLOTS_FROM,
    SLOTS_TO,
    WHOLE,
)
from journeymesh.sources.bson_values import MAX_DOCUMENT_BYTES, MIN_DOCUMENT_BYTES

U8 = npt.NDArray[np.uint8]

SHAPE_SETS: Final = 64
SHAPE_WAYS: Final = 8
SHAPES: Final = SHAPE_SETS * SHAPE_WAYS
"""Shapes remembered: of those that share a length, modulo the sets, as many as there are ways."""
SHAPE_BYTES: Final = 1024
MAX_DEPTH: Final = 20

# Why a walk stops.
NEEDS_BYTES: Final = 0
NEEDS_ROOM: Final = 1
LENGTH_IMPLAUSIBLE: Final = 2

# What is wrong with a document.
FAULTS: Final = {
    1: "its last byte is not zero",
    2: "an element runs past the end of its document",
    3: "a key has no end",
    4: "an element has an unknown type",
    5: "a text has an impossible length or no end",
    6: "a nested document has an impossible length",
    7: "the mapped paths nest too deeply",
    8: "an array is keyed by something else than positions",
    9: "a mapped array is something else than an array",
    10: "the mapped array is missing",
}
ARRAY_MISSING: Final = 10
NO_ARRAY: Final = 9
ILL_SHAPED: Final = (8, 9)
"""Faults of documents that are well-formed BSON and not what the mapping expects."""

# Places in the walk's state.
POSITION, ROWS, DOCUMENTS, FAULTY, STOP, LAST_SHAPE, NEXT_SHAPE, HITS, MISSES = range(9)


@compiled
def read_i32(buffer, at):  # type: ignore[no-untyped-def]
    """int32 at an offset that the caller has checked."""
    i = np.uint64(at)
    one = np.uint64(1)
    two = np.uint64(2)
    three = np.uint64(3)
    return np.int32(
        np.uint32(buffer[i])
        | (np.uint32(buffer[i + one]) << np.uint32(8))
        | (np.uint32(buffer[i + two]) << np.uint32(16))
        | (np.uint32(buffer[i + three]) << np.uint32(24))
    )


@entry(types.UniTuple(types.int64, 2), U8_IN)
def whole_documents(buffer):  # type: ignore[no-untyped-def]
    """(where the last whole document begins, where it ends), without a look inside them; (-1, 0) if there is none."""
    last = np.int64(-1)
    at = np.int64(0)
    while at + 4 <= buffer.shape[0]:
        length = np.int64(read_i32(buffer, at))
        if length < MIN_DOCUMENT_BYTES or length > MAX_DOCUMENT_BYTES or at + length > buffer.shape[0]:
            break
        last = at
        at += length
    return last, at


@compiled
def value_bytes(buffer, kind, at, stop):  # type: ignore[no-untyped-def]
    """Bytes of the value of this type at ``at``, all of them before ``stop``; a negative fault otherwise."""
    size = np.int64(-4)
    if kind == 0x01 or kind == 0x09 or kind == 0x11 or kind == 0x12:
        size = np.int64(8)
    elif kind == 0x10:
        size = np.int64(4)
    elif kind == 0x07:
        size = np.int64(12)
    elif kind == 0x13:
        size = np.int64(16)
    elif kind == 0x08:
        size = np.int64(1)
    elif kind == 0x06 or kind == 0x0A or kind == 0x7F or kind == 0xFF:
        size = np.int64(0)
    elif kind == 0x0B:
        end = at
        for _ in range(2):
            while end < stop and buffer[end] != 0:
                end += 1
            if end >= stop:
                return np.int64(-3)
            end += 1
        size = np.int64(end - at)
    elif kind in (0x02, 0x03, 0x04, 0x05, 0x0C, 0x0D, 0x0E, 0x0F):
        if at + 4 > stop:
            return np.int64(-2)
        length = np.int64(read_i32(buffer, at))
        if kind == 0x03 or kind == 0x04:
            if length < MIN_DOCUMENT_BYTES or at + length > stop or buffer[at + length - 1] != 0:
                return np.int64(-6)
            size = length
        elif kind == 0x05:
            if length < 0:
                return np.int64(-2)
            size = length + 5
        elif kind == 0x0F:
            if length < 14:
                return np.int64(-6)
            size = length
        else:
            if length < 1 or at + 4 + length > stop or buffer[at + 3 + length] != 0:
                return np.int64(-5)
            size = length + 4
            if kind == 0x0C:
                size += 12
    if size >= 0 and at + size > stop:
        return np.int64(-2)
    return size


@compiled
def _child(buffer, key_at, key_length, first, expected, trie, keys):  # type: ignore[no-untyped-def]
    """The node among siblings that has this key; -1 if none. ``expected`` is tried first."""
    node = expected
    wrapped = expected == first
    while True:
        if node < 0:
            if wrapped:
                return -1
            wrapped = True
            node = first
        if trie[node, KEY_LENGTH] == key_length:
            at = trie[node, KEY_AT]
            same = True
            for i in range(key_length):
                if keys[at + i] != buffer[key_at + i]:
                    same = False
                    break
            if same:
                return node
        node = trie[node, NEXT_SIBLING]
        if wrapped and node == expected:
            return -1


@compiled
def _fill_cell(trie, child, kind, value, offsets, kinds, row, whole):  # type: ignore[no-untyped-def]
    """Note the value of a node; returns ``whole``, a bit for each slot whose value stands under its whole name.

    A key given twice counts once, the last time, as in every driver; a whole name counts before its steps.
    """
    for slot in range(trie[child, SLOTS_FROM], trie[child, SLOTS_TO]):
        if whole == 0 or (whole >> np.uint64(slot & 63)) & np.uint64(1) == 0:
            kinds[row, slot] = 0
    slot = trie[child, SLOT]
    if slot >= 0:
        bit = np.uint64(1) << np.uint64(slot & 63)
        if trie[child, WHOLE] == 1:
            whole |= bit
        if trie[child, WHOLE] == 1 or whole & bit == 0:
            kinds[row, slot] = kind
            offsets[row, slot] = value
    return whole


@compiled
def _walk_record(buffer, start, end, root, trie, keys, offsets, kinds, row, mask, masked, stack):  # type: ignore[no-untyped-def]
    """Fill the row's cells below ``root`` from the document ``[start, end)``; 0, or a fault.

    The caller has checked that the document's length is ``end - start`` and its last byte zero. With ``masked``, the
    bytes that steered the walk are marked in ``mask``.
    """
    for slot in range(trie[root, SLOTS_FROM], trie[root, SLOTS_TO]):
        kinds[row, slot] = 0
    if masked:
        for i in range(end - start):
            mask[i] = 0
        for i in range(4):
            mask[i] = 255
        mask[end - start - 1] = 255
    depth = 0
    node = root
    at = start + 4
    stop = end - 1
    expected = trie[node, FIRST_CHILD]
    whole = np.uint64(0)
    while True:
        if at == stop:
            if depth == 0:
                return 0
            depth -= 1
            at = stack[depth, 0]
            stop = stack[depth, 1]
            node = stack[depth, 2]
            expected = stack[depth, 3]
            continue
        kind = buffer[at]
        key_at = at + 1
        value = key_at
        while value < stop and buffer[value] != 0:
            value += 1
        if value >= stop:
            return 3
        key_length = value - key_at
        value += 1
        size = value_bytes(buffer, kind, value, stop)
        if size < 0:
            return -size
        if masked:
            steering = value - start
            if kind == 0x0B:
                steering += size
            elif kind in (0x02, 0x03, 0x04, 0x05, 0x0C, 0x0D, 0x0E, 0x0F):
                steering += 4
            for i in range(at - start, steering):
                mask[i] = 255
            if kind == 0x02 or kind == 0x0D or kind == 0x0E or kind == 0x03 or kind == 0x04:
                mask[value + size - 1 - start] = 255
            elif kind == 0x0C:
                mask[value + size - 13 - start] = 255
        at = value + size
        child = -1
        if trie[node, FIRST_CHILD] >= 0:
            child = _child(buffer, key_at, key_length, trie[node, FIRST_CHILD], expected, trie, keys)
        if child < 0:
            continue
        expected = trie[child, NEXT_SIBLING]
        if expected < 0:
            expected = trie[node, FIRST_CHILD]
        whole = _fill_cell(trie, child, kind, value, offsets, kinds, row, whole)
        if trie[child, FIRST_CHILD] >= 0 and (kind == 0x03 or kind == 0x04):
            if depth >= MAX_DEPTH:
                return 7
            stack[depth, 0] = at
            stack[depth, 1] = stop
            stack[depth, 2] = node
            stack[depth, 3] = expected
            depth += 1
            at = value + 4
            stop = value + size - 1
            node = child
            expected = trie[node, FIRST_CHILD]


@compiled
def _has_shape(buffer, start, length, shape, shape_bytes, shape_masks):  # type: ignore[no-untyped-def]
    """Whether the record's steering bytes are the shape's. Unsigned indices let the loop be vectorised."""
    first = np.uint64(start)
    which = np.uint64(shape)
    differs = np.uint8(0)
    for i in range(np.uint64(length)):
        differs |= (buffer[first + i] ^ shape_bytes[which, i]) & shape_masks[which, i]
    return differs == 0


@compiled
def read_record(  # type: ignore[no-untyped-def]
    buffer, start, end, root, trie, keys, offsets, kinds, row, stack, mask, shape_bytes, shape_masks, shape_heads,
    shape_offsets, shape_kinds, state,
):  # fmt: skip
    """Fill the row's cells below ``root`` from ``[start, end)``, by its shape if it is known, else by walking."""
    length = end - start
    first = trie[root, SLOTS_FROM]
    last = trie[root, SLOTS_TO]
    first_way = ((length + root * 7) % SHAPE_SETS) * SHAPE_WAYS
    if length <= SHAPE_BYTES:
        for way in range(-1, SHAPE_WAYS):
            shape = state[LAST_SHAPE] if way < 0 else first_way + way
            if shape_heads[shape, 0] == length and shape_heads[shape, 1] == root:
                if _has_shape(buffer, start, length, shape, shape_bytes, shape_masks):
                    for slot in range(first, last):
                        kinds[row, slot] = shape_kinds[shape, slot]
                        offsets[row, slot] = start + shape_offsets[shape, slot]
                    state[LAST_SHAPE] = shape
                    state[HITS] += 1
                    return 0
    state[MISSES] += 1
    # Where shapes never repeat, remembering each of them would only cost.
    remember = length <= SHAPE_BYTES and (state[MISSES] < 64 + state[HITS] or state[MISSES] % 16 == 0)
    fault = _walk_record(buffer, start, end, root, trie, keys, offsets, kinds, row, mask, remember, stack)
    if fault == 0 and remember:
        shape = first_way + state[NEXT_SHAPE]
        state[NEXT_SHAPE] = (state[NEXT_SHAPE] + 1) % SHAPE_WAYS
        shape_heads[shape, 0] = length
        shape_heads[shape, 1] = root
        for i in range(length):
            shape_bytes[shape, i] = buffer[start + i]
            shape_masks[shape, i] = mask[i]
        for slot in range(first, last):
            shape_kinds[shape, slot] = kinds[row, slot]
            shape_offsets[shape, slot] = offsets[row, slot] - start
        state[LAST_SHAPE] = shape
    return fault


@compiled
def _position(buffer, key_at, key_end):  # type: ignore[no-untyped-def]
    """The array position that a key of digits gives; -1 if it is anything else."""
    if key_end == key_at or key_end - key_at > 8:
        return np.int64(-1)
    position = np.int64(0)
    for i in range(key_at, key_end):
        digit = np.int64(buffer[i]) - 48
        if digit < 0 or digit > 9:
            return np.int64(-1)
        position = position * 10 + digit
    return position


@compiled
def walk_array(  # type: ignore[no-untyped-def]
    buffer, kind, start, most, farthest, root, trie, keys, offsets, kinds, row, filled, stack, mask, shape_bytes, shape_masks,
    shape_heads, shape_offsets, shape_kinds, state,
):  # fmt: skip
    """Fill the element cells of rows ``row…`` from the array at ``start``: how many rows it reaches, or a fault < 0.

    The array's length was checked when its element was sized. Rows from ``row + filled`` on are cleared when first
    reached. A document (kind 3) is an array keyed by position, as time-series buckets are; no position may lie beyond
    ``farthest``, and one without any is no array. At most ``most`` rows are filled: a result above it says that there is
    no room.
    """
    stop = start + np.int64(read_i32(buffer, start)) - 1
    at = start + 4
    reached = np.int64(0)
    ordinal = np.int64(0)
    slot = trie[root, SLOT]
    width = kinds.shape[1]
    if kind == 0x03 and at >= stop:
        return np.int64(-8)
    while at < stop:
        element = buffer[at]
        key_at = at + 1
        value = key_at
        while value < stop and buffer[value] != 0:
            value += 1
        if value >= stop:
            return np.int64(-3)
        position = ordinal
        if kind == 0x03:
            position = _position(buffer, key_at, value)
            if position < 0 or position > farthest:
                return np.int64(-8)
        value += 1
        size = value_bytes(buffer, element, value, stop)
        if size < 0:
            return size
        if position >= most:
            return position + 1
        while filled <= position:
            for each in range(width):
                kinds[row + filled, each] = 0
            filled += 1
        if slot >= 0:
            kinds[row + position, slot] = element
            offsets[row + position, slot] = value
        if trie[root, FIRST_CHILD] >= 0 and (element == 0x03 or element == 0x04):
            fault = read_record(
                buffer, value, value + size, root, trie, keys, offsets, kinds, row + position, stack, mask,
                shape_bytes, shape_masks, shape_heads, shape_offsets, shape_kinds, state,
            )  # fmt: skip
            if fault != 0:
                return np.int64(-fault)
        reached = max(reached, position + 1)
        ordinal += 1
        at = value + size
    return reached
