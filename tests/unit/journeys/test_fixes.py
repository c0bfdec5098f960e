"""Columns of fixes: where each came from stays with it, whether its numbers are a column or a range."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from journeymesh.journeys.fixes import Fixes


def numbered(origin: range | np.ndarray | None, rows: int = 8) -> Fixes:
    plain = np.arange(rows, dtype=np.float64)
    return Fixes(("A",), np.zeros(rows, np.int32), np.arange(rows), plain, plain, origin=origin)


ROWS = [
    slice(2, 6),
    slice(0, 0),
    np.array([5, 0, 5], np.uint32),
    np.array([7, 1], np.int64),
    np.arange(8) % 3 == 0,
]


@pytest.mark.parametrize("rows", ROWS, ids=["slice", "nothing", "rows", "signed rows", "mask"])
def test_rows_of_a_range_have_the_numbers_that_a_column_gives(rows: object) -> None:
    taken = numbered(range(100, 108)).take(rows)  # type: ignore[arg-type]
    wanted = numbered(np.arange(100, 108)).take(rows)  # type: ignore[arg-type]
    assert taken.origins is not None
    assert wanted.origins is not None
    assert taken.origins.tolist() == wanted.origins.tolist()
    assert taken.lat_deg.tolist() == wanted.lat_deg.tolist()


def test_rows_rearranged_in_runs_keep_their_numbers() -> None:
    rows = 2_000
    order = np.r_[np.arange(1_000, 2_000), np.arange(1_000)].astype(np.uint32)
    turned = numbered(range(50, 50 + rows), rows).rearranged(order)
    assert turned.origins is not None
    assert turned.origins.tolist() == (order.astype(np.int64) + 50).tolist()


def test_ranges_one_after_the_other_stay_a_range_and_need_no_memory() -> None:
    whole = numbered(range(100, 108))
    parts = [whole.take(slice(0, 3)), whole.take(slice(3, 8))]
    together = Fixes.concat(parts)
    assert together.origin == range(100, 108)
    assert together.nbytes == replace(whole, origin=None).nbytes


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (range(8), range(20, 28), [*range(8), *range(20, 28)]),
        (range(8, 16), range(8), [*range(8, 16), *range(8)]),
        (range(8), np.full(8, -2), [*range(8), *[-2] * 8]),
        (range(8), None, [*range(8), *[-1] * 8]),
        (None, None, None),
    ],
    ids=["apart", "the other way round", "a column", "unknown", "both unknown"],
)
def test_parts_keep_their_numbers_whatever_form_they_have(
    first: range | np.ndarray | None, second: range | np.ndarray | None, wanted: list[int] | None
) -> None:
    together = Fixes.concat([numbered(first), numbered(second)]).origins
    assert (None if together is None else together.tolist()) == wanted


def test_the_numbers_of_a_range_are_among_the_columns() -> None:
    held = dict(numbered(range(100, 108)).columns())
    assert held["origin"].tolist() == list(range(100, 108))
    assert "origin" not in dict(numbered(None).columns())
