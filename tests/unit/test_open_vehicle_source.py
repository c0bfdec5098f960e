"""Which locations can be asked by vehicle."""

from __future__ import annotations

import pytest

from journeymesh.errors import MappingInvalid, SourceUnreadable, UsageError
from journeymesh.wiring import open_vehicle_source

MAPPING = """
collection: boxes
fields:
  vehicle: {path: device}
  fixed_at: {path: t, clock: bson_date}
  lat: {path: lat}
  lon: {path: lon}
"""


@pytest.mark.parametrize("location", ["dump/boxes.bson", "fixes.parquet", "postgresql://me:s3cret@host/fleet"])
def test_only_a_live_mongodb_can_be_asked_by_vehicle(location):
    with pytest.raises(UsageError, match="cannot be queried by vehicle and followed") as caught:
        open_vehicle_source(location, "mapping.yaml")
    assert "s3cret" not in str(caught.value)


def test_a_mapping_is_needed():
    with pytest.raises(UsageError, match=r"mongodb://me:\*\*\*@host/fleet needs a mapping"):
        open_vehicle_source("mongodb://me:s3cret@host/fleet")
    with pytest.raises(MappingInvalid, match="does not exist"):
        open_vehicle_source("mongodb://host/fleet", "nowhere.yaml")


def test_a_mongodb_is_opened_with_its_mapping(tmp_path):
    mapping = tmp_path / "boxes.yaml"
    mapping.write_text(MAPPING, "utf-8")
    with pytest.raises(SourceUnreadable, match=r"mongodb://127.0.0.1:1/fleet") as caught:
        open_vehicle_source("mongodb://me:s3cret@127.0.0.1:1/fleet?serverSelectionTimeoutMS=100", mapping)
    assert "s3cret" not in str(caught.value)
