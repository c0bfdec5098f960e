"""Dumps: folders, files, archives, their damage, and the real ones where they are."""

from __future__ import annotations

import gzip
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bson
import fsspec
import numpy as np
import pytest

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources import dump_bytes
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.mapping_check import check_mapping
from journeymesh.sources.mongodump import MongodumpSource

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("JOURNEYMESH_TEST_DATA", ROOT.parent / "shared" / "data")) / "legacy-dump"
real_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"no test data at {DATA}")
START = datetime(2024, 5, 1, tzinfo=UTC)
BOXES = load_mapping("""
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: p.1}
  lon: {path: p.0}
policies:
  collection: covers
  number: {path: n}
  device: {path: device}
  valid_from: {path: from, clock: bson_date}
  tenant: {default: acme}
  declared_annual_distance: {path: km, unit: km}
""")
COVERS = bson.encode({"n": "P1", "device": "D1", "from": START, "km": "1200"})


def box(second: int, **changes: object) -> bytes:
    document = {"_id": second, "device": "D1", "t": START + timedelta(seconds=second), "p": [4.0, 50.0], **changes}
    return bson.encode({key: value for key, value in document.items() if value is not ...})


def folder(tmp_path: Path, content: bytes, name: str = "boxes.bson") -> str:
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / name).write_bytes(content)
    (tmp_path / "db" / "covers.bson").write_bytes(COVERS)
    return str(tmp_path)


def archive(blocks: list[tuple[str, bytes]]) -> bytes:
    """An archive as mongodump writes it: blocks of several collections between each other."""
    terminator = b"\xff\xff\xff\xff"
    names = sorted({name for name, _ in blocks})
    content = (0x8199E26D).to_bytes(4, "little") + bson.encode({"concurrent_collections": 4, "version": "0.1"})
    for name in names:
        content += bson.encode({"db": "db", "collection": name, "metadata": "{}", "size": 0, "type": "collection"})
    content += terminator
    for name, documents in blocks:
        content += bson.encode({"db": "db", "collection": name, "EOF": False, "CRC": 0}) + documents + terminator
    for name in names:
        content += bson.encode({"db": "db", "collection": name, "EOF": True, "CRC": 0}) + terminator
    return content


def read(location: str, mapping: Mapping = BOXES):
    source = MongodumpSource(location, mapping)
    batches = list(source.batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    return source, fixes, [refusal for batch in batches for refusal in batch.refusals]


def seconds(fixes: Fixes) -> list[int]:
    return ((fixes.fixed_at_us - int(START.timestamp() * 1e6)) // 1_000_000).tolist()


BLOCKS = [
    ("boxes", box(0) + box(1)), ("covers", COVERS), ("other", bson.encode({"x": 1})), ("boxes", box(2)),
]  # fmt: skip


@pytest.mark.parametrize("kind", ["dump", "database", "file", "gzipped", "archive", "gzipped archive", "memory"])
def test_every_form_of_a_dump_gives_the_same_fixes_places_and_policies(tmp_path, kind):
    content = box(0) + box(1) + box(2)
    match kind:
        case "gzipped":
            location = folder(tmp_path, gzip.compress(content), "boxes.bson.gz")
        case "archive" | "gzipped archive":
            location = str(tmp_path / "dump.archive")
            packed = archive(BLOCKS)
            Path(location).write_bytes(gzip.compress(packed) if "gzipped" in kind else packed)
        case "memory":
            location = "memory://dump"
            fsspec.filesystem("memory").pipe({"/dump/db/boxes.bson": content, "/dump/db/covers.bson": COVERS})
        case _:
            location = folder(tmp_path, content) + {"dump": "", "database": "/db", "file": "/db/boxes.bson"}[kind]
    source, fixes, refusals = read(location)
    assert (seconds(fixes), refusals) == ([0, 1, 2], [])
    assert source.describe(fixes.origin[[2, 0]]) == [
        "boxes/2", "boxes/0",
    ]  # fmt: skip
    (policy,) = source.policies()
    assert (policy.number, policy.device, policy.tenant, policy.declared_annual_distance_m) == (
        "P1", "D1", "acme", 1_200_000,
    )  # fmt: skip


def test_read_bytes_add_up_to_the_size_that_was_announced(tmp_path, monkeypatch):
    monkeypatch.setattr(dump_bytes, "PIECE_BYTES", 1000)
    source = MongodumpSource(folder(tmp_path, b"".join(box(n) for n in range(100))), BOXES)
    batches = list(source.batches())
    assert len(batches) > 5
    assert sum(batch.read_bytes for batch in batches) == source.size().read_bytes


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1000])
@pytest.mark.parametrize("form", ["plain", "gzip", "archive"])
def test_where_pieces_end_changes_nothing(tmp_path, monkeypatch, piece_bytes, form):
    monkeypatch.setattr(dump_bytes, "PIECE_BYTES", piece_bytes)
    if form == "archive":
        location = str(tmp_path / "a")
        Path(location).write_bytes(archive([("boxes", box(n)) for n in range(9)]))
        if piece_bytes == 1:
            pytest.skip("an archive is told by its first two bytes")
    else:
        content = b"".join(box(n) for n in range(9))
        zipped = form == "gzip"
        location = folder(tmp_path, gzip.compress(content) if zipped else content, f"boxes.bson{'.gz' * zipped}")
        if zipped and piece_bytes == 1:
            pytest.skip("gzip is told by its first two bytes")
    source, fixes, refusals = read(location)
    assert (seconds(fixes), refusals) == (list(range(9)), [])
    assert source.describe(fixes.origin)[4] == "boxes/4"


