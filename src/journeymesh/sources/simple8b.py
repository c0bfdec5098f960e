"""Words of 64 bits that hold from 1 to 60 small numbers, or a repetition: Simple-8b as compressed BSON columns use it.

The low four bits of a word select how the others are divided. Two selectors have an extension of four bits more, whose
numbers carry a count of zero bits that follow them. All ones stand for "no value here".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

REPEAT: Final = 15
REPEATED: Final = 120
"""A repetition counts in so many; its extension says how often, from 1."""

_PLAIN_BITS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60)
_EXTENDED: Final[dict[tuple[int, int], tuple[int, int, int]]] = {
    (7, 0): (7, 0, 0),
    **{(7, n): (bits, 4, 1) for n, bits in enumerate((2, 3, 4, 5, 7, 10, 14, 24, 52), 1)},
    (8, 0): (8, 0, 0),
    **{(8, n): (bits, 4, 4) for n, bits in enumerate((4, 5, 7, 10, 14, 24, 52), 1)},
    **{(8, n): (bits, 5, 4) for n, bits in enumerate((4, 6, 9, 13, 23, 51), 8)},
}
"""By selector and extension: bits of a number, bits of its count of zeros, and for how many zeros one count stands."""


class DamagedColumn(Exception):
    """The bytes are no compressed column; the text says why."""


def slots_of(words: bytes, last: int | None, most: int) -> list[int | None]:
    """The numbers in these words, None where no value is; ``last`` is the one before them, for a repetition.

    Raises:
        DamagedColumn: a word divides in no known way, or there are more numbers than ``most``.
    """
    slots: list[int | None] = []
    for (word,) in struct.iter_unpack("<Q", words):
        selector, extension = word & 15, word >> 4 & 15
        if selector == REPEAT:
            count = (extension + 1) * REPEATED
            if len(slots) + count > most:
                raise DamagedColumn("it holds too many values")
            slots += [slots[-1] if slots else last] * count
            continue
        slots += _word(word, selector, extension)
        if len(slots) > most:
            raise DamagedColumn("it holds too many values")
    return slots


def _word(word: int, selector: int, extension: int) -> Iterator[int | None]:
    if selector in (7, 8):
        division = _EXTENDED.get((selector, extension))
        if division is None:
            raise DamagedColumn(f"its words have the unknown selector {selector}/{extension}")
        bits, zero_bits, zeros = division
        return _divided(word >> 8, 56, bits, zero_bits, zeros)
    if selector == 0:
        raise DamagedColumn("its words have the unknown selector 0")
    return _divided(word >> 4, 60, _PLAIN_BITS[selector], 0, 0)


def _divided(content: int, width: int, bits: int, zero_bits: int, zeros: int) -> Iterator[int | None]:
    size = bits + zero_bits
    mask, zero_mask = (1 << size) - 1, (1 << zero_bits) - 1
    for _ in range(width // size):
        slot = content & mask
        content >>= size
        if slot == mask:
            yield None
        elif zero_bits:
            yield slot >> zero_bits << (slot & zero_mask) * zeros
        else:
            yield slot
