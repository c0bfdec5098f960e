"""Rows of named columns become fixes: whole columns at once, and one value at a time only where a column is mixed."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.errors import MappingInvalid
from journeymesh.journeys.fixes import F64, I8, I32, I64, NOT_REPORTED_US, Fixes
from journeymesh.journeys.reasons import USED_WITHOUT, Reason
from journeymesh.sources.accuracy import AccuracyField, ValidField, accuracy_of
from journeymesh.sources.blame import paths_of_field
from journeymesh.sources.clocks import (
    FIRST_US,
    LAST_US,
    clock_us,
    counted_us,
    is_local,
    is_number,
    joined,
    marked_us,
    utc_of_local,
    zone_of,
)
from journeymesh.sources.conditions import Where, wanted_at, wanted_rows
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, kind_of, number, switch
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

Column: TypeAlias = "pa.Array | list[Any]"
"""A column: an Arrow array, or Python's values where their types are mixed."""
ColumnOf = Callable[[str], "Column | None"]
"""The column at a path; None where the input has none."""

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
        """Refuse the row, unless it is already; or only note its value, where the fix is used without it."""
        if self.every is not None:
            self.every.append((row, reason, detail))
        before = self.reasons.get(row)
        if before is None or (before[0] in USED_WITHOUT and reason not in USED_WITHOUT):
            self.reasons[row] = (reason, detail)
        elif before[0] in USED_WITHOUT:
            self.reasons[row] = (reason, f"{before[1]}; {detail}")


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
    ours = wanted_rows(column, where, len(origins))
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
    columns["fixed_at_us"] = _clock(column, fields.fixed_at, rows, faults, "fixed_at")
    for row in np.flatnonzero(columns["fixed_at_us"] == NOT_REPORTED_US).tolist():
        faults.add(row, Reason.CLOCK_MISSING, f"{'+'.join(fields.fixed_at.all_paths)}: missing")
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
        read = _numbers(values, mapped, reason, faults)
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
                kinds[name] = Counter({str(_plain(values).type): len(values) - values.null_count})
    return kinds


def as_array(values: list[Any]) -> Column:
    """Python values as an Arrow array; as they are where their types are mixed."""
    try:
        read = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return values
    return values if pa.types.is_nested(read.type) else read


def _listed(values: Column) -> list[Any]:
    return values if isinstance(values, list) else values.to_pylist()


def _vehicles(
    values: Column | None, mapped: TextField, rows: int, faults: Faults, untyped: bool
) -> tuple[tuple[str, ...], I32]:
    if values is None:
        values = pa.nulls(rows, pa.string())
    path, markers = mapped.path, Markers.of(mapped.missing)
    present, codes = _distinct(values)
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


def _distinct(values: Column) -> tuple[list[Any], I32]:
    """(the values that there are, int32[rows] codes into them, -1 where null)."""
    if isinstance(values, list):
        return _distinct_objects(values)
    is_uuid = isinstance(values, pa.ExtensionArray) and values.type.extension_name == "arrow.uuid"
    if isinstance(values, pa.ExtensionArray):
        values = values.storage
    if not pa.types.is_dictionary(values.type):
        values = _plain(values)
        try:
            values = values.dictionary_encode()
        except pa.ArrowNotImplementedError:
            return _distinct_objects(values.to_pylist())
    codes: I32 = values.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)
    present = _plain(values.dictionary).to_pylist()
    return [UUID(bytes=value) for value in present] if is_uuid else present, codes


def _distinct_objects(values: list[Any]) -> tuple[list[Any], I32]:
    known: dict[tuple[str, str], int] = {}
    present: list[Any] = []
    codes = np.full(len(values), -1, np.int32)
    for row, value in enumerate(values):
        if value is None:
            continue
        code = codes[row] = known.setdefault((type(value).__name__, repr(value)), len(known))
        if code == len(present):
            present.append(value)
    return present, codes


def _numbers(values: Column, mapped: Any, reason: Reason, faults: Faults) -> F64:
    """float64[rows] as they stand, NaN where missing; ``mapped`` has a ``path`` and ``missing`` markers."""
    markers = Markers.of(mapped.missing)
    read: F64 | None = None
    if isinstance(values, pa.Array):
        with contextlib.suppress(pa.ArrowInvalid, pa.ArrowNotImplementedError):
            read = _whole_numbers(values, markers)
    if read is None:
        read = np.full(len(values), np.nan)
        for row, value in enumerate(_listed(values)):
            try:
                read[row] = np.nan if markers and markers.has(value) else number(value)
            except Unconvertible as error:
                faults.add(row, reason, f"{mapped.path}: {error}")
    if not markers.numbers:
        return read
    return np.where(markers.among(read), np.nan, read)


