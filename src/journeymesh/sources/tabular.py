"""Rows of named columns become fixes: whole columns at once, and one value at a time only where a column is mixed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import F64, I8, I32, I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.accuracy import AccuracyField, ValidField, accuracy_of
from journeymesh.sources.blame import paths_of_field
from journeymesh.sources.clocks import FIRST_US, LAST_US, Unconvertible, clock_us, is_number, number, unit_us
from journeymesh.sources.conditions import Where, wanted_at, wanted_rows
from journeymesh.sources.field_tally import Fault, FieldTally
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

ColumnOf = Callable[[str], "pa.Array | None"]
"""The column at a path: an Arrow array, or None where the input has none."""

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
_INSTANT: Final = pa.timestamp("us", tz="UTC")


@dataclass(slots=True)
class Faults:
    """Rows that cannot be read, each with its first reason. ``met`` has every row, with what could be read of it."""

    reasons: dict[int, tuple[Reason, str]] = field(default_factory=dict)
    every: list[Fault] | None = None
    """All of them, where they are counted."""
    others: int = 0
    """Rows that the mapping's conditions leave to somebody else."""
    met: Fixes | None = None

    def add(self, row: int, reason: Reason, detail: str) -> None:
        """Refuse the row, unless it is already."""
        if self.every is not None:
            self.every.append((row, reason, detail))
        self.reasons.setdefault(row, (reason, detail))


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
    return list(dict.fromkeys(paths))


def required_paths(fields: FieldMappings, where: Where = _EVERYTHING) -> list[str]:
    """The paths without which there are no fixes."""
    clock = fields.fixed_at.all_paths
    conditions = [path for path, wanted in wanted_at(where) if None not in wanted]
    return [fields.vehicle.path, *clock, fields.lat.path, fields.lon.path, *conditions]


def to_fixes(
    column: ColumnOf, fields: FieldMappings, origins: I64, tally: FieldTally | None = None, where: Where = _EVERYTHING
) -> tuple[Fixes, Faults]:
    """The rows that can be read as fixes, and the faults of the others by row number from 0.

    Rows that the conditions leave to somebody else are neither; ``Faults.others`` counts them.
    """
    ours = wanted_rows(column, where, len(origins))
    if ours is None:
        return _to_fixes(column, fields, origins, tally)
    at = np.flatnonzero(ours)
    rows = pa.array(at)

    def ours_of(path: str) -> pa.Array | None:
        values = column(path)
        return None if values is None else values.take(rows)

    fixes, faults = _to_fixes(ours_of, fields, origins[ours], tally)
    faults.reasons = {int(at[row]): fault for row, fault in faults.reasons.items()}
    faults.others = len(origins) - len(at)
    return fixes, faults


def _to_fixes(column: ColumnOf, fields: FieldMappings, origins: I64, tally: FieldTally | None) -> tuple[Fixes, Faults]:
    faults = Faults(every=None if tally is None else [])
    rows = len(origins)
    vehicles, codes = _vehicles(column(fields.vehicle.path), rows, faults)
    columns: dict[str, Any] = {"vehicle": codes, "origin": origins}
    columns["fixed_at_us"] = _clock(column, fields.fixed_at, rows, faults, "fixed_at")
    for row in np.flatnonzero(columns["fixed_at_us"] == NOT_REPORTED_US).tolist():
        faults.add(row, Reason.CLOCK_MISSING, f"{' '.join(fields.fixed_at.all_paths)} is missing")
    if fields.received_at is not None and any(column(path) is not None for path in fields.received_at.all_paths):
        columns["received_at_us"] = _clock(column, fields.received_at, rows, faults, "received_at")
    for name, target in NUMBER_COLUMNS.items():
        mapped = getattr(fields, name)
        values = None if mapped is None else column(mapped.path)
        if values is None:
            if name in REQUIRED:
                columns[target] = np.full(rows, np.nan)
            continue
        reason = Reason.POSITION_UNPARSEABLE if name in REQUIRED else Reason.VALUE_UNPARSEABLE
        read = _numbers(values, mapped.path, reason, faults)
        columns[target] = read if mapped.to_si == 1.0 else read * mapped.to_si
    if fields.ignition is not None and (values := column(fields.ignition.path)) is not None:
        columns["ignition"] = _ignition(values, fields.ignition, faults)
    hdop = None if fields.hdop is None else column(fields.hdop.path)
    valid = None if fields.valid is None else column(fields.valid.path)
    columns["accuracy_m"] = accuracy_of(
        columns.get("accuracy_m"),
        None
        if hdop is None or fields.hdop is None
        else fields.hdop.to_si * _numbers(hdop, fields.hdop.path, Reason.VALUE_UNPARSEABLE, faults),
        None if valid is None or fields.valid is None else _ignition(valid, fields.valid, faults),
    )
    fixes = Fixes(vehicles, **columns)
    if tally is not None:
        tally.add(fixes, faults.every or (), _kinds(column, fields))
    if faults.reasons:
        faults.met = fixes
        kept = np.ones(rows, np.bool_)
        kept[list(faults.reasons)] = False
        fixes = fixes.take(kept)
    return fixes, faults


