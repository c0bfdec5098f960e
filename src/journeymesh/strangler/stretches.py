"""Stretches: as much of a vehicle's time as has to be passed again when something in it changed.

A stretch is whole UTC days (kept fixes are replaced by the day) and ends at silences, across which the pass compares
nothing; so what the pass makes of a stretch is what it would have made of it within the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np

from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.local_time import DAY_US, US_PER_S
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import BEGINNING_US, END_US, DocumentPlace, VehicleRead, VehicleTimes

_FIRST_INSTANT_US: Final = -62_135_596_800 * US_PER_S
_LAST_INSTANT_US: Final = 253_402_300_800 * US_PER_S - 1
"""The years 1 to 9999, in which instants have a calendar day."""


class ReadsVehicles(Protocol):
    """The part of a ``VehicleSource`` that stretches are read with."""

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        """The fixes and refusals of these vehicles and times."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """All that a source holds of a vehicle from ``first_us`` to ``last_us``, both included.

    ``fixes`` are of this vehicle alone, in no order. ``refusals`` are of documents that could not be read.
    ``is_whole``: it is all there is of the vehicle.
    """

    vehicle: str
    first_us: int
    last_us: int
    fixes: Fixes
    refusals: Sequence[Refusal] = ()
    places: Sequence[DocumentPlace] = ()

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole of the vehicle."""
        return self.first_us <= BEGINNING_US and self.last_us >= END_US


def read_stretches(
    source: ReadsVehicles, wanted: Sequence[VehicleTimes], rules: JourneyRules, *, places: bool = False
) -> list[Stretch]:
    """The stretches around these times, by vehicle and time; times of one stretch give it once.

    One question to the source for all vehicles, and one more for each doubling of those that do not end at silences.
    A vehicle of which the source holds nothing gives an empty stretch.
    """
    silence_us = round(rules.max_silence_s * US_PER_S)
    growing = list(_merged(_widened(wanted, silence_us), silence_us))
    done: list[_Growing] = []
    while growing:
        _extend(source, growing, places)
        joined = list(_joined([*done, *growing], silence_us))
        growing = [each for each in joined if each.grow(silence_us)]
        done = [each for each in joined if not each.asks]
    return [each.stretch() for each in sorted(done, key=lambda each: (each.vehicle, each.first_us))]


@dataclass(slots=True)
class _Growing:
    """A stretch that may still have to grow. ``asks`` are times not asked for yet, ``had`` the ones that were."""

    vehicle: str
    first_us: int
    last_us: int
    asks: list[tuple[int, int]]
    fixes: list[Fixes] = field(default_factory=list)
    refusals: dict[str, Refusal] = field(default_factory=dict)
    places: dict[tuple[int, str], DocumentPlace] = field(default_factory=dict)
    days: int = 1

    def grow(self, silence_us: int) -> bool:
        """Ask for more days on each side that does not end at a silence; whether any is asked for."""
        at = np.concatenate([np.empty(0, np.int64), *(part.fixed_at_us for part in self.fixes)])
        if self.first_us > _FIRST_INSTANT_US and _joins(at, self.first_us, silence_us):
            first_us = max(self.first_us - self.days * DAY_US, _FIRST_INSTANT_US)
            self.asks.append((first_us - silence_us, self.first_us - silence_us - 1))
            self.first_us = first_us
        if self.last_us < _LAST_INSTANT_US and _joins(at, self.last_us + 1, silence_us):
            last_us = min(self.last_us + self.days * DAY_US, _LAST_INSTANT_US)
            self.asks.append((self.last_us + silence_us + 1, last_us + silence_us))
            self.last_us = last_us
        self.days *= 2
        return bool(self.asks)

    def stretch(self) -> Stretch:
        """What it has become: without the fixes that were only asked for to see where it ends."""
        fixes = Fixes.concat(self.fixes) if self.fixes else Fixes.empty((self.vehicle,))
        inside = (fixes.fixed_at_us >= self.first_us) & (fixes.fixed_at_us <= self.last_us)
        if not inside.all():
            fixes = fixes.take(inside)
        refusals, places = list(self.refusals.values()), list(self.places.values())
        return Stretch(self.vehicle, self.first_us, self.last_us, fixes, refusals, places)


