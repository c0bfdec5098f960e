"""Fleets as files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import UsageError
from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FaultRates, FleetSpec
from journeymesh.fleets.writers import write_fleet
from journeymesh.journeys.fixes import FIX_SCHEMA, Fixes

SPEC = FleetSpec(vehicles=3, days=3, faults=FaultRates(clock_unparseable=1e-3, positions_missing=1e-3, late_runs=1e-3))


def documents(path: Path) -> list[dict[str, Any]]:
    return bson.decode_all(path.read_bytes())


def test_a_mongodump_has_one_document_per_fix_with_the_fix_in_it(tmp_path: Path) -> None:
    written = write_fleet(SPEC, tmp_path / "dump")
    fixes = generate(SPEC).whole().fixes
    found = documents(tmp_path / "dump/telematics/blackbox.bson")
    assert len(found) == len(fixes) == written.counts["fixes"]
    assert len({document["_id"] for document in found}) == len(found)
    whole = [k for k, d in enumerate(found) if d["loc"] is not None]
    assert [found[k]["loc"]["coordinates"][1] for k in whole] == fixes.lat_deg[whole].tolist()
    assert [d["deviceId"] for d in found] == [fixes.vehicles[code] for code in fixes.vehicle]
    speed = np.array([d["speedMph"] for d in found]) * 0.44704
    assert np.abs(speed - fixes.speed_mps).max() < 1e-4
    truth = Counter(pq.read_table(written.truth / "faults.parquet")["fault"].to_pylist())
    assert sum(isinstance(d["ts"], str) for d in found) == truth["clock_unparseable"] > 0
    assert sum(d["loc"] is None for d in found) == truth["position_missing"] > 0
    assert len(documents(tmp_path / "dump/telematics/policies.bson")) == written.counts["policies"]


def test_parquet_reads_back_as_fixes_without_clocks_it_cannot_hold(tmp_path: Path) -> None:
    written = write_fleet(SPEC, tmp_path, format="parquet")
    table = pq.read_table(written.source)
    assert set(table.column_names) < set(FIX_SCHEMA.names)
    expected = generate(SPEC).whole().readable().fixes
    assert np.array_equal(Fixes.from_arrow(table).fixed_at_us, expected.fixed_at_us)
    assert "clock_unparseable" not in pq.read_table(written.truth / "faults.parquet")["reason"].to_pylist()
    assert written.policies is not None
    assert len(json.loads(written.policies.read_text())) == written.counts["policies"]


def test_parquet_requires_what_is_always_reported_and_packs_the_rest_small(tmp_path: Path) -> None:
    with pq.ParquetFile(write_fleet(SPEC, tmp_path, format="parquet").source) as file:
        assert {field.name for field in file.schema_arrow if field.nullable} == {"lat_deg", "lon_deg"}
        group = file.metadata.row_group(0)
        encodings = {group.column(k).path_in_schema: group.column(k).encodings for k in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in encodings["fixed_at"]
    assert "BYTE_STREAM_SPLIT" in encodings["lat_deg"]
    assert "RLE_DICTIONARY" in encodings["speed_mps"]


def test_csv_says_the_same_and_keeps_unreadable_clocks_as_text(tmp_path: Path) -> None:
    written = write_fleet(SPEC, tmp_path, format="csv")
    options = pacsv.ConvertOptions(column_types={"fixed_at": pa.string()})
    table = pacsv.read_csv(written.source, convert_options=options)
    assert table.num_rows == written.counts["fixes"]
    assert "0000-00-00T24:61:61Z" in table["fixed_at"].to_pylist()


@pytest.mark.parametrize("order", ["arrival", "shuffled"])
def test_another_order_holds_the_same_fixes(tmp_path: Path, order: str) -> None:
    tables = [
        pq.read_table(write_fleet(SPEC, tmp_path / o, format="parquet", order=o).source)  # type: ignore[arg-type]
        for o in ("clustered", order)
    ]
    keys = [("vehicle", "ascending"), ("received_at", "ascending"), ("lat_deg", "ascending")]
    clustered, other = (t.set_column(0, "vehicle", t["vehicle"].cast(pa.string())) for t in tables)
    assert not clustered.equals(other)
    assert clustered.sort_by(keys).equals(other.sort_by(keys))
    if order == "arrival":
        received = other["received_at"].cast(pa.int64()).to_numpy()
        assert np.all(np.diff(received) >= 0)


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mongodump, parquet, csv"):
        write_fleet(SPEC, tmp_path, format="xml")  # type: ignore[arg-type]
