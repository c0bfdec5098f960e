"""What a check says of other people's data that a run would read without a word and wrongly, or in part only."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from journeymesh.sources.mapping import load_mapping
from journeymesh.sources.mapping_check import MappingCheck, check_mapping
from journeymesh.wiring.journeys import open_source

START = datetime(2024, 5, 6, 8, tzinfo=UTC)
MAPPING = """
collection: c
fields:
  vehicle: {path: vehicle}
  fixed_at: {path: time, clock: iso8601}
  lat: {path: lat}
  lon: {path: lon}
  heading: {path: heading}
"""


def checked(folder: Path, rows: list[tuple[object, ...]]) -> MappingCheck:
    """What is said of rows of (vehicle, seconds, latitude, longitude, heading)."""
    lines = [
        f"{vehicle},{(START + timedelta(seconds=float(str(at)))).isoformat()},{lat},{lon},{heading}"
        for vehicle, at, lat, lon, heading in rows
    ]
    (folder / "c.csv").write_text("\n".join(["vehicle,time,lat,lon,heading", *lines, ""]))
    (folder / "m.yaml").write_text(MAPPING)
    source = open_source(str(folder / "c.csv"), folder / "m.yaml")
    try:
        return check_mapping(source, load_mapping(folder / "m.yaml").fields)
    finally:
        source.close()


def along(count: int = 60, lat: float = 52.5, lon: float = 13.4) -> list[tuple[float, float, float]]:
    """(seconds, latitude, longitude) of a drive north at 15 m/s."""
    return [(5.0 * at, lat + 75 * at / 111_195, lon) for at in range(count)]


def test_good_rows_are_not_doubted(tmp_path: Path) -> None:
    found = checked(tmp_path, [("V1", at, lat, lon, 0) for at, lat, lon in along()])
    assert (found.usable, found.refused, found.unreadable, found.doubts) == (60, {}, 0, ())


def test_a_value_without_which_fixes_are_used_refuses_none_of_them(tmp_path: Path) -> None:
    found = checked(tmp_path, [("V1", at, lat, lon, "?" if at % 10 else 0) for at, lat, lon in along()])
    assert (found.inputs, found.usable, found.unreadable, found.refused) == (60, 60, 30, {})
    (heading,) = [one for one in found.fields if one.count.name == "heading"]
    assert heading.count.unreadable == 30
    assert heading.first_unreadable is not None


@pytest.mark.parametrize("factor", [math.pi / 180, 1e-3])
def test_positions_in_radians_are_doubted(tmp_path: Path, factor: float) -> None:
    found = checked(tmp_path, [("V1", at, lat * factor, lon * factor, 0) for at, lat, lon in along()])
    assert any("lat and lon look like radians" in doubt for doubt in found.doubts)


def test_a_name_that_is_written_in_several_ways_is_doubted(tmp_path: Path) -> None:
    rows = [(["B-XY 12", "b-xy12"][number % 2], *fix, 0) for number, fix in enumerate(along())]
    (doubt,) = checked(tmp_path, rows).doubts
    assert "'B-XY 12' and 'b-xy12'" in doubt


def test_two_vehicles_under_one_name_are_doubted(tmp_path: Path) -> None:
    here, there = along(), along(lat=48.1, lon=11.5)
    rows = [("0", *fix, 0) for fix in here] + [("0", at + 2, lat, lon, 0) for at, lat, lon in there]
    found = checked(tmp_path, rows)
    assert found.refused["position_spike"] == 60
    assert any("several recorders may share one name" in doubt for doubt in found.doubts)
