"""A run holds the batch that it works on and no earlier one."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from datetime import timedelta

import numpy as np
from tests.support.builders import drive

from journeymesh.engines.local import run
from journeymesh.engines.port import Retention, RunOptions
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ENGINE_SWITCHED
from journeymesh.sources.port import SourceBatch, SourceSize
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery

BATCHES = 8


class WatchedSource:
    """Batches of one drive, each vehicle's in two batches; counts how many still stand when another is made. The first
    vehicle may come ``back`` at the end, so that the source has to be read a second time, by way of disk."""

    name = "watched"

    def __init__(self, back: bool = False) -> None:
        self.standing: list[int] = []
        self._made: list[weakref.ref[np.ndarray]] = []
        self._back = back
        self._drive = drive((12.0, 6_000))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        for k in range(BATCHES):
            self.standing.append(sum(one() is not None for one in self._made))
            last = "V0" if self._back and k == BATCHES - 1 else f"V{k + 1}"
            fixes = Fixes.concat([self._half(f"V{k}", 1), self._half(last, 0)])
            self._made.append(weakref.ref(fixes.lat_deg))
            batch = SourceBatch(fixes)
            del fixes
            yield batch
            del batch

    def _half(self, vehicle: str, half: int) -> Fixes:
        middle = len(self._drive) // 2
        part = self._drive.take(slice(middle) if half == 0 else slice(middle, None))
        return Fixes((vehicle,), part.vehicle, part.fixed_at_us, part.lat_deg, part.lon_deg, ignition=part.ignition)

    def size(self) -> SourceSize:
        return SourceSize()

    def describe(self, origins: np.ndarray) -> list[str]:
        return ["watched"] * len(origins)

    def policies(self) -> list:
        return []

    def close(self) -> None: ...


def test_earlier_batches_are_let_go() -> None:
    source, store = WatchedSource(), MemoryStore()
    rows = len(source._drive)
    options = RunOptions(rules=ENGINE_SWITCHED, retention=Retention(timedelta(0)), memory_bytes=1)
    counts = run(source, store, options).counts
    assert (counts["fixes"], counts["journeys"]) == (BATCHES * rows, BATCHES + 1)
    assert len(source.standing) == BATCHES, "the source is read once"
    assert max(source.standing) == 1, "the vehicle that goes on is in the batch before"


def test_what_was_read_before_a_vehicle_came_back_is_let_go() -> None:
    source, store = WatchedSource(back=True), MemoryStore()
    options = RunOptions(rules=ENGINE_SWITCHED, retention=Retention(timedelta(0)), memory_bytes=1)
    counts = run(source, store, options).counts
    assert counts["fixes"] == BATCHES * len(source._drive)
    assert counts["journeys"] - counts["journeys_removed"] == len(store.journeys(JourneyQuery())) == BATCHES
    first, second = source.standing[:BATCHES], source.standing[BATCHES:]
    assert len(second) == BATCHES, "the source is read twice"
    assert second[0] == 0, "the first reading holds nothing any more"
    assert max(first) == max(second) == 1
