"""Columns of clocks: at once where all their values are written alike, else one value at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import numpy as np
import pyarrow as pa

from journeymesh.journeys.fixes import F64, I64, NOT_REPORTED_US
from journeymesh.journeys.reasons import Reason
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
from journeymesh.sources.column_values import ColumnOf, Faults, listed, plain, whole_numbers
from journeymesh.sources.conversions import Markers, Unconvertible
from journeymesh.sources.mapping_fields import ClockField

_INSTANT: Final = pa.timestamp("us", tz="UTC")


def clock_label(clock: ClockField) -> str:
    """What a clock is called in refusals: its paths. One that was counted already has its field's name."""
    return "+".join(clock.all_paths).lstrip("\0")


def clock_column(column: ColumnOf, clock: ClockField, rows: int, faults: Faults, name: str) -> I64:
    """int64[rows] in µs, ``NOT_REPORTED_US`` where missing; what cannot be read is a fault."""
    read = _read_clock(column, clock, rows, faults, name)
    marked = marked_us(clock) if clock.missing else []
    return np.where(np.isin(read, marked), NOT_REPORTED_US, read) if marked else read


def first_clocks(column: ColumnOf, clock: ClockField, wanted: int) -> Iterator[object]:
    """The clock's first values as they stand, joined where it has several paths; up to twice as many as are wanted."""
    parts = [column(path) for path in clock.all_paths]
    first = [listed(part[: 2 * wanted]) for part in parts if part is not None]
    if len(first) < len(parts):
        return
    for values in zip(*first, strict=True):
        with suppress(Unconvertible):
            yield values[0] if len(values) == 1 else joined(values)


def _read_clock(column: ColumnOf, clock: ClockField, rows: int, faults: Faults, name: str) -> I64:
    """int64[rows] in µs, ``NOT_REPORTED_US`` where missing; what cannot be read is a fault."""
    parts = [column(path) for path in clock.all_paths]
    zones = column(clock.zone_path) if clock.zone_path else None
    if any(part is None for part in parts):
        return np.full(rows, NOT_REPORTED_US)
    if len(parts) == 1 and clock.zone_path is None and isinstance(parts[0], pa.Array):
        read = _whole_clock(plain(parts[0]), clock)
        if read is not None:
            return read
    reason = Reason.CLOCK_UNPARSEABLE if name == "fixed_at" else Reason.VALUE_UNPARSEABLE
    result = np.full(rows, NOT_REPORTED_US)
    zone_names = listed(zones) if zones is not None else [None] * rows
    lists = [listed(part if isinstance(part, list) else plain(part)) for part in parts if part is not None]
    for row in range(rows):
        values, zone = [values[row] for values in lists], zone_names[row]
        try:
            value = values[0] if len(values) == 1 else joined(values)
            at = clock_us(value, clock, None if zone is None else str(zone))
        except Unconvertible as error:
            faults.add(row, reason, f"{clock_label(clock)}: {error}")
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
            counts = whole_numbers(values, markers)
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
