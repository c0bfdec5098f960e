import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support.text_inputs import MAPPING, read

from journeymesh.errors import SourceUnreadable
from journeymesh.sources import json_files
from journeymesh.sources.json_splitter import JsonSplitter
from journeymesh.sources.mapping import load_mapping


def document(second: int = 0, **more: Any) -> dict[str, Any]:
    return {"dev": "V1", "ts": f"2024-05-06T08:00:{second:02d}Z", "lat": 52.5, "lon": 5.25, "spd": 15} | more


DOCUMENTS = [document(second, note='}] , "[{' * (second % 2), more=[{"deep": [1]}]) for second in range(9)]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_an_array_of_objects_is_read_whatever_its_ending_and_encoding(
    tmp_path: Path, indent: int | None, encoding: str
) -> None:
    (tmp_path / "array.ndjson").write_bytes(json.dumps(DOCUMENTS, indent=indent).encode(encoding))
    fixes, refusals = read(tmp_path / "array.ndjson")
    assert (len(fixes), refusals) == (9, [])


def test_an_array_with_an_object_on_each_line_is_read(tmp_path: Path) -> None:
    (tmp_path / "array.ndjson").write_text("[" + ",\n".join(json.dumps(one) for one in DOCUMENTS) + "]\n")
    fixes, refusals = read(tmp_path / "array.ndjson")
    assert (len(fixes), refusals) == (9, [])


def test_objects_over_several_lines_follow_each_other(tmp_path: Path) -> None:
    (tmp_path / "pretty.ndjson").write_text("\n".join(json.dumps(one, indent=1) for one in DOCUMENTS))
    fixes, refusals = read(tmp_path / "pretty.ndjson")
    assert (len(fixes), refusals) == (9, [])


def test_an_element_that_is_no_object_is_refused_by_its_number(tmp_path: Path) -> None:
    text = json.dumps([document(0), 5, document(1), [1], "x"])
    (tmp_path / "array.ndjson").write_text(text)
    fixes, refusals = read(tmp_path / "array.ndjson")
    assert len(fixes) == 2
    assert [(refusal.origin, refusal.reason) for refusal in refusals] == [
        ("array.ndjson:2", "document_corrupt"),
        ("array.ndjson:4", "document_corrupt"),
        ("array.ndjson:5", "document_corrupt"),
    ]


def test_an_array_that_ends_within_an_object_keeps_what_came_before(tmp_path: Path) -> None:
    text = json.dumps(DOCUMENTS)
    (tmp_path / "array.ndjson").write_text(text[:-40])
    fixes, refusals = read(tmp_path / "array.ndjson")
    assert len(fixes) == 8
    assert [refusal.origin for refusal in refusals] == ["array.ndjson:9"]


def test_a_document_without_an_end_is_unreadable_not_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_files, "MOST_DOCUMENT_BYTES", 1000)
    (tmp_path / "array.ndjson").write_text('[{"a": "' + "x" * 5000)
    with pytest.raises(SourceUnreadable, match="document 1"):
        read(tmp_path / "array.ndjson")


@pytest.mark.parametrize("empty", ["", "\n", "[]", "[\n]\n"])
def test_an_empty_file_is_no_damage(tmp_path: Path, empty: str) -> None:
    (tmp_path / "f.ndjson").write_text(empty)
    fixes, refusals = read(tmp_path / "f.ndjson")
    assert (len(fixes), refusals) == (0, [])


def test_a_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "f.ndjson").write_bytes(gzip.compress(json.dumps(document()).encode()))
    assert len(read(tmp_path / "f.ndjson")[0]) == 1


def test_numbers_as_python_and_javascript_write_them_are_no_damage(tmp_path: Path) -> None:
    (tmp_path / "f.ndjson").write_text(json.dumps(document(spd=float("nan"))) + "\n")
    assert len(read(tmp_path / "f.ndjson")[0]) == 1


def test_extended_json_stands_for_its_values(tmp_path: Path) -> None:
    canonical = {
        "dev": {"$oid": "5ce70873b6589fc6ab000000"},
        "ts": {"$date": {"$numberLong": "1714982400000"}},
        "lat": {"$numberDouble": "52.5"},
        "lon": {"$numberDecimal": "5.25"},
        "spd": {"$numberInt": "15"},
    }
    relaxed = canonical | {"ts": {"$date": "2024-05-06T08:00:00Z"}, "lat": 52.5, "lon": 5.25, "spd": 15}
    (tmp_path / "f.ndjson").write_text(f"{json.dumps(canonical)}\n{json.dumps(relaxed)}\n")
    fixes, refusals = read(tmp_path / "f.ndjson")
    assert refusals == []
    assert fixes.vehicles == ("5ce70873b6589fc6ab000000",)
    assert fixes.fixed_at_us.tolist() == [1_714_982_400_000_000] * 2
    assert (fixes.lat_deg.tolist(), fixes.lon_deg.tolist()) == ([52.5] * 2, [5.25] * 2)
    assert fixes.speed_mps.tolist() == [15.0] * 2


