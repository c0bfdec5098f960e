"""Packed columns come back to the bit, and decimal fractions take few bytes."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.stores.packing.columns import pack, packed_bytes, unpacked
from journeymesh.stores.packing.kernels import NO_VALUE, RAW, SCALES, UNITS

INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMAL = st.builds(lambda number, places: number / 10**places, st.integers(-(10**9), 10**9), st.integers(0, 8))
CONVERTED = st.builds(
    lambda number, factor: number / 10 * factor,
    st.integers(0, 5000),
    st.sampled_from([1 / 3.6, 0.44704, 1852 / 3600, 9.80665, 0.3048]),
)
ZERO = struct.pack("<d", -0.0)
NEAR_BOUNDS = (
    0.0,
    -0.0,
    2.0**52,
    2.0**52 - 0.5,
    0.5 - 2.0**52,
    2.0**52 / 1e8,
    1e300,
    5e-324,
    1 / 3,
    0.1 + 0.2,
    math.inf,
)


def packed(values: np.ndarray) -> bytes:
    out = np.full(packed_bytes(len(values)) + 8, 0xAA, np.uint8)
    end = pack(values, 0, len(values), np.empty(len(values), np.int64), out, 0)
    assert end <= packed_bytes(len(values))
    assert (out[-8:] == 0xAA).all()
    return out[:end].tobytes()


def back(content: bytes, rows: int, kind: pa.DataType) -> np.ndarray:
    batch = unpacked(memoryview(content), pa.schema([pa.field("values", kind)]), rows)
    filler = NO_VALUE if kind == pa.int64() else float("nan")
    found: np.ndarray = batch.column(0).fill_null(filler).to_numpy(zero_copy_only=False)
    return found


@given(st.lists(INT64, min_size=1, max_size=40))
def test_whole_numbers_come_back(numbers: list[int]) -> None:
    values = np.array(numbers, np.int64)
    assert back(packed(values), len(values), pa.int64()).tolist() == numbers


@given(st.lists(st.one_of(st.floats(), DECIMAL, CONVERTED), min_size=1, max_size=40))
def test_any_doubles_come_back_to_the_bit(numbers: list[float]) -> None:
    values = np.array(numbers)
    found = back(packed(values), len(values), pa.float64())
    for given_value, came in zip(numbers, found.tolist(), strict=True):
        if math.isnan(given_value):
            assert math.isnan(came)
        else:
            assert struct.pack("<d", came) == struct.pack("<d", given_value)


@pytest.mark.parametrize(
    ("values", "bytes_a_value"),
    [
        (51.4 + np.arange(1000) // 3 / 1e7, 1),
        (np.array([number / 10 * (1 / 3.6) for number in range(1000)]), 0),
        (np.array([number * 1e-7 for number in range(514_000_000, 514_001_000)]), 0),
        (np.where(np.arange(1000) % 7 == 0, np.nan, 13.89), 0.125),
        (1_700_000_000_000_000 + np.arange(1000, dtype=np.int64) ** 2 * 1_000, 2),
    ],
)
def test_what_recorders_write_takes_few_bytes(values: np.ndarray, bytes_a_value: float) -> None:
    rounded = np.round(values, 7) if values[0] == 51.4 else values
    content = packed(rounded)
    assert content[0] != RAW
    assert len(content) <= 24 + bytes_a_value * len(values)
    kind = pa.int64() if values.dtype == np.int64 else pa.float64()
    assert np.array_equal(back(content, len(values), kind), rounded, equal_nan=kind != pa.int64())


def test_times_of_whole_seconds_are_counted_in_seconds() -> None:
    content = packed(np.array([0, 1, 3, 200], np.int64) * 1_000_000)
    assert (content[1], UNITS[content[2]]) == (1, 1_000_000)


@given(st.binary(max_size=60), st.integers(1, 50), st.sampled_from([pa.int64(), pa.float64(), pa.bool_()]))
def test_bytes_that_are_no_packed_column_are_refused_or_give_so_many_rows(
    content: bytes, rows: int, kind: pa.DataType
) -> None:
    try:
        batch = unpacked(memoryview(content), pa.schema([pa.field("values", kind)]), rows)
    except ValueError:
        return
    assert len(batch) == rows


def test_no_rows_and_too_many_are_refused_before_memory_is_asked_for() -> None:
    for rows in (0, 2**40):
        with pytest.raises(ValueError, match="rows"):
            unpacked(memoryview(b"x" * 40), pa.schema([pa.field("values", pa.int64())]), rows)


def whole_by(numbers: list[float], divisor: float, factor: float) -> list[float] | None:
    """The whole numbers by this scale, NaN where there is none; None where a value is not exactly one."""
    found = []
    for value in numbers:
        scaled = value / factor * divisor
        number = float(np.rint(scaled))
        if not math.isnan(value) and (
            not -(2.0**52) < scaled < 2.0**52 or number / divisor * factor != value or struct.pack("<d", value) == ZERO
        ):
            return None
        found.append(number)
    return found


def by_definition(numbers: list[float]) -> bytes:
    """A column of doubles packed as the format says, one value after the other: ``value / factor * divisor`` of the
    first scale by which every value is a whole number, then differences from the least one."""
    tried = [(form, whole) for form, scale in enumerate(SCALES) if (whole := whole_by(numbers, *scale)) is not None]
    if not tried:
        return bytes([RAW]) + struct.pack(f"<{len(numbers)}d", *numbers)
    form, whole = tried[0]
    known = [int(number) for number in whole if not math.isnan(number)]
    last = known[0] if known else NO_VALUE
    filled = [last := last if math.isnan(number) else int(number) for number in whole]
    steps = [after - before for before, after in itertools.pairwise(filled)]
    least = min(steps, default=0)
    width = (max(steps, default=0) - least).bit_length() + 7 >> 3
    gaps = sum(1 << row for row, number in enumerate(whole) if math.isnan(number))
    bitmap = gaps.to_bytes(len(whole) + 7 >> 3, "little") if gaps else b""
    body = b"".join((step - least).to_bytes(width, "little") for step in steps)
    return struct.pack("<BBBBqq", form, width, 0, bool(gaps), filled[0], least) + bitmap + body


@given(
    st.lists(st.one_of(DECIMAL, CONVERTED, st.just(math.nan), st.sampled_from(NEAR_BOUNDS)), min_size=1, max_size=40)
)
def test_doubles_are_packed_as_the_format_says(numbers: list[float]) -> None:
    if not all(map(math.isnan, numbers)):
        assert packed(np.array(numbers)) == by_definition(numbers)
