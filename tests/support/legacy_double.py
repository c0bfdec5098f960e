"""A legacy collection in memory: one document per fix, with a stream of changes. The fast double of a live MongoDB."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import bson
import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.sources.bson_policies import policies_of
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.mapping import PolicyMappings
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize
from journeymesh.sources.vehicle_port import (
    ChangeBatch,
    DocumentPlace,
    PositionLost,
    TooMuchAsked,
    VehicleRead,
    VehicleTimes,
)

Row = tuple[str, int, float, float, float]
"""vehicle, fixed_at_us, lat_deg, lon_deg, speed_mps."""


@dataclass(slots=True)
class _Event:
    document: int
    before: Row | None
    after: Row | None
    at: datetime
    policies: bool = False
    everything: bool = False


@dataclass(slots=True)
class MemoryLegacy:
    """A ``VehicleSource``. ``put``, ``change``, ``remove`` and ``drop`` are what applications do to it."""

    held_policies: list[Policy] = field(default_factory=list)
    pre_images: bool = False
    name: str = "memory-legacy"
    rows: dict[int, Row] = field(default_factory=dict)
    events: list[_Event] = field(default_factory=list)
    forgotten: int = 0
    """Changes before this number are no longer there."""
    reads: int = 0
    broken: Exception | None = None
    """Raised by every call while it is set."""
    break_at: int | None = None
    """The read of this number, counted from 1, fails."""
    most_documents: int | None = None
    """A read of more is refused."""
    refused: int = 0
    """How many reads were."""
    latency: Callable[[], float] = lambda: 0.0
    tally: FieldTally | None = None
    _news: threading.Condition = field(default_factory=threading.Condition)

    # --- what applications do

    def put(self, fixes: Fixes) -> list[int]:
        """Insert one document for each fix; returns their ids."""
        speed = fixes.speed_mps if fixes.speed_mps is not None else np.full(len(fixes), np.nan)
        ids = []
        with self._news:
            for k in range(len(fixes)):
                row = (
                    fixes.vehicles[fixes.vehicle[k]],
                    int(fixes.fixed_at_us[k]),
                    float(fixes.lat_deg[k]),
                    float(fixes.lon_deg[k]),
                    float(speed[k]),
                )
                document = len(self.events) + 1_000_000
                self._set(document, row)
                ids.append(document)
        return ids

    def change(self, document: int, row: Row) -> None:
        """Replace a document's content."""
        with self._news:
            self._set(document, row)

    def remove(self, documents: Iterable[int]) -> None:
        """Delete documents."""
        with self._news:
            for document in documents:
                self._set(document, None)

    def drop(self) -> None:
        """Drop the collection."""
        with self._news:
            self.rows.clear()
            self.events.append(_Event(0, None, None, datetime.now(UTC), everything=True))
            self._news.notify_all()

    def set_policies(self, policies: Sequence[Policy]) -> None:
        """Put other policies."""
        with self._news:
            self.held_policies = policies if isinstance(policies, UsablePolicies) else list(policies)
            self.events.append(_Event(0, None, None, datetime.now(UTC), policies=True))
            self._news.notify_all()

    def set_policy_documents(self, documents: Sequence[bytes | dict[str, Any]], mapping: PolicyMappings) -> None:
        """Put other policies, as the documents of a collection that this maps."""
        self.set_policies(policies_of(documents, mapping))

    def forget(self) -> None:
        """Lose the changes until now, as an oplog does."""
        self.forgotten = len(self.events)

    def _set(self, document: int, row: Row | None) -> None:
        before = self.rows.pop(document, None)
        if row is not None:
            self.rows[document] = row
        self.events.append(_Event(document, before, row, datetime.now(UTC)))
        self._news.notify_all()

    # --- what a source answers

    def size(self) -> SourceSize:
        self._check()
        return SourceSize(fixes=len(self.rows))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        self._check()
        yield SourceBatch(_fixes(list(self.rows.items())))

    def describe(self, origins: I64) -> list[str]:
        return [f"memory/{origin}" for origin in origins]

    def items(self) -> list[SourceItem]:
        return []

    def policies(self) -> UsablePolicies:
        self._check()
        held = self.held_policies
        return copy(held) if isinstance(held, UsablePolicies) else UsablePolicies(held)

    def everything(self) -> Fixes:
        """All fixes, by document."""
        return _fixes(list(self.rows.items()))

    def vehicles(self) -> list[str]:
        self._check()
        return sorted({row[0] for row in self.rows.values()})

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        self._check()
        self.reads += 1
        if self.reads == self.break_at:
            raise SourceUnreadable("memory-legacy went away", todo="start it again")
        times = {
            each.vehicle: [(e.first_us, e.last_us) for e in wanted if e.vehicle == each.vehicle] for each in wanted
        }
        with self._news:
            found = [
                (document, row)
                for document, row in self.rows.items()
                if any(first <= row[1] <= last for first, last in times.get(row[0], ()))
            ]
        if self.most_documents is not None and len(found) > self.most_documents:
            self.refused += 1
            raise TooMuchAsked("memory-legacy holds more", todo="ask for fewer")
        put = [_place(document, row) for document, row in found] if places else []
        return VehicleRead(_fixes(found), documents=len(found), places=put)

    def nameless(self) -> VehicleRead:
        self._check()
        return VehicleRead(Fixes.empty())

    def position(self) -> str:
        self._check()
        return str(len(self.events))

    def changes(self, after: str) -> MemoryChanges:
        self._check()
        if int(after) < self.forgotten:
            raise PositionLost("memory-legacy: the position is no longer there", todo="compare again")
        return MemoryChanges(self, int(after))

    def raw_documents(self, vehicles: Sequence[str]) -> Iterator[bytes]:
        self._check()
        with self._news:
            found = sorted((document, row) for document, row in self.rows.items() if row[0] in vehicles)
        for document, (vehicle, at_us, lat, lon, speed) in found:
            content = {"_id": document, "v": vehicle, "t": at_us, "lat": lat, "lon": lon, "speed": speed}
            yield bson.encode(content)

    def remove_vehicles(self, vehicles: Sequence[str]) -> int:
        self._check()
        found = [document for document, row in self.rows.items() if row[0] in vehicles]
        self.remove(found)
        return len(found)

    def latency_s(self) -> float:
        self._check()
        return self.latency()

    def close(self) -> None: ...

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken


