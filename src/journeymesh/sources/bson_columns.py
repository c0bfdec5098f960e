"""Cells to columns: the compiled conversions of what documents usually hold.

Each kernel converts what it is certain of and lists the other rows in ``todo``; ``bson_values`` decides those, one by
one and in Python. So a kernel may be narrow, and what it accepts equals what Python would have made of it.
"""

# ruff: noqa: PLR1714, SIM110
# Kernels: plain comparisons and loops are what compiles to few instructions; a state machine has branches.

from __future__ import annotations

from itertools import pairwise
from typing import Final

import numpy as np
from numba import types

from journeymesh.kernels.compiled import U8_IN, compiled, entry
from journeymesh.sources.bson_walker import read_i32

MISSING_US: Final = np.iinfo(np.int64).min
"""In a column of instants: there is no value."""
FIRST_US: Final = -62_135_596_800_000_000
LAST_US: Final = 253_402_300_799_999_999
"""The calendar: the years 1 to 9999."""

_CELLS: Final = (types.Array(types.int32, 2, "C", readonly=True), types.Array(types.uint8, 2, "C", readonly=True))
_TODO: Final = types.int32[::1]
_POWERS: Final = np.array([10.0**i for i in range(23)])

SCRATCH: Final = 64
"""Longest text of a clock that the kernel reads; Python reads longer ones."""


@compiled
def _u64(buffer, at):  # type: ignore[no-untyped-def]
    low = np.uint64(np.uint32(read_i32(buffer, at)))
    high = np.uint64(np.uint32(read_i32(buffer, at + 4)))
    return low | (high << np.uint64(32))


@compiled
def _text_number(buffer, at, length):  # type: ignore[no-untyped-def]
    """(value, certain) of a decimal text, where one correctly rounded operation gives the exact result."""
    end = at + length
    negative = False
    if at < end and (buffer[at] == 45 or buffer[at] == 43):
        negative = buffer[at] == 45
        at += 1
    mantissa = np.int64(0)
    digits = 0
    places = 0
    point = False
    while at < end:
        byte = buffer[at]
        if byte == 46 and not point:
            point = True
        elif 48 <= byte <= 57:
            if mantissa > 900_000_000_000_000:
                return 0.0, False
            mantissa = mantissa * 10 + (np.int64(byte) - 48)
            digits += 1
            places += 1 if point else 0
        else:
            return 0.0, False
        at += 1
    if digits == 0 or places > 22:
        return 0.0, False
    value = np.float64(mantissa) / _POWERS[places]
    return (-value if negative else value), True


@entry(types.int64, U8_IN, *_CELLS, types.int64, types.float64, types.float64[::1], _TODO)
def numbers(buffer, offsets, kinds, slot, factor, out, todo):  # type: ignore[no-untyped-def]
    """Numbers times ``factor`` into ``out``, NaN where missing; returns how many rows are in ``todo``."""
    waiting = 0
    for row in range(kinds.shape[0]):
        kind = kinds[row, slot]
        at = np.int64(offsets[row, slot])
        if kind == 0x01:
            out[row] = np.uint64(_u64(buffer, at)).view(np.float64) * factor
        elif kind == 0x10:
            out[row] = np.float64(read_i32(buffer, at)) * factor
        elif kind == 0x12:
            out[row] = np.float64(np.uint64(_u64(buffer, at)).view(np.int64)) * factor
        elif kind == 0x00 or kind == 0x0A:
            out[row] = np.nan
        else:
            certain = False
            if kind == 0x02:
                value, certain = _text_number(buffer, at + 4, np.int64(read_i32(buffer, at)) - 1)
                out[row] = value * factor
            if not certain:
                out[row] = np.nan
                todo[waiting] = row
                waiting += 1
    return waiting


