"""Totals: numbers that the legacy system itself stored or exported, by policy and month or trip by trip, as rows.

A totals file says where they are, in the words of a mapping. The rows are decoded by the driver or a plain reader of
files, never by the walker that reads fixes, so that what both have in common is this file alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal

import bson
import msgspec

from journeymesh.errors import UsageError
from journeymesh.instants import from_us
from journeymesh.sources.clocks import clock_us_at
from journeymesh.sources.conditions import Wanted, check_where, equals, wanted_at
from journeymesh.sources.conversions import Markers, Unconvertible, identifier, number
from journeymesh.sources.file_vehicles import check_identifier
from journeymesh.sources.mapping_faults import check_clock
from journeymesh.sources.mapping_fields import ClockField, DistanceField, TextField
from journeymesh.sources.mapping_model import paths_in
from journeymesh.sources.paths import array_of, inside_array, marks_array, parsed, reach
from journeymesh.sources.row_files import content_of
from journeymesh.sources.units import UNITS_TO_S, DurationUnit
from journeymesh.yaml_files import read_yaml

MEASURES: Final = ("distance_m", "duration_s", "driving_s", "journeys")
"""What a total may say, in metres, seconds and whole numbers."""


class TotalsInvalid(UsageError):
    """A totals file, or the rows that it names, cannot be used."""


class DurationField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A duration: ``path`` and ``unit``."""

    path: str
    unit: DurationUnit

    @property
    def to_si(self) -> float:
        """Factor to seconds."""
        return UNITS_TO_S[self.unit]


