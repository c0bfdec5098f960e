"""An index of journeys by id: an id does not tell its vehicle, and without the vehicle legacy cannot be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from journeymesh.lru import LruCache
from journeymesh.strangler.questions import Side

MOST_JOURNEYS: Final = 200_000


@dataclass(frozen=True, slots=True)
class JourneyLocation:
    """A journey's vehicle, its time (both ends included) and its policy, as they were when it was last seen."""

    vehicle: str
    started_us: int
    ended_us: int
    policy: str | None


def locations_in(journeys: pa.Table) -> list[tuple[str, JourneyLocation]]:
    """Each journey's id and location."""
    columns = [journeys[name].to_pylist() for name in ("journey_id", "vehicle", "policy")]
    times = [journeys[name].cast(pa.int64()).to_pylist() for name in ("started_at", "ended_at")]
    return [
        (journey_id, JourneyLocation(vehicle, started_us, ended_us, policy))
        for journey_id, vehicle, policy, started_us, ended_us in zip(*columns, *times, strict=True)
    ]


@dataclass(slots=True)
class JourneyIndex:
    """The locations of the journeys given out last. Safe for threads."""

    most: int = MOST_JOURNEYS
    _locations: LruCache[str, JourneyLocation] = field(init=False)

    def __post_init__(self) -> None:
        self._locations = LruCache(self.most)

    def remember(self, journeys: pa.Table) -> None:
        """Keep the locations of these journeys (``JOURNEY_SCHEMA``); the ones seen longest ago go first."""
        for journey_id, location in locations_in(journeys):
            self._locations.put(journey_id, location)

    def get(self, journey_id: str) -> JourneyLocation | None:
        """The journey's location; None where it was not seen lately."""
        return self._locations.get(journey_id)


@dataclass(frozen=True, slots=True)
class Located:
    """Where a journey is, and which store said so with which row; a journey given out lately needs no store."""

    location: JourneyLocation
    name: str | None = None
    journey: pa.Table | None = None


@dataclass(slots=True)
class Locator:
    """Finds a journey's location by its id: among those given out by legacy lately, then in the stores.

    An id that legacy alone knows and did not give out lately is not found. ``stores`` gives names and stores to look
    in; an error of one of them is the caller's, as it might have had the journey.
    """

    index: JourneyIndex
    stores: Callable[[], Iterable[tuple[str, Side]]]

    def find(self, journey_id: str, tenant: str | None = None) -> Located | None:
        """Where the journey is; None: nobody knows it. With a tenant, stores are asked for theirs alone; a
        location that is remembered says nothing of whose it is."""
        location = self.index.get(journey_id)
        return Located(location) if location is not None else self.find_stored(journey_id, tenant)

    def find_stored(self, journey_id: str, tenant: str | None = None) -> Located | None:
        """Where a store has the journey, or the one that took its place, of this tenant or (None) of any; None: no
        store knows it."""
        for name, store in self.stores():
            found = store.journey(journey_id, tenant)
            if found is not None:
                return Located(locations_in(found)[0][1], name, found)
        return None

    def stored_location(self, journey_id: str) -> JourneyLocation | None:
        """The location in a store, for a side that looks into its own index itself."""
        located = self.find_stored(journey_id)
        return None if located is None else located.location
