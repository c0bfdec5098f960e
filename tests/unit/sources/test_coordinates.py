"""Coordinates in the forms that a mapping may name, read by each kind of source."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.support.every_source import SOURCES, read

from journeymesh.errors import MappingInvalid
from journeymesh.sources.conversions import Unconvertible
from journeymesh.sources.coordinates import coordinate, wrapped
from journeymesh.sources.mapping import CoordinateField, load_mapping
from journeymesh.sources.mapping_check import check_mapping
from journeymesh.sources.mapping_inverse import invertible
from journeymesh.wiring.journeys import open_source

WHERE = {"lat": 52.504222, "lon": -13.41}
WRITTEN = {
    "degrees": ("52.504222", "-13.41"),
    "hemisphere": ("52.504222N", "13.41 W"),
    "ddmm": ("5230.25332N", "01324.6W"),
    "dms": ("52°30'15.1992\"N", "13° 24' 36\" W"),
    "wkt": ("SRID=4326;POINT(-13.41 52.504222)",) * 2,
    "geojson": ('{"type":"Point","coordinates":[-13.41,52.504222]}',) * 2,
    "lat_lon": ("52.504222, -13.41",) * 2,
    "lon_lat": ("(-13.41;52.504222)",) * 2,
}


def field(form, **more):
    return CoordinateField(path="p", form=form, **more)


def mapping_of(lat, lon):
    return f"""
collection: c
fields:
  vehicle: {{path: v}}
  fixed_at: {{path: t, clock: epoch_s}}
  lat: {{{lat}}}
  lon: {{{lon}}}
