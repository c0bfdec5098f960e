"""One signal on each row: rows of one vehicle are gathered into fixes at the instants of its positions.

A position is a latitude with the longitude that is nearest in time; every other signal has its last value, if that is
not older than the mapping says. The order of the rows changes nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from journeymesh.errors import MappingInvalid, SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.sources.column_values import Column, ColumnOf, Faults, as_array
from journeymesh.sources.conversions import Unconvertible, identifier
from journeymesh.sources.files import origins_from
from journeymesh.sources.mapping import ClockField, CoordinateField, FieldMappings, TextField
from journeymesh.sources.port import SourceBatch
from journeymesh.sources.refused_rows import refusals_of
from journeymesh.sources.row_keys import RowKeys
from journeymesh.sources.row_reading import RowReading
from journeymesh.sources.signal_layout import SignalsLayout
from journeymesh.sources.tabular import paths_of

MOST_ROWS: Final = 20_000_000
_NAMES_TOLD: Final = 20
_ZERO: Final = "\0zero"
_VEHICLE: Final = "\0vehicle"
_INSTANT: Final = "\0instant"
_ORIGIN: Final = "\0origin"


def row_fields(fields: FieldMappings) -> FieldMappings:
    """What of a row itself is read: its vehicle and its instant."""
    zero = CoordinateField(path=_ZERO)
    return FieldMappings(vehicle=fields.vehicle, fixed_at=fields.fixed_at, lat=zero, lon=zero)


def signal_names(fields: FieldMappings) -> list[str]:
    """The signals that fixes need, by the paths of the mapping."""
    rows = set(paths_of(row_fields(fields)))
    return [path for path in paths_of(fields) if path not in rows]


@dataclass(slots=True)
class SignalRows:
    """The rows of one file. ``others`` counts those of signals that the mapping does not name."""

    name: str
    reading: RowReading
    layout: SignalsLayout
    others: int = 0
    _other_names: dict[str, None] = field(default_factory=dict)
    _met: set[str] = field(default_factory=set)
    _series: dict[tuple[str, str], list[tuple[int, Any, int]]] = field(default_factory=dict)
    _rows: int = 0

    def add(self, column: ColumnOf, origins: I64, *, untyped: bool) -> Faults:
        """Take rows; returns those whose vehicle or instant cannot be read."""
        rows = len(origins)

        def of(path: str) -> Column | None:
            return pa.array(np.zeros(rows)) if path == _ZERO else column(path)

        numbers = np.arange(rows, dtype=np.int64)
        reading = replace(self.reading, fields=row_fields(self.reading.fields), tally=None)
        read, faults = reading.fixes(of, numbers, untyped=untyped)
        wanted = set(signal_names(self.reading.fields))
        names = [_name_of(name) for name in _listed(column(self.layout.name), rows)]
        values = _listed(column(self.layout.value), rows)
        self._take(read, origins, names, values, wanted)
        for path in wanted:
            # A column of that name, such as a latitude that stands beside each signal, is a signal too.
            if (beside := column(path)) is not None:
                self._met.add(path)
                self._take(read, origins, [path] * rows, _listed(beside, rows), wanted)
        self._met |= wanted.intersection(names)
        others = [name for name in names if name not in wanted]
        self.others += len(others)
        if len(self._other_names) < _NAMES_TOLD:
            self._other_names |= dict.fromkeys(name for name in others if name is not None)
        if self._rows > MOST_ROWS:
            raise SourceUnreadable(
                f"{self.name}: more than {MOST_ROWS:,} signals in one file", todo="cut it by day or by vehicle"
            )
        return faults

    @property
    def required(self) -> list[str]:
        """The paths of a row that must be there."""
        fields = self.reading.fields
        own = replace(self.reading, fields=row_fields(fields)).required
        return [*(path for path in own if path != _ZERO), self.layout.name, self.layout.value]

    @property
    def notes(self) -> list[str]:
        """What is worth a word once all rows were taken."""
        return [f"{self.others} rows of other signals"] if self.others else []

    def batch(self, number: int, keys: RowKeys) -> SourceBatch:
        """The fixes of all rows taken, and the refusals of those that cannot be read. ``number`` is the file's.

        Raises:
            MappingInvalid: there are signals, and none of the latitude's name.
        """
        lat = self.reading.fields.lat.path
        if self._other_names and lat not in self._met:
            some = ", ".join(list(self._other_names)[:_NAMES_TOLD])
            raise MappingInvalid(f"{self.name}: no signal is called {lat!r}", todo=f"map lat to one of {some}")
        fixes, faults, rows = self.fixes()
        first = int(origins_from(number, 0, 1)[0])
        names = {row: f"{self.name}:{rows[row][_ORIGIN] - first}" for row in faults.reasons}
        shown = [{name: value for name, value in row.items() if not name.startswith("\0")} for row in rows]
        return SourceBatch(fixes, refusals_of(faults, names, shown.__getitem__, keys))

    def fixes(self) -> tuple[Fixes, Faults, list[dict[str, Any]]]:
        """The fixes of all rows taken, in the order of vehicle and instant; the faults of others, and their rows."""
        wanted = signal_names(self.reading.fields)
        lat, lon = self.reading.fields.lat.path, self.reading.fields.lon.path
        rows: list[dict[str, Any]] = []
        for vehicle in sorted({vehicle for vehicle, _ in self._series}):
            series = {name: _ordered(self._series.get((vehicle, name), ())) for name in wanted}
            places = _Series(series.pop(lon) if lon != lat else series[lat])
            others = {name: _Series(one) for name, one in series.items() if name != lat}
            for at_us, value, origin in series[lat]:
                place = places.nearest(at_us)
                beside = None if place is None or abs(place[0] - at_us) > self._oldest_us else place
                fixed_us = at_us if beside is None else max(at_us, beside[0])
                row = {name: one.last(fixed_us, self._oldest_us) for name, one in others.items()}
                row |= {lat: value, lon: None if beside is None else beside[1]}
                rows.append(row | {_VEHICLE: vehicle, _INSTANT: fixed_us, _ORIGIN: origin})
        fields = msgspec.structs.replace(
            self.reading.fields, vehicle=TextField(path=_VEHICLE), fixed_at=ClockField(path=_INSTANT, clock="bson_date")
        )
        origins = np.array([row[_ORIGIN] for row in rows], np.int64)
        columns: dict[str, Column] = {path: as_array([row.get(path) for row in rows]) for path in paths_of(fields)}
        columns[_INSTANT] = pa.array([row[_INSTANT] for row in rows], pa.timestamp("us", tz="UTC"))
        fixes, faults = RowReading(fields, tally=self.reading.tally).fixes(columns.get, origins)
        return fixes, faults, rows

    @property
    def _oldest_us(self) -> int:
        return round(self.layout.max_age_s * 1e6)

    def _take(self, read: Fixes, origins: I64, names: Sequence[Any], values: Sequence[Any], wanted: set[str]) -> None:
        assert read.origin is not None
        rows = zip(np.asarray(read.origin).tolist(), read.vehicle.tolist(), read.fixed_at_us.tolist(), strict=True)
        for row, code, at_us in rows:
            name, value = names[row], values[row]
            if name in wanted and value is not None and value != "":
                self._series.setdefault((read.vehicles[code], name), []).append((at_us, value, int(origins[row])))
                self._rows += 1


class _Series:
    """A signal's values by their instants."""

    def __init__(self, rows: Sequence[tuple[int, Any, int]]) -> None:
        self._rows = rows
        self._instants = [at_us for at_us, _, _ in rows]

    def nearest(self, at_us: int) -> tuple[int, Any, int] | None:
        """The value that is nearest in time, the earlier of two."""
        after = bisect_left(self._instants, at_us)
        around = self._rows[max(after - 1, 0) : after + 1]
        return min(around, key=lambda row: (abs(row[0] - at_us), row[0]), default=None)

    def last(self, at_us: int, oldest_us: int) -> Any:
        """The last value at this instant that is no older; None where there is none."""
        before = bisect_right(self._instants, at_us) - 1
        if before < 0 or at_us - self._instants[before] > oldest_us:
            return None
        return self._rows[before][1]


def _ordered(rows: Sequence[tuple[int, Any, int]]) -> list[tuple[int, Any, int]]:
    """One value for each instant, by time: of several the one whose text is greatest."""
    held: dict[int, tuple[int, Any, int]] = {}
    for row in sorted(rows, key=lambda row: (row[0], str(row[1]), -row[2])):
        held[row[0]] = row
    return list(held.values())


def _name_of(value: Any) -> str | None:
    """A signal's name, a number's as in CSV; None where it is none."""
    if value is None or isinstance(value, str):
        return value
    try:
        return identifier(value)
    except Unconvertible:
        return None


def _listed(values: Column | None, rows: int) -> Sequence[Any]:
    if values is None:
        return [None] * rows
    return values if isinstance(values, list) else list(values.to_pylist())
