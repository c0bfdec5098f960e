from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from journeymesh.errors import MappingInvalid, SourceMissing, SourceUnreadable
from journeymesh.journeys.fields import INSTANT
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.sources import columnar
from journeymesh.sources.columnar import ParquetSource
from journeymesh.sources.mapping import load_mapping

SAME_NAMES = """
version: 1
collection: fixes
fields:
  vehicle: {path: vehicle}
  fixed_at: {path: fixed_at, clock: iso8601}
  lat: {path: lat_deg}
  lon: {path: lon_deg}
"""
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


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "int96"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_instants_of_every_unit_are_read_without_a_mapping(tmp_path: Path, unit: str, zone: str | None) -> None:
    """What is finer than a microsecond is cut off; in place or not, of a slice of a column, missing and before 1970."""
    per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "int96": 10**9}[unit]
    whole_s = [1_714_980_000, 1_714_980_001, 1_714_980_002]
    finer = {"ns": 999, "int96": 999}.get(unit, 0)
    kind = pa.timestamp("ns" if unit == "int96" else unit, tz=zone)
    fixed = pa.array([at * per_s + finer for at in whole_s], pa.int64()).cast(kind)
    for received in ([whole_s[0] * per_s + finer, None, whole_s[2] * per_s], [-per_s, per_s + finer, 0]):
        table = pa.table(
            {
                "vehicle": ["a", "a", "b"],
                "fixed_at": fixed,
                "received_at": pa.array(received, pa.int64()).cast(kind),
                "lat_deg": [52.0, 52.1, 52.2],
                "lon_deg": [5.0, 5.1, 5.2],
            }
        )
        pq.write_table(table, tmp_path / "f.parquet", use_deprecated_int96_timestamps=unit == "int96")
        fixes = read(ParquetSource(str(tmp_path / "f.parquet")))
        assert fixes.fixed_at_us.tolist() == [at * 10**6 for at in whole_s]
        wanted = [NOT_REPORTED_US if at is None else (at - at % per_s) // per_s * 10**6 for at in received]
        assert fixes.received_at_us is not None
        assert fixes.received_at_us.tolist() == wanted
        again = Fixes.from_arrow(table.slice(1))  # nobody else's memory is written to
        assert again.fixed_at_us.tolist() == fixes.fixed_at_us.tolist()[1:]
        assert table["fixed_at"].combine_chunks().cast(pa.int64()).to_pylist() == [at * per_s + finer for at in whole_s]


@pytest.mark.parametrize("mapped", [False, True])
def test_small_row_groups_are_read_together_and_give_the_same(tmp_path: Path, mapped: bool, monkeypatch: Any) -> None:
    """Whatever the size of row groups, the fixes, their origins and what is refused are the same."""
    monkeypatch.setattr(columnar, "BATCH_ROWS", 64)
    rows = 300
    table = pa.table(
        {
            "vehicle": [None if row == 7 else f"V{row // 9 % 11}" for row in range(rows)],
            "fixed_at": [NOON + timedelta(seconds=row) for row in range(rows)],
            "lat_deg": [None if row % 50 == 3 else 52.0 + row * 1e-4 for row in range(rows)],
            "lon_deg": [5.0] * rows,
        }
    )
    mapping = load_mapping(SAME_NAMES) if mapped else None
    found = []
    for size in (300, 33, 32, 20, 1):
        pq.write_table(table, tmp_path / "f.parquet", row_group_size=size)
        batches = list(ParquetSource(str(tmp_path / "f.parquet"), mapping).batches())
        fixes = [
            (batch.fixes.vehicles[code], at, repr(lat), origin)
            for batch in batches
            for code, at, lat, origin in zip(
                batch.fixes.vehicle,
                batch.fixes.fixed_at_us.tolist(),
                batch.fixes.lat_deg.tolist(),
                batch.fixes.origin if batch.fixes.origin is not None else [],
                strict=True,
            )
        ]
        refused = [refusal for batch in batches for refusal in batch.refusals]
        found.append((fixes, refused))
        assert size > 32 or len(batches) <= 6
    assert len(found[0][0]) + len(found[0][1]) == rows
    assert all(one == found[0] for one in found)


PLACES = {
    "list": (pa.list_(pa.float64()), [[4.0, 50.0], [4.5, 50.5], [4.7], [], None]),
    "large list": (pa.large_list(pa.float32()), [[4.0, 50.0], [4.5, 50.5], [4.75], [], None]),
    "list of fixed size": (pa.list_(pa.float64(), 2), [[4.0, 50.0], [4.5, 50.5], [4.7, None], None, None]),
    "texts": (pa.list_(pa.string()), [["4.0", "50.0"], ["4.5", "50.5"], ["4.7"], [], None]),
    "map": (pa.map_(pa.string(), pa.float64()), [[("0", 4.0), ("1", 50.0)], [("1", 50.5), ("0", 4.5)], [], None, None]),
}


@pytest.mark.parametrize("is_within", [False, True])
@pytest.mark.parametrize("kind", PLACES)
def test_a_place_in_a_list_and_a_key_of_a_map_are_steps_of_a_path(kind: str, is_within: bool, tmp_path: Path) -> None:
    held, values = PLACES[kind]
    column = pa.array(values, held)
    if is_within:
        types = pa.array(["Point"] * len(values))
        column = pa.StructArray.from_arrays([types, column], ["type", "coordinates"])
    path = "loc.coordinates" if is_within else "loc"
    mapping = KNOTS.replace("place.lat", f"{path}.1").replace("place.lon", f"{path}.0")
    write(tmp_path / "f.parquet", unit=["V1"] * 5, t=list(range(1_748_779_200, 1_748_779_205)), v=[1.0] * 5, loc=column)
    (batch,) = ParquetSource(str(tmp_path / "f.parquet"), load_mapping(mapping)).batches()
    found = dict(zip(batch.fixes.lon_deg.tolist(), batch.fixes.lat_deg.tolist(), strict=True))
    assert (found[4.0], found[4.5]) == (50.0, 50.5)
    assert np.isfinite(batch.fixes.lat_deg).tolist() == [True, True, False, False, False]
    assert batch.refusals == []


def test_a_list_that_a_mapping_names_no_place_of_is_no_column_of_a_struct(tmp_path: Path) -> None:
    write(tmp_path / "f.parquet", unit=["V1"], t=[1_748_779_200], v=[1.0], place=[[4.0, 50.0]])
    with pytest.raises(MappingInvalid, match=r"there is no column 'place\.lat'"):
        ParquetSource(str(tmp_path / "f.parquet"), load_mapping(KNOTS))
