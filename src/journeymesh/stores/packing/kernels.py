"""The compiled part of packing.

A packed column is a head and, for each value but the first, a number of ``width`` bytes, least significant first::

    form      u8   0 … the scale that makes whole numbers of it (``SCALES``), or RAW: the doubles themselves
    width     u8   bytes of a number, 0 to 8
    unit      u8   what the numbers count, as an index into ``UNITS``
    missing   u8   1: a bit for each row follows the head, set where the row has no value
    first     i64  the first value
    least     i64  the smallest difference of one value from the one before

A number is (difference - least) / unit. A row without a value repeats the one before it, at the beginning the first
that there is. Arithmetic is modulo 2**64, so every difference is exact.

Kernels allocate nothing: they write into the arrays they are given, and return how many bytes they wrote.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import types

from journeymesh.kernels.compiled import F64_IN, I64_IN, U8_IN, compiled, entry

RAW: Final = 255
HEAD_BYTES: Final = 20
NO_VALUE: Final = np.iinfo(np.int64).min
UNITS: Final = (1, 1_000, 1_000_000)

_TENS: Final = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8)
_FACTORS: Final = (1 / 3.6, 0.44704, 1852 / 3600, 9.80665, 0.3048, 1e-7, 1e-6, 1e-5)
SCALES: Final = (*((tens, 1.0) for tens in _TENS), *((tens, factor) for factor in _FACTORS for tens in _TENS[:3]))
"""(divisor, factor): a value is a whole number / divisor × factor. Decimal fractions as they were written, and those
that were converted from km/h, mph, knots, g, feet or counts of 1e-7 degrees. The order is part of the format."""

_DIVISORS: Final = np.array([divisor for divisor, _ in SCALES])
_MULTIPLIERS: Final = np.array([factor for _, factor in SCALES])
_MOST: Final = 2.0**52
_NAN_BITS: Final = 0x7FF8_0000_0000_0000
_I64: Final = types.Array(types.int64, 1, "C")
_F64: Final = types.Array(types.float64, 1, "C")
_U8: Final = types.Array(types.uint8, 1, "C")


@compiled
def _put_i64(out, at, value):  # type: ignore[no-untyped-def]
    left = np.uint64(value)
    for byte in range(8):
        out[at + byte] = np.uint8(left & np.uint64(255))
        left >>= np.uint64(8)


@compiled
def _get_i64(data, at):  # type: ignore[no-untyped-def]
    value = np.uint64(0)
    for byte in range(8):
        value |= np.uint64(data[at + byte]) << np.uint64(8 * byte)
    return np.int64(value)


@compiled
def _whole_decimal(values, start, end, divisor, into):  # type: ignore[no-untyped-def]
    """``_whole`` by a scale whose factor is 1, by which to divide and multiply would take a third of the time."""
    for row in range(start, end):
        value = values[row]
        scaled = value * divisor
        number = np.rint(scaled)
        if -_MOST < scaled < _MOST and number / divisor == value and (value != 0.0 or np.copysign(1.0, value) > 0.0):
            into[row - start] = np.int64(number)
        elif np.isnan(value):
            into[row - start] = NO_VALUE
        else:
            return False
    return True


@compiled
def _whole(values, start, end, divisor, factor, into):  # type: ignore[no-untyped-def]
    """Make whole numbers of the values by this scale; False where one of them is not exactly that."""
    if factor == 1.0:
        return _whole_decimal(values, start, end, divisor, into)
    for row in range(start, end):
        value = values[row]
        if np.isnan(value):
            into[row - start] = NO_VALUE
            continue
        scaled = value / factor * divisor
        if not -_MOST < scaled < _MOST:
            return False
        number = np.rint(scaled)
        if number / divisor * factor != value or (value == 0.0 and np.copysign(1.0, value) < 0.0):
            return False
        into[row - start] = np.int64(number)
    return True


@compiled
def _fill(numbers, rows, out, at):  # type: ignore[no-untyped-def]
    """Let rows without a value repeat their neighbour, a bit set for each; the first byte behind the bits."""
    known = np.int64(0)
    missing = False
    begun = False
    for row in range(rows):
        if numbers[row] == NO_VALUE:
            missing = True
        elif not begun:
            known = numbers[row]
            begun = True
    if not missing:
        return at
    for byte in range((rows + 7) >> 3):
        out[at + byte] = 0
    for row in range(rows):
        if numbers[row] == NO_VALUE:
            numbers[row] = known
            out[at + (row >> 3)] |= np.uint8(1 << (row & 7))
        else:
            known = numbers[row]
    return at + ((rows + 7) >> 3)


@compiled
def _unit_of(numbers, rows, least):  # type: ignore[no-untyped-def]
    """The index of the largest unit that every difference from the least is a multiple of."""
    for index in (2, 1):
        unit = np.uint64(1_000 if index == 1 else 1_000_000)
        fits = True
        for row in range(1, rows):
            if np.uint64(numbers[row] - numbers[row - 1] - least) % unit:
                fits = False
                break
        if fits:
            return index
    return 0


@compiled
def _put_numbers(numbers, rows, form, find_unit, out, at):  # type: ignore[no-untyped-def]
    """Write head, bits and differences of these whole numbers; the first byte behind them."""
    body = _fill(numbers, rows, out, at + HEAD_BYTES)
    missing = body > at + HEAD_BYTES
    least = most = np.int64(0)
    for row in range(1, rows):
        step = numbers[row] - numbers[row - 1]
        if row == 1 or step < least:
            least = step
        if row == 1 or step > most:
            most = step
    index = _unit_of(numbers, rows, least) if find_unit and most != least else 0
    unit = np.uint64(1_000_000 if index == 2 else 1_000 if index == 1 else 1)
    span = np.uint64(most - least) // unit
    width = 0
    while span:
        width += 1
        span >>= np.uint64(8)
    out[at], out[at + 1], out[at + 2], out[at + 3] = form, width, index, missing
    _put_i64(out, at + 4, numbers[0])
    _put_i64(out, at + 12, least)
    if width == 0:
        return body
    if width == 1 and index == 0:
        for row in range(1, rows):
            out[body + row - 1] = np.uint8(numbers[row] - numbers[row - 1] - least)
        return body + rows - 1
    if width == 2 and index == 0:
        for row in range(1, rows):
            number = np.uint64(numbers[row] - numbers[row - 1] - least)
            out[body] = np.uint8(number & np.uint64(255))
            out[body + 1] = np.uint8(number >> np.uint64(8))
            body += 2
        return body
    before = numbers[0]
    for row in range(1, rows):
        number = np.uint64(numbers[row] - before - least)
        before = numbers[row]
        if index:
            number //= unit
        for _ in range(width):
            out[body] = np.uint8(number & np.uint64(255))
            number >>= np.uint64(8)
            body += 1
    return body


@entry(types.int64, I64_IN, types.int64, types.int64, types.boolean, _I64, _U8, types.int64)
def pack_integers(values, start, end, find_unit, scratch, out, at):  # type: ignore[no-untyped-def]
    """Pack ``values[start:end]`` (int64, ``NO_VALUE`` where missing) into ``out`` from ``at``; where it ends."""
    for row in range(start, end):
        scratch[row - start] = values[row]
    return _put_numbers(scratch, end - start, 0, find_unit, out, at)


@entry(types.int64, F64_IN, types.int64, types.int64, _I64, _U8, types.int64)
def pack_doubles(values, start, end, scratch, out, at):  # type: ignore[no-untyped-def]
    """Pack ``values[start:end]`` (float64, NaN where missing) into ``out`` from ``at``; where it ends.

    The first scale that holds for every value is taken; most fail at the first value.
    """
    for scale in range(len(SCALES)):
        if _whole(values, start, end, _DIVISORS[scale], _MULTIPLIERS[scale], scratch):
            return _put_numbers(scratch, end - start, scale, False, out, at)
    out[at] = RAW
    body = at + 1
    bits = values.view(np.int64)
    for row in range(start, end):
        _put_i64(out, body, _NAN_BITS if np.isnan(values[row]) else bits[row])
        body += 8
    return body


@entry(types.int64, U8_IN, types.int64, types.int64, _I64)
def unpack_integers(data, at, rows, into):  # type: ignore[no-untyped-def]
    """The whole numbers packed at ``at`` (``NO_VALUE`` where missing); where they end, -1 where they cannot be."""
    size = len(data)
    if at + HEAD_BYTES > size:
        return -1
    width, index, missing = np.int64(data[at + 1]), data[at + 2], data[at + 3]
    bits = at + HEAD_BYTES
    body = bits + ((rows + 7) >> 3) if missing else bits
    if width > 8 or index > 2 or body + width * (rows - 1) > size:
        return -1
    unit = np.uint64(1_000_000 if index == 2 else 1_000 if index == 1 else 1)
    value, least = _get_i64(data, at + 4), _get_i64(data, at + 12)
    into[0] = value
    for row in range(1, rows):
        number = np.uint64(0)
        for byte in range(width):
            number |= np.uint64(data[body]) << np.uint64(8 * byte)
            body += 1
        value += least + np.int64(number * unit)
        into[row] = value
    if missing:
        for row in range(rows):
            if data[bits + (row >> 3)] >> (row & 7) & 1:
                into[row] = NO_VALUE
    return body


@entry(types.int64, U8_IN, types.int64, types.int64, _I64, _F64)
def unpack_doubles(data, at, rows, scratch, into):  # type: ignore[no-untyped-def]
    """The doubles packed at ``at`` (NaN where missing); where they end, -1 where they cannot be."""
    if at >= len(data):
        return -1
    form = data[at]
    if form == RAW:
        if at + 1 + 8 * rows > len(data):
            return -1
        bits = into.view(np.int64)
        for row in range(rows):
            bits[row] = _get_i64(data, at + 1 + 8 * row)
        return at + 1 + 8 * rows
    if form >= len(SCALES):
        return -1
    end = unpack_integers(data, at, rows, scratch)
    divisor, factor = _DIVISORS[form], _MULTIPLIERS[form]
    for row in range(rows):
        into[row] = np.nan if scratch[row] == NO_VALUE else np.float64(scratch[row]) / divisor * factor
    return end
