"""What a dump is, by its content: archives of any name, folders with more than collections, time-series collections."""

from __future__ import annotations

import gzip
from pathlib import Path

import bson
import numpy as np
import pytest
from tests.support.mongodumps import archive, bucket, position, positions

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.checksums import crc64
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mongodump import MongodumpSource
from journeymesh.wiring import open_source

FIELDS = """
fields:
  vehicle: {path: dev}
  fixed_at: {path: ts, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
"""
BUCKETED = """
layout: bucketed
fields:
  vehicle: {path: meta.dev}
  fixed_at: {path: "data.ts[]", clock: bson_date}
  lat: {path: "data.lat[]"}
  lon: {path: "data.lon[]"}
"""
OTHERS = bson.encode({"x": 1})


def mapped(collection: str = "c", fields: str = FIELDS):
    return load_mapping(f"collection: {collection}\n{fields}")


def read(location: Path, mapping=None):
    source = MongodumpSource(str(location), mapping or mapped())
    batches = list(source.batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    return source, len(fixes), [refusal.detail for batch in batches for refusal in batch.refusals]


def states(source: MongodumpSource) -> dict[str, str]:
    return {item.name: item.state for item in source.items()}


@pytest.mark.parametrize("name", ["c.bson", "c.bson.gz", "fleet.dump", "fleet", "fleet.archive", "fleet.csv", "c.gz"])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ["archive", "documents"])
def test_what_a_file_is_its_content_says_and_not_its_name(tmp_path, name, zipped, kind):
    content = archive([("c", positions(9)), ("d", OTHERS)]) if kind == "archive" else positions(9)
    (tmp_path / name).write_bytes(gzip.compress(content) if zipped else content)
    (tmp_path / "m.yaml").write_text(f"collection: c\n{FIELDS}")
    source = open_source(str(tmp_path / name), tmp_path / "m.yaml")
    assert isinstance(source, MongodumpSource)
    batches = list(source.batches())
    assert (sum(len(batch.fixes) for batch in batches), sum(len(batch.refusals) for batch in batches)) == (9, 0)
    assert source.describe(batches[0].fixes.origin[[8]]) == ["c/8"]


def test_text_and_an_empty_file_are_no_archives(tmp_path):
    for content in (b"", b"vehicle,fixed_at\n", b'{"a": 1}\n', "vehicle\n".encode("utf-16")):
        (tmp_path / "x.dump").write_bytes(content)
        assert not isinstance(open_source(str(tmp_path / "x.dump"), None), MongodumpSource)
    for content in (b"\0" * 100, b"\x1f\x8b"):
        (tmp_path / "x.dump").write_bytes(content)
        with pytest.raises(SourceUnreadable, match=r"x\.dump"):
            list(open_source(str(tmp_path / "x.dump"), None).batches())


def test_an_empty_collection_has_no_documents_and_no_fault(tmp_path):
    (tmp_path / "c.bson").write_bytes(b"")
    assert read(tmp_path / "c.bson")[1:] == (0, [])
    (tmp_path / "e.archive").write_bytes(archive([("d", OTHERS)], [("c", "collection", {}), ("d", "collection", {})],
                                                 ended=["c", "d"]))  # fmt: skip
    assert read(tmp_path / "e.archive")[1:] == (0, [])


def test_a_folder_of_a_gzipped_dump_reads_well_whatever_is_gzipped(tmp_path):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "c.bson.gz").write_bytes(positions(3))  # not compressed, whatever it is called
    (tmp_path / "db" / "c.metadata.json.gz").write_bytes(gzip.compress(b"{}"))
    (tmp_path / "db" / "d.bson").write_bytes(gzip.compress(positions(4)))
    (tmp_path / "db" / "prelude.json.gz").write_bytes(gzip.compress(b"{}"))
    source, fixes, refused = read(tmp_path)
    assert (fixes, refused) == (3, [])
    assert states(source) == {"db.c": "read", "db.d": "skipped"}
    assert read(tmp_path, mapped("d"))[1:] == (4, [])


@pytest.mark.parametrize("zipped", [False, True])
def test_the_oplog_in_the_root_hides_no_database_and_is_told(tmp_path, zipped):
    (tmp_path / "db").mkdir()
    (tmp_path / "admin").mkdir()
    (tmp_path / "db" / "c.bson").write_bytes(positions(3))
    (tmp_path / "admin" / "system.version.bson").write_bytes(OTHERS)
    entry = bson.encode({"ts": bson.Timestamp(1, 1), "op": "i", "ns": "db.c", "o": {"_id": 1}})
    name = "oplog.bson.gz" if zipped else "oplog.bson"
    (tmp_path / name).write_bytes(gzip.compress(entry) if zipped else entry)
    source, fixes, refused = read(tmp_path)
    assert (fixes, refused) == (3, [])
    assert states(source) == {"db.c": "read", "admin.system.version": "skipped", name: "skipped"}
    assert "are not replayed" in source.items()[-1].reason


