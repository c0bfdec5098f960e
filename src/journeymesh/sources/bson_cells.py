"""Cells of many rows to columns: the kernels for what is usual, Python for the rest."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from journeymesh.journeys.fixes import F64, I8, I32, I64
from journeymesh.sources import bson_columns
from journeymesh.sources.accuracy import ValidField
from journeymesh.sources.bson_columns import FIRST_US, LAST_US, MISSING_US, SCRATCH, program_of
from journeymesh.sources.bson_documents import U8
from journeymesh.sources.bson_values import KINDS, value_at
from journeymesh.sources.clocks import (
    clock_us,
    counted_us,
    interval_us,
    is_local,
    is_number,
    joined,
    marked_us,
    utc_of_local,
    zone_of,
)
from journeymesh.sources.conditions import Wanted, equals
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, number, switch
from journeymesh.sources.coordinates import Axis, coordinates, wrapped
from journeymesh.sources.coordinates import is_number as is_plain_number
from journeymesh.sources.mapping import BaseClock, ClockField, CoordinateField, IgnitionField
from journeymesh.sources.mapping_fields import Missing

Faults = dict[int, str]
"""What is wrong with a row's value, by row."""


class Cells:
    """The cells of n rows in one buffer: int32[n, slots] offsets, uint8[n, slots] kinds, and each path's slot."""

    def __init__(self, buffer: U8, offsets: I32, kinds: U8, slots: dict[str, int]) -> None:
        self._buffer = buffer
        self._offsets = offsets.view()
        self._offsets.flags.writeable = False
        self._kinds = kinds.view()
        self._kinds.flags.writeable = False
        self._slots = slots
        self._todo = np.empty(len(kinds), np.int32)

    def _value(self, row: int, path: str, expected: str) -> Any:
        slot = self._slots[path]
        return value_at(self._buffer, int(self._kinds[row, slot]), int(self._offsets[row, slot]), expected)

    def numbers(self, mapped: Any) -> tuple[F64, Faults]:
        """float64[n], NaN where missing, in SI: ``mapped`` has a ``path``, ``to_si`` and ``missing`` markers."""
        path, factor, markers = mapped.path, mapped.to_si, Markers.of(mapped.missing)
        out = np.empty(len(self._kinds), np.float64)
        once = 1.0 if markers.numbers else factor  # markers are compared with what stands in the document
        waiting = bson_columns.numbers(
            self._buffer, self._offsets, self._kinds, self._slots[path], once, out, self._todo
        )
        faults: Faults = {}
        for row in self._todo[:waiting].tolist():
            kind = int(self._kinds[row, self._slots[path]])
            if kind not in (0x02, 0x13):
                faults[row] = f"{path}: expected a number, found {KINDS[kind]}"
                continue
            try:
                value = self._value(row, path, "a number")
                out[row] = np.nan if markers.has(value) else number(value) * once
            except Unconvertible as error:
                faults[row] = f"{path}: {error}"
        if markers.numbers:
            out[markers.among(out)] = np.nan
            out *= factor
        return out, faults

    def coordinates(self, field: CoordinateField, axis: Axis) -> tuple[F64, Faults]:
        """float64[n] in degrees, NaN where missing."""
        if is_plain_number(field):
            degrees, faults = self.numbers(field)
            return wrapped(degrees, field), faults
        codes, values, faults = self._codes(field.path)
        letters = None
        if field.hemisphere_path is not None:
            letter_codes, named, _ = self._codes(field.hemisphere_path)
            letters = ([value for _, value in named], letter_codes)
        degrees, bad = coordinates([value for _, value in values], codes, field, axis, letters)
        return degrees * field.to_si, bad | faults

    def _codes(self, path: str) -> tuple[I32, list[tuple[int, Any]], Faults]:
        """(codes, (kind, value) of each code, faults); a code is -1 where there is no value or a fault."""
        rows = len(self._kinds)
        codes, firsts = np.empty(rows, np.int32), np.empty(max(rows, 1), np.int32)
        table = np.full(1 << max(4, (2 * rows).bit_length()), -1, np.int32)
        slot = self._slots[path]
        count = bson_columns.names(self._buffer, self._offsets, self._kinds, slot, codes, firsts, table)
        faults: Faults = {}
        for row in np.flatnonzero(codes == -2).tolist():
            kind = int(self._kinds[row, slot])
            faults[row] = f"{path}: expected a text, found {KINDS[kind]}"
        if faults:
            codes[codes == -2] = -1
        values: list[tuple[int, Any]] = []
        bad: Faults = {}
        content = memoryview(self._buffer)  # type: ignore[arg-type]
        rows_of_names = firsts[:count]
        name_kinds, name_offsets = (
            self._kinds[rows_of_names, slot].tolist(),
            self._offsets[rows_of_names, slot].tolist(),
        )
        for code, (kind, at) in enumerate(zip(name_kinds, name_offsets, strict=True)):
            try:
                if kind == 0x02:  # there may be as many names as rows
                    end = at + 3 + int.from_bytes(content[at : at + 4], "little")
                    values.append((kind, str(content[at + 4 : end], "utf-8")))
                else:
                    values.append((kind, value_at(self._buffer, kind, at, "a text")))
            except (UnicodeDecodeError, Unconvertible):
                values.append((0, None))
                bad[code] = f"{path}: the {KINDS[kind]} is malformed"
        self._blame(codes, bad, faults)
        return codes, values, faults

    @staticmethod
    def _blame(codes: I32, bad: Faults, faults: Faults) -> None:
        """Turn the rows of these codes into faults, in one go: there may be as many codes as rows."""
        if bad:
            for row in np.flatnonzero(np.isin(codes, list(bad))).tolist():
                faults[row] = bad[int(codes[row])]
                codes[row] = -1

    def names(self, path: str, missing: Missing = None) -> tuple[tuple[str, ...], I32, Faults]:
        """(dictionary, int32[n] codes, faults): identifiers as texts. Missing is a fault."""
        markers = Markers.of(missing)
        codes, values, faults = self._codes(path)
        known: dict[str, int] = {}
        bad: Faults = {}
        recode = np.full(len(values) + 1, -1, np.int32)
        for code, (kind, value) in enumerate(values):
            if not kind or (markers and markers.has(value)):
                continue
            try:
                name = value if kind == 0x02 and not value.isspace() else identifier(value)
            except Unconvertible as error:
                bad[code] = f"{path}: {error}"
            else:
                recode[code] = -1 if name is None else known.setdefault(name, len(known))
        self._blame(codes, bad, faults)
        codes = recode[codes]  # -1 reads the last place, which is -1
        for row in np.flatnonzero(codes < 0).tolist():
            faults.setdefault(row, f"{path}: missing")
        return tuple(known), codes, faults

    def switches(self, ignition: IgnitionField | ValidField) -> tuple[I8, Faults]:
        """int8[n]: 1 on, 0 off, -1 where missing."""
        codes, values, faults = self._codes(ignition.path)
        markers = Markers.of(ignition.missing)
        bad: Faults = {}
        states = np.full(len(values) + 1, -1, np.int8)
        for code, (kind, value) in enumerate(values):
            if not kind or markers.has(value):
                continue
            try:
                states[code] = switch(value, ignition.on, ignition.off)
            except Unconvertible as error:
                bad[code] = f"{ignition.path}: {error}"
        self._blame(codes, bad, faults)
        return states[codes], faults

    def meeting(self, path: str, wanted: tuple[Wanted, ...]) -> npt.NDArray[np.bool_]:
        """bool[n]: whose value is one of those; null is one that is null or not there."""
        codes, values, faults = self._codes(path)
        kinds = self._kinds[:, self._slots[path]]
        met = np.array([*(equals(value, wanted) for _, value in values), False], np.bool_)[codes]
        for row in faults:
            if int(kinds[row]) == 0x13:
                met[row] = equals(self._value(row, path, "a number"), wanted)
        if None in wanted:
            met |= (kinds == 0) | (kinds == 0x0A)
        if "" in wanted:
            met |= (kinds == 0x02) & (codes < 0)
        return met

    def instants(self, clock: ClockField, element: I32) -> tuple[I64, Faults, Faults]:
        """(int64[n] µs, missing, faults); ``MISSING_US`` where there is no instant. ``element`` is the rows' number in
        their array."""
        base_us: I64 | None = None
        faults: Faults = {}
        missing: Faults = {}
        if clock.base is not None:
            base_us, missing, faults = self._clock(clock.base, None)
            if clock.clock == "interval":
                there = base_us != MISSING_US
                base_us[there] += interval_us(element[there], clock)
                for row in np.flatnonzero(there & (base_us > LAST_US)).tolist():
                    faults[row] = f"{'+'.join(clock.base.all_paths)}: element {element[row]} lies outside the calendar"
                    base_us[row] = MISSING_US
                return base_us, missing, faults
        out, missing_here, faults_here = self._clock(clock, base_us)
        faults = {**faults_here, **faults}
        missing = {row: detail for row, detail in {**missing_here, **missing}.items() if row not in faults}
        if base_us is not None:
            for row in (*missing, *faults):
                out[row] = MISSING_US
        return out, missing, faults

    def first_clocks(self, clock: ClockField, wanted: int) -> Iterator[Any]:
        """A clock's first values as they stand, joined where it has several paths; up to twice as many as wanted. A
        clock that counts intervals has none."""
        if not clock.all_paths:
            return
        for row in range(min(len(self._kinds), 2 * wanted)):
            with contextlib.suppress(Unconvertible):
                yield self._joined(row, clock)

    def _clock(self, clock: ClockField | BaseClock, base_us: I64 | None) -> tuple[I64, Faults, Faults]:
        out = np.empty(len(self._kinds), np.int64)
        faults: Faults = {}
        path = clock.all_paths[0]
        if is_number(clock):
            waiting = self._counted(path, clock, base_us, out)
        elif clock.clock == "bson_date":
            waiting = bson_columns.dates(self._buffer, self._offsets, self._kinds, self._slots[path], out, self._todo)
        else:
            waiting = self._texts(clock, out)
        if is_local(clock):
            again = self._to_utc(clock, out, out != MISSING_US)
            self._todo[waiting : waiting + len(again)] = again
            waiting += len(again)
        label = "+".join(clock.all_paths)
        for row in self._todo[:waiting].tolist():
            out[row] = MISSING_US
            zone = self._zone(clock, row)
            try:
                us = clock_us(self._joined(row, clock), clock, zone, int(base_us[row]) if base_us is not None else 0)
                out[row] = MISSING_US if us is None else us
            except Unconvertible as error:
                faults[row] = f"{label}: {error}"
        if clock.missing and (marked := marked_us(clock)):
            out[np.isin(out, marked)] = MISSING_US
        absent = np.flatnonzero(out == MISSING_US).tolist()
        return out, {row: f"{label}: missing" for row in absent if row not in faults}, faults

    def _counted(self, path: str, clock: ClockField | BaseClock, base_us: I64 | None, out: I64) -> int:
        """Fill ``out`` from a clock that is a number; rows that it does not settle go to ``todo``."""
        counted = np.empty(len(out), np.float64)
        slot = self._slots[path]
        waiting = bson_columns.numbers(self._buffer, self._offsets, self._kinds, slot, 1.0, counted, self._todo)
        todo = set(self._todo[:waiting].tolist())
        if (markers := Markers.of(clock.missing)).numbers:
            counted[markers.among(counted)] = np.nan
        base = np.zeros(len(out), np.int64) if base_us is None else base_us
        absent = np.isnan(counted) | (base == MISSING_US)
        with np.errstate(invalid="ignore", over="ignore"):
            counted = counted_us(counted, clock)
            sums = counted + np.where(base == MISSING_US, 0, base)
            outside = ~absent & ~((counted >= FIRST_US) & (counted <= LAST_US) & (sums >= FIRST_US) & (sums <= LAST_US))
        good = ~absent & ~outside
        out[:] = MISSING_US
        out[good] = counted[good].astype(np.int64) + base[good]
        todo |= set(np.flatnonzero(outside).tolist())
        self._todo[: len(todo)] = sorted(todo)
        return len(todo)

    def _texts(self, clock: ClockField | BaseClock, out: I64) -> int:
        """Fill ``out`` from a clock that is a text, and put local times into UTC."""
        slots = np.array([self._slots[path] for path in clock.all_paths], np.int32)
        iso = clock.clock == "iso8601"
        program = None if iso else program_of(clock.format or "")
        zoned = np.zeros(len(out), np.int8)
        if program is None and not iso:
            kinds = self._kinds[:, slots]
            absent = ((kinds == 0) | (kinds == 0x0A)).any(axis=1)
            out[:] = MISSING_US
            todo = np.flatnonzero(~absent).astype(np.int32)
            self._todo[: len(todo)] = todo
            return len(todo)
        steps = np.array(program or [0], np.int32)
        waiting: int = bson_columns.clock_texts(
            self._buffer, self._offsets, self._kinds, _frozen(slots), iso, _frozen(steps),
            np.zeros(SCRATCH, np.uint8), out, zoned, self._todo,
        )  # fmt: skip
        local = (zoned == 0) & (out != MISSING_US)
        again = self._to_utc(clock, out, local)
        if len(again):
            self._todo[waiting : waiting + len(again)] = again
        return waiting + len(again)

    def _to_utc(self, clock: ClockField | BaseClock, out: I64, local: npt.NDArray[np.bool_]) -> I64:
        """Put the local times of ``out`` into UTC in place; the rows that have none are returned."""
        if clock.zone_path is None:
            groups = [(local, clock.zone)]
        else:
            codes, values, _ = self._codes(clock.zone_path)
            groups = [(local & (codes == code), str(value)) for code, (_, value) in enumerate(values)]
            groups.append((local & (codes < 0), None))
        again = []
        for mask, zone in groups:
            rows = np.flatnonzero(mask)
            if not len(rows):
                continue
            try:
                utc, skipped = utc_of_local(out[rows], zone_of(clock, zone), clock.fold)
            except Unconvertible:
                again.append(rows)
                continue
            out[rows] = utc
            again.append(rows[skipped])
        return np.concatenate(again) if again else np.empty(0, np.int64)

    def _zone(self, clock: ClockField | BaseClock, row: int) -> str | None:
        if clock.zone_path is None:
            return None
        try:
            value = self._value(row, clock.zone_path, "a text")
        except Unconvertible:
            return None
        return None if value is None else str(value)

    def _joined(self, row: int, clock: ClockField | BaseClock) -> Any:
        expected = "a date" if clock.clock == "bson_date" else "a number" if is_number(clock) else "a text"
        parts = [self._value(row, path, expected) for path in clock.all_paths]
        if len(parts) == 1:
            return parts[0]
        return joined(parts)


def _frozen(column: I32) -> I32:
    column.flags.writeable = False
    return column