def test_a_corrupt_document_is_refused_with_its_place_and_its_neighbours_stay(tmp_path):
    broken = bytearray(box(1))
    broken[4] = 99  # no such type
    _, fixes, refusals = read(folder(tmp_path, box(0) + bytes(broken) + box(2)))
    assert seconds(fixes) == [0, 2]
    start = len(box(0))
    assert [(one.reason, one.origin) for one in refusals] == [("document_corrupt", f"boxes@{start}")]
    assert refusals[0].detail == (
        f"the document at bytes {start} to {start + len(broken)}: an element has an unknown type"
    )


@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_file_keeps_what_came_before_and_refuses_the_rest_once(tmp_path, zipped):
    # Of random texts, so that compressing does not put everything behind the cut.
    rng = np.random.default_rng(1)
    content = b"".join(box(n, note=rng.bytes(100)) for n in range(100))
    packed = gzip.compress(content) if zipped else content
    name = f"boxes.bson{'.gz' * zipped}"
    _, fixes, refusals = read(folder(tmp_path, packed[: len(packed) // 2 + 10], name))
    assert seconds(fixes) == list(range(len(fixes)))
    assert 40 < len(fixes) < 60
    (refusal,) = refusals
    assert refusal.reason == "document_corrupt"
    assert refusal.detail.startswith(f"bytes {len(fixes) * len(box(0, note=b'x' * 100))} to ")
    assert ("compressed file ends early" in refusal.detail) == zipped


def test_an_impossible_length_refuses_the_rest_of_the_file_as_one(tmp_path):
    content = box(0) + b"\xff\xff\xff\x7f" + box(1)
    _, fixes, (refusal,) = read(folder(tmp_path, content))
    assert seconds(fixes) == [0]
    assert refusal.detail.startswith(f"bytes {len(box(0))} to {len(content)}: a document's length is impossible")


@pytest.mark.parametrize(
    ("changes", "reason", "detail"),
    [
        ({"t": ...}, "clock_missing", "t: missing"),
        ({"t": "yesterday"}, "clock_unparseable", "t: expected a date, found 'yesterday'"),
        ({"device": None}, "vehicle_missing", "device: missing"),
        ({"device": {"a": 1}}, "vehicle_missing", "device: expected a text, found object"),
        ({"p": [4.0, {"x": 1}]}, "position_unparseable", "p.1: expected a number, found object"),
        ({"p": [4.0, "north"]}, "position_unparseable", "p.1: 'north' is not a number"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_path_and_type(tmp_path, changes, reason, detail):
    _, fixes, (refusal,) = read(folder(tmp_path, box(0) + box(1, **changes) + box(2)))
    assert seconds(fixes) == [0, 2]
    assert (refusal.reason, refusal.detail, refusal.origin) == (reason, detail, "boxes/1")
    assert '"_id": {"$numberInt": "1"}' in refusal.content


def test_a_missing_or_senseless_position_is_left_to_the_pass(tmp_path):
    _, fixes, refusals = read(folder(tmp_path, box(0, p=...) + box(1, p=[0, 0]) + box(2, p=[999.0, -999.0])))
    assert refusals == []
    np.testing.assert_array_equal(fixes.lat_deg, [np.nan, 0, -999])


BUCKETS = """
collection: boxes
layout: bucketed
fields:
  vehicle: {path: meta.id}
  fixed_at: {path: "data.t[]", clock: offset_s, base: {path: start, clock: bson_date}}
  lat: {path: "data.lat[]"}
  lon: {path: "data.lon[]"}
  speed: {path: "data.v[]", unit: m/s}
"""


@pytest.mark.parametrize("keyed", [False, True])
def test_a_bucket_gives_one_fix_for_each_place_in_its_columns(tmp_path, keyed):
    columns = {"t": [0, 1, 2], "lat": [50, 51, "x"], "lon": [4, 5, 6], "v": [7.5]}
    data = {name: {str(n): v for n, v in enumerate(values)} for name, values in columns.items()} if keyed else columns
    content = bson.encode({"_id": "B", "meta": {"id": 7}, "start": START, "data": data})
    _, fixes, (refusal,) = read(folder(tmp_path, content), load_mapping(BUCKETS))
    assert (fixes.vehicles, seconds(fixes), fixes.lat_deg.tolist()) == (("7",), [0, 1], [50.0, 51.0])
    np.testing.assert_array_equal(fixes.speed_mps, [7.5, np.nan])
    assert (refusal.origin, refusal.reason) == ("boxes/B[2]", "position_unparseable")


def test_what_is_not_there_is_named_with_what_is(tmp_path):
    location = folder(tmp_path, box(0), "else.bson")
    with pytest.raises(SourceMissing, match=r"no collection 'boxes', only db\.covers, db\.else"):
        MongodumpSource(location, BOXES)
    with pytest.raises(SourceMissing, match="does not exist"):
        MongodumpSource(str(tmp_path / "nowhere"), BOXES)
    (tmp_path / "text").write_text("no dump at all")
    with pytest.raises(SourceUnreadable, match="not an archive of mongodump"):
        MongodumpSource(str(tmp_path / "text"), BOXES)


def test_a_collection_in_two_databases_asks_for_one(tmp_path):
    folder(tmp_path, box(0))
    (tmp_path / "db2").mkdir()
    (tmp_path / "db2" / "boxes.bson").write_bytes(box(1))
    with pytest.raises(MappingInvalid, match=r"several databases \(db, db2\)"):
        MongodumpSource(str(tmp_path), BOXES)


def test_a_policy_without_a_beginning_is_named(tmp_path):
    location = folder(tmp_path, box(0))
    (tmp_path / "db" / "covers.bson").write_bytes(bson.encode({"_id": "C", "n": "P1", "device": "D1"}))
    found = MongodumpSource(location, BOXES).policies()
    assert list(found) == []
    assert [(one.reason, one.origin, one.detail) for one in found.refusals] == [
        ("policy_unusable", "covers/C", "from: the policy has no beginning")
    ]


def test_a_mapping_is_checked_field_by_field(tmp_path):
    content = box(0) + box(1, p=[4, "51.5"]) + box(2, p=[4.0, True]) + box(3, t=...)
    found = check_mapping(MongodumpSource(folder(tmp_path, content), BOXES), BOXES.fields)
    fields = {one.count.name: one for one in found.fields}
    assert (found.inputs, found.usable, found.is_usable) == (4, 1, True)
    assert found.refused == {"position_unparseable": 1, "clock_missing": 1, "position_spike": 1}
    lat, fixed_at = fields["lat"].count, fields["fixed_at"].count
    assert lat.kinds == {"double": 2, "string": 1, "bool": 1}
    assert (lat.lowest, lat.highest, lat.found, lat.unreadable, lat.missing) == (50.0, 51.5, 3, 1, 0)
    assert fields["lat"].first_unreadable.origin == "boxes/2"
    assert fields["lat"].first_unreadable.detail == "p.1: bool is not a number"
    assert (fixed_at.found, fixed_at.missing, fixed_at.lowest) == (3, 1, "2024-05-01T00:00:00Z")
    assert fields["vehicle"].count.values == ("D1",)


@real_data
def test_the_real_black_box_equals_what_pymongo_decodes():
    _, fixes, refusals = read(str(DATA), load_mapping(ROOT / "examples/mappings/blackbox.yaml"))
    assert (len(fixes), refusals) == (10_277, [])
    documents = bson.decode_all((DATA / "telematics/blackbox.bson").read_bytes())
    assert {fixes.vehicles[code] for code in fixes.vehicle} == {document["deviceId"] for document in documents}
    at = [int(document["ts"].replace(tzinfo=UTC).timestamp()) * 1_000_000 for document in documents]
    assert fixes.fixed_at_us.tolist() == at
    assert fixes.lat_deg.tolist() == [document["loc"]["coordinates"][1] for document in documents]
    assert fixes.lon_deg.tolist() == [document["loc"]["coordinates"][0] for document in documents]
    assert fixes.speed_mps.tolist() == [document["speedMph"] * 0.44704 for document in documents]
    assert fixes.heading_deg.tolist() == [document["heading"] for document in documents]
    assert fixes.accel_lateral_mps2.tolist() == [document["accelG"]["y"] * 9.80665 for document in documents]


@real_data
def test_of_the_real_trips_exactly_the_impossible_clocks_are_refused():
    source, fixes, refusals = read(str(DATA), load_mapping(ROOT / "examples/mappings/trips.yaml"))
    assert len(fixes) + len(refusals) == 43_056
    assert Counter(refusal.reason for refusal in refusals) == {"clock_unparseable": 170}
    assert refusals[0].origin == "trips/T1_03_29_2021.samples[3262]"
    assert source.describe(fixes.origin[-1:]) == ["trips/T2_04_26_2021.samples[5839]"]
    assert [policy.number for policy in source.policies()] == ["SBT-000101", "SBT-000102", "SBT-000201"]
