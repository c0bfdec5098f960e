"""Rows of named columns become fixes: whole columns at once, and one value at a time only where a column is mixed."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Any, Final

import numpy as np
import pyarrow as pa

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import F64, I8, I32, I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.accuracy import AccuracyField, ValidField, accuracy_of
from journeymesh.sources.blame import paths_of_field
from journeymesh.sources.clock_corrections import corrected
from journeymesh.sources.column_clocks import clock_column, clock_label, first_clocks
from journeymesh.sources.column_values import Column, ColumnOf, Faults, distinct, listed, plain, whole_numbers
from journeymesh.sources.conditions import Where, wanted_at, wanted_rows
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, kind_of, number, switch
from journeymesh.sources.coordinates import Axis, coordinates, wrapped
from journeymesh.sources.coordinates import is_number as is_plain_number
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.mapping import (
    NUMBER_COLUMNS,
    AccelField,
    AngleField,
    ClockField,
    CoordinateField,
    FieldMappings,
    IgnitionField,
    Mapping,
    SpeedField,
    TextField,
)

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
REQUIRED: Final = ("vehicle", "fixed_at", "lat", "lon")


def where_of(mapping: Mapping | None) -> Where:
    """The mapping's conditions; none without a mapping."""
    return _EVERYTHING if mapping is None else mapping.where


def fields_of(mapping: Mapping | None) -> FieldMappings:
    """The fields to read; without a mapping, our own names.

    Raises:
        MappingInvalid: the mapping is for documents with arrays, which rows do not have.
    """
    if mapping is None:
        return OWN_FIELDS
    if mapping.layout != "document":
        raise MappingInvalid(
            f"layout {mapping.layout} is for BSON documents", todo="use layout: document for rows of a file"
        )
    return mapping.fields


def paths_of(fields: FieldMappings, where: Where = _EVERYTHING) -> list[str]:
    """Every path that the fields and the conditions read."""
    paths: list[str] = list(where)
    for mapped in fields.present().values():
        if isinstance(mapped, ClockField):
            paths += [*mapped.all_paths, *([mapped.zone_path] if mapped.zone_path else [])]
        else:
            paths.append(mapped.path)
            if isinstance(mapped, CoordinateField) and mapped.hemisphere_path is not None:
                paths.append(mapped.hemisphere_path)
    return list(dict.fromkeys(paths))


def required_paths(fields: FieldMappings, where: Where = _EVERYTHING) -> list[str]:
    """The paths without which there are no fixes."""
    clock = fields.fixed_at.all_paths
    conditions = [path for path, wanted in wanted_at(where) if None not in wanted]
    return [fields.vehicle.path, *clock, fields.lat.path, fields.lon.path, *conditions]


def to_fixes(
    column: ColumnOf,
    fields: FieldMappings,
    origins: I64,
    tally: FieldTally | None = None,
    where: Where = _EVERYTHING,
    *,
    untyped: bool = False,
) -> tuple[Fixes, Faults]:
    """The rows that can be read as fixes, and the faults of the others by row number from 0.

    Rows that the conditions leave to somebody else are neither; ``Faults.others`` counts them. ``untyped``: the input
    has nothing but texts, as CSV.
    """
    ours = wanted_rows(column, where, len(origins), untyped=untyped)
    if ours is None:
        return _to_fixes(column, fields, origins, tally, untyped)
    at = np.flatnonzero(ours)
    rows = pa.array(at)

    def ours_of(path: str) -> Column | None:
        values = column(path)
        return (
            [values[row] for row in at] if isinstance(values, list) else None if values is None else values.take(rows)
        )

    fixes, faults = _to_fixes(ours_of, fields, origins[ours], tally, untyped)
    faults.reasons = {int(at[row]): fault for row, fault in faults.reasons.items()}
    faults.others = len(origins) - len(at)
    return fixes, faults


def _to_fixes(
    column: ColumnOf, fields: FieldMappings, origins: I64, tally: FieldTally | None, untyped: bool
) -> tuple[Fixes, Faults]:
    faults = Faults(every=None if tally is None else [])
    rows = len(origins)
    vehicles, codes = _vehicles(column(fields.vehicle.path), fields.vehicle, rows, faults, untyped)
    columns: dict[str, Any] = {"vehicle": codes, "origin": origins}
    fixed_at = clock_column(column, fields.fixed_at, rows, faults, "fixed_at")
    columns["fixed_at_us"] = corrected(fixed_at, vehicles, codes, fields.fixed_at)
    for row in np.flatnonzero(columns["fixed_at_us"] == NOT_REPORTED_US).tolist():
        faults.add(row, Reason.CLOCK_MISSING, f"{clock_label(fields.fixed_at)}: missing")
    if fields.received_at is not None and any(column(path) is not None for path in fields.received_at.all_paths):
        columns["received_at_us"] = clock_column(column, fields.received_at, rows, faults, "received_at")
    for name, target in NUMBER_COLUMNS.items():
        mapped = getattr(fields, name)
        values = None if mapped is None else column(mapped.path)
        if values is None:
            if name in REQUIRED:
                columns[target] = np.full(rows, np.nan)
            continue
        if isinstance(mapped, CoordinateField):
            axis: Axis = "lat" if name == "lat" else "lon"
            columns[target] = _coordinates(values, column, mapped, axis, faults)
            continue
        read = _numbers(values, mapped, Reason.VALUE_UNPARSEABLE, faults)
        columns[target] = read if mapped.to_si == 1.0 else read * mapped.to_si
    if fields.ignition is not None and (values := column(fields.ignition.path)) is not None:
        columns["ignition"] = _ignition(values, fields.ignition, faults)
    hdop = None if fields.hdop is None else column(fields.hdop.path)
    valid = None if fields.valid is None else column(fields.valid.path)
    columns["accuracy_m"] = accuracy_of(
        columns.get("accuracy_m"),
        None
        if hdop is None or fields.hdop is None
        else fields.hdop.to_si * _numbers(hdop, fields.hdop, Reason.VALUE_UNPARSEABLE, faults),
        None if valid is None or fields.valid is None else _ignition(valid, fields.valid, faults),
    )
    fixes = Fixes(vehicles, **columns)
    if tally is not None:
        tally.add(fixes, faults.every or (), _kinds(column, fields))
        for name, clock in (("fixed_at", fields.fixed_at), ("received_at", fields.received_at)):
            if clock is not None and (wanted := tally.wants(name)):
                tally.sample(name, first_clocks(column, clock, wanted))
    if faults.reasons:
        faults.met = fixes
        kept = np.ones(rows, np.bool_)
        kept[[row for row, (reason, _) in faults.reasons.items() if reason not in USED_WITHOUT]] = False
        fixes = fixes.take(kept)
    return fixes, faults


