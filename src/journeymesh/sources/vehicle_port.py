"""The second port of a source: asked by vehicle and time, and followed as it changes.

What a batch run reads whole, the strangler's legacy side and its live sync read by vehicle. A position is the
source's own word for a point in its stream of changes; it survives restarts and is compared by nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, overload

import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I32, I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.port import Source

BEGINNING_US: Final = -(2**62)
END_US: Final = 2**62


@dataclass(frozen=True, slots=True, order=True)
class VehicleTimes:
    """A vehicle between two instants, both included. The defaults mean all of it."""

    vehicle: str
    first_us: int = BEGINNING_US
    last_us: int = END_US

    @property
    def is_whole(self) -> bool:
        """Whether it is the whole of the vehicle."""
        return self.first_us <= BEGINNING_US and self.last_us >= END_US

    def includes(self, at_us: int) -> bool:
        """Whether the instant is in this time."""
        return self.first_us <= at_us <= self.last_us


@dataclass(frozen=True, slots=True)
class DocumentPlace:
    """Where a legacy document's fixes are: their vehicle and the span of their device clocks.

    ``document`` is the signed 64-bit digest of the document's ``_id``; it tells nothing of the id itself. A document
    without a usable clock has the whole of its vehicle as its span. One with fixes of several vehicles has a place
    for each of them.
    """

    document: int
    vehicle: str
    first_us: int
    last_us: int


@dataclass(frozen=True, slots=True, eq=False)
class DocumentPlaces(Sequence[DocumentPlace]):
    """Many places, as columns: int64[n] ``document``, ``first_us`` and ``last_us``, int32[n] codes of ``vehicles``."""

    document: I64
    vehicles: tuple[str, ...]
    vehicle: I32
    first_us: I64
    last_us: I64

    @classmethod
    def empty(cls) -> DocumentPlaces:
        """No places."""
        none = np.empty(0, np.int64)
        return cls(none, (), np.empty(0, np.int32), none, none)

    @classmethod
    def concat(cls, parts: Sequence[DocumentPlaces]) -> DocumentPlaces:
        """The parts one after the other, their dictionaries united."""
        if len(parts) == 1:
            return parts[0]
        codes: dict[str, int] = {}
        vehicle = [np.empty(0, np.int32)]
        for part in parts:
            table = np.array([codes.setdefault(name, len(codes)) for name in part.vehicles], np.int32)
            vehicle.append(table[part.vehicle])
        columns = [
            np.concatenate([np.empty(0, np.int64), *(getattr(part, name) for part in parts)])
            for name in ("document", "first_us", "last_us")
        ]
        return cls(columns[0], tuple(codes), np.concatenate(vehicle), columns[1], columns[2])

    def take(self, rows: I64 | np.ndarray[tuple[int], np.dtype[np.bool_]] | slice) -> DocumentPlaces:
        """The places selected by an index array, a mask or a slice."""
        return DocumentPlaces(
            self.document[rows], self.vehicles, self.vehicle[rows], self.first_us[rows], self.last_us[rows]
        )

    def __len__(self) -> int:
        return len(self.document)

    @overload
    def __getitem__(self, at: int) -> DocumentPlace: ...

    @overload
    def __getitem__(self, at: slice) -> DocumentPlaces: ...

    def __getitem__(self, at: int | slice) -> DocumentPlace | DocumentPlaces:
        if isinstance(at, slice):
            return self.take(at)
        vehicle = self.vehicles[int(self.vehicle[at])]
        return DocumentPlace(int(self.document[at]), vehicle, int(self.first_us[at]), int(self.last_us[at]))


@dataclass(frozen=True, slots=True)
class VehicleRead:
    """What the source holds of the vehicles asked for. ``fixes.origin`` is good for ``Source.describe``.

    ``places`` is filled only where it was asked for, and a ``DocumentPlaces`` where the source has columns of them.
    """

    fixes: Fixes
    refusals: Sequence[Refusal] = ()
    documents: int = 0
    places: Sequence[DocumentPlace] = ()


@dataclass(frozen=True, slots=True)
class ChangeBatch:
    """Some changes, in the source's order; none where nothing changed while waiting.

    - ``position``: where to go on once these are dealt with
    - ``placed``: the places of documents as they are now, after an insert, an update or a replace
    - ``left``: the places that changed or deleted documents had before, where the source tells it (pre-images)
    - ``unplaced``: digests of changed or deleted documents of which it does not
    - ``origins``: how ``Source.describe`` calls each changed document, so that its refusals can be withdrawn
    - ``refusals``: of changed documents in which the mapping finds no vehicle, as they are now
    - ``policies_changed``: a policy was put or removed
    - ``everything``: the collection was dropped or renamed: whatever was known of it may be gone
    - ``last_event_at``: when the source recorded the last of these changes; None: none
    """

    position: str
    events: int = 0
    placed: Sequence[DocumentPlace] = ()
    left: Sequence[DocumentPlace] = ()
    unplaced: Sequence[int] = ()
    origins: Sequence[str] = ()
    refusals: Sequence[Refusal] = ()
    policies_changed: bool = False
    everything: bool = False
    last_event_at: datetime | None = None


class TooMuchAsked(SourceUnreadable):
    """The source holds more documents of what was asked for than it gives at once: fewer have to be asked for."""


class PositionLost(SourceUnreadable):
    """The source no longer has the changes after this position: what was missed must be found by comparing."""


class ChangeStream(Protocol):
    """An open stream of changes."""

    def next_batch(self, wait_s: float, limit: int = 1000) -> ChangeBatch:
        """Up to ``limit`` changes that are there; else the first that comes within ``wait_s``; else an empty batch.

        An empty batch says that the source had nothing more at this instant, and its position still moves on.

        Raises:
            PositionLost: the stream cannot be continued. SourceUnreadable: the source cannot be reached.
        """

    def close(self) -> None:
        """Close the cursor. Idempotent."""


class VehicleSource(Source, Protocol):
    """A source that can be asked by vehicle and time, by an index, and followed."""

    def vehicles(self) -> list[str]:
        """Every vehicle that documents name, in order of name, as the mapping reads it."""

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        """The fixes of these vehicles and times, and the refusals of documents read on the way. Order is free.

        Fixes outside the times may be among them where the source cannot be asked more narrowly.
        """

    def nameless(self) -> VehicleRead:
        """Documents in which the mapping finds no vehicle: refusals only."""

    def position(self) -> str:
        """The position after everything written until now."""

    def changes(self, after: str) -> ChangeStream:
        """The changes after this position.

        Raises:
            PositionLost: the source no longer has them. SourceUnreadable: it cannot be followed at all.
        """

    def latency_s(self) -> float:
        """How long the source takes to answer the smallest question, for throttling."""


@dataclass(frozen=True, slots=True)
class OtherClient:
    """A client of the server. ``application`` is what its driver says that it is, "" where it says nothing;
    ``operations`` are those on the database, by kind; ``connections`` do nothing just now, on whichever database."""

    application: str
    host: str
    operations: dict[str, int]
    connections: int


@dataclass(frozen=True, slots=True)
class OtherClients:
    """The clients beside this program, those that use the database first. ``unknown`` says why they cannot be asked
    for; None: they can."""

    clients: tuple[OtherClient, ...] = ()
    unknown: str | None = None


class FixWriter(Protocol):
    """A source that fixes can be written back to, because its mapping can be inverted (one document per fix)."""

    def put(self, fixes: Fixes) -> int:
        """Write each fix as a document whose ``_id`` follows from vehicle, instant and position; returns how many were
        there before. Idempotent."""


class DocumentRemover(Protocol):
    """A source whose documents can be exported and deleted, vehicle by vehicle."""

    def raw_documents(self, vehicles: Sequence[str]) -> Iterator[bytes]:
        """The documents of these vehicles as BSON, whole, in order of ``_id``."""

    def remove_vehicles(self, vehicles: Sequence[str]) -> int:
        """Delete the documents of these vehicles; returns how many there were. Idempotent."""