@entry(types.int64, U8_IN, *_CELLS, types.int64, types.int64[::1], _TODO)
def dates(buffer, offsets, kinds, slot, out, todo):  # type: ignore[no-untyped-def]
    """BSON dates and timestamps as µs into ``out``, ``MISSING_US`` where missing."""
    waiting = 0
    for row in range(kinds.shape[0]):
        kind = kinds[row, slot]
        out[row] = MISSING_US
        if kind == 0x09:
            ms = np.uint64(_u64(buffer, np.int64(offsets[row, slot]))).view(np.int64)
            if FIRST_US // 1000 <= ms <= LAST_US // 1000:
                out[row] = ms * 1000
                continue
        elif kind == 0x11:
            seconds = np.int64(np.uint32(read_i32(buffer, np.int64(offsets[row, slot]) + 4)))
            out[row] = seconds * 1_000_000
            continue
        elif kind == 0x00 or kind == 0x0A:
            continue
        todo[waiting] = row
        waiting += 1
    return waiting


@compiled
def _key_range(buffer, kind, at):  # type: ignore[no-untyped-def]
    """(start, length) of the bytes that tell one name from another; length -1 if the type names nothing."""
    if kind == 0x02:
        return at + 4, np.int64(read_i32(buffer, at)) - 1
    if kind == 0x10:
        return at, np.int64(4)
    if kind == 0x12 or kind == 0x01:
        return at, np.int64(8)
    if kind == 0x08:
        return at, np.int64(1)
    if kind == 0x07:
        return at, np.int64(12)
    if kind == 0x05:
        return at, np.int64(read_i32(buffer, at)) + 5
    if kind == 0x13:
        return at, np.int64(16)
    return at, np.int64(-1)


@compiled
def _same_bytes(buffer, one, other, length):  # type: ignore[no-untyped-def]
    for i in range(length):
        if buffer[one + i] != buffer[other + i]:
            return False
    return True


@entry(types.int64, U8_IN, *_CELLS, types.int64, types.int32[::1], types.int32[::1], types.int32[::1])
def names(buffer, offsets, kinds, slot, codes, firsts, table):  # type: ignore[no-untyped-def]
    """Dictionary codes of texts, numbers, bools, bytes and ObjectIds: -1 where missing, -2 for other types.

    ``firsts[code]`` is the first row with the name. ``table`` is scratch, -1 throughout, its length a power of two of
    at least twice the rows. Returns how many names there are.
    """
    count = 0
    last = np.int64(table.shape[0] - 1)
    before = -1
    for row in range(kinds.shape[0]):
        kind = kinds[row, slot]
        if kind == 0x00 or kind == 0x0A:
            codes[row] = -1
            continue
        start, length = _key_range(buffer, kind, np.int64(offsets[row, slot]))
        if length < 0:
            codes[row] = -2
            continue
        if length == 0:
            codes[row] = -1
            continue
        if before >= 0 and kinds[before, slot] == kind:
            there, held = _key_range(buffer, kind, np.int64(offsets[before, slot]))
            if held == length and (there == start or _same_bytes(buffer, start, there, length)):
                codes[row] = codes[before]
                continue
        digest = np.uint64(14695981039346656037) ^ np.uint64(kind)
        for i in range(length):
            digest = (digest ^ np.uint64(buffer[start + i])) * np.uint64(1099511628211)
        place = np.int64((digest ^ (digest >> np.uint64(29))) & np.uint64(last))
        while True:
            code = table[place]
            if code < 0:
                table[place] = count
                firsts[count] = row
                codes[row] = count
                count += 1
                break
            first = firsts[code]
            if kinds[first, slot] == kind:
                there, held = _key_range(buffer, kind, np.int64(offsets[first, slot]))
                if held == length and _same_bytes(buffer, start, there, length):
                    codes[row] = code
                    break
            place = (place + 1) & last
        before = row
    return count


