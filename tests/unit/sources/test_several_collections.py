"""Several collections of one kind, as monthly ones are: by a list or a pattern, each named in what is told."""

from __future__ import annotations

import gzip
from pathlib import Path

import bson
import numpy as np
import pytest
from tests.support.mongodumps import archive, bucket, position

from journeymesh.errors import MappingInvalid, SourceMissing, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.collection_names import fits, named_in, one_of
from journeymesh.sources.mapping import load_mapping, mapping_schema
from journeymesh.sources.mongodump import MongodumpSource

FIELDS = """
fields:
  vehicle: {path: dev}
  fixed_at: {path: ts, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
"""
MONTHS = {
    "fixes_2024_01": position(0) + position(1),
    "fixes_2024_02": position(2) + position(3, ts="never"),
    "fixes_2024_03": position(4),
    "other": bson.encode({"x": 1}),
}


def dumped(folder: Path, form: str) -> str:
    if form == "folder":
        (folder / "db").mkdir()
        for name, content in MONTHS.items():
            (folder / "db" / f"{name}.bson").write_bytes(content)
        return str(folder)
    split = list(MONTHS.items())
    blocks = [("fixes_2024_01", position(0)), *split[1:], ("fixes_2024_01", position(1))]
    content = archive(blocks)
    (folder / "a").write_bytes(gzip.compress(content) if form == "gzipped archive" else content)
    return str(folder / "a")


@pytest.mark.parametrize("form", ["folder", "archive", "gzipped archive"])
@pytest.mark.parametrize(
    ("named", "months"),
    [
        ("fixes_*", [1, 2, 3]),
        ("fixes_2024_0?", [1, 2, 3]),
        ("[fixes_2024_03, fixes_2024_01]", [1, 3]),
        ("[fixes_2024_01, fixes_*]", [1, 2, 3]),
        ("fixes_2024_02", [2]),
    ],
)
def test_all_that_are_named_are_read_and_their_inputs_are_named_by_them(tmp_path, form, named, months):
    source = MongodumpSource(dumped(tmp_path, form), load_mapping(f"collection: {named}\n{FIELDS}"))
    batches = list(source.batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    wanted = {1: {"0", "1"}, 2: {"2"}, 3: {"4"}}
    expected = {f"fixes_2024_0{month}/{second}" for month in months for second in wanted[month]}
    assert set(source.describe(fixes.origin)) == expected
    assert len(fixes) == len(expected)
    refused = [refusal.origin for batch in batches for refusal in batch.refusals]
    assert refused == (["fixes_2024_02/3"] if 2 in months else [])
    states = {item.name: item.state for item in source.items()}
    assert states == {f"db.{name}": "read" if name[-1] in map(str, months) else "skipped" for name in MONTHS}
    assert sum(batch.read_bytes for batch in batches) == source.size().read_bytes


def test_a_name_that_is_not_there_is_an_error_though_others_are(tmp_path):
    location = dumped(tmp_path, "folder")
    with pytest.raises(SourceMissing, match=r"no collection 'fixes_2025', only db\.fixes_2024_01"):
        MongodumpSource(location, load_mapping(f"collection: [fixes_2024_01, fixes_2025]\n{FIELDS}"))
    with pytest.raises(SourceMissing, match=r"no collection 'trips_\*'"):
        MongodumpSource(location, load_mapping(f"collection: trips_*\n{FIELDS}"))


def test_a_damaged_month_is_told_and_the_others_are_read(tmp_path):
    location = dumped(tmp_path, "folder")
    (tmp_path / "db" / "fixes_2024_02.bson").write_bytes(position(2) + position(3)[:-5])
    source = MongodumpSource(location, load_mapping(f"collection: fixes_*\n{FIELDS}"))
    batches = list(source.batches())
    assert sum(len(batch.fixes) for batch in batches) == 4
    (refusal,) = [refusal for batch in batches for refusal in batch.refusals]
    assert refusal.origin.startswith("fixes_2024_02@")
    assert refusal.detail.startswith(f"bytes {len(position(2))} to ")
    reasons = {item.name: item.reason for item in source.items()}
    assert "ends inside a document" in reasons["db.fixes_2024_02"]
    assert reasons["db.fixes_2024_03"] == ""


def test_patterns_mean_no_collection_of_the_servers_own(tmp_path):
    for database, name in (("db", "fixes"), ("db", "system.views"), ("admin", "system.users"), ("db", "$admin.x")):
        (tmp_path / database).mkdir(exist_ok=True)
        (tmp_path / database / f"{name}.bson").write_bytes(position(0))
    source = MongodumpSource(str(tmp_path), load_mapping(f"collection: '*'\n{FIELDS}"))
    assert [item.name for item in source.items() if item.state == "read"] == ["db.fixes"]
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "fixes.bson").write_bytes(position(1))
    with pytest.raises(MappingInvalid, match="several databases"):
        MongodumpSource(str(tmp_path), load_mapping(f"collection: '*'\n{FIELDS}"))


def test_patterns_mean_time_series_collections_by_their_own_names(tmp_path):
    for month in (1, 2):
        (tmp_path / f"system.buckets.c_{month}.bson").write_bytes(bucket(3, month))
    mapping = load_mapping("""
collection: c_*
layout: bucketed
fields:
  vehicle: {path: meta.dev}
  fixed_at: {path: "data.ts[]", clock: bson_date}
  lat: {path: "data.lat[]"}
  lon: {path: "data.lon[]"}
""")
    source = MongodumpSource(str(tmp_path), mapping)
    fixes = Fixes.concat([batch.fixes for batch in source.batches()])
    assert len(fixes) == 6
    assert source.describe(fixes.origin[np.array([0, 5])]) == ["c_1/1[0]", "c_2/2[2]"]


def test_a_live_time_series_collection_is_asked_for_what_the_layout_says():
    there = ["c", "system.buckets.c", "d", "system.views"]
    assert named_in(["c"], there, buckets=False) == (["c"], [])
    assert named_in(["c"], there, buckets=True) == (["system.buckets.c"], [])
    assert named_in(["system.buckets.c"], there, buckets=True) == (["system.buckets.c"], [])
    assert named_in(["system.buckets.c"], ["c"], buckets=True) == (["c"], [])
    assert named_in(["*", "e"], there, buckets=True) == (["system.buckets.c", "d"], ["e"])


def test_what_is_done_with_one_collection_refuses_several():
    assert one_of(("c",), "this is for") == "c"
    for named in (("a", "b"), ("c_*",)):
        with pytest.raises(UsageError, match="this is for one collection, and the mapping names"):
            one_of(named, "this is for")


def test_a_bracket_in_a_name_is_a_bracket():
    assert fits("a[1]_x", "a[1]_*")
    assert not fits("a1_x", "a[1]_*")


def test_the_schema_allows_a_list():
    assert {"type": "array"}.items() <= mapping_schema()["$defs"]["Mapping"]["properties"]["collection"]["anyOf"][
        1
    ].items()
    with pytest.raises(MappingInvalid, match="collection names none"):
        load_mapping(f"collection: ['']\n{FIELDS}")