class CountField(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A number of journeys: ``path``; without one each row is one."""

    path: str | None = None


class TotalsMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where legacy's own totals are: a ``collection`` of the legacy MongoDB, or a ``file`` beside this one.

    Each row is of one ``policy`` or one ``vehicle``, and of one ``month`` as legacy wrote it, or of what began at
    ``started_at``: a trip, or a period, which falls into the month of the policy's time zone. At least one measure is
    there: ``distance``, ``duration`` (from a journey's beginning to its end), ``driving`` (without standing), the
    number of ``journeys``. ``computed_at`` is when legacy made the total: fixes that came later are not in it.
    ``where`` and ``missing`` are a mapping's. A path may go into one array, as in ``months[].km``: each element is a
    row.
    """

    version: Literal[1] = 1
    collection: str | None = None
    file: str | None = None
    policy: TextField | None = None
    vehicle: TextField | None = None
    tenant: TextField | None = None
    month: ClockField | None = None
    started_at: ClockField | None = None
    computed_at: ClockField | None = None
    distance: DistanceField | None = None
    duration: DurationField | None = None
    driving: DurationField | None = None
    journeys: CountField | None = None
    where: dict[str, Wanted | tuple[Wanted, ...]] = {}
    missing: tuple[str | int | float, ...] = ()

    @property
    def measures(self) -> tuple[str, ...]:
        """Those of ``MEASURES`` that the rows say."""
        fields = (self.distance, self.duration, self.driving, self.journeys)
        return tuple(name for name, part in zip(MEASURES, fields, strict=True) if part is not None)


@dataclass(frozen=True, slots=True)
class Total:
    """One row: whose it is, of when, and what it says.

    ``month`` is the number of months since the year 0, as legacy wrote it; ``started_us`` an instant in µs. One of the
    two is there, and so is one of ``policy`` and ``vehicle``. ``amounts`` are by ``MEASURES``.
    """

    amounts: Mapping[str, float]
    policy: str | None = None
    vehicle: str | None = None
    tenant: str | None = None
    month: int | None = None
    started_us: int | None = None
    computed_us: int | None = None


@dataclass(slots=True)
class TotalsRead:
    """What the rows say, and how many of them could not be read; ``first_fault`` says which was the first, and why."""

    totals: list[Total] = field(default_factory=list)
    unreadable: int = 0
    first_fault: str | None = None


def load_totals(path: str | Path) -> TotalsMapping:
    """The totals file. A ``file`` in it is found beside it.

    Raises:
        TotalsInvalid: naming the place in the file and what to do.
    """
    where = f"totals {path}"
    mapping = read_yaml(path, TotalsMapping, called="totals", invalid=TotalsInvalid, see="docs/how-to/third-opinion")
    _check(where, mapping)
    if mapping.file is not None:
        mapping = msgspec.structs.replace(mapping, file=str(Path(path).parent / mapping.file))
    return mapping


def read_totals(mapping: TotalsMapping, documents: Callable[[str], Iterable[Mapping[str, Any]]]) -> TotalsRead:
    """Every total. ``documents`` gives those of a collection of the legacy MongoDB, as the driver decodes them.

    Raises:
        TotalsInvalid: the file cannot be read. SourceMissing: it, or the collection, is not there.
    """
    if mapping.file is not None:
        content = content_of(Path(mapping.file), "totals", TotalsInvalid)
        rows: Iterable[Any] = content if isinstance(content, list) else [content]
        untyped = mapping.file.lower().endswith(".csv")
    else:
        assert mapping.collection is not None
        rows, untyped = documents(mapping.collection), False
    return totals_of(rows, mapping, untyped=untyped)


def totals_of(rows: Iterable[Any], mapping: TotalsMapping, *, untyped: bool = False) -> TotalsRead:
    """The totals of these rows or documents. ``untyped``: they have texts only, as in CSV."""
    found = TotalsRead()
    paths = (*(path for _, path in paths_in(mapping)), *mapping.where)
    array = next((array for path in paths if (array := array_of(path)) is not None), None)
    for at, row in enumerate(rows, 1):
        elements = [None] if array is None else reach(row, array)
        for element in elements if isinstance(elements, list) else ():
            part = _Row(mapping, untyped, row, element)
            try:
                if part.is_ours():
                    found.totals.append(part.total())
            except Unconvertible as error:
                found.unreadable += 1
                found.first_fault = found.first_fault or f"row {at}: {error}"
    return found


def month_of(at: datetime) -> int:
    """The number of months since the year 0 of a local date."""
    return at.year * 12 + at.month - 1


@dataclass(frozen=True, slots=True)
class _Row:
    """One row, or one ``element`` of its array."""

    mapping: TotalsMapping
    untyped: bool
    row: Any
    element: Any = None

    def is_ours(self) -> bool:
        """Whether the mapping's conditions hold."""
        return all(equals(self._at(path), wanted) for path, wanted in wanted_at(self.mapping.where))

    def total(self) -> Total:
        """What the row says.

        Raises:
            Unconvertible: naming the field that cannot be read, or is not there; never its value.
        """
        mapping = self.mapping
        amounts = {name: value for name in mapping.measures if (value := self._amount(name)) is not None}
        if not amounts:
            raise Unconvertible("none of the measures has a value")
        policy, vehicle = self._text("policy"), self._text("vehicle")
        if policy is None and vehicle is None:
            raise Unconvertible(f"{'policy' if mapping.policy else 'vehicle'} is missing")
        month_us, started_us = self._instant("month"), self._instant("started_at")
        if month_us is None and started_us is None:
            raise Unconvertible(f"{'month' if mapping.month else 'started_at'} is missing")
        return Total(
            amounts,
            policy,
            vehicle,
            self._text("tenant"),
            None if month_us is None else month_of(from_us(month_us)),
            started_us,
            self._instant("computed_at"),
        )

    def _at(self, path: str) -> Any:
        if marks_array(path):
            rest = inside_array(path)
            value = self.element if rest is None else reach(self.element, rest)
        else:
            value = reach(self.row, path)
        if isinstance(value, bson.Decimal128):
            return value.to_decimal()
        return None if Markers.of(self.mapping.missing).has(value) else value

    def _amount(self, name: str) -> float | None:
        part = getattr(self.mapping, name.rpartition("_")[0] or name)
        if part.path is None:
            return 1.0
        try:
            value = number(self._at(part.path))
        except Unconvertible:
            raise Unconvertible(f"{part.path} is not a number") from None
        if not value >= 0.0:  # not there; or less than nothing, which no total is
            if value < 0.0:
                raise Unconvertible(f"{part.path} is below 0")
            return None
        return value if isinstance(part, CountField) else value * part.to_si

    def _text(self, name: str) -> str | None:
        part = getattr(self.mapping, name)
        if part is None:
            return None
        try:
            return identifier(self._at(part.path), untyped=self.untyped)
        except Unconvertible:
            raise Unconvertible(f"{part.path} is no identifier") from None

    def _instant(self, name: str) -> int | None:
        clock = getattr(self.mapping, name)
        if clock is None:
            return None
        try:
            return clock_us_at(self._at, clock)
        except Unconvertible:
            raise Unconvertible(f"{'+'.join(clock.all_paths)} is not a time as the file says") from None


def _check(where: str, mapping: TotalsMapping) -> None:
    for one, other in (("collection", "file"), ("policy", "vehicle"), ("month", "started_at")):
        if (getattr(mapping, one) is None) == (getattr(mapping, other) is None):
            raise TotalsInvalid(f"{where}: needs either {one} or {other}", todo="give one of the two")
    if not mapping.measures:
        raise TotalsInvalid(
            f"{where}: no measure is mapped", todo="add distance, duration, driving or journeys, with its unit"
        )
    if mapping.journeys is not None and mapping.journeys.path is None and mapping.started_at is None:
        raise TotalsInvalid(f"{where}: journeys: has no path", todo="give one, or started_at where each row is a trip")
    check_where(where, mapping.where)
    arrays = set()
    for at, path in (*paths_in(mapping, "totals"), *(("where", path) for path in mapping.where)):
        try:
            found = parsed(path)
        except ValueError as error:
            raise TotalsInvalid(f"{where}: {at}: path {path!r} {error}", todo="name it as in total.km") from error
        if found.array is not None:
            arrays.add(found.steps[: found.array])
        if len(arrays) > 1 or found.inner:
            raise TotalsInvalid(f"{where}: {at}: path {path!r} goes into a second array", todo="name one array")
    for name in ("policy", "vehicle", "tenant"):
        if (text := getattr(mapping, name)) is not None:
            check_identifier(f"{where}: {name}", text, only_path=True)
    for name in ("month", "started_at", "computed_at"):
        clock = getattr(mapping, name)
        if clock is None:
            continue
        if clock.clock in ("interval", "offset_s", "offset_ms", "offset_min") or clock.corrections:
            raise TotalsInvalid(f"{where}: {name}: clock {clock.clock} is of fixes alone", todo="use another clock")
        if name == "month" and (clock.zone or clock.zone_path):
            raise TotalsInvalid(
                f"{where}: month is taken as it is written, in no zone",
                todo="leave the zone out, or use started_at for the instant at which the month begins",
            )
        check_clock(f"{where}: {name}", clock)
