"""Mappings: what is accepted, and how what is not is explained."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import yaml

from journeymesh.errors import MappingInvalid
from journeymesh.sources.mapping import load_mapping, mapped_paths, mapping_schema

EXAMPLES = Path(__file__).parents[3] / "examples" / "mappings"
SMALL = """
collection: c
fields:
  vehicle: {path: v}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: s, unit: mph}
"""


@pytest.mark.parametrize("name", ["blackbox", "trips"])
def test_a_worked_mapping_loads_and_satisfies_the_published_schema(name):
    path = EXAMPLES / f"{name}.yaml"
    assert load_mapping(path).collection == name
    jsonschema.Draft202012Validator(mapping_schema()).validate(yaml.safe_load(path.read_text()))


def test_units_convert_to_si_with_scale_and_sign():
    mapping = load_mapping(SMALL + "  accel_lateral: {path: a, unit: g, scale: 1e-3, negate: true}\n")
    assert mapping.fields.speed.to_si == pytest.approx(0.44704)
    assert mapping.fields.accel_lateral.to_si == pytest.approx(-0.00980665)


def test_on_and_off_are_keys_and_not_booleans():
    ignition = load_mapping(SMALL + "  ignition: {path: on, on: [run], off: [off, 0]}\n").fields.ignition
    assert (ignition.path, ignition.on, ignition.off) == ("on", ("run",), ("off", 0))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("unit: mph", "unit: kph", "fields.speed.unit: unknown unit 'kph': use one of km/h, mph, knots, m/s"),
        ("bson_date", "bson", "fields.fixed_at.clock: unknown clock 'bson': use one of bson_date, epoch_s"),
        ("speed:", "sped:", "unknown field `sped`"),
        ("  vehicle: {path: v}\n", "", "missing required field `vehicle`"),
        ("path: lat}", "path: 'a[].b[]'}", "path 'a[].b[]' has [] in layout document"),
        ("path: lat}", "path: ''}", "path '' has an empty or impossible step"),
        ("path: lat}", 'path: "a[]"}', "has [] in layout document"),
        ("clock: bson_date", "clock: strftime", "format goes with clock strftime"),
        ("clock: bson_date", "clock: iso8601, zone: Mars/Base", "unknown time zone 'Mars/Base'"),
        ("clock: bson_date", "clock: offset_s", "base goes with clock offset_s"),
        ("clock: bson_date", "clock: strftime, format: '%s'", "has %s, which cannot be read: use clock: epoch_s"),
        ("clock: bson_date", "clock: strftime, format: '%D %H:%M'", "has %D, which cannot be read: use %m/%d/%y"),
        ("clock: bson_date", "clock: strftime, format: '%C%y'", "has %C, which cannot be read"),
        ("clock: bson_date", "clock: strftime, format: '%Y-%m-%d %Z'", "has %Z, which cannot be read: use %z"),
        ("clock: bson_date", "clock: strftime, format: '%H:%M'", "has no year"),
        ("clock: bson_date", "clock: strftime, format: '%Y-%m-%d %I:%M'", "has %I without %p"),
        ("clock: bson_date", "clock: epoch_s, zone: Europe/London", "zone means nothing to clock epoch_s"),
        ("clock: bson_date", "clock: epoch_ms, zone_path: tz", "zone means nothing to clock epoch_ms"),
        ("collection: c", "collection: [", "not YAML"),
        ("collection: c", "collection: c\nlayout: embedded", "no path with []"),
    ],
)
def test_a_wrong_mapping_is_explained_in_one_line(before, after, said):
    assert before in SMALL
    with pytest.raises(MappingInvalid) as caught:
        load_mapping(SMALL.replace(before, after))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_mapping_file_is_named():
    with pytest.raises(MappingInvalid, match=r"nowhere\.yaml does not exist"):
        load_mapping("nowhere.yaml")


def test_an_embedded_mapping_names_one_array():
    mapping = load_mapping(EXAMPLES / "trips.yaml")
    assert mapping.array_path == "samples"
    assert {"tz", "vehicle.vin", "samples[].d"} <= set(mapped_paths(mapping))
