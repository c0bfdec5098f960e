"""What recorders say of their own position: read the same from documents and from rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bson
import numpy as np
import pytest

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.column_values import as_array
from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_inverse import MappingInverse
from journeymesh.sources.row_reading import RowReading

BARE = """
collection: boxes
fields:
  vehicle: {path: vehicle}
  fixed_at: {path: t, clock: epoch_s}
  lat: {path: lat}
  lon: {path: lon}
"""
INF, NAN = float("inf"), float("nan")


def rows_of(fields: str, values: list[dict[str, Any]]) -> tuple[Fixes, Fixes]:
    """The same rows by way of documents and by way of columns."""
    mapping = load_mapping(BARE + fields)
    rows = [{"vehicle": "V1", "t": 1_700_000_000 + k, "lat": 51.5, "lon": -0.1, **row} for k, row in enumerate(values)]
    (part,) = BsonReader(mapping).parts(np.frombuffer(b"".join(map(bson.encode, rows)), np.uint8))
    assert part.refusals == []
    columns = {name: as_array([row.get(name) for row in rows]) for name in {key for row in rows for key in row}}
    fixes, faults = RowReading(mapping.fields).fixes(columns.get, np.arange(len(rows)))
    assert not faults.reasons
    return part.fixes, fixes


@pytest.mark.parametrize(
    ("fields", "values", "expected"),
    [
        ("  accuracy: {path: acc}\n", [{"acc": 5.0}, {"acc": 2400.0}, {}], [5.0, 2400.0, NAN]),
        ("  accuracy: {path: acc, unit: ft}\n", [{"acc": 100.0}, {"acc": 10.0}], [30.48, 3.048]),
        ("  hdop: {path: dop}\n", [{"dop": 0.8}, {"dop": 99.5}], [4.0, 497.5]),
        ("  hdop: {path: dop, error_m: 3}\n", [{"dop": 2.0}, {"dop": 1.5}], [6.0, 4.5]),
        ("  valid: {path: ok}\n", [{"ok": True}, {"ok": False}, {}], [NAN, INF, NAN]),
        ('  valid: {path: q, valid: ["1", "2"], invalid: ["0"]}\n', [{"q": "2"}, {"q": "0"}], [NAN, INF]),
        (
            "  accuracy: {path: acc}\n  hdop: {path: dop}\n  valid: {path: ok}\n",
            [{"acc": 7.0, "dop": 9.0, "ok": "A"}, {"dop": 2.0, "ok": "A"}, {"acc": 7.0, "dop": 1.0, "ok": "V"}],
            [7.0, 10.0, INF],
        ),
    ],
)
def test_documents_and_rows_say_the_same_of_a_position(
    fields: str, values: list[dict[str, Any]], expected: list[float]
) -> None:
    for fixes in rows_of(fields, values):
        assert fixes.accuracy_m is not None
        np.testing.assert_allclose(fixes.accuracy_m, expected, rtol=1e-12)


def test_without_any_of_the_fields_there_is_no_accuracy() -> None:
    for fixes in rows_of("", [{"acc": 5.0}, {"acc": 6.0}]):
        assert fixes.accuracy_m is None


@pytest.mark.parametrize(
    ("fields", "metres"),
    [
        ("  accuracy: {path: acc, unit: ft}\n", [5.0, 2400.0, NAN]),
        ("  hdop: {path: dop}\n", [5.0, 497.5, NAN]),
        ("  valid: {path: ok}\n", [NAN, INF, NAN]),
        ("  valid: {path: ok}\n", [5.0, INF, NAN]),
        ("  accuracy: {path: acc}\n  valid: {path: ok}\n", [5.0, INF, NAN]),
    ],
)
def test_it_can_be_written_back_as_far_as_the_mapping_has_a_place_for_it(fields: str, metres: list[float]) -> None:
    mapping = load_mapping(BARE + fields)
    at = np.arange(3, dtype=np.int64) * 1_000_000 + 1_700_000_000_000_000
    fixes = Fixes(("V1",), np.zeros(3, np.int32), at, np.full(3, 51.5), np.full(3, -0.1), accuracy_m=np.array(metres))
    documents = MappingInverse(mapping).documents(fixes)
    (part,) = BsonReader(mapping).parts(np.frombuffer(b"".join(map(bson.encode, documents)), np.uint8))
    assert part.fixes.accuracy_m is not None
    held = "acc" in fields or "dop" in fields
    expected = metres if held else [INF if np.isinf(value) else NAN for value in metres]
    np.testing.assert_allclose(part.fixes.accuracy_m, expected, rtol=1e-12)


def test_a_file_of_our_own_columns_needs_no_mapping_for_it(tmp_path: Path) -> None:
    from journeymesh.sources.text import TextSource

    path = tmp_path / "fixes.csv"
    path.write_text(
        "vehicle,fixed_at,lat_deg,lon_deg,accuracy_m\n"
        "V1,2024-05-01T10:00:00Z,51.5,-0.1,4.5\nV1,2024-05-01T10:00:01Z,51.5,-0.1,\n"
    )
    (batch,) = TextSource(str(path)).batches()
    assert batch.fixes.accuracy_m is not None
    assert batch.fixes.accuracy_m[0] == 4.5
    assert np.isnan(batch.fixes.accuracy_m[1])
