"""Every kind of value in every field: all sources make the same of it, but for the differences that are written down.

The six differences, as `docs/how-to/write-a-mapping.md` has them. Each names what a format lacks:

1. CSV has nothing but texts: what is no text elsewhere is read from the text of it, so true is an identifier there,
   a date is the text that says it, and a whole number may have ``.0``.
2. CSV has no null beside the empty text, and no text that is empty beside null.
3. JSON has no dates, bytes, identifiers or decimals, no NaN and no infinity.
4. Parquet has one type to a column: a column of several is one of texts or is not written.
5. Parquet and CSV have no types of BSON's own (ObjectId, timestamp, regular expression, code, the smallest key).
6. Parquet's dates may lack a zone: they are local then. BSON's have one.
"""

from __future__ import annotations

from datetime import UTC, datetime

import bson
import pytest

from journeymesh.wiring.journeys import open_source
from tests.support.every_source import SOURCES, read, read_live

MAPPING = """
collection: c
missing: ["-", "n/a", 511]
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: CLOCK}
  lat: {path: lat}
  lon: {path: lon}
  received_at: {path: r, clock: iso8601}
  speed: {path: s, unit: km/h, missing: [65535, "?"]}
  heading: {path: h}
  ignition: {path: i}
"""
GOOD = {"v": "V1", "t": "2024-05-06T08:00:00Z", "lat": 52.0, "lon": 5.0}
TEXTS = (
    "", " ", "V1", " V1 ", "0123", "007.0", "1", "0", "-1", "+1", "1.0", "1.5", " 1.5 ", "1e3", "1E-2", ".5", "5.",
    "1_0", "1,5", "1.234,5", "0x10", "--1", "٣", "nan", "NaN", "inf", "-Infinity", "-", "n/a", "N/A", " - ", "?",
    "511", "65535", "true", "True", "FALSE", "on", "ON ", "off", "yes", "no", "A", "null", "None", "é", "52N",
    "2024-05-06", "2024-05-06T08:00:00Z", "2024-05-06T08:00:00z", "2024-05-06 08:00:00", "2024-05-06T08:00:00,5Z",
    "2024-05-06T08:00:00.123456789Z", "20240506T080000Z", "20240506080000", "2024-05-06T08:00:00+02:00",
    "2024-05-06T08:00:00+0200", "2024-05-06T08:00:00Z[UTC]", "2024-05-06T08:00:00[Europe/Paris]",
    "2024-05-06T08:00:00.000+02:00[Europe/Paris]", "2024-05-06 08:00:00 UTC", "2024-05-06 08:00",
    "2024-05-06T24:00:00Z", "2024-13-06T08:00:00Z", "2024-02-30", "2024/05/06 08:00:00", "06.05.2024", "yesterday",
    "1714982400", "1714982400000", "1712122401234", "0000-00-00 00:00:00", "351756051523999", "351756051523999.5",
    "3.51756051523999E14",
)  # fmt: skip
NUMBERS = (
    0, 1, -1, 2, 17, 511, 65535, -90, 360, 2**31, bson.Int64(2**53 + 1), bson.Int64(351756051523999), 1714982400,
    20240506, 0.5, -0.0, 1.0, 351756051523999.0, 1.5, 1e15, 9e15, 1e16, 1e300, 511.0,
)  # fmt: skip
PLAIN = (None, True, False, *TEXTS, *NUMBERS)
DATES = (datetime(2024, 5, 6, 8, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 500000, tzinfo=UTC))
DECIMALS = tuple(
    bson.Decimal128(text) for text in ("1", "1.0", "1.50", "511", "351756051523999", "-0.5", "12345678901234567890")
)
BYTES = (b"V1", b"\xff\x01", b"", b" ")
OWN_OF_BSON = (
    bson.ObjectId(b"123456789012"), bson.Timestamp(1714982400, 1), bson.Regex("a"), bson.Code("x"), bson.MinKey(),
    bson.MaxKey(), bson.Binary(bytes(range(16)), 4), bson.Binary(bytes(16), 3), bson.Binary(b"x", 5),
    bson.Binary(b"x", 128),
    float("nan"), float("inf"), bson.Decimal128("NaN"), bson.Decimal128("Infinity"),
)  # fmt: skip
NESTED = ({"a": 1}, [1, 2], [], {})
FIELDS = ("v", "t", "lat", "lon", "r", "s", "h", "i")
CLOCKS = ("iso8601", "bson_date", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "excel_days")


