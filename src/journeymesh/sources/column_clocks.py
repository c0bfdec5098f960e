"""Columns of clocks: at once as far as the source can convert them so, else one value at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from journeymesh.journeys.fixes import F64, I32, I64, NOT_REPORTED_US
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
from journeymesh.sources.column_values import BulkInstants, Details, RowValues
from journeymesh.sources.conditions import Mask
from journeymesh.sources.conversions import Markers, Unconvertible, number
from journeymesh.sources.mapping_fields import INTERVAL_UNITS_S, MOST_INTERVAL_S, BaseClock, ClockField

Clock = ClockField | BaseClock


def clock_column(
    values: RowValues, clock: ClockField, element: Sequence[int] | I32 | None = None
) -> tuple[I64, Details, Iterator[tuple[int, str]]]:
    """(int64[n] in µs, ``NOT_REPORTED_US`` where there is no instant; what cannot be read; the rows without a value).

    ``element`` is each row's number in the array of its document, which a clock that counts intervals needs.
    """
    if clock.base is None:
        read, faults = _read(values, clock, None)
        return read, faults, _missing(read, faults, clock)
    base_us, base_faults = _bases(values, clock.base)
    no_base = base_us == NOT_REPORTED_US
    if clock.clock == "interval":
        read, faults = _counted_elements(values, base_us, clock, np.asarray(element, np.int64))
    else:
        read, faults = _read(values, clock, base_us)
        read[no_base] = NOT_REPORTED_US
    faults |= base_faults
    return read, faults, _missing(read, faults, clock, no_base)


def _bases(values: RowValues, base: BaseClock) -> tuple[I64, Details]:
    """What each row's clock counts from: one instant for all of them where the mapping or the file's name has it."""
    if base.value is None:
        return _read(values, base, None)
    at_us = clock_us(base.value, base)
    return np.full(len(values), NOT_REPORTED_US if at_us is None else at_us, np.int64), {}


def first_clocks(values: RowValues, clock: ClockField, wanted: int) -> Iterator[Any]:
    """A clock's first values as they stand, joined where it has several paths; up to twice as many as are wanted. A
    clock that counts intervals has none."""
    if not clock.all_paths:
        return
    for row in range(min(len(values), 2 * wanted)):
        with suppress(Unconvertible):
            yield _joined(values, row, clock)


def _missing(read: I64, faults: Details, clock: ClockField, no_base: Mask | None = None) -> Iterator[tuple[int, str]]:
    for row in np.flatnonzero(read == NOT_REPORTED_US).tolist():
        if row not in faults:
            absent = clock.base if no_base is not None and no_base[row] else None
            yield row, f"{_label(absent or clock)}: missing"


def _label(clock: Clock) -> str:
    return "+".join(clock.all_paths)


def _counted_elements(values: RowValues, base_us: I64, clock: ClockField, element: I64) -> tuple[I64, Details]:
    """The base and as many intervals as the element's number says."""
    assert clock.base is not None
    intervals_s, faults = _intervals_s(values, clock)
    there = (base_us != NOT_REPORTED_US) & np.isfinite(intervals_s)
    after_us = np.rint(element * np.where(there, intervals_s, 0.0) * 1e6)
    within = there & (after_us <= LAST_US - np.where(there, base_us, 0))
    read = np.where(within, base_us + np.where(within, after_us, 0.0).astype(np.int64), NOT_REPORTED_US)
    label = _label(clock.base) or "base"
    for row in np.flatnonzero(there & ~within).tolist():
        faults[row] = f"{label}: element {element[row]} lies outside the calendar"
    return read, faults


