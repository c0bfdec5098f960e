"""Values that have their unit behind the number: it is believed, in every source alike."""

from __future__ import annotations

import json
from pathlib import Path

import bson
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.sources.units import measured
from journeymesh.wiring.journeys import open_source

MAPPING = """
collection: c
fields:
  vehicle: {value: V1}
  fixed_at: {path: t, clock: epoch_s}
  lat: {path: lat}
  lon: {path: lon}
  speed: {path: v, unit: km/h}
  heading: {path: h}
  accuracy: {path: a, unit: m}
"""
ROWS = [
    {"v": "54 km/h", "h": "90°", "a": "5 m"},
    {"v": "15.0m/s", "h": "E", "a": "16.4 ft"},
    {"v": "33,554 mph", "h": " nnw ", "a": "5 metres"},
    {"v": "29.16 kn", "h": "360 deg", "a": "5,0 m"},
    {"v": "54.0", "h": "12", "a": "5"},
    {"v": "5 bananas", "h": "up", "a": "54 km/h"},
]


@pytest.mark.parametrize("kind", ["bson", "ndjson", "parquet", "csv"])
def test_the_unit_in_the_text_is_believed(tmp_path: Path, kind: str) -> None:
    rows = [{"t": 1_714_982_400 + n, "lat": 52.5, "lon": 13.4} | row for n, row in enumerate(ROWS)]
    path = tmp_path / f"c.{kind}"
    match kind:
        case "bson":
            path.write_bytes(b"".join(map(bson.encode, rows)))
        case "ndjson":
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        case "csv":
            lines = [";".join(rows[0]), *(";".join(map(str, row.values())) for row in rows)]
            path.write_text("\n".join(lines) + "\n")
        case _:
            pq.write_table(pa.Table.from_pylist(rows), path)
    (tmp_path / "m.yaml").write_text(MAPPING + ("csv: {decimal: .}\n" if kind == "csv" else ""))
    source = open_source(str(path), tmp_path / "m.yaml")
    (batch,) = source.batches()
    source.close()
    fixes = batch.fixes
    assert fixes.speed_mps is not None
    assert fixes.heading_deg is not None
    assert fixes.accuracy_m is not None
    # 33,554 may be thousands, so that it is no number
    np.testing.assert_allclose(fixes.speed_mps, [15.0, 15.0, np.nan, 15.0, 15.0, np.nan], rtol=1e-3)
    np.testing.assert_allclose(fixes.heading_deg, [90.0, 90.0, 337.5, 360.0, 12.0, np.nan])
    np.testing.assert_allclose(fixes.accuracy_m, [5.0, 5.0, 5.0, 5.0, 5.0, np.nan], rtol=1e-3)
    assert [(one.reason, one.detail.split(":")[0]) for one in batch.refusals] == [
        ("value_unparseable", "v"), ("value_unparseable", "v"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("54 km/h", (54.0, "km/h")),
        ("54KM/H", (54.0, "km/h")),
        ("-1.5 m/s²", (-1.5, "m/s2")),
        (".5g", (0.5, "g")),
        ("54,5 km/h", (54.5, "km/h")),
        ("54,500 km/h", None),
        ("54", None),
        ("km/h", None),
        ("54 km/h or so", None),
        ("5 4 km/h", None),
        ("1e3 m", None),
        ("54 " + "k" * 100, None),
    ],
)
def test_only_a_number_and_a_unit_are_a_measured_value(text: str, found: tuple[float, str] | None) -> None:
    assert measured(text) == found


def test_quoted_decimal_commas_between_commas_are_seen(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text(
        "t,lat,lon,v,h,a\n"
        + "".join(f'{1_714_982_400 + n},"52,5{n:03d}","13,4000","54,0","90,0","5,0"\n' for n in range(5))
    )
    (tmp_path / "m.yaml").write_text(MAPPING)
    source = open_source(str(tmp_path / "c.csv"), tmp_path / "m.yaml")
    (batch,) = source.batches()
    assert [one.reason for one in source.items()] == ["numbers have a decimal comma"]
    source.close()
    assert batch.refusals == []
    np.testing.assert_allclose(batch.fixes.lat_deg, [52.5 + n / 1e4 for n in range(5)])
    assert batch.fixes.speed_mps is not None
    np.testing.assert_allclose(batch.fixes.speed_mps, 15.0)
