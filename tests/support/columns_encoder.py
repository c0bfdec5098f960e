"""Compressed BSON columns made from the description of their format, for tests: what a server would store."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import bson

PLAIN = [(bits, 60 // bits) for bits in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 60)]
SCALES = [1, 10, 100, 10_000, 100_000_000]
MISSING = object()


def element(value: Any) -> tuple[int, bytes]:
    """A value's BSON type and bytes."""
    whole = bson.encode({"": value})
    return whole[4], whole[6:-1]


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def wrapped(number: int, bits: int) -> int:
    """As a signed number of so many bits."""
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> (bits - 1) else number


def simple8b(slots: Sequence[int | None], repeats: bool = True) -> list[int]:
    """Words that hold these numbers, None where there is no value; trailing room is never made up."""
    words = []
    at = 0
    while at < len(slots):
        run = 1
        while at > 0 and at + run <= len(slots) and run <= 1920 and slots[at + run - 1] == slots[at - 1]:
            run += 1
        count = (run - 1) // 120
        if repeats and count:
            words.append(15 | (count - 1) << 4)
            at += count * 120
            continue
        words.append(_word(slots, at))
        at += _held(words[-1])
    return words


def _word(slots: Sequence[int | None], at: int) -> int:
    for selector, (bits, count) in enumerate(PLAIN, 1):
        some = slots[at : at + count]
        mask = (1 << bits) - 1
        if len(some) == count and all(slot is None or slot < mask for slot in some):
            shift = 8 if selector in (7, 8) else 4
            word = selector
            for place, slot in enumerate(some):
                word |= (mask if slot is None else slot) << (shift + place * bits)
            return word
    slot = slots[at]
    assert slot is not None
    zeros = min((slot & -slot).bit_length() - 1, 124) // 4
    if zeros <= 15 and slot >> zeros * 4 < (1 << 52) - 1:
        return 8 | 7 << 4 | zeros << 8 | (slot >> zeros * 4) << 12
    assert slot >> zeros * 4 < (1 << 51) - 1, "the number needs a value as it stands"
    return 8 | 13 << 4 | zeros << 8 | (slot >> zeros * 4) << 13


def _held(word: int) -> int:
    selector = word & 15
    if selector in (7, 8):
        return 1 if word >> 4 & 15 else {7: 8, 8: 7}[selector]
    return PLAIN[selector - 1][1]


def parts(words: Sequence[int], control: int = 0x80) -> bytes:
    """Words in parts of at most 16."""
    content = b""
    for at in range(0, len(words), 16):
        some = words[at : at + 16]
        content += bytes((control | len(some) - 1,)) + struct.pack(f"<{len(some)}Q", *some)
    return content


def differences(values: Sequence[Any], first: Any, scale: int | None = None) -> list[int | None]:
    """What leads from value to value, ``first`` being the one before them."""
    kind, content = element(first)
    bits = 128 if kind in (2, 5, 19) else 64
    before, step = number_of(kind, content, scale), 0
    slots: list[int | None] = []
    for value in values:
        if value is MISSING:
            slots.append(None)
            continue
        number = number_of(*element(value), scale)
        change = wrapped(number - before, bits)
        if kind in (7, 9, 17):
            change, step = wrapped(change - step, 64), change
        before = number
        slots.append(zigzag(change))
    return slots


def number_of(kind: int, content: bytes, scale: int | None) -> int:
    match kind:
        case 1:
            value = struct.unpack("<d", content)[0]
            return int.from_bytes(content, "little") if scale is None else round(value * SCALES[scale])
        case 2:
            return int.from_bytes(content[4:-1][::-1], "little")
        case 5:
            return int.from_bytes(content[5:], "little")
        case 7:
            seconds, counter = content[:4], content[9:]
            mixed = (counter[2], seconds[3], counter[1], seconds[2], counter[0], seconds[1], seconds[0])
            return int.from_bytes(bytes(mixed), "little")
        case 16:
            return int.from_bytes(content, "little", signed=True)
    return int.from_bytes(content, "little")


def column(values: Sequence[Any], scale: int | None = None) -> bytes:
    """A column of one type: the first value as it stands, the others as differences."""
    leading = next((at for at, value in enumerate(values) if value is not MISSING), len(values))
    content = parts(simple8b([None] * leading))
    if leading < len(values):
        first = values[leading]
        kind, raw = element(first)
        content += bytes((kind, 0)) + raw
        control = 0x80 if scale is None else 0x90 + (scale << 4)
        content += parts(simple8b(differences(values[leading + 1 :], first, scale)), control)
    return content + b"\0"