def _intervals_s(values: RowValues, clock: ClockField) -> tuple[F64, Details]:
    """(float64[n], the seconds between the elements of each row's document, NaN where they are not known; why)."""
    path = clock.interval_path
    if path is None:
        return np.full(len(values), clock.interval_s or 0.0), {}
    read, unsure = values.numbers(path, Markers.of(()))
    faults: Details = {}
    for row in unsure:
        try:
            read[row] = number(values.value(row, path, "a number"))
        except Unconvertible as error:
            read[row] = np.nan
            faults[row] = f"{path}: {error}"
    with np.errstate(divide="ignore", invalid="ignore"):
        intervals_s = 1.0 / read if clock.interval_unit == "Hz" else read * INTERVAL_UNITS_S[clock.interval_unit]
        fits = (intervals_s > 0.0) & (intervals_s <= MOST_INTERVAL_S)
    for row in np.flatnonzero(~fits).tolist():
        if row not in faults:
            what = "missing" if np.isnan(read[row]) else f"{read[row]:g} {clock.interval_unit} is no interval"
            faults[row] = f"{path}: {what}"
    return np.where(fits, intervals_s, np.nan), faults


def _read(values: RowValues, clock: Clock, base_us: I64 | None) -> tuple[I64, Details]:
    read, local, unsure = values.instants(clock) or _counted(values, clock, base_us)
    unsure = [*unsure, *_to_utc(values, clock, read, local)]
    faults: Details = {}
    for row in unsure:
        read[row] = NOT_REPORTED_US
        base = 0 if base_us is None or base_us[row] == NOT_REPORTED_US else int(base_us[row])
        try:
            at_us = clock_us(_joined(values, row, clock), clock, _zone(values, row, clock), base)
        except Unconvertible as error:
            faults[row] = f"{_label(clock)}: {error}"
        else:
            read[row] = NOT_REPORTED_US if at_us is None else at_us
    if clock.missing and (marked := marked_us(clock)):
        read[np.isin(read, marked)] = NOT_REPORTED_US
    return read, faults


def _counted(values: RowValues, clock: Clock, base_us: I64 | None) -> BulkInstants:
    """The instants of a clock that is a number, from 1970 or from the base."""
    markers = Markers.of(clock.missing)
    numbers, unsure = values.numbers(clock.all_paths[0], markers)
    if markers.numbers:
        numbers = np.where(markers.among(numbers), np.nan, numbers)
    with np.errstate(invalid="ignore", over="ignore"):
        counted = counted_us(numbers, clock)
        fits = (counted >= FIRST_US) & (counted <= LAST_US)
        outside = ~fits & ~np.isnan(counted)
        read = np.where(fits, counted, 0.0).astype(np.int64)
    if base_us is not None:
        there = fits & (base_us != NOT_REPORTED_US)
        read[there] += base_us[there]
        beyond = there & ((read < FIRST_US) | (read > LAST_US))
        outside, fits = (outside | beyond) & (base_us != NOT_REPORTED_US), there & ~beyond
    read[~fits] = NOT_REPORTED_US
    return read, is_local(clock), sorted({*unsure, *np.flatnonzero(outside).tolist()})


def _to_utc(values: RowValues, clock: Clock, read: I64, local: Mask | bool) -> list[int]:
    """Put the local times into UTC in place; returns the rows of which that is not clear."""
    if local is False:
        return []
    there = np.asarray(local) & (read != NOT_REPORTED_US)
    groups = [(there, clock.zone)]
    if clock.zone_path is not None:
        names, codes, _ = values.distinct(clock.zone_path)
        groups = [(there & (codes == code), str(name)) for code, name in enumerate(names)]
        groups.append((there & (codes < 0), None))
    unsure: list[int] = []
    for mask, zone in groups:
        rows = np.flatnonzero(mask)
        try:
            utc, skipped = utc_of_local(read[rows], zone_of(clock, zone), clock.fold)
        except Unconvertible:
            unsure += rows.tolist()
        else:
            read[rows] = utc
            unsure += rows[skipped].tolist()
    return unsure


def _zone(values: RowValues, row: int, clock: Clock) -> str | None:
    """The zone that the row names; None where it names none."""
    zone = None
    if clock.zone_path is not None:
        with suppress(Unconvertible):
            zone = values.value(row, clock.zone_path, "a text")
    return None if zone is None else str(zone)


def _joined(values: RowValues, row: int, clock: Clock) -> Any:
    expected = "a date" if clock.clock == "bson_date" else "a number" if is_number(clock) else "a text"
    return joined([values.value(row, path, expected) for path in clock.all_paths])