def made_of(kind, folder, field, values, clock="iso8601"):
    """What a source makes of each value in this field: in a file of its own, or all in one where types may be mixed."""
    good = GOOD | ({} if clock in ("iso8601", "bson_date") else {"t": 1.0})
    documents = [good | {field: value} for value in values]
    mapping = MAPPING.replace("CLOCK", clock)
    if kind != "parquet":
        return read(kind, folder, documents, mapping)
    by_type: dict[type, list[int]] = {}
    for number, value in enumerate(values):
        is_small = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
        by_type.setdefault(float if is_small else type(value), []).append(number)
    found = [None] * len(values)
    for at, numbers in enumerate(by_type.values()):
        read_here = read(kind, folder / str(at), [documents[number] for number in numbers], mapping)
        for number, one in zip(numbers, read_here, strict=True):
            found[number] = one
    return found


def differences(tmp_path, field, values, kinds, clock="iso8601"):
    made = {kind: made_of(kind, tmp_path / kind / field, field, values, clock) for kind in kinds}
    first = kinds[0]
    return [
        (value, kind, made[first][number], made[kind][number])
        for number, value in enumerate(values)
        for kind in kinds[1:]
        if repr(made[first][number]) != repr(made[kind][number])
    ]


@pytest.mark.parametrize("field", FIELDS)
def test_texts_mean_the_same_in_every_source(tmp_path, field):
    found = differences(tmp_path, field, TEXTS, SOURCES)
    untyped = [one for one in found if field == "v" and one[1] == "csv"]  # 1: a whole number may have .0
    assert [one for one in found if one not in untyped] == []
    assert {value for value, *_ in untyped} <= {"1.0"}


@pytest.mark.parametrize("clock", CLOCKS)
def test_texts_of_clocks_mean_the_same_in_every_source(tmp_path, clock):
    assert differences(tmp_path, "t", TEXTS, SOURCES, clock) == []


@pytest.mark.parametrize("field", FIELDS)
def test_numbers_truths_and_null_mean_the_same_where_there_are_types(tmp_path, field):
    assert differences(tmp_path, field, (*PLAIN, *NESTED), ("bson", "ndjson", "parquet")) == []


@pytest.mark.parametrize("clock", CLOCKS)
def test_numbers_as_clocks_mean_the_same_where_there_are_types(tmp_path, clock):
    assert differences(tmp_path, "t", (None, True, *NUMBERS), ("bson", "ndjson", "parquet"), clock) == []


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "v"])
def test_numbers_and_null_mean_the_same_in_csv(tmp_path, field):
    numbers = [value for value in NUMBERS if field not in ("t", "r") or type(value) is not float]
    assert differences(tmp_path, field, (None, *numbers), ("bson", "csv")) == []


@pytest.mark.parametrize("field", FIELDS)
def test_dates_and_decimals_mean_the_same_in_bson_and_parquet(tmp_path, field):
    assert differences(tmp_path, field, DATES, ("bson", "parquet")) == []
    assert differences(tmp_path, field, DECIMALS, ("bson", "parquet")) == []


def test_bytes_are_the_same_identifiers_in_bson_and_parquet(tmp_path):
    assert differences(tmp_path, "v", BYTES, ("bson", "parquet")) == []


@pytest.mark.parametrize("field", FIELDS)
def test_what_only_bson_has_is_read_or_refused_and_never_lost(tmp_path, field):
    for found in made_of("bson", tmp_path, field, OWN_OF_BSON):
        assert isinstance(found, dict) or found in (
            "vehicle_missing", "clock_missing", "clock_unparseable", "position_unparseable",
        )  # fmt: skip


