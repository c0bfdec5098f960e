"""Answers as JSON."""

from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa

from journeymesh.journeys.answers import answer_bytes, plain


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