@pytest.mark.parametrize("step", [1, 7, 10_000])
@pytest.mark.parametrize("indent", [None, 1])
def test_the_elements_of_an_array_deep_in_an_object_are_found_in_any_pieces(step: int, indent: int | None) -> None:
    around = {"x": "locations", "meta": {"locations": [1, {"locations": [{"z": 1}]}]}}
    text = json.dumps({**around, "data": {"k": [1], "locations": DOCUMENTS}, "locations": [4]}, indent=indent).encode()
    splitter = JsonSplitter(("data", "locations"))
    values = [value for at in range(0, len(text), step) for value in splitter.feed(text[at : at + step])]
    assert [json.loads(value) for value in values] == DOCUMENTS
    assert (splitter.arrays, splitter.unfinished) == (1, b"")


def test_what_no_value_can_hold_refuses_a_document_only_where_it_is_read(tmp_path: Path) -> None:
    beside, mapped = (json.dumps(document(**{name: "?"})).replace('"?"', "1e999") for name in ("note", "lat"))
    (tmp_path / "large.ndjson").write_text("\n".join((json.dumps(document(1)), mapped, beside)))
    fixes, refusals = read(tmp_path / "large.ndjson")
    assert len(fixes) == 2
    assert [(one.reason, one.origin) for one in refusals] == [("document_corrupt", "large.ndjson:2")]


@pytest.mark.parametrize("note", [{"deep": [1, None, 2.50]}, "é\u20ac"])
def test_a_refusal_keeps_what_is_not_mapped_too(tmp_path: Path, note: Any) -> None:
    bad = document(lat="north", note=note)
    (tmp_path / "bad.ndjson").write_text(json.dumps(bad))
    fixes, refusals = read(tmp_path / "bad.ndjson")
    assert (len(fixes), [json.loads(one.content or "") for one in refusals]) == (0, [bad])


def test_a_refusal_keeps_the_text_of_what_cannot_be_decoded(tmp_path: Path) -> None:
    text = json.dumps(document(lat="north", note="?")).replace('"?"', "1e999")
    (tmp_path / "bad.ndjson").write_text(text)
    fixes, refusals = read(tmp_path / "bad.ndjson")
    assert (len(fixes), [json.loads(one.content or "") for one in refusals]) == (0, [text])


@pytest.mark.parametrize("between", ["", " ", "\n\n"])
@pytest.mark.parametrize("batch", [1, 4, 9])
def test_objects_right_behind_each_other_are_read_one_by_one(tmp_path: Path, between: str, batch: int) -> None:
    texts = [json.dumps(one) for one in DOCUMENTS]
    together = between.join("".join(texts[at : at + batch]) for at in range(0, len(texts), batch))
    (tmp_path / "stream.json").write_text(together)
    fixes, refusals = read(tmp_path / "stream.json")
    assert sorted(us // 10**6 % 60 for us in fixes.fixed_at_us.tolist()) == list(range(9))
    assert refusals == []


def test_trips_right_behind_each_other_keep_their_arrays(tmp_path: Path) -> None:
    trips = [{"trip": [one, one | {"ts": "2024-05-06T09:00:00Z"}]} for one in DOCUMENTS]
    (tmp_path / "trips.json").write_text("".join(map(json.dumps, trips)))
    text = MAPPING.replace("collection: c", "collection: c\nlayout: embedded")
    for path in ("dev", "ts", "lat", "lon", "spd"):
        text = text.replace(f"path: {path}", f"path: 'trip[].{path}'")
    fixes, refusals = read(tmp_path / "trips.json", load_mapping(text))
    assert (len(fixes), refusals) == (18, [])


def test_a_text_sequence_has_a_separator_before_each_object(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text("".join(f"\x1e{json.dumps(one)}\n" for one in DOCUMENTS))
    fixes, refusals = read(tmp_path / "a.geojson")
    assert (len(fixes), refusals) == (9, [])


def test_a_broken_line_is_not_taken_for_objects_behind_each_other(tmp_path: Path) -> None:
    lines = [json.dumps(one) for one in DOCUMENTS]
    lines[3] = lines[3][:-1] + ', "x": }{ "y": 1}'
    (tmp_path / "a.ndjson").write_text("\n".join(lines))
    fixes, refusals = read(tmp_path / "a.ndjson")
    assert (len(fixes), [one.origin for one in refusals]) == (8, ["a.ndjson:4"])
