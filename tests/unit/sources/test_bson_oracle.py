"""The compiled reader against pymongo's decoder and a slow conversion of its own, over every BSON type."""

# ruff: noqa: DTZ001, E501 - naive datetimes, by design

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import bson
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.mapping import load_mapping

MAPPING = load_mapping("""
collection: c
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: p.q.1}
  lon: {path: p.q.0}
  speed: {path: s, unit: km/h}
  heading: {path: h}
  ignition: {path: i}
""")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

numbers = st.one_of(
    st.floats(), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**62), 2**62).map(bson.Int64),
    st.decimals(allow_nan=True, places=4, min_value=-1e6, max_value=1e6).map(bson.Decimal128),
)  # fmt: skip
number_texts = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.decimals(allow_nan=False, allow_infinity=False, places=6).map(str),
    st.text("0123456789.+-eE _", max_size=12), st.sampled_from(["", " ", ".", "1.", ".5", "+1", "--1", "nan", "1_0"]),
)  # fmt: skip
others = st.one_of(
    st.none(), st.booleans(), st.text(max_size=8), st.binary(max_size=8), st.just([1.5, {"a": 2}]), st.just({"a": [1]}),
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC)),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 9)), st.just(bson.ObjectId(b"123456789012")),
    st.just(bson.Regex("a", "i")), st.just(bson.Code("f")), st.just(bson.Code("f", {"x": 1})), st.just(bson.MinKey()),
    st.just(bson.MaxKey()), st.just(bson.DBRef("c", 1)),
)  # fmt: skip
anything = st.one_of(numbers, number_texts, others)
dates = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))
documents = st.fixed_dictionaries(
    {},
    optional={
        "z": anything,
        "v": st.one_of(st.sampled_from(["A", "B", "é"]), anything),
        "t": st.one_of(dates, dates, anything),
        "p": st.one_of(st.fixed_dictionaries({"q": st.lists(st.one_of(numbers, anything), max_size=3)}), anything),
        "s": anything,
        "h": st.one_of(numbers, number_texts),
        "i": st.one_of(st.booleans(), st.sampled_from(["on", "off", 0, 1, 2]), anything),
    },
)


def reach(document, *steps):
    for step in steps:
        if isinstance(document, dict):
            document = document.get(str(step))
        elif isinstance(document, list) and isinstance(step, int) and len(document) > step:
            document = document[step]
        else:
            return None
    return document


def slow_number(value) -> float | None:
    """The number, NaN where missing; None where it cannot be converted."""
    if value is None:
        return math.nan
    if isinstance(value, bson.Decimal128):
        return math.nan if value.to_decimal().is_nan() else float(value.to_decimal())
    if isinstance(value, bool | bson.Code):
        return None
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, str):
        if not value.strip():
            return math.nan
        try:
            return float(value) if "_" not in value else None
        except ValueError:
            return None
    return None


def slow_name(value) -> str | None:
    """The identifier; None where there is none, or none can be made of it."""
    if isinstance(value, bson.Decimal128):
        value = value.to_decimal()
        return str(int(value)) if value.is_finite() and value == int(value) else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else None
    if type(value) is bytes:
        try:
            value = value.decode() if value.decode().isprintable() or not value.strip() else value.hex()
        except UnicodeDecodeError:
            value = value.hex()
    if type(value) in (int, bson.Int64, bson.ObjectId):
        return str(value)
    return value if type(value) is str and value.strip() else None


def slow_switch(value) -> int | None:
    """1, 0, or -1 where there is none; None where it is neither."""
    read = value.strip().casefold() if type(value) is str else value
    if read in ("on", "true") or read is True:
        return 1
    if read in ("off", "false") or read is False:
        return 0
    if type(value) not in (str, int, bson.Int64, float, bson.Decimal128, type(None)):
        return None
    as_number = slow_number(value)
    if as_number is None:
        return None
    return -1 if math.isnan(as_number) else {1.0: 1, 0.0: 0}.get(as_number)


def slow_fix(document) -> tuple | str:
    """The fix as plain values, or the code of the reason to refuse it."""
    vehicle = slow_name(document.get("v"))
    if vehicle is None:
        return "vehicle_missing"
    at = document.get("t")
    if at is None or (isinstance(at, float | bson.Decimal128) and math.isnan(slow_number(at) or 0.0)):
        return "clock_missing"
    if isinstance(at, bson.Timestamp):
        at = at.as_datetime()
    if type(at) is str and not at.strip():
        return "clock_missing"
    if type(at) is str and len(at.strip()) == 8 and at.strip().isdecimal():
        try:
            at = datetime.strptime(at.strip(), "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            return "clock_unparseable"
    if not isinstance(at, datetime):
        return "clock_unparseable"
    lat, lon = (slow_number(reach(document, "p", "q", i)) for i in (1, 0))
    if lat is None or lon is None:
        return "position_unparseable"
    speed, heading = slow_number(document.get("s")), slow_number(document.get("h"))
    ignition = slow_switch(document.get("i"))
    speed, heading = (math.nan if value is None else value for value in (speed, heading))
    ignition = -1 if ignition is None else ignition
    return vehicle, (at - EPOCH) // timedelta(microseconds=1), lat, lon, speed * (1 / 3.6), heading, ignition


def read(content: bytes):
    parts = list(BsonReader(MAPPING).parts(np.frombuffer(content, np.uint8)))
    assert parts[-1].end == len(content)
    found: dict[int, tuple | str] = {}
    for part in parts:
        fixes = part.fixes
        for row in range(len(fixes)):
            found[int(fixes.origin[row]) >> 21] = (
                fixes.vehicles[fixes.vehicle[row]], int(fixes.fixed_at_us[row]), float(fixes.lat_deg[row]),
                float(fixes.lon_deg[row]), float(fixes.speed_mps[row]), float(fixes.heading_deg[row]),
                int(fixes.ignition[row]),
            )  # fmt: skip
    return found, [refusal for part in parts for refusal in part.refusals]


@given(st.lists(documents, max_size=8))
@settings(max_examples=400)
def test_the_walk_agrees_with_decoding_for_every_type_in_every_place(given_documents):
    raws = [bson.encode({"_id": number, **document}) for number, document in enumerate(given_documents)]
    found, refusals = read(b"".join(raws))
    reasons = {refusal.origin: refusal.reason for refusal in refusals}
    at = 0
    options = bson.CodecOptions(tz_aware=True)
    for number, raw in enumerate(raws):
        expected = slow_fix(bson.decode(raw, options))
        got = reasons.get(f"c/{number}") if isinstance(expected, str) else found.get(at)
        assert repr(got) == repr(expected), bson.decode(raw)
        at += len(raw)
    refused = [refusal for refusal in refusals if refusal.reason != "value_unparseable"]
    assert len(found) + len(refused) == len(raws)
