"""Fixes out of documents that the driver decoded, one by one in plain Python: for the naive pass, and for nothing else.

The mapping file says where values are; how they are read is written down here a second time, without the walker, its
conversions and its clocks, so that a fault in one of them is not a fault in both. What is seldom is not read again:
the naive pass says that it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import bson

from journeymesh.errors import UsageError
from journeymesh.sources.mapping import ClockField
from journeymesh.sources.mapping import Mapping as DocumentMapping

_UNITS_S: Final = {"epoch_s": 1.0, "epoch_ms": 1e-3, "epoch_us": 1e-6, "epoch_ns": 1e-9,
                   "offset_s": 1.0, "offset_ms": 1e-3, "offset_min": 60.0}  # fmt: skip
_MPS: Final = {"km/h": 1 / 3.6, "mph": 0.44704, "knots": 0.514444, "m/s": 1.0}
_FORMS: Final = ("degrees", "0_to_360")
_CLOCKS: Final = (*_UNITS_S, "bson_date", "iso8601", "strftime", "interval")


class NaiveUnable(UsageError):
    """The naive pass does not read documents of this mapping."""


class _Unreadable(ValueError):
    """A value is not there, or is none."""


@dataclass(frozen=True, slots=True)
class NaiveFix:
    """A fix: seconds since 1970 UTC, degrees, m/s. None: not reported."""

    vehicle: str
    at_s: float
    lat: float
    lon: float
    speed_mps: float | None = None
    ignition: bool | None = None
    accuracy_m: float | None = None


@dataclass(slots=True)
class NaiveReader:
    """Reads documents of one mapping. ``unreadable`` counts the fixes that could not be read.

    Raises:
        NaiveUnable: the mapping uses something that is not read here.
    """

    mapping: DocumentMapping
    unreadable: int = 0

    def __post_init__(self) -> None:
        fields = self.mapping.fields
        seldom = [
            told
            for told, is_used in (
                ("layout signals", self.mapping.layout == "signals"),
                ("a vehicle that documents do not name", fields.vehicle.is_beside),
                (f"clock {fields.fixed_at.clock}", fields.fixed_at.clock not in _CLOCKS),
                ("a base or an interval that is not given in the mapping or document", _counts_seldom(fields.fixed_at)),
                (f"form {fields.lat.form}", fields.lat.form not in _FORMS or fields.lon.form not in _FORMS),
                ("names in double quotes or arrays in arrays", any(map(_is_seldom, self._paths()))),
            )
            if is_used
        ]
        if seldom:
            raise NaiveUnable(
                f"the naive pass does not read {seldom[0]}", todo="compare with legacy's own totals: --against TOTALS"
            )

    def fixes(self, document: Mapping[str, Any]) -> Iterator[NaiveFix]:
        """Every fix of the document that can be read."""
        for at in range(self._rows(document)):
            try:
                if self._is_ours(document, at):
                    yield self._fix(document, at)
            except (ValueError, TypeError, KeyError, OverflowError):
                self.unreadable += 1

    def _paths(self) -> list[str]:
        fields = self.mapping.fields
        found = [fields.vehicle.path, fields.lat.path, fields.lon.path, *fields.fixed_at.all_paths]
        found += [part.path for part in (fields.speed, fields.ignition, fields.accuracy, fields.valid) if part]
        return [*found, *self.mapping.where]

    def _rows(self, document: Mapping[str, Any]) -> int:
        """How many fixes the document has: one, or as many as its arrays have elements."""
        arrays = [path.split("[]")[0] for path in self._paths() if "[]" in path]
        if not arrays:
            return 1
        lengths = [len(held) for array in arrays if isinstance(held := _follow(document, array), list)]
        return max(lengths, default=0)

    def _is_ours(self, document: Mapping[str, Any], at: int) -> bool:
        for path, wanted in self.mapping.where.items():
            value = self._at(document, path, at)
            if value not in (wanted if isinstance(wanted, tuple) else (wanted,)):
                return False
        return True

    def _fix(self, document: Mapping[str, Any], at: int) -> NaiveFix:
        fields = self.mapping.fields
        vehicle = self._at(document, fields.vehicle.path, at)
        if vehicle is None:
            raise _Unreadable
        if isinstance(vehicle, float):
            vehicle = int(vehicle)
        lat, lon = (self._number(document, part, at) for part in (fields.lat, fields.lon))
        if lat is None or lon is None:
            raise _Unreadable
        speed = None if fields.speed is None else self._number(document, fields.speed, at)
        if speed is not None and fields.speed is not None:
            speed *= _MPS[fields.speed.unit]
        return NaiveFix(
            str(vehicle),
            self._instant_s(document, at, str(vehicle)),
            lat * fields.lat.scale,
            (lon * fields.lon.scale + 180.0) % 360.0 - 180.0,
            None if speed is None or fields.speed is None else speed * fields.speed.scale,
            self._switch(document, at),
            self._accuracy_m(document, at),
        )

    def _at(self, document: Mapping[str, Any], path: str, at: int) -> Any:
        if "[]" not in path:
            return _follow(document, path)
        array, _, rest = path.partition("[]")
        held = _follow(document, array)
        element = held[at] if isinstance(held, list) and at < len(held) else None
        return _follow(element, rest.lstrip(".")) if rest else _plain(element)

    def _number(self, document: Mapping[str, Any], part: Any, at: int) -> float | None:
        value = self._at(document, part.path, at)
        if value is None or value == "" or _is_marker(value, part.missing):
            return None
        if isinstance(value, bool):
            raise _Unreadable
        number = float(value)
        return None if math.isnan(number) else number

    def _switch(self, document: Mapping[str, Any], at: int) -> bool | None:
        part = self.mapping.fields.ignition
        value = None if part is None else self._at(document, part.path, at)
        if part is None or value is None or _is_marker(value, part.missing):
            return None
        value = value.strip().lower() if isinstance(value, str) else value
        return value in part.on

    def _accuracy_m(self, document: Mapping[str, Any], at: int) -> float | None:
        fields = self.mapping.fields
        if fields.valid is not None and self._at(document, fields.valid.path, at) in fields.valid.invalid:
            return math.inf
        found = None if fields.accuracy is None else self._number(document, fields.accuracy, at)
        return None if found is None or fields.accuracy is None else found * fields.accuracy.to_si

    def _instant_s(self, document: Mapping[str, Any], at: int, vehicle: str) -> float:
        clock = self.mapping.fields.fixed_at
        if clock.clock == "interval":
            found = self._of_clock(document, clock.base, at) + at * float(clock.interval_s or 0.0)
        elif clock.clock.startswith("offset"):
            count = float(self._at(document, str(clock.path), at))
            found = self._of_clock(document, clock.base, at) + count * _UNITS_S[clock.clock]
        else:
            found = self._of_clock(document, clock, at)
        table = clock.corrections if isinstance(clock.corrections, dict) else {}
        return found + float(table.get(vehicle, 0.0))

    def _of_clock(self, document: Mapping[str, Any], clock: Any, at: int) -> float:
        values = [self._at(document, path, at) for path in clock.all_paths]
        value = values[0] if len(values) == 1 else " ".join(str(one) for one in values if one is not None)
        if value is None or _is_marker(value, clock.missing):
            raise _Unreadable
        if clock.clock in _UNITS_S:
            return float(value) * _UNITS_S[clock.clock]
        if clock.clock == "excel_days":
            raise _Unreadable
        if isinstance(value, datetime):
            if clock.zone is None and clock.zone_path is None:
                return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
            wall = value.replace(tzinfo=None)
        elif clock.clock == "strftime":
            wall = datetime.strptime(value.strip(), str(clock.format))  # noqa: DTZ007 - its zone is applied below
        else:
            wall = datetime.fromisoformat(value.strip())
        if wall.tzinfo is not None:
            return wall.timestamp()
        named = None if clock.zone_path is None else self._at(document, clock.zone_path, at)
        zone = named or clock.zone
        if zone is None and clock.zone_path is not None:
            raise _Unreadable
        fold = 0 if clock.fold == "earlier" else 1
        return wall.replace(tzinfo=ZoneInfo(zone or "UTC"), fold=fold).timestamp()


def _counts_seldom(clock: ClockField) -> bool:
    base = clock.base
    is_beside = base is not None and (base.value is not None or base.file is not None or base.clock == "mixed")
    return is_beside or clock.interval_path is not None


def _follow(value: Any, path: str) -> Any:
    """The value at a dotted path: the whole as one name first, then step by step."""
    if isinstance(value, Mapping) and path in value:
        return _plain(value[path])
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return _plain(value)


def _plain(value: Any) -> Any:
    return float(value.to_decimal()) if isinstance(value, bson.Decimal128) else value


def _is_marker(value: Any, missing: Any) -> bool:
    return missing is not None and any(
        str(value).strip().casefold() == str(marker).strip().casefold() for marker in missing
    )


def _is_seldom(path: str) -> bool:
    return '"' in path or path.count("[]") > 1
