"""The columns that the mapped fields are read from, and the fields of a file without a mapping."""

from __future__ import annotations

from typing import Final

from journeymesh.sources.accuracy import AccuracyField
from journeymesh.sources.conditions import Where, wanted_at
from journeymesh.sources.mapping import (
    AccelField,
    AngleField,
    ClockField,
    CoordinateField,
    FieldMappings,
    IgnitionField,
    SpeedField,
    TextField,
)
from journeymesh.sources.mapping_model import paths_in

OWN_FIELDS: Final = FieldMappings(
    vehicle=TextField(path="vehicle"),
    fixed_at=ClockField(path="fixed_at", clock="iso8601"),
    lat=CoordinateField(path="lat_deg"),
    lon=CoordinateField(path="lon_deg"),
    received_at=ClockField(path="received_at", clock="iso8601"),
    speed=SpeedField(path="speed_mps", unit="m/s"),
    heading=AngleField(path="heading_deg"),
    accel_longitudinal=AccelField(path="accel_longitudinal_mps2", unit="m/s2"),
    accel_lateral=AccelField(path="accel_lateral_mps2", unit="m/s2"),
    speed_limit=SpeedField(path="speed_limit_mps", unit="m/s"),
    ignition=IgnitionField(path="ignition"),
    accuracy=AccuracyField(path="accuracy_m"),
)
"""What a file without a mapping is read as: ``FIX_SCHEMA``'s names and units."""

_EVERYTHING: Final[Where] = {}


def paths_of(fields: FieldMappings, where: Where = _EVERYTHING) -> list[str]:
    """Every path that the fields and the conditions read."""
    return list(dict.fromkeys([*where, *(path for _, path in paths_in(fields))]))


def required_paths(fields: FieldMappings, where: Where = _EVERYTHING) -> list[str]:
    """The paths without which there are no fixes."""
    clock, base = fields.fixed_at, fields.fixed_at.base
    conditions = [path for path, wanted in wanted_at(where) if None not in wanted]
    clocks = [*clock.all_paths, *(() if base is None else base.all_paths)]
    clocks += [] if clock.interval_path is None else [clock.interval_path]
    return [fields.vehicle.path, *clocks, fields.lat.path, fields.lon.path, *conditions]