def of_vehicles(fixes: Fixes) -> dict[str, Fixes]:
    """The fixes of each vehicle that has some, each with a dictionary of its own."""
    order = np.argsort(fixes.vehicle, kind="stable")
    ordered = fixes.vehicle[order]
    edges = np.flatnonzero(np.diff(ordered)) + 1
    parts: dict[str, Fixes] = {}
    for rows in np.split(order, edges) if len(order) else []:
        name = fixes.vehicles[fixes.vehicle[rows[0]]]
        parts[name] = replace(fixes.take(rows), vehicles=(name,), vehicle=np.zeros(len(rows), np.int32))
    return parts


def _widened(wanted: Iterable[VehicleTimes], silence_us: int) -> Iterator[VehicleTimes]:
    """Whole UTC days, a silence wider on both sides; times that have no day are the whole vehicle."""
    for each in wanted:
        first_us, last_us = each.first_us - silence_us, each.last_us + silence_us
        if first_us < _FIRST_INSTANT_US + DAY_US or last_us > _LAST_INSTANT_US - DAY_US:
            yield VehicleTimes(each.vehicle)
        else:
            yield VehicleTimes(each.vehicle, first_us // DAY_US * DAY_US, last_us // DAY_US * DAY_US + DAY_US - 1)


def _merged(wanted: Iterable[VehicleTimes], silence_us: int) -> Iterator[_Growing]:
    held: VehicleTimes | None = None
    for each in sorted(wanted):
        if held is not None and held.vehicle == each.vehicle and each.first_us <= held.last_us + 1:
            held = VehicleTimes(held.vehicle, held.first_us, max(held.last_us, each.last_us))
            continue
        if held is not None:
            yield _asking(held, silence_us)
        held = each
    if held is not None:
        yield _asking(held, silence_us)


def _asking(times: VehicleTimes, silence_us: int, days: int = 1) -> _Growing:
    """A stretch of which nothing was read yet; what lies a silence beyond it is asked for too."""
    first_us, last_us = max(times.first_us - silence_us, BEGINNING_US), min(times.last_us + silence_us, END_US)
    return _Growing(times.vehicle, times.first_us, times.last_us, [(first_us, last_us)], days=days)


def _joined(stretches: Iterable[_Growing], silence_us: int) -> Iterator[_Growing]:
    """Stretches of one vehicle that grew into each other, as one that is asked for again."""
    held: _Growing | None = None
    for each in sorted(stretches, key=lambda each: (each.vehicle, each.first_us)):
        if held is not None and held.vehicle == each.vehicle and each.first_us <= held.last_us + 1:
            times = VehicleTimes(held.vehicle, held.first_us, max(held.last_us, each.last_us))
            held = _asking(times, silence_us, held.days)
            continue
        if held is not None:
            yield held
        held = each
    if held is not None:
        yield held


def _extend(source: ReadsVehicles, growing: Sequence[_Growing], places: bool) -> None:
    """Read what is asked for, all of it with one question."""
    wanted: list[VehicleTimes] = []
    for each in growing:
        wanted += [VehicleTimes(each.vehicle, first_us, last_us) for first_us, last_us in each.asks]
    found = source.read(wanted, places=places)
    by_vehicle = of_vehicles(found.fixes)
    refusals: dict[str, list[Refusal]] = {}
    for refusal in found.refusals:
        if refusal.vehicle is not None:
            refusals.setdefault(refusal.vehicle, []).append(refusal)
    placed: dict[str, list[DocumentPlace]] = {}
    for place in found.places:
        placed.setdefault(place.vehicle, []).append(place)
    for each in growing:
        fixes = by_vehicle.get(each.vehicle)
        if fixes is not None:
            asked = np.zeros(len(fixes), np.bool_)
            for first_us, last_us in each.asks:
                asked |= (fixes.fixed_at_us >= first_us) & (fixes.fixed_at_us <= last_us)
            each.fixes.append(fixes if asked.all() else fixes.take(asked))
        each.refusals |= {refusal.refusal_id: refusal for refusal in refusals.get(each.vehicle, ())}
        each.places |= {(place.document, place.vehicle): place for place in placed.get(each.vehicle, ())}
        each.asks = []


def _joins(at_us: I64, border_us: int, silence_us: int) -> bool:
    """Whether fixes on both sides of the border are no further apart than a silence."""
    left, right = at_us[at_us < border_us], at_us[at_us >= border_us]
    return bool(len(left) and len(right) and right.min() - left.max() <= silence_us)
