"""Where the values of a long JSON text begin and end: one after the other, or the elements of one array in it.

Only strings, brackets and commas are looked at; what a value holds is the decoder's matter. So a text of any length is
read with the memory of its longest element.
"""

# ruff: noqa: PLR1714, PLR0912, PLR0915
# A kernel: plain comparisons are what compiles to few instructions; a state machine has branches.

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from journeymesh.kernels.compiled import entry

I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

# What the scan remembers from piece to piece.
DEPTH: Final = 0
IN_STRING: Final = 1
ESCAPED: Final = 2
MATCHED: Final = 3
"""So many keys on the way to the array lead to where the scan is."""
ARRAY_DEPTH: Final = 4
"""How deep the elements stand: 0 for values one after the other, -1 outside of the array."""
STARTED: Final = 5
"""Where the value begins that is being read; -1 for none."""
KEY_START: Final = 6
CANDIDATE: Final = 7
"""Whether the value that comes next stands at the next key on the way to the array."""
IS_KEY: Final = 8
SEEN: Final = 9
"""How many arrays were met where elements were looked for."""
STATES: Final = 10


_MANY: Final = 1 << 16
_IN: Final = types.Array(types.uint8, 1, "C", readonly=True)
_ENDS: Final = types.Array(types.int64, 1, "C", readonly=True)


@entry(types.UniTuple(types.int64, 2), _IN, types.int64, types.int64[::1], _IN, _ENDS, types.int64[:, ::1])
def _split(text, at, state, keys, key_ends, found):  # type: ignore[no-untyped-def]
    """(found, end): up to ``len(found)`` values that end in ``text`` from ``at`` on, and how far it was read."""
    n = 0
    n_keys = len(key_ends)
    while at < len(text):
        byte = text[at]
        if state[IN_STRING]:
            if state[ESCAPED]:
                state[ESCAPED] = 0
            elif byte == 0x5C:
                state[ESCAPED] = 1
            elif byte == 0x22:
                state[IN_STRING] = 0
                if state[IS_KEY]:
                    state[IS_KEY] = 0
                    step = state[MATCHED]
                    first = key_ends[step - 1] if step else 0
                    length = at - state[KEY_START]
                    same = length == key_ends[step] - first
                    for i in range(length if same else 0):
                        same &= text[state[KEY_START] + i] == keys[first + i]
                    state[CANDIDATE] = 1 if same else 0
                    state[KEY_START] = -1
            at += 1
            continue
        elements = state[ARRAY_DEPTH] >= 0 and state[DEPTH] == state[ARRAY_DEPTH]
        if byte == 0x20 or byte == 0x09 or byte == 0x0A or byte == 0x0D:
            at += 1
            continue
        if elements and state[STARTED] < 0 and byte != 0x2C and byte != 0x5D:
            state[STARTED] = at
        if byte == 0x22:
            state[IN_STRING] = 1
            on_the_way = state[ARRAY_DEPTH] < 0 and state[MATCHED] < n_keys and state[DEPTH] == state[MATCHED] + 1
            if on_the_way and not state[CANDIDATE]:
                state[IS_KEY] = 1
                state[KEY_START] = at + 1
        elif byte == 0x7B or byte == 0x5B:
            if state[CANDIDATE] and state[ARRAY_DEPTH] < 0:
                state[CANDIDATE] = 0
                if byte == 0x7B and state[MATCHED] + 1 < n_keys:
                    state[MATCHED] += 1
                elif byte == 0x5B and state[MATCHED] + 1 == n_keys:
                    state[ARRAY_DEPTH] = state[DEPTH] + 1
                    state[SEEN] += 1
            state[DEPTH] += 1
        elif byte == 0x7D or byte == 0x5D:
            ends_value = elements and state[STARTED] >= 0
            state[DEPTH] -= 1
            state[CANDIDATE] = 0
            if state[ARRAY_DEPTH] > 0 and state[DEPTH] < state[ARRAY_DEPTH]:
                # The array ends, after a value that is no object and no array where one was being read.
                if n_keys:
                    state[ARRAY_DEPTH] = -1
                if ends_value:
                    found[n, 0], found[n, 1] = state[STARTED], at
                    n += 1
                state[STARTED] = -1
            elif state[ARRAY_DEPTH] >= 0 and state[DEPTH] == state[ARRAY_DEPTH] and state[STARTED] >= 0:
                found[n, 0], found[n, 1] = state[STARTED], at + 1
                n += 1
                state[STARTED] = -1
            if state[DEPTH] <= state[MATCHED] and state[MATCHED] > 0:
                state[MATCHED] -= 1
            state[DEPTH] = max(state[DEPTH], 0)
        elif byte == 0x2C:
            state[CANDIDATE] = 0
            if elements and state[STARTED] >= 0:
                found[n, 0], found[n, 1] = state[STARTED], at
                n += 1
                state[STARTED] = -1
        at += 1
        if n == len(found):
            break
    return n, at


class JsonSplitter:
    """Cuts a text, fed in pieces, into values: those that follow each other, or the elements of an array.

    ``keys`` lead to the array from the top-level object: ``("locations",)``; none and ``in_array`` mean an array at
    the top.
    """

    def __init__(self, keys: tuple[str, ...] = (), in_array: bool = True) -> None:
        written = [key.encode() for key in keys]
        self._keys = np.frombuffer(b"".join(written) or b"\0", np.uint8)
        self._ends = np.cumsum([len(key) for key in written], dtype=np.int64)
        self._state = np.zeros(STATES, np.int64)
        self._state[ARRAY_DEPTH] = -1 if keys else int(in_array)
        self._state[[STARTED, KEY_START]] = -1
        self._tail = b""
        self._found = np.empty((_MANY, 2), np.int64)

    @property
    def arrays(self) -> int:
        """How many arrays were found at the keys."""
        return int(self._state[SEEN])

    @property
    def unfinished(self) -> bytes:
        """What of the text was read and is no whole value."""
        return self._tail

    def feed(self, piece: bytes) -> list[bytes]:
        """The values that end in this piece."""
        fresh = len(self._tail)
        text = self._tail + piece
        buffer = np.frombuffer(text, np.uint8)
        values: list[bytes] = []
        at = fresh
        while at < len(text):
            count, at = _split(buffer, at, self._state, self._keys, self._ends, self._found)
            values += [text[first:last] for first, last in self._found[:count].tolist()]
        open_at = max(self._state[STARTED], self._state[KEY_START] - 1 if self._state[KEY_START] >= 0 else -1)
        keep = int(open_at) if open_at >= 0 else len(text)
        self._tail = text[keep:]
        for place in (STARTED, KEY_START):
            if self._state[place] >= 0:
                self._state[place] -= keep
        return values
