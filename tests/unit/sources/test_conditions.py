"""``where``: documents that are not for us are counted, and neither read nor refused, the same in every source."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.mongodumps import START, archive

from journeymesh.errors import MappingInvalid, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.conditions import equals, exact_query, server_query
from journeymesh.sources.mapping import Mapping, load_mapping
from journeymesh.sources.mapping_inverse import MappingInverse
from journeymesh.sources.mongodb_remover import MongodbRemover
from journeymesh.wiring import open_source

FIELDS = """
fields:
  vehicle: {path: dev}
  fixed_at: {path: ts, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
"""
BSON_ONLY = ("bson", "archive")


def mapped(where: str, fields: str = FIELDS) -> Mapping:
    return load_mapping(f"collection: c\nwhere: {where}\n{fields}")


def documents(values: list[Any]) -> list[dict[str, Any]]:
    """One for each value of ``type``; all of them could be fixes."""
    return [
        {
            "dev": "V1",
            "ts": (START + timedelta(seconds=n)).isoformat(),
            "lat": 50.0,
            "lon": 4.0,
            **({} if value is ... else {"type": value}),
        }
        for n, value in enumerate(values)
    ]


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    match kind:
        case "bson":
            path = folder / "c.bson"
            path.write_bytes(b"".join(bson.encode(row) for row in rows))
        case "archive":
            path = folder / "c.archive"
            path.write_bytes(archive([("c", b"".join(bson.encode(row) for row in rows))]))
        case "ndjson":
            path = folder / "c.ndjson"
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        case "csv":
            path = folder / "c.csv"
            texts = [
                ["" if row.get(k) is None else str(row[k]) for k in ("dev", "ts", "lat", "lon", "type")] for row in rows
            ]
            path.write_text("\n".join(",".join(row) for row in [["dev", "ts", "lat", "lon", "type"], *texts]) + "\n")
        case _:
            path = folder / "c.parquet"
            columns = {name: [row.get(name) for row in rows] for name in ("dev", "ts", "lat", "lon", "type")}
            pq.write_table(pa.table(columns), path)
    return path


def found(folder: Path, kind: str, rows: list[dict[str, Any]], where: str) -> tuple[list[int], int, int]:
    """(which rows became fixes, how many were refused, how many were others)."""
    path = written(folder, kind, rows)
    (folder / "m.yaml").write_text(f"collection: c\nwhere: {where}\n{FIELDS}")
    batches = list(open_source(str(path), folder / "m.yaml").batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    seconds = ((fixes.fixed_at_us - int(START.timestamp() * 1e6)) // 1_000_000).tolist()
    return seconds, sum(len(batch.refusals) for batch in batches), sum(batch.others for batch in batches)


TEXTS = ["position", "battery", "position", "Position", "positions", None]
NUMBERS = [5, 6, 7, None]


@pytest.mark.parametrize("kind", ["bson", "archive", "ndjson", "csv", "parquet"])
@pytest.mark.parametrize(
    ("values", "where", "ours"),
    [
        (TEXTS, "{type: position}", [0, 2]),
        (TEXTS, "{type: [position, battery]}", [0, 1, 2]),
        (TEXTS, "{type: null}", [5]),
        (TEXTS, "{type: [null, battery]}", [1, 5]),
        (TEXTS, "{type: nothing}", []),
        (TEXTS, "{type: position, lat: 50}", [0, 2]),
        (TEXTS, "{type: position, lat: 51}", []),
        (NUMBERS, "{type: 5}", [0]),
        (NUMBERS, "{type: 5.0}", [0]),
        (NUMBERS, "{type: [6, 7]}", [1, 2]),
        ([True, False, None], "{type: true}", [0]),
        ([True, False, None], "{type: [false, null]}", [1, 2]),
    ],
)
def test_what_meets_the_conditions_is_read_in_every_source_and_the_others_are_counted(
    tmp_path, kind, values, where, ours
):
    assert found(tmp_path, kind, documents(values), where) == (ours, 0, len(values) - len(ours))


@pytest.mark.parametrize("kind", ["bson", "ndjson", "csv", "parquet"])
def test_what_is_ours_and_cannot_be_read_is_refused_and_what_is_not_ours_is_not(tmp_path, kind):
    rows = documents(["position", "battery", "position", "battery", "position"])
    for row in (1, 2, 3):
        rows[row]["ts"] = "never"
    path = written(tmp_path, kind, rows)
    (tmp_path / "m.yaml").write_text(f"collection: c\nwhere: {{type: position}}\n{FIELDS}")
    (batch,) = open_source(str(path), tmp_path / "m.yaml").batches()
    assert (len(batch.fixes), batch.others) == (2, 2)
    (refusal,) = batch.refusals
    assert refusal.reason == "clock_unparseable"
    assert '"position"' in (refusal.content or "")
    assert refusal.origin.endswith({"bson": "", "ndjson": ":3", "csv": ":4", "parquet": ":3"}[kind])


@pytest.mark.parametrize("wanted", ["position", 5, 5.0, True, False, None, "", "5c8a0ee4ae4f0b1a2c3d4e5f"])
def test_bson_compares_by_type_whichever_way_a_document_is_read(wanted):
    values = [
        "position", "5", "", 5, bson.Int64(5), 5.0, 5.5, bson.Decimal128("5.0"), True, False, 1, 0, None, ...,
        START, {"a": 5}, ["position", 5], b"position", bson.ObjectId("5c8a0ee4ae4f0b1a2c3d4e5f"),
        bson.Regex("position"),
    ]  # fmt: skip
    rows = documents(values)
    ours = [
        n for n, value in enumerate(values)
        if equals(None if value is ... else bson.decode(bson.encode({"v": value}))["v"], (wanted,))
    ]  # fmt: skip
    reader = BsonReader(mapped(json.dumps({"type": wanted})))
    content = np.frombuffer(b"".join(bson.encode(row) for row in rows), np.uint8)
    (part,) = reader.parts(content)
    seconds = ((part.fixes.fixed_at_us - int(START.timestamp() * 1e6)) // 1_000_000).tolist()
    assert (seconds, part.others, part.refusals) == (ours, len(values) - len(ours), [])
    assert len(ours) == {"position": 1, 5: 4, True: 1, False: 1, None: 2, "": 1}.get(wanted, 1)


def test_numbers_are_compared_by_value_and_truths_are_no_numbers():
    assert equals(5, (5.0,))
    assert equals(Decimal("5.0"), (5,))
    assert not equals(True, (1,))
    assert not equals(1, (True,))
    assert not equals("1", (1,))


@pytest.mark.parametrize("kind", ["bson", "ndjson"])
def test_a_dotted_path_leads_into_the_document(tmp_path, kind):
    rows = documents(["x"] * 3)
    for row, name in zip(rows, ("position", "battery", "position"), strict=True):
        row["event"] = {"kind": {"name": name}}
    assert found(tmp_path, kind, rows, "{event.kind.name: position}") == ([0, 2], 0, 1)


EMBEDDED = """
layout: embedded
fields:
  vehicle: {path: vin}
  fixed_at: {path: "samples[].t", clock: epoch_s}
  lat: {path: "samples[].lat"}
  lon: {path: "samples[].lon"}
"""


def test_documents_without_the_mapped_array_are_others_and_not_corrupt():
    samples = [{"t": n, "lat": 50.0, "lon": 4.0} for n in range(3)]
    ours = {"_id": 1, "vin": "V1", "type": "drive", "samples": samples}
    other = {"_id": 2, "vin": "V1", "type": "service", "garage": "north"}
    strange = {"_id": 3, "vin": "V1", "type": "service", "samples": "none"}
    lost = {"_id": 4, "vin": "V1", "type": "drive"}
    content = b"".join(bson.encode(one) for one in (ours, other, strange, ours | {"type": "service"}, lost))
    (part,) = BsonReader(mapped("{type: drive}", EMBEDDED)).parts(np.frombuffer(content, np.uint8))
    assert (len(part.fixes), part.others) == (3, 3)
    assert [refusal.origin for refusal in part.refusals] == ["c/4"]


def drives() -> list[dict[str, Any]]:
    """Documents of two kinds with elements of several, one without elements and one without an array."""

    def element(second: int, kind: Any, n: Any, scan: Any = None) -> dict[str, Any]:
        return {"t": int(START.timestamp()) + second, "lat": 50.0, "lon": 4.0, "kind": kind, "n": n, "scan": scan}

    kinds = ["gps", "wifi", None, "gps"]
    numbers = [5, 6, None, 7]
    return [
        {"vin": "V1", "type": "drive", "samples": [element(n, kinds[n], numbers[n]) for n in range(4)]},
        {"vin": "V1", "type": "drive", "samples": []},
        {"vin": "V1", "type": "service", "samples": [element(n, "gps", 5) for n in (10, 11)]},
        {"vin": "V1", "type": "service", "samples": None},
        {"vin": "V1", "type": "drive", "samples": [element(n, "gps", 5, {"mac": n}) for n in (20, 21)]},
    ]


def drives_written(folder: Path, kind: str) -> Path:
    match kind:
        case "parquet":
            path = folder / "c.parquet"
            pq.write_table(pa.Table.from_pylist(drives()), path)
        case "array":
            path = folder / "c.json"
            path.write_text(json.dumps(drives(), indent=1))
        case _:
            path = written(folder, kind, drives())
    return path


IN_ARRAYS = [
    ('{"samples[].kind": gps}', [0, 3, 10, 11, 20, 21], 2, 1),
    ('{"samples[].kind": gps, type: drive}', [0, 3, 20, 21], 4, 0),
    ('{"samples[].kind": [gps, null], type: drive}', [0, 2, 3, 20, 21], 3, 0),
    ('{"samples[].n": 5, type: drive}', [0, 20, 21], 5, 0),
    ('{"samples[].n": "5", type: drive}', [], 8, 0),
    ('{"samples[].scan": null, type: drive}', [0, 1, 2, 3], 4, 0),
    ('{"samples[].scan.mac": 20}', [20], 7, 1),
    ('{"samples[].kind": gps, "samples[].n": [6, 7]}', [3], 7, 1),
    ("{type: service}", [10, 11], 2, 1),
    ("{type: drive}", [0, 1, 2, 3, 20, 21], 2, 0),
]
"""(conditions, the seconds of the fixes, how many documents and elements are others, how many refused: the document of
a kind that is for us, and without its array)."""


@pytest.mark.parametrize("kind", ["bson", "archive", "ndjson", "array", "parquet"])
@pytest.mark.parametrize(("where", "ours", "others", "refused"), IN_ARRAYS)
def test_a_condition_inside_an_array_keeps_the_elements_that_meet_it_in_every_source(
    tmp_path, kind, where, ours, others, refused
):
    path = drives_written(tmp_path, kind)
    (tmp_path / "m.yaml").write_text(f"collection: c\nwhere: {where}\n{EMBEDDED}")
    batches = list(open_source(str(path), tmp_path / "m.yaml").batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    seconds = (fixes.fixed_at_us // 1_000_000 - int(START.timestamp())).tolist()
    assert (seconds, sum(batch.others for batch in batches)) == (ours, others)
    assert len([refusal for batch in batches for refusal in batch.refusals]) == refused


@pytest.mark.parametrize("kind", ["bson", "ndjson", "parquet"])
def test_elements_of_arrays_beside_each_other_are_kept_by_the_one_at_their_place(tmp_path, kind):
    at = int(START.timestamp())
    bucket = {"vin": "V1", "t": [at, at + 1, at + 2], "lat": [50.0] * 3, "lon": [4.0] * 3, "ok": [True, False]}
    path = tmp_path / "c.parquet"
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist([bucket]), path)
    else:
        path = written(tmp_path, kind, [bucket])
    mapping = EMBEDDED.replace("embedded", "bucketed")
    mapping = mapping.replace("samples[].t", "t[]").replace("samples[].lat", "lat[]").replace("samples[].lon", "lon[]")
    for where, ours in (('{"ok[]": true}', [0]), ('{"ok[]": false}', [1]), ('{"ok[]": null}', [2])):
        (tmp_path / "m.yaml").write_text(f"collection: c\nwhere: {where}\n{mapping}")
        (batch,) = open_source(str(path), tmp_path / "m.yaml").batches()
        assert (batch.fixes.fixed_at_us // 1_000_000 - at).tolist() == ours
        assert (batch.others, batch.refusals) == (2, [])


def test_a_condition_in_another_array_than_the_fixes_is_refused():
    with pytest.raises(MappingInvalid, match=r"'events\[\]\.kind' stands in another array than the fixes"):
        mapped('{"events[].kind": gps}', EMBEDDED)


def test_a_server_is_not_asked_about_elements_and_nothing_is_removed_by_them():
    where = mapped('{"samples[].kind": gps, type: drive}', EMBEDDED).where
    assert server_query(where) == {"type": {"$in": ["drive"]}}
    with pytest.raises(UsageError, match="may hold elements that its conditions leave out"):
        MongodbRemover("mongodb://nowhere/telematics", mapped('{"samples[].kind": gps}', EMBEDDED))


def test_a_corrupt_document_is_refused_whatever_it_would_have_been():
    broken = bytearray(bson.encode(documents(["battery"])[0]))
    broken[4] = 99
    (part,) = BsonReader(mapped("{type: position}")).parts(np.frombuffer(bytes(broken), np.uint8))
    assert ([refusal.reason for refusal in part.refusals], part.others) == (["document_corrupt"], 0)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_condition_on_a_column_that_is_not_there_is_an_error(tmp_path, kind):
    path = written(tmp_path, kind, documents(["position"]))
    (tmp_path / "m.yaml").write_text(f"collection: c\nwhere: {{kind: position}}\n{FIELDS}")
    with pytest.raises(MappingInvalid, match="there is no column 'kind'"):
        list(open_source(str(path), tmp_path / "m.yaml").batches())


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        ("{type: []}", "'type' has no value"),
        ('{"a[].b": 1}', r"has \[\] in layout document"),
        ('{"a[].b[]": 1}', r"where: path 'a\[\]\.b\[\]'"),
        ("{type: {in: [a]}}", "where"),
        ("position", "where"),
    ],
)
def test_a_condition_that_cannot_be_asked_is_refused(where, fault):
    with pytest.raises(MappingInvalid, match=fault):
        mapped(where)


def test_a_fix_that_is_written_back_meets_the_conditions():
    mapping = mapped("{type: [position, fix], event.kind: 5}")
    fixes = Fixes(
        ("V1",),
        np.zeros(1, np.int32),
        np.array([int(START.timestamp()) * 1_000_000]),
        np.array([50.0]),
        np.array([4.0]),
    )
    (document,) = MappingInverse(mapping).documents(fixes)
    assert (document["type"], document["event"]) == ("position", {"kind": 5})


def test_a_server_is_asked_for_no_less_than_what_is_ours():
    where = mapped("{type: [a, 5c8a0ee4ae4f0b1a2c3d4e5f], n: 5, gps.kind: b}").where
    identity = bson.ObjectId("5c8a0ee4ae4f0b1a2c3d4e5f")
    assert server_query(where) == {"type": {"$in": ["a", str(identity), identity]}, "n": {"$in": [5]}}
    assert exact_query(where)["gps.kind"] == {"$in": ["b"], "$not": {"$type": "array"}}
    assert exact_query(where)["gps"] == {"$not": {"$type": "array"}}


def test_a_check_and_a_run_count_others_and_say_where_all_are(tmp_path):
    from typer.testing import CliRunner

    from journeymesh.cli.main import app

    path = written(tmp_path, "bson", documents(["position", "battery", "battery"]))
    arguments = ["--source", str(path), "--mapping", str(tmp_path / "m.yaml")]
    for where, code, said in (
        ("{type: position}", 0, "others          2 "),
        ("{type: nothing}", 2, "its conditions leave out 3: correct the mapping's where"),
    ):
        (tmp_path / "m.yaml").write_text(f"collection: c\nwhere: {where}\n{FIELDS}")
        checked = CliRunner().invoke(app, ["mapping", "check", *arguments])
        assert said in checked.output or said in str(checked.exception)
        assert code == 0 or checked.exit_code != 0
    ran = CliRunner().invoke(app, ["preprocess", *arguments, "--store", f"sqlite:///{tmp_path}/s.db"])
    assert "the mapping's conditions leave out all 3 documents" in ran.output + str(ran.exception)
    assert ran.exit_code != 0
