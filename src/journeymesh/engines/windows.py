"""Windows: as much of a vehicle's time as has to be passed again when something in it changed.

A window is whole UTC days (kept fixes are replaced by the day) and ends at silences, across which the pass compares
nothing; so what the pass makes of a window is what it would have made of it within the whole.

How the journeys of some time differ between what a store holds and what the pass gives.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.instants import from_us
from journeymesh.journeys.fields import INSTANT
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.local_time import DAY_US, US_PER_S
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, DocumentPlace, VehicleRead, VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.port import JourneyQuery, Store, Superseded
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow

_FIRST_INSTANT_US: Final = -62_135_596_800 * US_PER_S
_LAST_INSTANT_US: Final = 253_402_300_800 * US_PER_S - 1
"""The years 1 to 9999, in which instants have a calendar day."""
_LONGEST_JOURNEY_US: Final = 7 * DAY_US

ReadTimes = Callable[[Sequence[VehicleTimes]], VehicleRead]
"""The fixes and refusals of these vehicles and times."""


@dataclass(frozen=True, slots=True)
class Window:
    """All that a source holds of a vehicle in these times.

    ``fixes`` are of this vehicle alone, in no order. ``refusals`` are of documents that could not be read.
    """

    times: VehicleTimes
    fixes: Fixes
    refusals: Sequence[Refusal] = ()
    places: Sequence[DocumentPlace] = ()

    @property
    def vehicle(self) -> str:
        """The vehicle's name."""
        return self.times.vehicle


def read_windows(read: ReadTimes, wanted: Sequence[VehicleTimes], rules: JourneyRules) -> list[Window]:
    """The windows around these times, by vehicle and time; times of one window give it once.

    One read for all vehicles, and one more for each doubling of those that do not end at silences. A vehicle of which
    nothing is read gives an empty window.
    """
    silence_us = round(rules.max_silence_s * US_PER_S)
    growing = _joined((_unread(times, silence_us) for times in _widened(wanted, silence_us)), silence_us)
    done: list[_Growing] = []
    while growing:
        _extend(read, growing)
        joined = _joined([*done, *growing], silence_us)
        growing = [each for each in joined if each.grow(silence_us)]
        done = [each for each in joined if not each.unread]
    return [each.window() for each in sorted(done, key=_begin)]


def journeys_touching(store: Store, times: VehicleTimes) -> pa.Table:
    """The store's journeys that touch these times."""
    if times.is_whole:
        return store.journeys(JourneyQuery(vehicle=times.vehicle))
    query = JourneyQuery(
        vehicle=times.vehicle,
        started_from=from_us(times.first_us - _LONGEST_JOURNEY_US),
        started_to=from_us(times.last_us + 1),
    )
    journeys = store.journeys(query)
    return journeys.filter(pc.greater_equal(journeys["ended_at"], pa.scalar(from_us(times.first_us), INSTANT)))


@dataclass(slots=True)
class _Growing:
    """A window that may still have to grow. ``unread`` are times that were not read yet."""

    vehicle: str
    first_us: int
    last_us: int
    unread: list[tuple[int, int]]
    fixes: list[Fixes] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    places: dict[tuple[int, str], DocumentPlace] = field(default_factory=dict)
    days: int = 1

    def grow(self, silence_us: int) -> bool:
        """Want more days on each side that does not end at a silence; whether any are."""
        at = np.concatenate([np.empty(0, np.int64), *(part.fixed_at_us for part in self.fixes)])
        if self.first_us > _FIRST_INSTANT_US and _joins(at, self.first_us, silence_us):
            first_us = max(self.first_us - self.days * DAY_US, _FIRST_INSTANT_US)
            self.unread.append((first_us - silence_us, self.first_us - silence_us - 1))
            self.first_us = first_us
        if self.last_us < _LAST_INSTANT_US and _joins(at, self.last_us + 1, silence_us):
            last_us = min(self.last_us + self.days * DAY_US, _LAST_INSTANT_US)
            self.unread.append((self.last_us + silence_us + 1, last_us + silence_us))
            self.last_us = last_us
        self.days *= 2
        return bool(self.unread)

    def window(self) -> Window:
        """What it has become: without the fixes that were only read to see where it ends."""
        fixes = Fixes.concat(self.fixes) if self.fixes else Fixes.empty((self.vehicle,))
        times = VehicleTimes(self.vehicle, self.first_us, self.last_us)
        return Window(times, within(fixes, [times]), list(self.refusals.values()), list(self.places.values()))


def within(fixes: Fixes, times: Iterable[VehicleTimes]) -> Fixes:
    """The fixes in any of these times, of whichever vehicle."""
    at_us, inside = fixes.fixed_at_us, np.zeros(len(fixes), np.bool_)
    for each in times:
        inside |= (at_us >= each.first_us) & (at_us <= each.last_us)
    return fixes if inside.all() else fixes.take(inside)


