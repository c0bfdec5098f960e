import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.text_inputs import read

from journeymesh.errors import MappingInvalid
from journeymesh.sources import json_files
from journeymesh.sources.mapping import load_mapping

T = 1_714_982_400
EMBEDDED = """version: 1
collection: trips
layout: embedded
fields:
  vehicle: {path: car}
  fixed_at: {path: "points[].t", clock: epoch_s}
  lat: {path: "points[].at.lat"}
  lon: {path: "points[].at.lon"}
"""
BUCKETED = """version: 1
collection: buckets
layout: bucketed
fields:
  vehicle: {path: car}
  fixed_at: {path: "s[]", clock: offset_s, base: {path: start, clock: epoch_s}}
  lat: {path: "lat[]"}
  lon: {path: "lon[]"}
"""


def point(second: int, **more: Any) -> dict[str, Any]:
    return {"t": T + second, "at": {"lat": 52.5, "lon": 5.25}} | more


def seconds(fixes: Any) -> list[int]:
    return [us // 10**6 - T for us in fixes.fixed_at_us.tolist()]


@pytest.mark.parametrize("form", ["lines", "array", "pretty"])
def test_each_element_of_an_array_is_a_fix_with_what_its_document_shares(tmp_path: Path, form: str) -> None:
    trips = [
        {"car": "V1", "points": [point(0), point(1)]},
        {"car": "V2", "points": []},
        {"car": "V3", "points": [point(2)]},
    ]
    texts = {
        "lines": "\n".join(json.dumps(trip) for trip in trips),
        "array": json.dumps(trips, indent=1),
        "pretty": "\n".join(json.dumps(trip, indent=1) for trip in trips),
    }
    (tmp_path / "trips.json").write_text(texts[form])
    fixes, refusals = read(tmp_path / "trips.json", load_mapping(EMBEDDED))
    assert refusals == []
    assert [fixes.vehicles[code] for code in fixes.vehicle] == ["V1", "V1", "V3"]
    assert seconds(fixes) == [0, 1, 2]


def test_an_element_that_cannot_be_read_is_refused_by_its_document_and_its_number(tmp_path: Path) -> None:
    trips = [{"car": "V1", "points": [point(0), point(1, t="soon"), point(2)]}, {"car": "V2"}]
    (tmp_path / "trips.ndjson").write_text("\n".join(json.dumps(trip) for trip in trips))
    fixes, refusals = read(tmp_path / "trips.ndjson", load_mapping(EMBEDDED))
    assert seconds(fixes) == [0, 2]
    assert sorted((one.origin, one.detail.partition(":")[0]) for one in refusals) == [
        ("trips.ndjson:1[1]", "points[].t"),
        ("trips.ndjson:2", "no array of fixes"),
    ]
    assert len({one.refusal_id for one in refusals}) == 2


def test_arrays_beside_each_other_count_from_their_documents_start(tmp_path: Path) -> None:
    bucket = {"car": "V1", "start": T, "s": [0, 1.5, 3], "lat": [52.5, 52.6, 52.7], "lon": [5.1, 5.2, 5.3]}
    (tmp_path / "b.ndjson").write_text(json.dumps(bucket))
    fixes, refusals = read(tmp_path / "b.ndjson", load_mapping(BUCKETED))
    assert refusals == []
    assert [us / 1e6 - T for us in fixes.fixed_at_us.tolist()] == [0, 1.5, 3]
    assert fixes.lat_deg.tolist() == [52.5, 52.6, 52.7]


@pytest.mark.parametrize("vehicle", ['path: "points[].car"', "value: V1"])
def test_one_long_object_is_read_element_by_element(
    vehicle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "MOST_DOCUMENT_BYTES", 10_000)
    monkeypatch.setattr(json_files, "BLOCK_BYTES", 1000)
    whole = {
        "made": {"points": [1]},
        "points": [point(second, car="V1", note="]}") for second in range(2000)],
        "more": 1,
    }
    (tmp_path / "timeline.json").write_text(json.dumps(whole, indent=1))
    mapping = load_mapping(EMBEDDED.replace("path: car", vehicle))
    fixes, refusals = read(tmp_path / "timeline.json", mapping)
    assert refusals == []
    assert fixes.vehicles == ("V1",)
    assert seconds(fixes) == list(range(2000))


def test_a_mapping_for_arrays_does_not_fit_columns(tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text("car,t\nV1,1\n")
    with pytest.raises(MappingInvalid, match="layout embedded is for documents with arrays"):
        read(tmp_path / "f.csv", load_mapping(EMBEDDED))


def test_a_clock_of_a_csv_file_counts_from_the_base_that_its_row_names(tmp_path: Path) -> None:
    (tmp_path / "trips.csv").write_text(
        f"car,start,s,lat,lon\nV1,{T},1.5,52.5,5.25\nV1,,2,52.5,5.25\nV1,{T},x,52.5,5.25\n"
    )
    mapping = load_mapping("""version: 1
collection: trips
fields:
  vehicle: {path: car}
  fixed_at: {path: s, clock: offset_s, base: {path: start, clock: epoch_s}}
  lat: {path: lat}
  lon: {path: lon}
""")
    fixes, refusals = read(tmp_path / "trips.csv", mapping)
    assert [us / 1e6 - T for us in fixes.fixed_at_us.tolist()] == [1.5]
    assert [(one.origin, one.detail) for one in refusals] == [
        ("trips.csv:3", "start: missing"),
        ("trips.csv:4", "s: 'x' is not a number"),
    ]
