"""Time-series buckets that the server compressed read as those that it did not."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import numpy as np
import pytest
from tests.support.columns_encoder import MISSING, SCALES, column, differences, element, parts, simple8b

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.compressed_columns import MOST_VALUES, column_values
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.simple8b import DamagedColumn, slots_of

START = datetime(2024, 5, 1, tzinfo=UTC)
RNG = random.Random(7)
BUCKETS = load_mapping("""
collection: c
layout: bucketed
fields:
  vehicle: {path: meta.dev}
  fixed_at: {path: "data.ts[]", clock: bson_date}
  lat: {path: "data.lat[]"}
  lon: {path: "data.lon[]"}
  speed: {path: "data.spd[]", unit: m/s}
""")


def values_of(content: bytes) -> list[Any]:
    return [MISSING if value is None else value for value in column_values(content)]


def expected(values: list[Any]) -> list[Any]:
    return [MISSING if value is MISSING else element(value) for value in values]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([], None),
        ([1, 2, 3, -5, 7, 2**31 - 1, -(2**31)], None),
        ([bson.Int64(n) for n in (0, 5, 2**50, -(2**50), 3, 3, 3)], None),
        ([round(50 + n * 0.0001, 4) for n in range(500)], 3),
        ([round(-4 + RNG.random(), 8) for _ in range(300)], 4),
        ([float(n % 7) for n in range(100)], 0),
        ([1.5] * 1000, 1),
        ([1.0, 1.0000000000000002, 1.0], None),
        ([START + timedelta(seconds=5 * n) for n in range(1000)], None),
        ([START + timedelta(milliseconds=RNG.randrange(10**9)) for _ in range(300)], None),
        ([bson.Timestamp(1_700_000_000 + n, n % 3) for n in range(50)], None),
        ([bson.ObjectId(bytes((1, 2, n // 256, n % 256)) + b"abcde" + bytes((0, n // 256, n % 256)))
          for n in range(600)], None),
        (["V1"] * 700 + ["V2", "V10", "", "x" * 7] + ["V1"] * 3, None),
        ([True, False, True, True], None),
        ([b"abcdef", b"abcdeg", b"abcdeh"], None),
        ([bson.Decimal128("1.5"), bson.Decimal128("1.6"), bson.Decimal128("1.6")], None),
        ([None] * 5, None),
        ([{"a": 1}] * 300, None),
        ([MISSING] * 3 + [1, MISSING, 2] + [MISSING] * 500 + [3], None),
        ([MISSING] * 130, None),
    ],
)  # fmt: skip
def test_a_column_gives_the_values_that_were_put_in(values, scale):
    assert values_of(column(values, scale)) == expected(values)


def test_every_scale_of_a_double_and_a_change_of_type_and_scale_are_followed():
    content, whole = b"", []
    for scale in range(len(SCALES)):
        numbers = [round(n / SCALES[scale], 8) for n in range(40)]
        kind, raw = element(numbers[0])
        content += bytes((kind, 0)) + raw
        content += parts(simple8b(differences(numbers[1:], numbers[0], scale)), 0x90 + (scale << 4))
        texts = ["a", "b"]
        content += bytes((2, 0)) + element("a")[1] + parts(simple8b(differences(["b"], "a")))
        whole += numbers + texts
    assert values_of(content + b"\0") == expected(whole)


@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        (1 | 0b10 << 4, [0, None] + [0] * 58),
        (14 | 5 << 4, [5]),
        (14 | ((1 << 60) - 1) << 4, [None]),
        (7 | 1 << 4 | (3 | 2 << 4) << 8, [2 << 3] + [0] * 8),
        (7 | 9 << 4 | (15 | 1 << 4) << 8, [1 << 15]),
        (8 | 7 << 4 | (15 | 3 << 4) << 8, [3 << 60]),
        (8 | 13 << 4 | (31 | 3 << 5) << 8, [3 << 124]),
        (7 | 0 << 4 | 100 << 8, [100] + [0] * 7),
        (8 | 0 << 4 | 200 << 8, [200] + [0] * 6),
        (15, [9] * 120),
        (15 | 15 << 4, [9] * 1920),
    ],
)
def test_words_are_divided_as_their_selectors_say(word, numbers):
    assert slots_of(struct.pack("<Q", word), 9, MOST_VALUES) == numbers


def run_of_documents(reference: dict[str, Any], streams: list[bytes], control: int = 0xF1) -> bytes:
    """Streams that are whole before the next begins: of documents that few words hold."""
    return bytes((control,)) + bson.encode(reference) + b"".join(streams) + b"\0"


@pytest.mark.parametrize("control", [0xF0, 0xF1])
def test_a_run_of_documents_is_put_together_of_its_streams(control):
    latitudes = [50, 51, MISSING, 53, 54, 55, 56, 57]
    longitudes = [4, 4, MISSING, 4, 4, 4, 4, 4]
    reference = {"lat": 50, "inner": {"lon": 4, "none": {}}}
    streams = [
        parts(simple8b(differences(latitudes, 50), repeats=False)),
        parts(simple8b(differences(longitudes, 4), repeats=False)),
    ]
    assert all(len(stream) == 9 for stream in streams)
    documents = [
        {"lat": lat, "inner": {"lon": lon, "none": {}}}
        for lat, lon in zip(latitudes, longitudes, strict=True) if lat is not MISSING
    ]  # fmt: skip
    documents.insert(2, {"inner": {"none": {}}})
    again = parts(simple8b([0, 0], repeats=False))
    content = run_of_documents(reference, streams, control) + again + b"\0"
    assert values_of(content) == expected([*documents, documents[-1], documents[-1]])


def test_arrays_in_a_run_are_entered_by_one_kind_and_repeated_whole_by_the_other():
    reference = {"p": [4, 50]}
    entered = [parts(simple8b(differences([4, 5], 4))), parts(simple8b(differences([50, 51], 50)))]
    assert values_of(run_of_documents(reference, entered) + b"\0") == expected([{"p": [4, 50]}, {"p": [5, 51]}])
    whole = [parts(simple8b([0, 0]))]
    assert values_of(run_of_documents(reference, whole, 0xF0) + b"\0") == expected([reference, reference])


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "no end"),
        (column([1, 2])[:-1], "it (has no end|ends inside its words)"),
        (column([1, 2]) + b"x", "bytes follow its end"),
        (b"\x10\0\1\0\0", "no end"),
        (b"\x10a\0\1\0\0\0\0", "has a name"),
        (b"\x0f\0\5\0\0\0\0\0", "no end"),
        (b"\x02\0\xff\xff\xff\x7fa\0\0", "no end"),
        (b"\xe0" + bytes(8) + b"\0", "unknown byte 0xe0"),
        (b"\x80" + bytes(8) + b"\0", "selector 0"),
        (b"\x10\0\1\0\0\0\x90" + struct.pack("<Q", 14) + b"\0", "not doubles has a scale"),
        (column([{"a": 1}])[:-1] + parts([14 | 2 << 4]) + b"\0", "follows a value of type 0x03"),
        (parts([15 | 15 << 4] * 16) * 5 + b"\0", "too many values"),
        (b"\xf1\5\0\0\0\0\0\0", "has no values"),
        (b"\xf1" + bson.encode({"a": 1}) + b"\0\0", "ends inside one"),
        (b"\xf1" + bson.encode({"a": 1, "b": 1}) + parts([14]) + b"\0\0", "ends inside one"),
    ],
)
def test_what_is_no_column_is_refused_with_its_fault(content, fault):
    with pytest.raises(DamagedColumn, match=fault):
        column_values(content)


def bucket(number: int, count: int, *, packed: bool, damaged: bool = False) -> bytes:
    columns: dict[str, list[Any]] = {
        "ts": [START + timedelta(seconds=1000 * number + n) for n in range(count)],
        "lat": [round(50 + n * 0.0001, 4) for n in range(count)],
        "lon": [4.0] * count,
        "spd": [MISSING if n % 3 else 7.5 for n in range(count)],
        "note": ["not mapped"] * count,
    }
    data: dict[str, Any] = {}
    for name, values in columns.items():
        if packed:
            scale = {"lat": 3, "lon": 0, "spd": 1}.get(name)
            content = column(values, scale)
            data[name] = bson.Binary(content[:-3] if damaged and name == "lat" else content, 7)
        else:
            data[name] = {str(n): value for n, value in enumerate(values) if value is not MISSING}
    control = {"version": 2 if packed else 1, "min": {}, "max": {}}
    return bson.encode({"_id": number, "control": control, "meta": {"dev": f"V{number % 2}"}, "data": data})


def rows_of(documents: list[bytes]) -> tuple[list[tuple[Any, ...]], list[Any], int]:
    parts_read = list(BsonReader(BUCKETS).parts(np.frombuffer(b"".join(documents), np.uint8), 1000))
    fixes = Fixes.concat([part.fixes for part in parts_read])
    names = [fixes.vehicles[code] for code in fixes.vehicle.tolist()]
    assert fixes.speed_mps is not None
    columns = [fixes.fixed_at_us.tolist(), fixes.lat_deg.tolist(), fixes.lon_deg.tolist(), map(repr, fixes.speed_mps)]
    found = sorted(zip(names, *columns, strict=True))
    assert parts_read[-1].end == sum(map(len, documents))
    refusals = [refusal for part in parts_read for refusal in part.refusals]
    return found, refusals, sum(part.documents for part in parts_read)


def test_compressed_buckets_read_as_those_that_are_not_between_each_other():
    plain = [bucket(number, 300, packed=False) for number in range(6)]
    mixed = [bucket(number, 300, packed=number % 2 == 0) for number in range(6)]
    found = rows_of(mixed)
    assert found == rows_of(plain)
    assert len(found[0]) == 1800
    assert found[2] == 6


def test_an_origin_leads_to_the_compressed_bucket_as_it_stands():
    documents = [bucket(number, 3, packed=True) for number in range(3)]
    content = b"".join(documents)
    reader = BsonReader(BUCKETS)
    fixes = Fixes.concat([part.fixes for part in reader.parts(np.frombuffer(content, np.uint8), 1000)])
    assert fixes.origin is not None
    places = []
    for origin in fixes.origin.tolist():
        at = (origin >> 21) - 1000
        places.append(reader.place(content[at:], origin))
    assert places == [f"c/{number}[{n}]" for number in range(3) for n in range(3)]


def test_a_damaged_column_refuses_its_bucket_with_its_path_and_the_others_are_read():
    documents = [bucket(0, 50, packed=True), bucket(1, 50, packed=True, damaged=True), bucket(2, 50, packed=True)]
    found, (refusal,), _ = rows_of(documents)
    assert len(found) == 100
    assert (refusal.reason, refusal.origin) == ("document_corrupt", "c/1")
    assert refusal.detail.startswith("data.lat: the compressed column is damaged: ")


def test_a_binary_that_is_no_column_is_still_no_array():
    document = bson.encode({"_id": 1, "meta": {"dev": "V"}, "data": {"ts": b"abc", "lat": [], "lon": []}})
    _, (refusal,), _ = rows_of([document])
    assert "something else than an array" in refusal.detail
