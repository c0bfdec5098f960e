"""A legacy that holds recordings as they are, every column of them, and answers by vehicle and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.port import SourceBatch, SourceSize
from journeymesh.sources.vehicle_port import VehicleRead, VehicleTimes
from tests.support.legacy_double import MemoryLegacy


@dataclass(slots=True)
class RecordedLegacy(MemoryLegacy):
    """A ``VehicleSource`` over these fixes. Nothing in it changes but policies."""

    recorded: Fixes = field(default_factory=Fixes.empty)

    def size(self) -> SourceSize:
        return SourceSize(fixes=len(self.recorded))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        yield SourceBatch(self._of(np.ones(len(self.recorded), np.bool_)))

    def vehicles(self) -> list[str]:
        return sorted({self.recorded.vehicles[code] for code in set(self.recorded.vehicle.tolist())})

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        self._check()
        self.reads += 1
        held, at = self.recorded, self.recorded.fixed_at_us
        rows = np.zeros(len(held), np.bool_)
        for each in wanted:
            if each.vehicle in held.vehicles:
                named = held.vehicle == held.vehicles.index(each.vehicle)
                rows |= named & (at >= each.first_us) & (at <= each.last_us)
        return VehicleRead(self._of(rows))

    def _of(self, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Fixes:
        found = self.recorded.take(rows)
        return replace(found, origin=np.flatnonzero(rows).astype(np.int64))