@compiled
def _digits(scratch, at, end, least, most):  # type: ignore[no-untyped-def]
    """(number, digits read) of up to ``most`` digits; (0, 0) if there are fewer than ``least``."""
    value = np.int64(0)
    read = 0
    while read < most and at + read < end and 48 <= scratch[at + read] <= 57:
        value = value * 10 + (np.int64(scratch[at + read]) - 48)
        read += 1
    if read < least:
        return np.int64(0), 0
    return value, read


@compiled
def _civil_us(year, month, day, hour, minute, second, micro):  # type: ignore[no-untyped-def]
    """µs since 1970 of a wall clock; ``MISSING_US`` if there is no such date. (Hinnant, days_from_civil)"""
    if year < 1 or month < 1 or month > 12 or day < 1 or hour > 23 or minute > 59 or second > 59:
        return MISSING_US
    longest = np.int64(31)
    if month == 2:
        longest = np.int64(29) if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else np.int64(28)
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = np.int64(30)
    if day > longest:
        return MISSING_US
    shifted = year - 1 if month <= 2 else year
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    days = era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468
    return ((days * 24 + hour) * 3600 + minute * 60 + second) * 1_000_000 + micro


@compiled
def _offset_us(scratch, at, end):  # type: ignore[no-untyped-def]
    """(offset, certain) of ``Z``, ``±hh:mm`` or ``±hhmm`` that ends exactly at ``end``."""
    if end - at == 1 and scratch[at] == 90:
        return np.int64(0), True
    if end - at != 6 and end - at != 5:
        return np.int64(0), False
    sign = scratch[at]
    if (sign != 43 and sign != 45) or (end - at == 6 and scratch[at + 3] != 58):
        return np.int64(0), False
    hours, read = _digits(scratch, at + 1, end, 2, 2)
    minutes, also = _digits(scratch, end - 2, end, 2, 2)
    if read == 0 or also == 0 or hours > 23 or minutes > 59:
        return np.int64(0), False
    offset = (hours * 60 + minutes) * 60_000_000
    return (-offset if sign == 45 else offset), True


@compiled
def _by_program(scratch, end, program):  # type: ignore[no-untyped-def]
    """(µs, has an offset) of a text read by a format's program; ``MISSING_US`` if it does not fit.

    A program step is a directive (its letter), or 256 + a byte that must stand there.
    """
    year = np.int64(1900)
    month = np.int64(1)
    day = np.int64(1)
    hour = np.int64(0)
    minute = np.int64(0)
    second = np.int64(0)
    micro = np.int64(0)
    at = 0
    for step in range(program.shape[0]):
        want = program[step]
        if want >= 256:
            if at >= end or np.int32(scratch[at]) != want - 256:
                return MISSING_US, False
            at += 1
            continue
        if want == 122:  # %z, always the last step
            offset, certain = _offset_us(scratch, at, end)
            local = _civil_us(year, month, day, hour, minute, second, micro)
            return (local - offset if certain and local != MISSING_US else MISSING_US), True
        most = 4 if want == 89 else 6 if want == 102 else 2
        value, read = _digits(scratch, at, end, 4 if want == 89 else 1, most)
        if read == 0:
            return MISSING_US, False
        at += read
        if want == 89:
            year = value
        elif want == 109:
            month = value
        elif want == 100:
            day = value
        elif want == 72:
            hour = value
        elif want == 77:
            minute = value
        elif want == 83:
            second = value
        else:
            for _ in range(6 - read):
                value *= 10
            micro = value
    if at != end:
        return MISSING_US, False
    return _civil_us(year, month, day, hour, minute, second, micro), False