def of_vehicles(fixes: Fixes) -> dict[str, Fixes]:
    """The fixes of each vehicle that has some, each with a dictionary of its own."""
    order = np.argsort(fixes.vehicle, kind="stable")
    ordered = fixes.vehicle[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    parts: dict[str, Fixes] = {}
    for own in np.split(order, edges) if len(order) else []:
        name = fixes.vehicles[fixes.vehicle[own[0]]]
        parts[name] = replace(fixes.take(own), vehicles=(name,), vehicle=np.zeros(len(own), np.int32))
    return parts


def _widened(wanted: Iterable[VehicleTimes], silence_us: int) -> Iterator[VehicleTimes]:
    """Whole UTC days, a silence wider on both sides; times that have no day are the whole vehicle."""
    for each in wanted:
        first_us, last_us = each.first_us - silence_us, each.last_us + silence_us
        if first_us < _FIRST_INSTANT_US + DAY_US or last_us > _LAST_INSTANT_US - DAY_US:
            yield VehicleTimes(each.vehicle)
        else:
            yield VehicleTimes(each.vehicle, first_us // DAY_US * DAY_US, last_us // DAY_US * DAY_US + DAY_US - 1)


def _unread(times: VehicleTimes, silence_us: int, days: int = 1) -> _Growing:
    """A window of which nothing was read yet; what lies a silence beyond it is read too."""
    first_us, last_us = max(times.first_us - silence_us, BEGINNING_US), min(times.last_us + silence_us, END_US)
    return _Growing(times.vehicle, times.first_us, times.last_us, [(first_us, last_us)], days=days)


def _begin(window: _Growing) -> tuple[str, int]:
    return window.vehicle, window.first_us


def _joined(windows: Iterable[_Growing], silence_us: int) -> list[_Growing]:
    """The windows in order; those of one vehicle that grew into each other are one, which is read again."""
    joined: list[_Growing] = []
    for each in sorted(windows, key=_begin):
        last = joined[-1] if joined else None
        if last is not None and last.vehicle == each.vehicle and each.first_us <= last.last_us + 1:
            times = VehicleTimes(last.vehicle, last.first_us, max(last.last_us, each.last_us))
            joined[-1] = _unread(times, silence_us, last.days)
        else:
            joined.append(each)
    return joined


def _extend(read: ReadTimes, growing: Sequence[_Growing]) -> None:
    """Read what was not read yet, all of it at once."""
    found = read([VehicleTimes(each.vehicle, *times) for each in growing for times in each.unread])
    by_vehicle = of_vehicles(found.fixes)
    refusals: dict[str | None, list[Refusal]] = {}
    for refusal in found.refusals:
        refusals.setdefault(refusal.vehicle, []).append(refusal)
    places: dict[str, list[DocumentPlace]] = {}
    for place in found.places:
        places.setdefault(place.vehicle, []).append(place)
    for each in growing:
        fixes = by_vehicle.get(each.vehicle)
        if fixes is not None:
            each.fixes.append(within(fixes, [VehicleTimes(each.vehicle, *times) for times in each.unread]))
        each.refusals |= {refusal.refusal_id: refusal for refusal in refusals.get(each.vehicle, ())}
        each.places |= {(place.document, place.vehicle): place for place in places.get(each.vehicle, ())}
        each.unread = []


def _joins(at_us: I64, border_us: int, silence_us: int) -> bool:
    """Whether fixes on both sides of the border are no further apart than a silence."""
    left, right = at_us[at_us < border_us], at_us[at_us >= border_us]
    return bool(len(left) and len(right) and right.min() - left.max() <= silence_us)


ENDED: Final = COLUMNS.index("ended_at_us")


@dataclass(frozen=True, slots=True)
class JourneyDifference:
    """What has to be done to ``before`` so that it is ``after``.

    - ``put``: ids of journeys that are new or changed; ``changed``: those among them that were there
    - ``grown``: those among ``changed`` that end later than before, as journeys under way do
    - ``gone``: journeys that are no more, each with the one that shares most of its time
    """

    put: Sequence[str]
    changed: Sequence[str]
    grown: frozenset[str]
    gone: Sequence[Superseded]

    def superseded(self, unless: Container[str]) -> list[Superseded]:
        """The journeys that are no more, and the former states of changed ones, unless these only grow."""
        return [*self.gone, *(Superseded(i, i) for i in self.changed if i not in unless)]


def difference(before: Iterable[JourneyRow], after: Iterable[JourneyRow]) -> JourneyDifference:
    """Compare journeys, as stores keep them, to the last bit."""
    old, fresh = {row[ID]: row for row in before}, {row[ID]: row for row in after}
    put = [i for i, row in fresh.items() if i not in old or not _is_same(old[i], row)]
    changed = [i for i in put if i in old]
    grown = frozenset(i for i in changed if fresh[i][ENDED] > old[i][ENDED])
    gone = [Superseded(i, _successor(row, fresh)) for i, row in old.items() if i not in fresh]
    return JourneyDifference(put, changed, grown, gone)


def stored_rows(journeys: pa.Table) -> list[JourneyRow]:
    """Journeys in ``JOURNEY_SCHEMA`` as stores keep them."""
    return rows.rows_of(rows.stored_journeys(journeys))


def _is_same(one: JourneyRow, other: JourneyRow) -> bool:
    """Whether nothing differs, the sign of a zero included."""
    return one == other and rows.row_content(one) == rows.row_content(other)


def _successor(row: JourneyRow, after: Mapping[str, JourneyRow]) -> str | None:
    """The journey that shares most time with one that is gone."""
    best, longest = None, 0
    for journey_id, other in after.items():
        shared = min(row[ENDED], other[ENDED]) - max(row[STARTED], other[STARTED])
        if shared > longest:
            best, longest = journey_id, shared
    return best