"""


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("kind", SOURCES)
def test_a_position_is_the_same_in_whatever_form_it_is_written(tmp_path, kind, form):
    lat, lon = WRITTEN[form]
    is_one = lat == lon
    document = {"v": "V1", "t": 1.0, "a": lat} | ({} if is_one else {"o": lon})
    mapping = mapping_of(f"path: a, form: {form}", f"path: {'a' if is_one else 'o'}, form: {form}")
    (found,) = read(kind, tmp_path, [document], mapping)
    assert isinstance(found, dict)
    assert (found["lat_deg"], found["lon_deg"]) == pytest.approx((WHERE["lat"], WHERE["lon"]), abs=1e-9)


@pytest.mark.parametrize("kind", SOURCES)
def test_a_hemisphere_may_stand_in_a_field_of_its_own(tmp_path, kind):
    documents = [
        {"v": "V1", "t": 1.0, "a": 5230.25332, "ns": "N", "o": 1324.6, "ew": "W"},
        {"v": "V1", "t": 2.0, "a": 5230.25332, "ns": "S", "o": 1324.6, "ew": "E"},
        {"v": "V1", "t": 3.0, "a": 5230.25332, "ns": "N", "o": 1324.6, "ew": ""},
    ]
    text = mapping_of("path: a, form: ddmm, hemisphere_path: ns", "path: o, form: ddmm, hemisphere_path: ew")
    north, south, nowhere = read(kind, tmp_path, documents, text)
    assert (north["lat_deg"], north["lon_deg"]) == pytest.approx((WHERE["lat"], WHERE["lon"]), abs=1e-9)
    assert (south["lat_deg"], south["lon_deg"]) == pytest.approx((-WHERE["lat"], -WHERE["lon"]), abs=1e-9)
    assert nowhere == "position_unparseable"


@pytest.mark.parametrize("kind", SOURCES)
def test_longitudes_all_round_become_east_and_west(tmp_path, kind):
    documents = [
        {"v": "V1", "t": float(at), "a": 1.0, "o": o} for at, o in enumerate((0.0, 180.0, 181.0, 346.59, 360.0))
    ]
    found = read(kind, tmp_path, documents, mapping_of("path: a", "path: o, form: 0_to_360"))
    assert [one["lon_deg"] for one in found] == pytest.approx([0.0, 180.0, -179.0, -13.41, 0.0])
    tenths = [{"v": "V1", "t": 0.0, "a": 1.0, "o": 3465.9}]
    (found,) = read(kind, tmp_path, tenths, mapping_of("path: a", "path: o, form: 0_to_360, scale: 0.1"))
    assert found["lon_deg"] == pytest.approx(-13.41)


def test_wrapping_leaves_what_is_no_longitude_for_the_pass_to_refuse():
    field_of = field("0_to_360")
    assert wrapped(np.array([-5.0, 180.0, 180.1, 360.0, 360.1]), field_of) == pytest.approx(
        [-5.0, 180.0, -179.9, 0.0, 360.1]
    )


@pytest.mark.parametrize("form", WRITTEN)
@pytest.mark.parametrize("value", [None, "", " ", float("nan"), "n/a"])
def test_a_value_that_is_not_there_is_missing_in_every_form(form, value):
    if form != "degrees":
        assert math.isnan(coordinate(value, field(form, missing=("n/a",)), "lat"))


@pytest.mark.parametrize(
    ("form", "value", "why"),
    [
        ("hemisphere", "52.5", "'52.5' has no hemisphere"),
        ("hemisphere", "-52.5N", "'-52.5N' has both a sign and a hemisphere"),
        ("hemisphere", "52.5E", "expected N or S as hemisphere, found 'E'"),
        ("hemisphere", True, "expected degrees with N, S, E or W, found bool"),
        ("ddmm", "5275.1N", "expected degrees and minutes as ddmm.mmmm, found '5275.1N'"),
        ("ddmm", float("inf"), "expected degrees and minutes as ddmm.mmmm, found inf"),
        ("dms", "52°61'N", 'expected degrees, minutes and seconds, found "52°61\'N"'),
        ("dms", "52.5°30'N", 'expected degrees, minutes and seconds, found "52.5°30\'N"'),
        ("wkt", "SRID=3857;POINT(1 2)", "SRID 3857 is not WGS84, which is 4326"),
        ("wkt", "POINT(1,2)", "expected a point as WKT, found 'POINT(1,2)'"),
        ("wkt", 52.5, "expected a point as WKT, found number"),
        ("geojson", "[13.4, 52.5]", "expected a point as GeoJSON text, found '[13.4, 52.5]'"),
        ("lat_lon", "geo:52.5", "expected a latitude and a longitude, found 'geo:52.5'"),
        ("lon_lat", "geo:52.5,13.4", "expected a longitude and a latitude, found 'geo:52.5,13.4'"),
        ("lat_lon", "52,5,13,4", "expected a latitude and a longitude, found '52,5,13,4'"),
        ("lat_lon", "13.4E 52.5N", "expected N or S as hemisphere, found 'E'"),
    ],
)
def test_what_is_not_in_the_form_is_refused_with_what_was_found(form, value, why):
    with pytest.raises(Unconvertible) as error:
        coordinate(value, field(form), "lat")
    assert str(error.value) == why


@pytest.mark.parametrize("kind", SOURCES)
def test_a_check_counts_what_is_not_in_the_form_and_names_the_first(tmp_path, kind):
    texts = ("POINT(13.4 52.5)", "13.4 52.5", "POINT(13.41 52.51)", "")
    documents = [{"v": "V1", "t": 1.7e9 + at, "p": text} for at, text in enumerate(texts)]
    text = mapping_of("path: p, form: wkt", "path: p, form: wkt")
    assert read(kind, tmp_path, documents, text)[1] == "position_unparseable"
    path = tmp_path if kind == "bson" else next(tmp_path.glob("c.*"))
    mapping = load_mapping(text)
    check = check_mapping(open_source(str(path), tmp_path / "mapping.yaml"), mapping.fields)
    assert {
        one.count.name: (one.count.found, one.count.unreadable) for one in check.fields if one.count.path == "p"
    } == {
        "lat": (2, 1),
        "lon": (2, 1),
    }
    (first,) = {one.first_unreadable for one in check.fields if one.count.path == "p"}
    assert first is not None
    assert first.detail == "p: expected a point as WKT, found '13.4 52.5'"


def test_a_decimal_comma_of_a_file_does_not_part_a_position(tmp_path):
    dialect = 'csv: {decimal: ","}\n'
    (tmp_path / "m.yaml").write_text(mapping_of("path: p, form: lat_lon", "path: p, form: lat_lon") + dialect)
    (tmp_path / "c.csv").write_text("v;t;p;speed\nV1;1,0;52,13;3,5\nV1;2,0;52.5,13.4;3,5\n")
    source = open_source(str(tmp_path / "c.csv"), tmp_path / "m.yaml")
    (fixes,) = [batch.fixes for batch in source.batches()]
    assert (fixes.lat_deg.tolist(), fixes.lon_deg.tolist()) == ([52.0, 52.5], [13.0, 13.4])


@pytest.mark.parametrize(
    ("lat", "lon", "why"),
    [
        ("path: a, form: 0_to_360", "path: o", "fields.lat: form 0_to_360 is of longitudes"),
        ("path: a", "path: o, hemisphere_path: ew", "fields.lon: hemisphere_path means nothing to form degrees"),
        ("path: a, form: wkt, scale: 0.1", "path: o", "fields.lat: scale means nothing to form wkt"),
        ("path: a, form: ewkb", "path: o", "fields.lat.form: unknown form 'ewkb'"),
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(lat, lon, why):
    with pytest.raises(MappingInvalid, match=why):
        load_mapping(mapping_of(lat, lon))


def test_fixes_are_not_written_back_in_other_forms():
    mapping = load_mapping(mapping_of("path: a", "path: o, form: 0_to_360"))
    assert invertible(mapping) == "fields.lon: form 0_to_360 is read, and not written"


@pytest.mark.parametrize("text", ["geo:52.5,-13.4", "GEO:52.5,-13.4", "geo:52.5,-13.4,34.2", "geo:52.5,-13.4;u=35"])
def test_a_geo_uri_is_a_latitude_and_a_longitude(text):
    assert [coordinate(text, field("lat_lon"), axis) for axis in ("lat", "lon")] == [52.5, -13.4]
