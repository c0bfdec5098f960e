"""Where a journey is: its id does not tell its vehicle, and without the vehicle legacy cannot be asked."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from journeymesh.strangler.sides import Side

MOST_PLACES: Final = 200_000


@dataclass(frozen=True, slots=True)
class JourneyPlace:
    """A journey's vehicle, its time (both ends included) and its policy, as they were when it was last seen."""

    vehicle: str
    started_us: int
    ended_us: int
    policy: str | None


def places_in(journeys: pa.Table) -> list[tuple[str, JourneyPlace]]:
    """Each journey's id and place."""
    columns = [journeys[name].to_pylist() for name in ("journey_id", "vehicle", "policy")]
    times = [journeys[name].cast(pa.int64()).to_pylist() for name in ("started_at", "ended_at")]
    return [
        (journey_id, JourneyPlace(vehicle, started_us, ended_us, policy))
        for journey_id, vehicle, policy, started_us, ended_us in zip(*columns, *times, strict=True)
    ]


@dataclass(slots=True)
class JourneyPlaces:
    """The places of the journeys given out last. Safe for threads."""

    most: int = MOST_PLACES
    _held: OrderedDict[str, JourneyPlace] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def remember(self, journeys: pa.Table) -> None:
        """Keep the places of these journeys (``JOURNEY_SCHEMA``); the ones seen longest ago go first."""
        found = places_in(journeys)
        with self._lock:
            for journey_id, place in found:
                self._held[journey_id] = place
                self._held.move_to_end(journey_id)
            while len(self._held) > self.most:
                self._held.popitem(last=False)

    def get(self, journey_id: str) -> JourneyPlace | None:
        """The journey's place; None where it was not seen lately."""
        with self._lock:
            return self._held.get(journey_id)


@dataclass(frozen=True, slots=True)
class Located:
    """Where a journey is, and which store said so with which row; a journey given out lately needs no store."""

    place: JourneyPlace
    name: str | None = None
    journey: pa.Table | None = None


@dataclass(slots=True)
class Locator:
    """Finds a journey's place by its id: among those given out by legacy lately, then in the stores.

    An id that legacy alone knows and did not give out lately is not found. ``stores`` gives names and stores to look
    in; an error of one of them is the caller's, as its answer might have been the place.
    """

    places: JourneyPlaces
    stores: Callable[[], Iterable[tuple[str, Side]]]

    def find(self, journey_id: str, tenant: str | None = None) -> Located | None:
        """Where the journey is; None: nobody knows it. With a tenant, stores are asked for theirs alone; a place that
        is remembered says nothing of whose it is."""
        place = self.places.get(journey_id)
        return Located(place) if place is not None else self.find_stored(journey_id, tenant)

    def find_stored(self, journey_id: str, tenant: str | None = None) -> Located | None:
        """Where a store has the journey, or the one that took its place, of this tenant or (None) of any; None: no
        store knows it."""
        for name, store in self.stores():
            found = store.journey(journey_id, tenant)
            if found is not None:
                return Located(places_in(found)[0][1], name, found)
        return None

    def stored_place(self, journey_id: str) -> JourneyPlace | None:
        """The place in a store, for a side that looks among its own places itself."""
        located = self.find_stored(journey_id)
        return None if located is None else located.place