@compiled
def _by_iso(scratch, end):  # type: ignore[no-untyped-def]
    """(µs, has an offset) of ``YYYY-MM-DD[T ]hh:mm[:ss[.f…]]`` with an offset or none; ``MISSING_US`` for others."""
    if end < 16 or scratch[4] != 45 or scratch[7] != 45 or scratch[13] != 58:
        return MISSING_US, False
    if scratch[10] != 84 and scratch[10] != 32:
        return MISSING_US, False
    year, a = _digits(scratch, 0, end, 4, 4)
    month, b = _digits(scratch, 5, end, 2, 2)
    day, c = _digits(scratch, 8, end, 2, 2)
    hour, d = _digits(scratch, 11, end, 2, 2)
    minute, e = _digits(scratch, 14, end, 2, 2)
    if a == 0 or b == 0 or c == 0 or d == 0 or e == 0:
        return MISSING_US, False
    second = np.int64(0)
    micro = np.int64(0)
    at = 16
    if at < end and scratch[at] == 58:
        second, read = _digits(scratch, at + 1, end, 2, 2)
        if read == 0:
            return MISSING_US, False
        at += 3
        if at < end and scratch[at] == 46:
            micro, read = _digits(scratch, at + 1, end, 1, 6)
            if read == 0:
                return MISSING_US, False
            at += 1 + read
            for _ in range(6 - read):
                micro *= 10
    local = _civil_us(year, month, day, hour, minute, second, micro)
    if at == end or local == MISSING_US:
        return local, False
    offset, certain = _offset_us(scratch, at, end)
    return (local - offset if certain else MISSING_US), True


@entry(
    types.int64, U8_IN, *_CELLS, types.Array(types.int32, 1, "C", readonly=True), types.boolean,
    types.Array(types.int32, 1, "C", readonly=True), types.uint8[::1], types.int64[::1], types.int8[::1], _TODO,
)  # fmt: skip
def clock_texts(buffer, offsets, kinds, slots, iso, program, scratch, out, zoned, todo):  # type: ignore[no-untyped-def]
    """Texts of the slots, joined by a space, as µs into ``out``; ``zoned`` 1 where the text itself had an offset.

    Without an offset it is local time still. ``MISSING_US`` where any part is missing.
    """
    waiting = 0
    for row in range(kinds.shape[0]):
        out[row] = MISSING_US
        zoned[row] = 0
        end = np.int64(0)
        missing = False
        certain = True
        for part in range(slots.shape[0]):
            kind = kinds[row, slots[part]]
            if kind == 0x00 or kind == 0x0A:
                missing = True
                break
            at = np.int64(offsets[row, slots[part]])
            length = np.int64(read_i32(buffer, at)) - 1 if kind == 0x02 else np.int64(SCRATCH)
            if end + length + 1 > SCRATCH:
                certain = False
                continue
            if part > 0:
                scratch[end] = 32
                end += 1
            for i in range(length):
                scratch[end + i] = buffer[at + 4 + i]
            end += length
        if missing:
            continue
        if certain:
            local, has_offset = _by_iso(scratch, end) if iso else _by_program(scratch, end, program)
            if local != MISSING_US and FIRST_US <= local <= LAST_US:
                out[row] = local
                zoned[row] = 1 if has_offset else 0
                continue
        todo[waiting] = row
        waiting += 1
    return waiting


def program_of(clock_format: str) -> list[int] | None:
    """The steps of a strftime format for ``clock_texts``; None where only Python can read it."""
    steps: list[int] = []
    at = 0
    while at < len(clock_format):
        letter = clock_format[at]
        if letter == "%":
            at += 1
            directive = clock_format[at : at + 1]
            if directive == "%":
                steps.append(256 + ord("%"))
            elif directive and directive in "YmdHMSfz":
                steps.append(ord(directive))
            else:
                return None
        elif letter.isascii():
            steps.append(256 + ord(letter))
        else:
            return None
        at += 1
    directives = [step for step in steps if step < 256]
    # Digits that follow digits are read by backtracking in Python, and %z is read here only at the end.
    adjacent = any(one < 256 and other < 256 and other != ord("z") for one, other in pairwise(steps))
    if adjacent or len(set(directives)) != len(directives) or ord("z") in steps[:-1]:
        return None
    return steps