def test_a_collection_that_is_called_oplog_is_a_collection(tmp_path):
    (tmp_path / "oplog.bson").write_bytes(positions(2))
    assert read(tmp_path, mapped("oplog"))[1:] == (2, [])


def test_the_oplog_of_an_archive_is_told(tmp_path):
    content = archive([("c", positions(3))])
    head, rest = content[: content.index(b"\xff\xff\xff\xff")], content[content.index(b"\xff\xff\xff\xff") :]
    oplog = bson.encode({"db": "", "collection": "oplog", "metadata": "", "size": 0, "type": ""})
    (tmp_path / "a").write_bytes(head + oplog + rest)
    source, fixes, _ = read(tmp_path / "a")
    assert fixes == 3
    assert [item.state for item in source.items()] == ["read", "skipped"]


def test_a_dump_in_a_folder_and_an_archive_in_a_folder_are_found(tmp_path):
    (tmp_path / "backup" / "monday" / "dump" / "db").mkdir(parents=True)
    (tmp_path / "backup" / "monday" / "dump" / "db" / "c.bson").write_bytes(positions(3))
    (tmp_path / "backup" / "README").write_text("how to restore\n")
    source, fixes, _ = read(tmp_path / "backup")
    assert fixes == 3
    assert states(source) == {"db.c": "read", "README": "skipped"}
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / "nightly.dump").write_bytes(gzip.compress(archive([("c", positions(4)), ("d", OTHERS)])))
    source, fixes, _ = read(tmp_path / "archives")
    assert fixes == 4
    assert states(source) == {"db.c": "read", "db.d": "skipped"}


def test_one_collection_dumped_twice_asks_which(tmp_path):
    for day in ("monday", "tuesday"):
        (tmp_path / day / "db").mkdir(parents=True)
        (tmp_path / day / "db" / "c.bson").write_bytes(positions(3))
    with pytest.raises(SourceMissing, match=r"'c' more than once \(.*monday/db/c\.bson, .*tuesday/db/c\.bson\)"):
        read(tmp_path)


def test_a_collection_of_two_databases_is_read_of_the_one_that_is_named(tmp_path):
    for database, count in (("a", 2), ("b", 3)):
        (tmp_path / database).mkdir()
        (tmp_path / database / "c.bson").write_bytes(positions(count))
    with pytest.raises(MappingInvalid, match=r"several databases \(a, b\)"):
        read(tmp_path)
    source, fixes, _ = read(tmp_path, mapped("c\ndatabase: b"))
    assert fixes == 3
    assert states(source) == {"a.c": "skipped", "b.c": "read"}


def test_links_are_followed_and_what_they_lead_to_is_read_once(tmp_path):
    (tmp_path / "real" / "db").mkdir(parents=True)
    (tmp_path / "real" / "db" / "c.bson").write_bytes(positions(3))
    (tmp_path / "real" / "db" / "again").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "dump").symlink_to(tmp_path / "real", target_is_directory=True)
    assert read(tmp_path / "dump")[1:] == (3, [])
    (tmp_path / "c.bson").symlink_to(tmp_path / "real" / "db" / "c.bson")
    assert read(tmp_path / "c.bson")[1:] == (3, [])


def test_a_file_that_was_named_is_read_whatever_it_is_called(tmp_path):
    (tmp_path / "c-2024-05.bson").write_bytes(positions(3))
    source, fixes, _ = read(tmp_path / "c-2024-05.bson")
    assert fixes == 3
    assert [(item.state, item.reason) for item in source.items()] == [("read", "as c")]
    (tmp_path / "c.bson").write_bytes(positions(4))
    with pytest.raises(SourceMissing, match=r"is not the mapped collection 'c': give .*/c\.bson"):
        read(tmp_path / "c-2024-05.bson")


def test_a_view_has_no_documents_and_its_collection_is_named(tmp_path):
    (tmp_path / "c.metadata.json").write_text('{"options": {"viewOn": "raw", "pipeline": []}, "type": "view"}')
    (tmp_path / "raw.bson").write_bytes(positions(3))
    with pytest.raises(SourceMissing, match=r"'c' is a view on 'raw', and a dump has no documents of it: map 'raw'"):
        read(tmp_path)
    assert states(read(tmp_path, mapped("raw"))[0])[f"{tmp_path.name}.c"] == "skipped"
    views = [("raw", "collection", {}), ("c", "view", {"viewOn": "raw"})]
    (tmp_path / "v.archive").write_bytes(archive([("raw", positions(3))], views))
    with pytest.raises(SourceMissing, match="is a view on 'raw'"):
        read(tmp_path / "v.archive")


