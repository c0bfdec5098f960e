"""Digests depend on content only."""

from __future__ import annotations

from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.stores.digests import RowsDigest, table_digest

SCHEMA = pa.schema([("name", pa.string()), ("n", pa.int64()), ("x", pa.float64()), ("flag", pa.bool_())])
ROWS = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(codec="utf-8"), max_size=4),
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.none() | st.booleans(),
    ),
    max_size=12,
)


def table(rows: list[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, row, strict=True)) for row in rows], schema=SCHEMA)


@given(ROWS, st.integers(1, 5))
def test_pages_do_not_change_a_digest(rows: list[tuple[object, ...]], size: int) -> None:
    whole = table(rows)
    pages = [whole.slice(start, size) for start in range(0, len(whole), size)]
    assert table_digest(SCHEMA, pages) == table_digest(SCHEMA, [whole])


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_change_a_digest(rows: list[tuple[object, ...]], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert table_digest(SCHEMA, [table(shuffled)]) == table_digest(SCHEMA, [table(rows)])


def test_a_digest_says_by_which_version_it_is_made_and_counts_rows_that_are_equal() -> None:
    once, twice = table_digest(SCHEMA, [table([("a", 1, None, None)])]), RowsDigest()
    assert once.startswith("2-")
    for _ in range(2):
        twice.add(b"row")
    again = RowsDigest()
    again.add(b"row")
    assert twice.hexdigest() != again.hexdigest()


@given(ROWS, ROWS)
def test_different_rows_have_different_digests(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    exact = [sorted(repr(row) for row in rows) for rows in (one, other)]
    assert (table_digest(SCHEMA, [table(one)]) == table_digest(SCHEMA, [table(other)])) == (exact[0] == exact[1])


def test_null_is_neither_zero_nor_empty_text() -> None:
    digests = {table_digest(SCHEMA, [table([row])]) for row in ((None, 0, 0.0, False), ("", None, 0.0, False))}
    digests |= {table_digest(SCHEMA, [table([row])]) for row in (("", 0, None, False), ("", 0, -0.0, None))}
    digests |= {table_digest(SCHEMA, [table([row])]) for row in (("", 0, 0.0, False), ("", 0, -0.0, False))}
    assert len(digests) == 6


def test_an_absent_column_counts_as_null() -> None:
    full = table([("a", 1, None, None), ("b", 2, None, None)])
    assert table_digest(SCHEMA, [full.select(["name", "n"])]) == table_digest(SCHEMA, [full])


@pytest.mark.parametrize("values", [["a", "bc"], ["ab", "c"], ["abc", ""]])
def test_where_one_text_ends_matters(values: list[str]) -> None:
    schema = pa.schema([("name", pa.string())])
    joined = table_digest(schema, [pa.table({"name": ["abc", None]}, schema=schema)])
    other = table_digest(schema, [pa.table({"name": values}, schema=schema)])
    assert other != joined


def test_a_slice_has_the_digest_of_its_own_rows() -> None:
    numbers = np.arange(20)
    whole = pa.table({"name": [str(n) for n in numbers], "n": numbers, "x": numbers / 7, "flag": numbers % 2 == 0})
    rebuilt = pa.Table.from_pylist(whole.slice(5, 9).to_pylist(), schema=SCHEMA)
    assert table_digest(SCHEMA, [whole.slice(5, 9)]) == table_digest(SCHEMA, [rebuilt])
