"""Mappings read backwards: what is written is read as the very same fixes, or refused."""

from __future__ import annotations

from typing import Any

import bson
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from journeymesh.errors import UsageError
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.mapping import NUMBER_COLUMNS, Mapping, load_mapping
from journeymesh.sources.mapping_inverse import MappingInverse, invertible

PLAIN = """
collection: boxes
fields:
  vehicle: {path: device.id}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: loc.coordinates.1}
  lon: {path: loc.coordinates.0}
"""
NOON_US = 1_714_564_800_000_000


def read_back(mapping: Mapping, documents: list[dict[str, Any]]) -> Fixes:
    content = np.frombuffer(b"".join(map(bson.encode, documents)), np.uint8)
    (part,) = BsonReader(mapping).parts(content)
    assert part.refusals == []
    return part.fixes


def fixes_of(us: int = NOON_US, lat: float = 50.0, lon: float = 4.0, **columns: Any) -> Fixes:
    arrays = {name: np.array([value]) for name, value in columns.items()}
    return Fixes(("V1",), np.zeros(1, np.int32), np.array([us]), np.array([lat]), np.array([lon]), **arrays)


CLOCKS = {  # the clock, and the step in µs of what it holds
    "bson_date": ("clock: bson_date", 1000),
    "epoch_s": ("clock: epoch_s", 1),
    "epoch_ms": ("clock: epoch_ms", 1),
    "iso8601": ("clock: iso8601, zone: Europe/Paris", 1),
    "local": ('clock: strftime, format: "%d.%m.%Y %H:%M:%S.%f", zone: Asia/Tokyo', 1),
    "seconds": ('clock: strftime, format: "%Y%m%d %H:%M:%S %z"', 1_000_000),
}
UNITS = {
    "speed": ("speed_mps", ["km/h", "mph", "knots", "m/s"]),
    "heading": ("heading_deg", ["deg"]),
    "accel_longitudinal": ("accel_longitudinal_mps2", ["g", "m/s2"]),
    "speed_limit": ("speed_limit_mps", ["km/h", "mph"]),
}
finite = st.floats(-1e4, 1e4, allow_subnormal=False) | st.integers(-2000, 2000).map(float)


