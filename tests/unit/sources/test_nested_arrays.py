"""Arrays inside of arrays: every innermost element is a fix, the same in every source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.nested_arrays import flattened, nesting_of
from journeymesh.wiring import open_source

START = int(datetime(2024, 5, 6, 8, tzinfo=UTC).timestamp())
NESTED = """
collection: c
layout: embedded
fields:
  vehicle: {path: vin}
  fixed_at: {path: "trips[].track.points[].t", clock: epoch_s}
  lat: {path: "trips[].track.points[].lat"}
  lon: {path: "trips[].lon"}
"""


def point(second: int) -> dict[str, Any]:
    return {"t": START + second, "lat": 50.0 + second / 1000}


def documents() -> list[dict[str, Any]]:
    def trip(kind: str, lon: float, points: Any) -> dict[str, Any]:
        return {"kind": kind, "lon": lon, "track": {"points": points}}

    return [
        {"vin": "V1", "trips": [trip("car", 4.0, [point(0), point(1)]), trip("walk", 5.0, [point(2)])]},
        {"vin": "V2", "trips": [trip("car", 6.0, []), trip("car", 7.0, [point(3)]), trip("stay", 8.0, None)]},
    ]


def written(folder: Path, kind: str, rows: list[dict[str, Any]]) -> Path:
    path = folder / {"bson": "c.bson", "ndjson": "c.ndjson", "json": "c.json", "parquet": "c.parquet"}[kind]
    match kind:
        case "bson":
            path.write_bytes(b"".join(bson.encode(row) for row in rows))
        case "ndjson":
            path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        case "json":
            path.write_text(json.dumps(rows, indent=1))
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def found(folder: Path, kind: str, mapping: str) -> tuple[list[tuple[str, int, float]], int, list[str]]:
    """(vehicle, second and longitude of each fix, how many were others, where what was refused is)."""
    (folder / "m.yaml").write_text(mapping)
    batches = list(open_source(str(written(folder, kind, documents())), folder / "m.yaml").batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    seconds = (fixes.fixed_at_us // 1_000_000 - START).tolist()
    read = list(zip([fixes.vehicles[code] for code in fixes.vehicle], seconds, fixes.lon_deg.tolist(), strict=True))
    refused = [refusal.origin for batch in batches for refusal in batch.refusals]
    return read, sum(batch.others for batch in batches), refused


KINDS = pytest.mark.parametrize("kind", ["bson", "ndjson", "json", "parquet"])


@KINDS
def test_every_innermost_element_is_a_fix_with_what_its_element_and_document_share(tmp_path: Path, kind: str) -> None:
    read, others, refused = found(tmp_path, kind, NESTED)
    assert read == [("V1", 0, 4.0), ("V1", 1, 4.0), ("V1", 2, 5.0), ("V2", 3, 7.0)]
    assert others == 0
    (place,) = refused  # the trip without an array of points
    assert place.endswith("[1]")


@KINDS
def test_elements_that_the_conditions_leave_out_are_others_at_whatever_depth(tmp_path: Path, kind: str) -> None:
    cars = NESTED + 'where: {"trips[].kind": car}\n'
    assert found(tmp_path, kind, cars) == ([("V1", 0, 4.0), ("V1", 1, 4.0), ("V2", 3, 7.0)], 2, [])
    first = NESTED + f'where: {{"trips[].track.points[].t": {START}}}\n'
    assert found(tmp_path, kind, first) == ([("V1", 0, 4.0)], 4, [])


def test_an_element_of_bson_is_found_again_by_its_number_through_all_arrays(tmp_path: Path) -> None:
    content = np.frombuffer(b"".join(bson.encode({"_id": n} | one) for n, one in enumerate(documents())), np.uint8)
    reader = BsonReader(load_mapping(NESTED))
    parts = list(reader.parts(content))
    assert sum(part.documents for part in parts) == 2
    assert parts[-1].end == len(content)
    origins = np.concatenate([part.fixes.origin for part in parts]).tolist()
    at = [reader.element_place("c/0", origin) for origin in origins]
    assert at == ["c/0.trips[0]", "c/0.trips[1]", "c/0.trips[2]", "c/0.trips[0]"]
    (refusal,) = [refusal for part in parts for refusal in part.refusals]
    assert refusal.origin == "c/1.trips[1]"
    assert '"stay"' in (refusal.content or "")


def test_three_arrays_deep_are_followed_and_nothing_of_the_document_is_changed() -> None:
    document = {"a": [{"n": 1, "b": [{"c": [1, 2]}, {"c": [3]}]}, {"n": 2, "b": [{"c": []}]}]}
    before = json.dumps(document)
    nesting = nesting_of(["a[].n", "a[].b[].c[]"])
    assert nesting is not None
    assert flattened(document, nesting)["a"] == [{"n": 1, "b": {"c": c}} for c in (1, 2, 3)]
    assert json.dumps(document) == before


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("trips[].lon", "trips[].others[].more[].lon"), "goes through other arrays than"),
        (("trips[].lon", "trips[].track.points.0.lon"), "leads into an array whose every element is meant"),
        (("layout: embedded", "layout: bucketed"), r"layout bucketed and arrays inside of trips\[\]"),
    ],
)
def test_arrays_that_do_not_follow_one_way_are_refused(change: tuple[str, str], fault: str) -> None:
    with pytest.raises(MappingInvalid, match=fault):
        load_mapping(NESTED.replace(*change))


RIGHT_INSIDE = {
    "objects": ("tracks[][]", [[point(0), point(1)], [], [point(2)]], "t", "lat"),
    "lists": ("tracks[][]", [[[START, 50.0], [START + 1, 50.001]], [[START + 2, 50.002]]], "0", "1"),
    "quoted": ('"my.tracks"[][]', [[point(0)], [point(1), point(2)]], "t", "lat"),
    "three deep": ("tracks[][][]", [[[point(0)], [point(1)]], [[point(2)]]], "t", "lat"),
    "behind a step": ("tracks[].parts[][]", [{"parts": [[point(0)], [point(1)]]}, {"parts": [[point(2)]]}], "t", "lat"),
}


@pytest.mark.parametrize("form", RIGHT_INSIDE)
@pytest.mark.parametrize("kind", ["bson", "ndjson", "json", "parquet"])
def test_arrays_right_inside_of_arrays_are_followed(kind: str, form: str, tmp_path: Path) -> None:
    path, tracks, clock, lat = RIGHT_INSIDE[form]
    if kind == "parquet" and form == "lists":
        pytest.skip("Parquet has one type to a list")
    mapping = (
        "collection: c\nlayout: embedded\nfields:\n  vehicle: {path: vin}\n  lon: {path: lon}\n"
        f"  fixed_at: {{path: '{path}.{clock}', clock: epoch_s}}\n  lat: {{path: '{path}.{lat}'}}\n"
    )
    (tmp_path / "m.yaml").write_text(mapping)
    name = "my.tracks" if form == "quoted" else "tracks"
    source = written(tmp_path, kind, [{"vin": "V1", "lon": 4.0, name: tracks}])
    batches = list(open_source(str(source), tmp_path / "m.yaml").batches())
    fixes = Fixes.concat([batch.fixes for batch in batches])
    assert fixes.fixed_at_us.tolist() == [(START + second) * 10**6 for second in range(3)]
    np.testing.assert_allclose(fixes.lat_deg, [50.0, 50.001, 50.002])
    assert [refusal for batch in batches for refusal in batch.refusals] == []


def test_a_path_to_an_array_that_is_an_element_names_nothing(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match="leads into an array"):
        load_mapping(NESTED.replace("trips[].track.points[]", "trips[][]").replace("trips[].lon", "trips[].lon"))


@pytest.mark.parametrize("kind", ["bson", "ndjson", "json"])
@pytest.mark.parametrize("shape", [{}, None, 5, "", {"x": 1}, "absent"], ids=str)
def test_what_is_no_array_is_refused_and_never_passed_over(kind: str, shape: Any, tmp_path: Path) -> None:
    mapping = NESTED.replace("trips[].track.points[]", "s[]").replace("trips[].lon", "s[].lon")
    (tmp_path / "m.yaml").write_text(mapping)
    document = {"vin": "V1"} if shape == "absent" else {"vin": "V1", "s": shape}
    batches = list(open_source(str(written(tmp_path, kind, [document])), tmp_path / "m.yaml").batches())
    assert sum(len(batch.fixes) for batch in batches) == 0
    (refusal,) = [refusal for batch in batches for refusal in batch.refusals]
    assert "array" in refusal.detail
