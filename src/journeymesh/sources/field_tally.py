"""What a mapping finds, field by field: filled by every source while it reads, where somebody wants to know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from journeymesh.instants import from_us
from journeymesh.journeys.answers import rfc3339
from journeymesh.journeys.fixes import NOT_REPORTED_US, Fixes
from journeymesh.journeys.reasons import Reason
from journeymesh.sources.blame import field_of, paths_of_field
from journeymesh.sources.conversions import is_nan
from journeymesh.sources.mapping import NUMBER_COLUMNS, FieldMappings

Fault = tuple[int, Reason, str]
"""A row, why it or one of its values cannot be read, and what is wrong."""

SHOWN_VALUES: Final = 5
SAMPLE_VALUES: Final = 200
"""So many values of a clock are kept as they stand."""
_UNITS: Final = {
    "lat": "deg",
    "lon": "deg",
    "heading": "deg",
    "speed": "m/s",
    "speed_limit": "m/s",
    "accel_longitudinal": "m/s2",
    "accel_lateral": "m/s2",
    "accuracy": "m",
}
_MISSING: Final = (Reason.VEHICLE_MISSING, Reason.CLOCK_MISSING)
_MERGED: Final = ("accuracy", "hdop", "valid")
"""Fields that become one column together: what each of them holds is known by its types only."""


@dataclass(slots=True)
class FieldCount:
    """One mapped field over the rows read: ``found`` of ``rows`` have a value that can be read, ``unreadable`` have
    one that cannot, the rest have none.

    ``kinds`` counts the types met; ``lowest`` and ``highest`` are in SI or RFC 3339 UTC, None where nothing was
    found; ``values`` are the first different texts. ``first_unreadable`` is an input's origin and what is wrong.
    """

    name: str
    path: str
    rows: int = 0
    found: int = 0
    unreadable: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    lowest: float | str | None = None
    highest: float | str | None = None
    values: tuple[str, ...] = ()
    first_unreadable: tuple[int, str] | None = None

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return self.rows - self.found - self.unreadable

    @property
    def unit(self) -> str | None:
        """What ``lowest`` and ``highest`` are in; None where they have no unit."""
        return _UNITS.get(self.name)


class FieldTally:
    """Counts over all rows that a source reads, those refused among them."""

    def __init__(self, fields: FieldMappings) -> None:
        self._fields = fields
        self.counts = {
            name: FieldCount(name, "+".join(paths_of_field(part))) for name, part in fields.present().items()
        }
        self.samples: dict[str, list[Any]] = {}
        """The first values of each clock, as the source has them; those of several paths are joined."""

    def wants(self, name: str) -> int:
        """How many more values of a clock are wanted."""
        return SAMPLE_VALUES - len(self.samples.get(name, ()))

    def sample(self, name: str, values: Iterable[Any]) -> None:
        """Keep values of a clock, those that are missing left out."""
        kept = self.samples.setdefault(name, [])
        kept += islice((value for value in values if value not in (None, "") and not is_nan(value)), self.wants(name))

    def add(self, met: Fixes, faults: Iterable[Fault], kinds: Mapping[str, Mapping[str, int]]) -> None:
        """Add rows: ``met`` has one for every row, refused or not; ``faults`` all of them, several for one row too;
        ``kinds`` the types by field."""
        by_field: dict[str, dict[int, str]] = {}
        for row, reason, detail in faults:
            if reason in _MISSING and ("missing" in detail or "no vehicle" in detail):
                continue
            name = field_of(reason.code, detail, self._fields)
            for one in ("lat", "lon") if name is None and reason is Reason.POSITION_UNPARSEABLE else (name,):
                if one is not None:
                    by_field.setdefault(one, {}).setdefault(row, detail)
        for name, count in self.counts.items():
            count.kinds.update(kinds.get(name, {}))
            self._add_column(count, met, by_field.get(name, {}))

    def _add_column(self, count: FieldCount, met: Fixes, unreadable: dict[int, str]) -> None:
        column = None if count.name in _MERGED else getattr(met, column_of(count.name), None)
        count.rows += len(met)
        count.unreadable += len(unreadable)
        if unreadable and count.first_unreadable is None:
            row = min(unreadable)
            origins = met.origins
            count.first_unreadable = (-1 if origins is None else int(origins[row]), unreadable[row])
        if count.name in _MERGED:
            there_are = sum(number for kind, number in count.kinds.items() if kind not in ("missing", "null"))
            count.found = max(there_are - count.unreadable, 0)
        if column is None:
            return
        there = _present(column, met)
        there[list(unreadable)] = False
        count.found += int(np.count_nonzero(there))
        here = column[there]
        if count.name == "vehicle":
            names = [met.vehicles[code] for code in np.unique(here).tolist()]
            count.values = tuple(dict.fromkeys((*count.values, *names)))[:SHOWN_VALUES]
        elif len(here):
            ends: list[Any] = [here.min().item(), here.max().item()]
            if column.dtype == np.int64:
                ends = [instant_text(end) for end in ends]
            elif column.dtype == np.int8:
                ends = [float(end) for end in ends]
            count.lowest = ends[0] if count.lowest is None else min(count.lowest, ends[0])
            count.highest = ends[1] if count.highest is None else max(count.highest, ends[1])


def column_of(name: str) -> str:
    """The column of ``Fixes`` that a mapped field becomes."""
    return NUMBER_COLUMNS.get(name, f"{name}_us" if name.endswith("_at") else name)


def _present(column: npt.NDArray[Any], met: Fixes) -> npt.NDArray[np.bool_]:
    if column.dtype == np.int32:
        blank = np.array([not name.strip() for name in met.vehicles] + [True], np.bool_)
        return np.asarray(~blank[column], np.bool_)
    if column.dtype == np.int64:
        return np.asarray(column != NOT_REPORTED_US, np.bool_)
    return np.asarray(column != -1 if column.dtype == np.int8 else np.isfinite(column), np.bool_)


def instant_text(at_us: int) -> str:
    """The instant as RFC 3339 in UTC; in words where a calendar does not reach."""
    try:
        return rfc3339(from_us(at_us))
    except OverflowError:
        return "outside the calendar"
