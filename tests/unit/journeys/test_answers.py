"""Answers as JSON."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from journeymesh.journeys.answers import answer_bytes, json_lines, plain

BASE = datetime(1970, 1, 1, tzinfo=UTC)
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.float64(): st.floats(),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.string(): st.text(),
    pa.bool_(): st.booleans(),
    pa.date32(): st.dates(),
    pa.dictionary(pa.int32(), pa.string()): st.text(),
    **{
        pa.timestamp(unit, zone): st.integers(-(10**9), 4 * 10**9).map(lambda us: BASE + timedelta(microseconds=us))
        for unit in ("s", "ms", "us", "ns")
        for zone in ("UTC", "Europe/London", "+05:30")
    },
}


def test_an_instant_of_any_zone_is_told_in_utc_to_the_microsecond() -> None:
    at = datetime(2024, 6, 3, 14, 0, 0, 1, timezone(timedelta(hours=2)))
    assert plain(at) == "2024-06-03T12:00:00.000001Z"
    assert plain([{"day": date(2024, 6, 3), "share": float("nan")}]) == [{"day": "2024-06-03", "share": None}]


def test_an_answer_is_an_array_with_a_row_a_line() -> None:
    table = pa.table({"n": [1, 2], "at": pa.array([datetime(2024, 6, 3, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC"))})
    assert answer_bytes(table) == (b'[\n{"n":1,"at":"2024-06-03T00:00:00Z"},\n{"n":2,"at":"2024-06-03T00:00:00Z"}\n]\n')
    assert answer_bytes(table.slice(0, 0)) == b"[]\n"


def test_the_sign_of_zero_and_the_last_bit_are_told() -> None:
    def told(value: float) -> bytes:
        return answer_bytes(pa.table({"x": [value]}))

    assert told(0.0) != told(-0.0)
    assert told(0.1 + 0.2) != told(0.3)


@pytest.mark.parametrize("kind", VALUES, ids=str)
@given(st.data())
def test_a_row_is_the_bytes_of_its_plain_values_whatever_its_columns_are(
    kind: pa.DataType, data: st.DataObject
) -> None:
    values = data.draw(st.lists(st.none() | VALUES[kind], min_size=1, max_size=4))
    column = pa.array(values, kind, safe=False)
    nested = pa.array([{"at": value, "each": [value]} for value in column.to_pylist()],
                      pa.struct([("at", kind), ("each", pa.list_(kind))]), safe=False)  # fmt: skip
    table = pa.table({"value": column, "nested": nested})
    assert list(json_lines(table)) == [msgspec.json.encode(plain(row)).decode() for row in table.to_pylist()]