@pytest.mark.parametrize("collection", ["c", "system.buckets.c"])
@pytest.mark.parametrize("form", ["archive", "old archive", "folder", "file"])
def test_the_two_names_of_a_time_series_collection_are_one(tmp_path, collection, form):
    match form:
        case "archive":
            announced = [("c", "timeseries", {"timeseries": {"timeField": "ts", "metaField": "meta"}})]
            location = tmp_path / "ts"
            location.write_bytes(archive([("system.buckets.c", bucket(9))], announced))
        case "old archive":
            location = tmp_path / "ts"
            location.write_bytes(archive([("system.buckets.c", bucket(9))]))
        case _:
            (tmp_path / "db").mkdir()
            (tmp_path / "db" / "system.buckets.c.bson").write_bytes(bucket(9))
            (tmp_path / "db" / "c.metadata.json").write_text(
                '{"options": {"timeseries": {"timeField": "ts"}}, "type": "timeseries"}'
            )
            location = tmp_path if form == "folder" else tmp_path / "db" / "system.buckets.c.bson"
    source, fixes, refused = read(location, mapped(collection, BUCKETED))
    assert (fixes, refused) == (9, [])
    assert list(states(source).values()) == ["read"]


@pytest.mark.parametrize("form", ["archive", "folder", "file"])
def test_a_mapping_of_measurements_is_refused_where_there_are_buckets(tmp_path, form):
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "system.buckets.c.bson").write_bytes(bucket(9))
    (tmp_path / "ts").write_bytes(archive([("system.buckets.c", bucket(9))], [("c", "timeseries", {})]))
    location = tmp_path / {"archive": "ts", "folder": "db", "file": "db/system.buckets.c.bson"}[form]
    with pytest.raises(MappingInvalid, match=r"db\.c is a time-series collection.*layout: bucketed"):
        read(location)


def test_a_collection_that_is_announced_and_never_comes_is_told(tmp_path):
    announced = [("c", "collection", {}), ("d", "collection", {})]
    (tmp_path / "a").write_bytes(archive([("d", OTHERS)], announced, ended=["d"]))
    source, fixes, refused = read(tmp_path / "a")
    assert fixes == 0
    assert refused == ["bytes 0 to the end: the archive ends before the end of c, so what follows cannot be read"]
    assert "ends before the end of c;" in source.items()[0].reason


@pytest.mark.parametrize("zipped", [False, True])
def test_a_truncated_archive_keeps_what_came_and_says_that_it_is_truncated(tmp_path, zipped):
    content = archive([("c", positions(5)), ("d", OTHERS), ("c", position(5) + position(6))])
    cut = content.rindex(position(6)) + 10
    content = gzip.compress(content)[:-20] if zipped else content[:cut]
    (tmp_path / "a").write_bytes(content)
    source, fixes, (refused,) = read(tmp_path / "a")
    assert fixes == 6 or (zipped and fixes >= 5)
    assert "ends early" in refused
    assert "ends early; what came before is read" in source.items()[0].reason


def test_blocks_between_each_other_are_put_together(tmp_path):
    blocks = [(name, position(second)) for second in range(20) for name in ("c", "d", "e")]
    (tmp_path / "a").write_bytes(archive(blocks))
    source, fixes, refused = read(tmp_path / "a", mapped("d"))
    assert (fixes, refused) == (20, [])
    assert states(source) == {"db.c": "skipped", "db.d": "read", "db.e": "skipped"}


def test_what_follows_the_last_document_is_told(tmp_path):
    (tmp_path / "c.bson").write_bytes(positions(3) + b"and so on")
    source, fixes, (refused,) = read(tmp_path / "c.bson")
    assert fixes == 3
    assert "a document's length is impossible" in refused
    assert "length is impossible; what came before is read" in source.items()[0].reason


def test_the_checksum_is_the_one_of_its_standard():
    check = np.frombuffer(b"123456789", np.uint8)
    assert crc64(check) == 0x995DC9BBDF1939FA
    assert crc64(check[4:], crc64(check[:4])) == 0x995DC9BBDF1939FA
    assert crc64(np.frombuffer(b"", np.uint8)) == 0


@pytest.mark.parametrize("wrong", [False, True])
def test_a_checksum_that_does_not_fit_is_told(tmp_path, wrong):
    checksum = crc64(np.frombuffer(positions(6), np.uint8))
    signed = checksum - 2**64 if checksum >= 2**63 else checksum
    blocks = [("c", positions(5)), ("d", OTHERS), ("c", position(5))]
    (tmp_path / "a").write_bytes(archive(blocks, checksums={"c": signed ^ wrong}))
    source, fixes, refused = read(tmp_path / "a")
    assert fixes == 6
    assert len(refused) == wrong
    assert ("checksum of c is not that of its documents" in source.items()[0].reason) == wrong
    assert read(tmp_path / "a", mapped("d"))[0].items()[1].reason == ""