def _kinds(column: ColumnOf, fields: FieldMappings) -> dict[str, dict[str, int]]:
    """The Arrow type of each mapped field's column, of the first path where it has several."""
    kinds: dict[str, dict[str, int]] = {}
    for name, part in fields.present().items():
        for path in paths_of_field(part)[:1]:
            values = column(path)
            if values is not None and len(values) > values.null_count:
                kinds[name] = {str(_plain(values).type): len(values) - values.null_count}
    return kinds


def as_array(values: Sequence[Any]) -> pa.Array:
    """Python values as an Arrow array; of texts, by their JSON, where they are of mixed types."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    import msgspec

    return msgspec.json.encode(value).decode()


def _vehicles(values: pa.Array | None, rows: int, faults: Faults) -> tuple[tuple[str, ...], I32]:
    if values is None:
        values = pa.nulls(rows, pa.string())
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    codes: I32 = values.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    names = tuple("" if name is None else str(name) for name in values.dictionary.to_pylist())
    absent = codes == -1
    for code, name in enumerate(names):
        if not name.strip():
            absent |= codes == code
    for row in np.flatnonzero(absent).tolist():
        faults.add(row, Reason.VEHICLE_MISSING, "the row names no vehicle")
    return names, codes


def _numbers(values: pa.Array, path: str, reason: Reason, faults: Faults) -> F64:
    try:
        if pa.types.is_boolean(values.type) or pa.types.is_temporal(values.type):
            raise pa.ArrowInvalid("not a number")
        plain = _plain(values)
        if pa.types.is_string(plain.type) or pa.types.is_large_string(plain.type):
            plain = pc.utf8_trim_whitespace(plain)
            plain = pc.if_else(pc.equal(plain, ""), None, plain)
        return _with_nan(plain.cast(pa.float64(), safe=False))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        read = np.full(len(values), np.nan)
        for row, value in enumerate(values.to_pylist()):
            try:
                read[row] = number(value)
            except Unconvertible as error:
                faults.add(row, reason, f"{path}: {error}")
        return read


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _with_nan(values: pa.Array) -> F64:
    if values.null_count:
        values = values.fill_null(float("nan"))
    read: F64 = values.to_numpy(zero_copy_only=False)
    return read


def _clock(column: ColumnOf, clock: ClockField, rows: int, faults: Faults, name: str) -> I64:
    """int64[rows] in µs, ``NOT_REPORTED_US`` where missing; what cannot be read is a fault."""
    parts = [column(path) for path in clock.all_paths]
    zones = column(clock.zone_path) if clock.zone_path else None
    if any(part is None for part in parts):
        return np.full(rows, NOT_REPORTED_US)
    read = _whole_clock(parts[0], clock) if len(parts) == 1 and zones is None else None
    if read is not None:
        return read
    reason = Reason.CLOCK_UNPARSEABLE if name == "fixed_at" else Reason.VALUE_UNPARSEABLE
    result = np.full(rows, NOT_REPORTED_US)
    zone_names = zones.to_pylist() if zones is not None else [None] * rows
    lists = [_plain(part).to_pylist() for part in parts if part is not None]
    for row in range(rows):
        value = _joined([values[row] for values in lists])
        try:
            at = clock_us(value, clock, zone_names[row])
        except Unconvertible as error:
            faults.add(row, reason, f"{' '.join(clock.all_paths)}: {error}")
        else:
            result[row] = NOT_REPORTED_US if at is None else at
    return result


def _whole_clock(values: pa.Array | None, clock: ClockField) -> I64 | None:
    """The column at once; None where only a look at each value tells."""
    assert values is not None
    values = _plain(values)
    try:
        if pa.types.is_timestamp(values.type):
            if values.type.tz is None and (clock.zone or "UTC") != "UTC":
                return None
            instants = values.cast(_INSTANT if values.type.tz else pa.timestamp("us"), safe=False)
            return _instants(instants)
        if is_number(clock):
            if pa.types.is_string(values.type):
                values = values.cast(pa.float64() if clock.clock == "epoch_s" else pa.int64())
            return _epochs(values, unit_us(clock))
        if clock.clock == "iso8601" and clock.zone in (None, "UTC") and pa.types.is_string(values.type):
            return _instants(values.cast(_INSTANT))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return None


def _epochs(values: pa.Array, factor: float) -> I64 | None:
    if pa.types.is_integer(values.type):
        plain = values.cast(pa.int64())
        counted = plain.fill_null(0).to_numpy(zero_copy_only=False)
        if len(counted) and (counted.max() > LAST_US / factor or counted.min() < FIRST_US / factor):
            return None
        whole = counted * np.int64(factor)
        whole[plain.is_null().to_numpy(zero_copy_only=False)] = NOT_REPORTED_US
        return np.asarray(whole, np.int64)
    if not pa.types.is_floating(values.type):
        return None
    counted = _with_nan(values.cast(pa.float64())) * factor
    missing = np.isnan(counted)
    if (np.abs(np.where(missing, 0, counted)) > LAST_US).any() or (counted[~missing] < FIRST_US).any():
        return None
    return np.where(missing, NOT_REPORTED_US, np.rint(np.where(missing, 0, counted)).astype(np.int64))


def _instants(values: pa.Array) -> I64:
    read: I64 = values.cast(pa.int64()).fill_null(int(NOT_REPORTED_US)).to_numpy(zero_copy_only=False)
    return read


def _joined(values: list[Any]) -> Any:
    if len(values) == 1:
        return values[0]
    if any(value is None for value in values):
        return None
    return " ".join(value.isoformat() if isinstance(value, datetime) else str(value) for value in values)


def _ignition(values: pa.Array, mapped: IgnitionField | ValidField, faults: Faults) -> I8:
    """int8[rows]: 1 on, 0 off, -1 not reported."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    meaning: list[int] = []
    for value in encoded.dictionary.to_pylist():
        on, off = (any(_same(value, known) for known in listed) for listed in (mapped.on, mapped.off))
        meaning.append(1 if on else 0 if off else -1 if value in (None, "") else -2)
    codes = encoded.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
    read = np.array([*meaning, -1], np.int8)[codes]
    for row in np.flatnonzero(read == -2).tolist():
        faults.add(row, Reason.VALUE_UNPARSEABLE, f"{mapped.path}: {values[row].as_py()!r} is neither on nor off")
    return np.asarray(read, np.int8)


def _same(value: Any, known: Any) -> bool:
    if isinstance(value, str) and isinstance(known, str):
        return value.strip().casefold() == known.casefold()
    return isinstance(value, str) == isinstance(known, str) and bool(value == known)