@dataclass(slots=True)
class MemoryChanges:
    """A ``ChangeStream`` over a ``MemoryLegacy``."""

    legacy: MemoryLegacy
    at: int

    def next_batch(self, wait_s: float, limit: int = 1000) -> ChangeBatch:
        legacy = self.legacy
        legacy._check()
        if self.at < legacy.forgotten:
            raise PositionLost("memory-legacy: the position is no longer there", todo="compare again")
        until = time.monotonic() + wait_s
        with legacy._news:
            while len(legacy.events) <= self.at and (left := until - time.monotonic()) > 0:
                legacy._news.wait(left)
            found = legacy.events[self.at : self.at + limit]
        self.at += len(found)
        documents = [event for event in found if event.document]
        before = [event for event in documents if event.before is not None]
        return ChangeBatch(
            position=str(self.at),
            events=len(found),
            placed=[_place(event.document, event.after) for event in documents if event.after is not None],
            left=[_place(event.document, event.before) for event in before] if legacy.pre_images else [],
            unplaced=[] if legacy.pre_images else [event.document for event in before],
            origins=[f"memory/{event.document}" for event in documents],
            policies_changed=any(event.policies for event in found),
            everything=any(event.everything for event in found),
            last_event_at=found[-1].at if found else None,
        )

    def close(self) -> None: ...


def _place(document: int, row: Row) -> DocumentPlace:
    return DocumentPlace(document, row[0], row[1], row[1])


def _fixes(found: Sequence[tuple[int, Row]]) -> Fixes:
    if not found:
        return Fixes.empty()
    names = sorted({row[0] for _, row in found})
    code = {name: number for number, name in enumerate(names)}
    return Fixes(
        tuple(names),
        np.array([code[row[0]] for _, row in found], np.int32),
        np.array([row[1] for _, row in found], np.int64),
        np.array([row[2] for _, row in found]),
        np.array([row[3] for _, row in found]),
        speed_mps=np.array([row[4] for _, row in found]),
        origin=np.array([document for document, _ in found], np.int64),
    )
