from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import INSTANT
from journeymesh.sources.columnar import ParquetSource
from journeymesh.sources.mapping import load_mapping

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
NOON_US = 1_748_779_200_000_000
KNOTS = """
version: 1
collection: fixes
fields:
  vehicle: {path: unit}
  fixed_at: {path: t, clock: epoch_s}
  lat: {path: place.lat}
  lon: {path: place.lon}
  speed: {path: v, unit: knots}
"""


def write(path: Path, **columns: list[object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def ours(path: Path, vehicle: str | None = "V1", rows: int = 2) -> Path:
    return write(path, vehicle=[vehicle] * rows, fixed_at=[NOON] * rows, lat_deg=[50.0] * rows, lon_deg=[4.0] * rows)


def read(source: ParquetSource) -> Fixes:
    return Fixes.concat([batch.fixes for batch in source.batches()])


def test_our_own_column_names_are_read_without_a_mapping(tmp_path: Path) -> None:
    source = ParquetSource(str(ours(tmp_path / "fixes.parquet")))
    fixes = read(source)
    assert fixes.vehicles == ("V1",)
    assert fixes.fixed_at_us.tolist() == [NOON_US, NOON_US]
    assert fixes.speed_mps is None
    assert source.size().fixes == 2


def test_an_origin_names_the_file_and_the_row_from_one(tmp_path: Path) -> None:
    ours(tmp_path / "a.parquet", rows=3)
    ours(tmp_path / "b.parquet", rows=2)
    source = ParquetSource(str(tmp_path))
    origin = read(source).origins
    assert origin is not None
    assert source.describe(origin) == ["a.parquet:1", "a.parquet:2", "a.parquet:3", "b.parquet:1", "b.parquet:2"]


@pytest.mark.parametrize("vehicles", [3, 2_000])
def test_a_dictionary_with_names_that_no_row_has_is_read_as_it_is(tmp_path: Path, vehicles: int) -> None:
    names = [f"V{k}" for k in range(vehicles)]
    codes = [vehicles - 1] * 2 + [1] * 3
    held = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(names))
    columns = {"fixed_at": pa.array([0] * 5, INSTANT), "lat_deg": [50.0] * 5, "lon_deg": [4.0] * 5}
    pq.write_table(pa.table({"vehicle": held, **columns}), tmp_path / "f.parquet")
    fixes = read(ParquetSource(str(tmp_path)))
    assert [fixes.vehicles[code] for code in fixes.vehicle] == [names[code] for code in codes]


def test_a_glob_takes_only_its_files(tmp_path: Path) -> None:
    ours(tmp_path / "day1.parquet")
    ours(tmp_path / "other.parquet")
    assert len(read(ParquetSource(str(tmp_path / "day*.parquet")))) == 2


def test_a_mapping_converts_units_clocks_and_nested_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.parquet", unit=[7], t=[NOON_US / 1e6], place=[{"lat": 50.0, "lon": 4.0}], v=[10.0], unused=["x"]
    )
    fixes = read(ParquetSource(str(path), load_mapping(KNOTS)))
    assert fixes.vehicles == ("7",)
    assert fixes.fixed_at_us.tolist() == [NOON_US]
    assert fixes.lat_deg.tolist() == [50.0]
    assert fixes.speed_mps is not None
    assert fixes.speed_mps[0] == pytest.approx(5.14444, abs=1e-4)


def test_rows_without_vehicle_or_clock_are_refused_and_the_others_read(tmp_path: Path) -> None:
    path = write(
        tmp_path / "f.parquet",
        vehicle=["V1", None, "V2"],
        fixed_at=[None, NOON, NOON],
        lat_deg=[1.0, 1.0, None],
        lon_deg=[2.0, 2.0, 2.0],
    )
    (batch,) = ParquetSource(str(path)).batches()
    assert [(refusal.reason, refusal.origin) for refusal in batch.refusals] == [
        ("clock_missing", "f.parquet:1"),
        ("vehicle_missing", "f.parquet:2"),
    ]
    assert batch.refusals[1].content is not None
    assert '"lon_deg":2.0' in batch.refusals[1].content
    assert len(batch.fixes) == 1
    assert np.isnan(batch.fixes.lat_deg[0])


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"no parquet")
    with pytest.raises(SourceUnreadable, match=r"f\.parquet"):
        ParquetSource(str(tmp_path / "f.parquet"))


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", car=["V1"])
    with pytest.raises(MappingInvalid, match=r"'vehicle'.*car"):
        ParquetSource(str(path))


def test_a_folder_without_parquet_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        ParquetSource(str(tmp_path))


@pytest.mark.parametrize("first", [0, 3])
def test_missing_positions_are_nan_where_they_are_filled_in_place(first: int) -> None:
    given = [None if k % 7 == 3 or k == 20 else float(k) for k in range(21)]
    held = pa.array(given, pa.float64()).slice(first)
    mutable = pa.allocate_buffer(8 * len(given))
    np.frombuffer(mutable, np.float64)[:] = [0.0 if value is None else value for value in given]
    ours = pa.Array.from_buffers(pa.float64(), len(held), [held.buffers()[0], mutable], offset=first)
    rows = {"vehicle": pa.array(["V"] * len(held)).dictionary_encode(), "fixed_at": pa.array([0] * len(held), INSTANT)}
    batch = pa.record_batch({**rows, "lat_deg": ours, "lon_deg": ours})
    read = Fixes.from_arrow(batch, is_ours=True)
    wanted = [np.nan if value is None else value for value in given[first:]]
    assert np.array_equal(read.lat_deg, wanted, equal_nan=True)
    assert np.shares_memory(read.lat_deg, np.frombuffer(mutable, np.float64))