@pytest.mark.parametrize("kind", SOURCES)
def test_a_value_that_cannot_be_read_leaves_the_fix_and_is_kept_in_quarantine(tmp_path, kind):
    documents = [GOOD | {"s": "fast", "h": "north"}, GOOD | {"s": 36, "h": 90}, GOOD | {"s": "fast", "lat": "north"}]
    if kind == "parquet":
        documents = [{key: str(value) for key, value in one.items()} for one in documents]
    found = read(kind, tmp_path, documents, MAPPING.replace("CLOCK", "iso8601"))
    assert "speed_mps" not in found[0]
    assert "heading_deg" not in found[0]
    assert found[1]["speed_mps"] == 10.0
    assert found[2] == "position_unparseable"
    path = tmp_path if kind == "bson" else next(tmp_path.glob("c.*"))
    source = open_source(str(path), tmp_path / "mapping.yaml")
    refusals = [one for batch in source.batches() for one in batch.refusals]
    assert sorted((one.reason, one.detail) for one in refusals) == [
        ("position_unparseable", "lat: 'north' is not a number"),
        ("value_unparseable", "s: 'fast' is not a number; h: 'north' is not a number"),
    ]


@pytest.mark.parametrize("kind", SOURCES)
def test_markers_say_that_there_is_no_value(tmp_path, kind):
    texts = [GOOD | {"s": "?", "h": "N/A "}, GOOD | {"s": "65535", "h": "511.0"}, GOOD | {"s": "-", "h": "-7"}]
    first, second, third = read(kind, tmp_path, texts, MAPPING.replace("CLOCK", "iso8601"))
    assert {"speed_mps", "heading_deg"} & {*first, *second} == set()
    assert "speed_mps" not in third  # a field's own markers stand in place of the mapping's: "-" cannot be read
    assert third["heading_deg"] == -7.0


@pytest.mark.parametrize("kind", ["bson", "ndjson", "parquet", "csv"])
def test_a_clock_has_markers_too(tmp_path, kind):
    mapping = MAPPING.replace("CLOCK", "iso8601").replace("511]", '511, "1970-01-01T00:00:00Z"]')
    found = read(kind, tmp_path, [GOOD | {"t": "1970-01-01T00:00:00Z"}, GOOD], mapping)
    assert found[0] == "clock_missing"
    assert found[1]["vehicle"] == "V1"


FORMS = ("degrees", "0_to_360", "hemisphere", "ddmm", "dms", "wkt", "geojson", "lat_lon", "lon_lat")
BOTH_IN_ONE = FORMS[-4:]
COORDINATES = (
    "52.5N", "N52.5", "n 52.5", "52.5 S", "52.5°N", "52,5 N", "-52.5N", "+52.5 N", "N52.5S", "52.5Q", "13.4E", "W 13.4",
    "52.5E", "5230.25", "5230.25N", "5230,25 S", "5275.1N", "00130.5W", "-5230.25", "01324.36 E", "180.0", "359.9",
    "360", "361", "-0.0", "52°30'15.2\"N", "52° 30′ 15,2″ S", "52 30 15 N", "52:30:15", "-13:24:36", "52° 30.5' N",
    "52.5° 30' N", "52°60'N", "52deg 30' 15.00\" N", "13°24'36\"E", "POINT(13.4 52.5)", "point ( 13.4  52.5 )",
    "SRID=4326;POINT (13.4 52.5)", "SRID=3857;POINT(1491681 6891042)", "POINT Z (13.4 52.5 34)", "POINT EMPTY",
    "POINT(13.4, 52.5)", "POINT(13.4)", "LINESTRING(13.4 52.5,13.5 52.6)", "POINT(1.34e1 -5.25E+1)",
    '{"type":"Point","coordinates":[13.4,52.5]}', '{"type": "Point", "coordinates": [13, -52, 34.5]}',
    '{"type":"Feature","geometry":{"type":"Point","coordinates":[13.4,52.5]},"properties":{}}', "{}", "[13.4,52.5]",
    '{"type":"Point","coordinates":[]}', '{"type":"Point","coordinates":["13.4","52.5"]}', '{"type":"Point"',
    '{"type":"Point","coordinates":[true,false]}', '{"coordinates":[13.4,52.5]}', '{"type":"LineString"}', "null",
    "52.5,13.4", "52.5, 13.4", "52.5;13.4", "52,5;13,4", "52.5 13.4", "52,5 13,4", "(52.5, 13.4)", "[52.5,13.4]",
    "52.5|13.4", "52.5/13.4", "52.5\t13.4", "-52.5,-13.4", "52.5N,13.4W", "N 52.5 E 13.4", "52.5 N 13.4 E", "52,13",
    "52,5,13,4", "52.5,", ",", "52.5,13.4,100", "N", "13.4E 52.5N", "5" * 300,
)  # fmt: skip