def _whole_numbers(values: pa.Array, markers: Markers) -> F64:
    plain = _plain(values)
    kind = plain.type
    if pa.types.is_decimal(kind):
        plain = plain.cast(pa.string())  # from text to the nearest double, as everywhere
    elif pa.types.is_string(kind):
        plain = pc.utf8_trim_whitespace(plain)
        none = pc.equal(plain, "")
        if markers.words:
            none = pc.or_(none, pc.is_in(pc.utf8_lower(plain), pa.array(markers.words)))
        plain = pc.if_else(none, None, plain)
    elif not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise pa.ArrowInvalid("not a number")
    return _with_nan(plain.cast(pa.float64(), safe=False))


def _plain(values: pa.Array) -> pa.Array:
    """Values without a dictionary; bytes as the text that they hold, for some writers mark no column as text."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        with contextlib.suppress(pa.ArrowInvalid):
            return values.cast(pa.string())
    return values


def _with_nan(values: pa.Array) -> F64:
    if values.null_count:
        values = values.fill_null(float("nan"))
    read: F64 = values.to_numpy(zero_copy_only=False)
    return read


def _clock(column: ColumnOf, clock: ClockField, rows: int, faults: Faults, name: str) -> I64:
    """int64[rows] in µs, ``NOT_REPORTED_US`` where missing; what cannot be read is a fault."""
    read = _read_clock(column, clock, rows, faults, name)
    marked = marked_us(clock) if clock.missing else []
    return np.where(np.isin(read, marked), NOT_REPORTED_US, read) if marked else read


def _read_clock(column: ColumnOf, clock: ClockField, rows: int, faults: Faults, name: str) -> I64:
    """int64[rows] in µs, ``NOT_REPORTED_US`` where missing; what cannot be read is a fault."""
    parts = [column(path) for path in clock.all_paths]
    zones = column(clock.zone_path) if clock.zone_path else None
    if any(part is None for part in parts):
        return np.full(rows, NOT_REPORTED_US)
    if len(parts) == 1 and clock.zone_path is None and isinstance(parts[0], pa.Array):
        read = _whole_clock(_plain(parts[0]), clock)
        if read is not None:
            return read
    reason = Reason.CLOCK_UNPARSEABLE if name == "fixed_at" else Reason.VALUE_UNPARSEABLE
    result = np.full(rows, NOT_REPORTED_US)
    zone_names = _listed(zones) if zones is not None else [None] * rows
    lists = [_listed(part if isinstance(part, list) else _plain(part)) for part in parts if part is not None]
    for row in range(rows):
        values, zone = [values[row] for values in lists], zone_names[row]
        try:
            value = values[0] if len(values) == 1 else joined(values)
            at = clock_us(value, clock, None if zone is None else str(zone))
        except Unconvertible as error:
            faults.add(row, reason, f"{'+'.join(clock.all_paths)}: {error}")
        else:
            result[row] = NOT_REPORTED_US if at is None else at
    return result


def _whole_clock(values: pa.Array, clock: ClockField) -> I64 | None:
    """The column at once; None where only a look at each value tells."""
    kind = values.type
    try:
        if pa.types.is_timestamp(kind):
            local = kind.tz is None or is_local(clock)
            return _settled(_instants(values.cast(pa.timestamp("us", tz=kind.tz), safe=False)), clock, local)
        markers = Markers.of(clock.missing)
        if is_number(clock):
            counts = _whole_numbers(values, markers)
            return _counted(np.where(markers.among(counts), np.nan, counts) if markers.numbers else counts, clock)
        if pa.types.is_string(kind) and clock.clock in ("iso8601", "bson_date"):
            try:
                return _settled(_instants(values.cast(_INSTANT)), clock, False)
            except pa.ArrowInvalid:
                return _settled(_instants(values.cast(pa.timestamp("us"))), clock, True)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    return None


def _counted(numbers: F64, clock: ClockField) -> I64 | None:
    with np.errstate(invalid="ignore", over="ignore"):
        counted = counted_us(numbers, clock)
        missing = np.isnan(counted)
        if not ((counted >= FIRST_US) & (counted <= LAST_US) | missing).all():
            return None
    read = np.where(missing, NOT_REPORTED_US, np.where(missing, 0, counted).astype(np.int64))
    return _settled(read, clock, is_local(clock))


def _settled(read: I64, clock: ClockField, local: bool) -> I64 | None:
    """The column with local times put into UTC; None where one of them does not exist or lies outside the calendar."""
    missing = read == NOT_REPORTED_US
    if ((read < FIRST_US) | (read > LAST_US))[~missing].any():
        return None
    if not local:
        return read
    utc, skipped = utc_of_local(read, zone_of(clock, None), clock.fold)
    return None if skipped[~missing].any() else np.where(missing, NOT_REPORTED_US, utc)


def _instants(values: pa.Array) -> I64:
    read: I64 = values.cast(pa.int64()).fill_null(int(NOT_REPORTED_US)).to_numpy(zero_copy_only=False)
    return read


def _ignition(values: Column, mapped: IgnitionField | ValidField, faults: Faults) -> I8:
    """int8[rows]: 1 on, 0 off, -1 not reported."""
    present, codes = _distinct(values)
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
