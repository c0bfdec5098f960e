"""Clocks: how legacy writes an instant, and what daylight saving makes of it."""

# ruff: noqa: DTZ001, E501 - naive datetimes, by design

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeymesh.sources.bson_columns import program_of
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.clocks import Unconvertible, clock_us, utc_of_local
from journeymesh.sources.mapping import ClockField, load_mapping

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def us(*parts: int) -> int:
    return (datetime(*parts, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)


def read_clock(clock: str, *documents: dict) -> list[int | str]:
    """What the compiled reader makes of each document's clock: µs, or the reason."""
    mapping = load_mapping(f"""
collection: c
fields: {{vehicle: {{path: v}}, lat: {{path: v}}, lon: {{path: v}}, fixed_at: {clock}}}
""")
    content = b"".join(bson.encode({"_id": str(n), "v": 1, **document}) for n, document in enumerate(documents))
    found: dict[str, int | str] = {}
    reader = BsonReader(mapping)
    for part in reader.parts(np.frombuffer(content, np.uint8)):
        for origin, at in zip(part.fixes.origin.tolist(), part.fixes.fixed_at_us.tolist(), strict=True):
            found[reader.place(content[origin >> 21 :], origin)] = at
        found |= {refusal.origin: refusal.reason for refusal in part.refusals}
    return [found[f"c/{n}"] for n in range(len(documents))]


@pytest.mark.parametrize(
    ("clock", "value", "expected"),
    [
        ("{path: t, clock: epoch_s}", 1_600_000_000, 1_600_000_000_000_000),
        ("{path: t, clock: epoch_s}", "1600000000.25", 1_600_000_000_250_000),
        ("{path: t, clock: epoch_ms}", bson.Int64(1_600_000_000_123), 1_600_000_000_123_000),
        ("{path: t, clock: epoch_ms}", datetime(2020, 1, 1), us(2020, 1, 1)),
        ("{path: t, clock: epoch_s}", 1e300, "clock_unparseable"),
        ("{path: t, clock: epoch_s}", True, "clock_unparseable"),
        ("{path: t, clock: bson_date}", bson.Timestamp(1_600_000_000, 7), 1_600_000_000_000_000),
        ("{path: t, clock: bson_date}", bson.DatetimeMS(2**62), "clock_unparseable"),
        ("{path: t, clock: bson_date}", 1_600_000_000, "clock_unparseable"),
        ("{path: t, clock: bson_date}", None, "clock_missing"),
        ("{path: t, clock: iso8601}", "2021-03-29T11:13:45.5Z", us(2021, 3, 29, 11, 13, 45, 500_000)),
        ("{path: t, clock: iso8601}", "2021-03-29T11:13:45+02:00", us(2021, 3, 29, 9, 13, 45)),
        ("{path: t, clock: iso8601, zone: Europe/London}", "2021-07-01 10:00", us(2021, 7, 1, 9)),
        ("{path: t, clock: iso8601}", "20210329T111345Z", us(2021, 3, 29, 11, 13, 45)),
        ("{path: t, clock: iso8601}", "2021-02-30T11:13:45Z", "clock_unparseable"),
        ("{path: t, clock: strftime, format: '%d %b %Y %H:%M:%S'}", "29 Mar 2021 11:13:45", us(2021, 3, 29, 11, 13, 45)),
        ("{path: t, clock: strftime, format: '%Y%m%d%H%M%S'}", "20210329111345", us(2021, 3, 29, 11, 13, 45)),
        ("{path: t, clock: strftime, format: '%m/%d/%Y %H:%M:%S'}", "7/1/2021 9:05:03", us(2021, 7, 1, 9, 5, 3)),
        ("{path: t, clock: strftime, format: '%m/%d/%Y %H:%M:%S'}", "13/1/2021 9:05:03", "clock_unparseable"),
        ("{path: t, clock: strftime, format: '%Y-%m-%d %H:%M:%S %z'}", "2021-03-29 11:00:00 -0500", us(2021, 3, 29, 16)),
    ],
)  # fmt: skip
def test_a_clock_is_read_as_the_mapping_says(clock, value, expected):
    assert read_clock(clock, {"t": value}) == [expected]


def test_date_and_time_in_two_fields_are_local_to_the_zone_the_document_names():
    clock = "{paths: [d, t], clock: strftime, format: '%m/%d/%Y %H:%M:%S', zone_path: tz}"
    at = {"d": "07/01/2021", "t": "10:00:00"}
    assert read_clock(
        clock, {**at, "tz": "Europe/Paris"}, {**at, "tz": "America/Chicago"}, {**at, "tz": "Nowhere/X"}, at,
        {"d": "07/01/2021", "tz": "Europe/Paris"},
    ) == [us(2021, 7, 1, 8), us(2021, 7, 1, 15), "clock_unparseable", "clock_unparseable", "clock_missing"]  # fmt: skip


def test_a_local_time_that_occurs_twice_is_the_earlier_unless_the_mapping_says_later():
    at = {"t": "2021-10-31T01:30:00"}
    assert read_clock("{path: t, clock: iso8601, zone: Europe/London}", at) == [us(2021, 10, 31, 0, 30)]
    later = read_clock("{path: t, clock: iso8601, zone: Europe/London, fold: later}", at)
    assert later == [us(2021, 10, 31, 1, 30)]


def test_a_local_time_that_clocks_skip_is_refused():
    assert read_clock("{path: t, clock: iso8601, zone: Europe/London}", {"t": "2021-03-28T01:30:00"}) == [
        "clock_unparseable"
    ]


@given(
    st.datetimes(datetime(1991, 1, 1), datetime(2059, 1, 1)),
    st.sampled_from(["Europe/London", "Africa/Casablanca", "America/Chicago", "Asia/Kolkata", "Australia/Lord_Howe"]),
    st.sampled_from(["earlier", "later"]),
)
@settings(max_examples=300)
def test_local_times_become_what_the_standard_library_makes_of_them(wall, zone, fold):
    local = np.array([(wall.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)], np.int64)
    utc, skipped = utc_of_local(local, zone, fold)
    aware = wall.replace(tzinfo=ZoneInfo(zone), fold=int(fold == "later"))
    exists = aware.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall
    assert bool(skipped[0]) == (not exists)
    if exists:
        assert int(utc[0]) == (aware - EPOCH) // timedelta(microseconds=1)


FORMATS = ("%m/%d/%Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%d.%m.%Y %H:%M", "%Y-%m-%d %H:%M:%S%z")


@given(
    st.sampled_from(FORMATS),
    st.one_of(
        st.text("0123456789/:-. TZ+", max_size=24),
        st.tuples(st.datetimes(datetime(1, 1, 1), datetime(9999, 1, 1)), st.sampled_from(FORMATS)).map(
            lambda pair: pair[0].replace(tzinfo=timezone(timedelta(hours=3))).strftime(pair[1])
        ),
    ),
)
@settings(max_examples=400)
def test_the_compiled_parser_never_disagrees_with_strptime(clock_format, text):
    assert program_of(clock_format) is not None
    clock = ClockField(path="t", clock="strftime", format=clock_format)
    try:
        expected: int | str | None = clock_us(text, clock)
    except Unconvertible:
        expected = "clock_unparseable"
    got = read_clock(f"{{path: t, clock: strftime, format: '{clock_format}'}}", {"t": text})[0]
    assert got == ("clock_missing" if expected is None else expected)