def _kinds(column: ColumnOf, fields: FieldMappings) -> dict[str, Counter[str]]:
    """The types of each mapped field's column, of the first path where it has several."""
    kinds: dict[str, Counter[str]] = {}
    for name, part in fields.present().items():
        for path in paths_of_field(part)[:1]:
            values = column(path)
            if isinstance(values, list):
                kinds[name] = Counter(kind_of(value) for value in values if value is not None)
            elif values is not None and len(values) > values.null_count:
                kinds[name] = Counter({str(plain(values).type): len(values) - values.null_count})
    return kinds


def _vehicles(
    values: Column | None, mapped: TextField, rows: int, faults: Faults, untyped: bool
) -> tuple[tuple[str, ...], I32]:
    if values is None:
        values = pa.nulls(rows, pa.string())
    path, markers = mapped.path, Markers.of(mapped.missing)
    present, codes = distinct(values)
    known: dict[str, int] = {}
    recode = np.full(len(present) + 1, -1, np.int32)
    bad: dict[int, str] = {}
    for code, value in enumerate(present):
        if markers and markers.has(value):
            continue
        try:
            name = value if not untyped and type(value) is str and value.strip() else identifier(value, untyped=untyped)
        except Unconvertible as error:
            bad[code] = f"{path}: {error}"
        else:
            recode[code] = -1 if name is None else known.setdefault(name, len(known))
    named = recode[codes]
    for row in np.flatnonzero(named < 0).tolist():
        faults.add(row, Reason.VEHICLE_MISSING, bad.get(int(codes[row]), f"{path}: missing"))
    return tuple(known), named


def _coordinates(values: Column, column: ColumnOf, field: CoordinateField, axis: Axis, faults: Faults) -> F64:
    """float64[rows] in degrees, NaN where missing."""
    if is_plain_number(field):
        read = _numbers(values, field, Reason.POSITION_UNPARSEABLE, faults)
        return wrapped(read if field.to_si == 1.0 else read * field.to_si, field)
    letters = None
    if field.hemisphere_path is not None and (named := column(field.hemisphere_path)) is not None:
        letters = distinct(named)
    read, bad = coordinates(*distinct(values), field, axis, letters)
    for row, detail in bad.items():
        faults.add(row, Reason.POSITION_UNPARSEABLE, detail)
    return read * field.to_si


def _numbers(values: Column, mapped: Any, reason: Reason, faults: Faults) -> F64:
    """float64[rows] as they stand, NaN where missing; ``mapped`` has a ``path`` and ``missing`` markers."""
    markers = Markers.of(mapped.missing)
    read: F64 | None = None
    if isinstance(values, pa.Array):
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            read = whole_numbers(values, markers)
    if read is None:
        read = np.full(len(values), np.nan)
        for row, value in enumerate(listed(values)):
            try:
                read[row] = np.nan if markers and markers.has(value) else number(value)
            except Unconvertible as error:
                faults.add(row, reason, f"{mapped.path}: {error}")
    if not markers.numbers:
        return read
    return np.where(markers.among(read), np.nan, read)


def _ignition(values: Column, mapped: IgnitionField | ValidField, faults: Faults) -> I8:
    """int8[rows]: 1 on, 0 off, -1 not reported."""
    present, codes = distinct(values)
    states, markers = np.full(len(present) + 1, -1, np.int8), Markers.of(mapped.missing)
    bad: dict[int, str] = {}
    for code, value in enumerate(present):
        if markers.has(value):
            continue
        try:
            states[code] = switch(value, mapped.on, mapped.off)
        except Unconvertible as error:
            bad[code] = f"{mapped.path}: {error}"
    if bad:
        for row in np.flatnonzero(np.isin(codes, list(bad))).tolist():
            faults.add(row, Reason.VALUE_UNPARSEABLE, bad[int(codes[row])])
    return states[codes]
