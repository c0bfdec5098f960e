"""The fields of fixes out of the values at the mapped paths, whatever the source keeps those in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from journeymesh.journeys.fixes import F64, I8, I32, I64, Fixes
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.accuracy import ValidField, accuracy_of
from journeymesh.sources.blame import paths_of_field
from journeymesh.sources.clock_corrections import corrected
from journeymesh.sources.column_clocks import clock_column, first_clocks
from journeymesh.sources.column_values import Details, Faults, RowValues
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, number, switch
from journeymesh.sources.coordinates import Axis, coordinates, is_number, wrapped
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.mapping import (
    NUMBER_COLUMNS,
    AngleField,
    CoordinateField,
    FieldMappings,
    IgnitionField,
    TextField,
)
from journeymesh.sources.units import compass_point, in_unit_of

_REQUIRED: Final = ("lat", "lon")


def fixes_of(
    values: RowValues,
    fields: FieldMappings,
    origins: I64,
    tally: FieldTally | None = None,
    element: Sequence[int] | I32 | None = None,
    vehicle: str | None = None,
) -> tuple[Fixes, Faults]:
    """The rows that can be used as fixes, and what is wrong with the values of rows, by row from 0.

    ``element`` is each row's number in the array of its document, ``vehicle`` the one of rows that name none.
    """
    faults = Faults(every=None if tally is None else [])
    vehicles: tuple[str, ...]
    if vehicle is not None and not values.has(fields.vehicle.path):
        vehicles, codes = (vehicle,), np.zeros(len(origins), np.int32)
    else:
        vehicles, codes, unnamed = identifiers(values, fields.vehicle)
        faults.add_all(unnamed.items(), Reason.VEHICLE_MISSING)
    fixed_at, unreadable, missing = clock_column(values, fields.fixed_at, element)
    faults.add_all(missing, Reason.CLOCK_MISSING)
    faults.add_all(unreadable.items(), Reason.CLOCK_UNPARSEABLE)
    columns: dict[str, Any] = {
        "vehicle": codes,
        "fixed_at_us": corrected(fixed_at, vehicles, codes, fields.fixed_at),
        "origin": origins,
    }
    there = {
        name: mapped
        for name, mapped in fields.present().items()
        if name in _REQUIRED or any(map(values.has, paths_of_field(mapped)))
    }
    for name, column in NUMBER_COLUMNS.items():
        if isinstance(mapped := there.get(name), CoordinateField):
            columns[column] = _coordinates(values, mapped, "lat" if name == "lat" else "lon", faults)
        elif mapped is not None:
            columns[column] = _numbers(values, mapped, Reason.VALUE_UNPARSEABLE, faults)
    if (clock := there.get("received_at")) is not None:
        columns["received_at_us"], unreadable, _ = clock_column(values, clock, element)
        faults.add_all(unreadable.items(), Reason.VALUE_UNPARSEABLE)
    if (ignition := there.get("ignition")) is not None:
        columns["ignition"] = _switches(values, ignition, faults)
    hdop, valid = there.get("hdop"), there.get("valid")
    columns["accuracy_m"] = accuracy_of(
        columns.get("accuracy_m"),
        None if hdop is None else _numbers(values, hdop, Reason.VALUE_UNPARSEABLE, faults),
        None if valid is None else _switches(values, valid, faults),
    )
    faults.met = fixes = Fixes(vehicles, **columns)
    if tally is not None:
        _count(tally, values, fields, faults)
    if faults.reasons:
        kept = np.ones(len(fixes), np.bool_)
        kept[[row for row, (reason, _) in faults.reasons.items() if reason not in USED_WITHOUT]] = False
        fixes = fixes.take(kept)
    return fixes, faults


def identifiers(values: RowValues, field: TextField) -> tuple[tuple[str, ...], I32, Details]:
    """(the names; int32[n], each row's name, -1 where it has none; why it has none, by row)."""
    markers, untyped = Markers.of(field.missing), values.untyped
    present, codes, faults = values.distinct(field.path)
    known: dict[str, int] = {}
    recode = np.full(len(present) + 1, -1, np.int32)
    bad: Details = {}
    for code, value in enumerate(present):
        if value is None or (markers and markers.has(value)):
            continue
        try:
            name = value if not untyped and type(value) is str and value.strip() else identifier(value, untyped=untyped)
        except Unconvertible as error:
            bad[code] = str(error)
        else:
            recode[code] = -1 if name is None else known.setdefault(name, len(known))
    named = recode[codes]  # -1 reads the last place, which is -1
    for row in np.flatnonzero(named < 0).tolist():
        faults.setdefault(row, f"{field.path}: {bad.get(int(codes[row]), 'missing')}")
    return tuple(known), named, faults


def _coordinates(values: RowValues, field: CoordinateField, axis: Axis, faults: Faults) -> F64:
    """float64[n] in degrees, NaN where missing."""
    if is_number(field):
        return wrapped(_numbers(values, field, Reason.POSITION_UNPARSEABLE, faults), field)
    present, codes, undecodable = values.distinct(field.path)
    letters = None
    if field.hemisphere_path is not None and values.has(field.hemisphere_path):
        letters = values.distinct(field.hemisphere_path)[:2]
    read, bad = coordinates(present, codes, field, axis, letters)
    faults.add_all((bad | undecodable).items(), Reason.POSITION_UNPARSEABLE)
    return read * field.to_si


def _numbers(values: RowValues, field: Any, reason: Reason, faults: Faults) -> F64:
    """float64[n] in SI, NaN where missing; the field has a ``path``, ``to_si`` and ``missing`` markers."""
    markers = Markers.of(field.missing)
    read, unsure = values.numbers(field.path, markers)
    for row in unsure:
        try:
            value = values.value(row, field.path, "a number")
            read[row] = np.nan if markers and markers.has(value) else _number(value, field)
        except Unconvertible as error:
            faults.add(row, reason, f"{field.path}: {error}")
    if markers.numbers:
        read = np.where(markers.among(read), np.nan, read)
    with np.errstate(over="ignore"):  # a number that is too large in SI is infinite, and refused as such
        return read if field.to_si == 1.0 else read * field.to_si


def _number(value: Any, field: Any) -> float:
    """The number in the field's unit: as it is, or by the unit that stands behind it; of a heading, a compass point.

    Raises:
        Unconvertible: it is none.
    """
    try:
        return number(value)
    except Unconvertible:
        found = None
        if isinstance(value, str) and hasattr(field, "unit"):
            found = in_unit_of(field, value)
            if found is None and type(field) is AngleField:
                found = compass_point(value)
        if found is None:
            raise
        return found


def _switches(values: RowValues, field: IgnitionField | ValidField, faults: Faults) -> I8:
    """int8[n]: 1 on, 0 off, -1 not reported."""
    markers = Markers.of(field.missing)
    present, codes, undecodable = values.distinct(field.path)
    faults.add_all(undecodable.items(), Reason.VALUE_UNPARSEABLE)
    states = np.full(len(present) + 1, -1, np.int8)
    bad: Details = {}
    for code, value in enumerate(present):
        if value is None or markers.has(value):
            continue
        try:
            states[code] = switch(value, field.on, field.off)
        except Unconvertible as error:
            bad[code] = f"{field.path}: {error}"
    for row in np.flatnonzero(np.isin(codes, list(bad))).tolist() if bad else ():
        faults.add(row, Reason.VALUE_UNPARSEABLE, bad[int(codes[row])])
    return states[codes]


def _count(tally: FieldTally, values: RowValues, fields: FieldMappings, faults: Faults) -> None:
    """Add all rows, the types of each mapped field (by the first of its paths) and some values of its clocks."""
    assert faults.met is not None
    present = fields.present()
    kinds = {name: values.kinds(path) for name, part in present.items() for path in paths_of_field(part)[:1]}
    tally.add(faults.met, faults.every or (), kinds)
    for name, clock in (("fixed_at", fields.fixed_at), ("received_at", fields.received_at)):
        if clock is not None and (wanted := tally.wants(name)):
            tally.sample(name, first_clocks(values, clock, wanted))