def with_form(axis, form, hemisphere=False):
    at = ", hemisphere_path: side" if hemisphere else ""
    mapping = MAPPING.replace("CLOCK", "iso8601")
    return mapping.replace(f"{axis}: {{path: {axis}}}", f"{axis}: {{path: {axis}, form: {form}{at}}}")


def form_differences(tmp_path, axis, form, documents, kinds=SOURCES, url=None, hemisphere=False):
    mapping = with_form(axis, form, hemisphere)
    made = {kind: read(kind, tmp_path / kind, documents, mapping) for kind in kinds}
    if url is not None:
        made["mongodb"] = read_live(url, tmp_path / "live", documents, mapping)
    first = made.pop(kinds[0])
    return [
        (one, kind, first[number], others[number])
        for number, one in enumerate(documents)
        for kind, others in made.items()
        if repr(first[number]) != repr(others[number])
    ]


@pytest.mark.parametrize("axis", ["lat", "lon"])
@pytest.mark.parametrize("form", FORMS)
def test_coordinates_mean_the_same_in_every_source_whatever_their_form(tmp_path, axis, form):
    if (axis, form) != ("lat", "0_to_360"):
        documents = [GOOD | {axis: text} for text in (*TEXTS, *COORDINATES)]
        assert form_differences(tmp_path, axis, form, documents) == []


@pytest.mark.parametrize("form", [form for form in FORMS if form not in BOTH_IN_ONE])
def test_coordinates_that_are_numbers_mean_the_same_in_every_source(tmp_path, form):
    documents = [GOOD | {"lon": float(number)} for number in (*NUMBERS, 5230.25, 1324.36, 200, 359.9, 361)]
    assert form_differences(tmp_path, "lon", form, documents) == []
    mixed = [GOOD | {"lon": value} for value in (*PLAIN, *NESTED)]
    assert form_differences(tmp_path, "lon", form, mixed, ("bson", "ndjson")) == []


@pytest.mark.parametrize("form", ["hemisphere", "ddmm", "dms"])
def test_a_hemisphere_in_another_field_means_the_same_in_every_source(tmp_path, form):
    letters = ("E", "w", " W ", "West", "", "N", "Q", "5")
    documents = [
        GOOD | {"lon": text, "side": letter} for text in ("13.4", "1324.36", "-13.4", "13.4E", "") for letter in letters
    ]
    assert form_differences(tmp_path, "lon", form, documents, hemisphere=True) == []


def test_a_live_mongodb_reads_coordinates_as_a_dump_of_it(tmp_path, mongodb_url):
    for axis, form in (("lat", "ddmm"), ("lon", "hemisphere"), ("lat", "wkt"), ("lon", "geojson"), ("lat", "lat_lon")):
        documents = [GOOD | {axis: text} for text in COORDINATES]
        assert form_differences(tmp_path / form, axis, form, documents, ("bson",), mongodb_url) == []
    documents = [GOOD | {"lon": "13.4", "side": letter} for letter in ("E", "W", "")]
    assert form_differences(tmp_path / "side", "lon", "hemisphere", documents, ("bson",), mongodb_url, True) == []
