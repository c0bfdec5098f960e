import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.support.text_inputs import MAPPING

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.mapping import load_mapping
from journeymesh.wiring import open_source

KINDS = ["csv", "ndjson", "parquet"]
ROW = {"ts": "2024-05-06T08:00:00Z", "lat": 52.5, "lon": 5.25, "spd": 15.0}
BAD = ROW | {"ts": "soon"}


def write(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(list(rows)), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(place: Path, vehicle: str) -> tuple[list[str], list[Refusal]]:
    mapping = place.parent / "mapping.yaml"
    mapping.write_text(MAPPING.replace("vehicle: {path: dev}", f"vehicle: {vehicle}"))
    batches = list(open_source(str(place), mapping).batches())
    fixes = Fixes.concat([batch.fixes for batch in batches if len(batch.fixes)])
    return [fixes.vehicles[code] for code in fixes.vehicle], [one for batch in batches for one in batch.refusals]


@pytest.mark.parametrize("kind", KINDS)
def test_the_vehicle_may_be_a_constant(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in" / f"f.{kind}", ROW, BAD)
    vehicles, refusals = read(tmp_path / "in", "{value: van}")
    assert vehicles == ["van"]
    assert [(one.reason, one.vehicle) for one in refusals] == [("clock_unparseable", "van")]


@pytest.mark.parametrize("kind", KINDS)
def test_the_vehicle_may_stand_in_the_files_path(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in" / "a" / f"V1_1.{kind}", ROW)
    write(tmp_path / "in" / "b" / f"V2_1.{kind}", ROW)
    assert read(tmp_path / "in", '{file: "/([^/_]+)_[0-9]+[.]"}')[0] == ["V1", "V2"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_vehicle_may_be_a_partition(tmp_path: Path, kind: str) -> None:
    write(tmp_path / "in" / "dev=V%201" / f"f.{kind}", ROW)
    write(tmp_path / "in" / "dev=V2" / f"f.{kind}", ROW)
    assert read(tmp_path / "in", "{path: dev}")[0] == ["V 1", "V2"]


def test_a_path_that_does_not_match_is_named(tmp_path: Path) -> None:
    write(tmp_path / "in" / "f.csv", ROW)
    with pytest.raises(MappingInvalid, match=r"f\.csv: its path does not match"):
        read(tmp_path / "in", '{file: "car-([0-9]+)"}')


@pytest.mark.parametrize("vehicle", ["{}", "{path: a, value: b}", '{file: "("}', '{value: " "}'])
def test_a_vehicle_of_which_it_is_not_clear_where_it_stands_is_refused(vehicle: str) -> None:
    with pytest.raises(MappingInvalid, match=r"fields\.vehicle"):
        load_mapping(MAPPING.replace("vehicle: {path: dev}", f"vehicle: {vehicle}"))


def test_arrays_of_fixes_are_read_from_parquet(tmp_path: Path) -> None:
    point = {"t": 1_714_982_400, "lat": 52.5, "lon": 5.25}
    write(
        tmp_path / "trips.parquet",
        {"car": "V1", "points": [point, point | {"t": None}]},
        {"car": "V2", "points": [point]},
    )
    (tmp_path / "m.yaml").write_text(
        "version: 1\ncollection: trips\nlayout: embedded\nfields:\n  vehicle: {path: car}\n"
        '  fixed_at: {path: "points[].t", clock: epoch_s}\n  lat: {path: "points[].lat"}\n'
        '  lon: {path: "points[].lon"}\n'
    )
    batches = list(open_source(str(tmp_path / "trips.parquet"), tmp_path / "m.yaml").batches())
    assert [len(batch.fixes) for batch in batches] == [2]
    assert [one.origin for batch in batches for one in batch.refusals] == ["trips.parquet:1[1]"]