@st.composite
def written(draw: st.DrawFn) -> tuple[Mapping, Fixes, Fixes]:
    """A mapping, fixes that a legacy document of it could say, and others of any value."""
    clock, step = draw(st.sampled_from(list(CLOCKS.values())))
    scale = draw(st.sampled_from([1.0, 1e-7, 0.01, 1 / 60]))
    lines = [f"  lat: {{path: p.0, scale: {scale!r}}}", f"  lon: {{path: p.1, scale: {scale!r}}}"]
    lines += [f"  fixed_at: {{path: when.t, {clock}}}", "  ignition: {path: k, on: [1], off: [0]}"]
    for name, (_, units) in UNITS.items():
        extra = ", negate: true" if name.startswith("accel") and draw(st.booleans()) else ""
        lines.append(f"  {name}: {{path: when.{name}, unit: {draw(st.sampled_from(units))}{extra}}}")
    mapping = load_mapping("collection: c\nfields:\n  vehicle: {path: v}\n" + "\n".join(lines))
    count = draw(st.integers(1, 6))
    held: dict[str, Any] = {}
    anything: dict[str, Any] = {}
    for name, column in NUMBER_COLUMNS.items():
        if (mapped := getattr(mapping.fields, name)) is not None:
            said = np.array(draw(st.lists(finite | st.just(float("nan")), min_size=count, max_size=count)))
            held[column] = np.rint(said) * mapped.to_si if mapped.to_si == scale else said * mapped.to_si
            anything[column] = said
    us = [at * step for at in draw(st.lists(st.integers(0, 4 * 10**15 // step), min_size=count, max_size=count))]
    shared: dict[str, Any] = {
        "vehicles": ("D1", "é", "17"),
        "vehicle": np.array(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)), np.int32),
        "fixed_at_us": np.array(us, np.int64),
        "ignition": np.array(draw(st.lists(st.integers(-1, 1), min_size=count, max_size=count)), np.int8),
    }
    return mapping, Fixes(**shared, **held), Fixes(**shared, **anything)


def by_name(fixes: Fixes) -> list[str]:
    return [fixes.vehicles[code] for code in fixes.vehicle.tolist()]


@settings(max_examples=300)
@given(written())
def test_what_a_legacy_document_can_say_is_written_and_read_back_to_the_bit(case):
    mapping, fixes, others = case
    read = read_back(mapping, MappingInverse(mapping).documents(fixes))
    assert by_name(read) == by_name(fixes)
    for name, column in fixes.columns():
        if name not in ("vehicle", "origin"):
            np.testing.assert_array_equal(getattr(read, name), column, err_msg=name)
    again = read_back(mapping, MappingInverse(mapping).documents(others))
    assert again.fixed_at_us.tolist() == others.fixed_at_us.tolist()
    for name, column in others.columns():
        if column.dtype == np.float64:
            np.testing.assert_array_max_ulp(getattr(again, name), column, maxulp=1)


def test_a_document_has_the_shape_and_types_of_the_legacy():
    text = PLAIN + "  ignition: {path: key}\n  speed: {path: v, unit: km/h}\n"
    (document,) = MappingInverse(load_mapping(text)).documents(fixes_of(speed_mps=10.0, ignition=1))
    assert document == {
        "device": {"id": "V1"},
        "t": bson.DatetimeMS(NOON_US // 1000),
        "loc": {"type": "Point", "coordinates": [4.0, 50.0]},
        "key": True,
        "v": 36.0,
    }
    scaled = load_mapping(PLAIN.replace("coordinates.1}", "coordinates.1, scale: 1e-7}"))
    (document,) = MappingInverse(scaled).documents(fixes_of(lat=500000001 * 1e-7))
    assert document["loc"]["coordinates"] == [4.0, 500000001]
    assert isinstance(document["loc"]["coordinates"][1], int)


def test_what_was_not_reported_is_not_written():
    text = PLAIN + "  received_at: {path: r, clock: epoch_ms}\n  speed: {path: v, unit: km/h}\n"
    fixes = fixes_of(lat=float("nan"), received_at_us=NOT_REPORTED_US, speed_mps=float("nan"))
    (document,) = MappingInverse(load_mapping(text)).documents(fixes)
    assert document == {"device": {"id": "V1"}, "t": bson.DatetimeMS(NOON_US // 1000), "loc": {"coordinates": [4.0]}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("collection", "layout: embedded\ncollection"), "layout embedded"),
        (("path: t, clock: bson_date", 'paths: [d, h], clock: strftime, format: "%Y-%m-%d %H:%M:%S"'), "joined"),
        (("path: t, clock: bson_date", "path: t, clock: iso8601, zone_path: tz"), "time zone at tz"),
        (("path: t, clock: bson_date", 'path: t, clock: strftime, format: "%Y-%m-%d"'), "whole instant"),
        (("path: loc.coordinates.1", "path: loc.coordinates.0"), "share a path"),
        (("path: loc.coordinates.1", "path: loc.coordinates.2"), "in part only"),
        (("path: loc.coordinates.1", "path: loc.coordinates"), "contains another"),
        (("path: device.id", "path: _id.device"), "_id is Journeymesh's own"),
        (("coordinates.1}", "coordinates.1, scale: 0}"), "nothing times 0"),
        (("  lat", "  ignition: {path: k, on: [1], off: [true]}\n  lat"), "means on"),
    ],
)
def test_a_mapping_that_cannot_be_inverted_says_why(change, reason):
    text = PLAIN.replace(*change)
    if "embedded" in text:
        text = text.replace("path: t,", 'path: "s[].t",')
    mapping = load_mapping(text)
    assert reason in (invertible(mapping) or "")
    with pytest.raises(UsageError, match="cannot be written to boxes"):
        MappingInverse(mapping)


@pytest.mark.parametrize(
    ("text", "fixes"),
    [
        (PLAIN, fixes_of(NOON_US + 1)),
        (PLAIN.replace("bson_date", 'strftime, format: "%Y-%m-%d %H:%M:%S"'), fixes_of(NOON_US + 500_000)),
        (  # the second half past one of the night in which clocks are put back
            PLAIN.replace("bson_date", 'strftime, format: "%Y-%m-%d %H:%M:%S", zone: Europe/London'),
            fixes_of(1_729_992_600_000_000),
        ),
        (PLAIN, fixes_of(2**61)),
        (PLAIN.replace("coordinates.1}", "coordinates.1, scale: 1e-300}"), fixes_of(lat=1e20)),
    ],
)
def test_a_fix_that_would_not_be_read_back_as_it_is_is_refused(text, fixes):
    with pytest.raises(UsageError, match=r"1 of 1 fixes cannot|outside the calendar"):
        MappingInverse(load_mapping(text)).documents(fixes)
