"""A live MongoDB asked by vehicle and time: the same bytes to the same compiled walker as a run over all of it."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Final

import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.bson_cells import Cells
from journeymesh.sources.bson_documents import Walk
from journeymesh.sources.bson_fixes import ELEMENT_BITS, BsonReader, ReadPart
from journeymesh.sources.bson_paths import PathTrie
from journeymesh.sources.bson_values import value_at
from journeymesh.sources.bson_walker import NEEDS_ROOM
from journeymesh.sources.collection_names import one_of
from journeymesh.sources.conditions import both, server_query
from journeymesh.sources.conversions import EXACT
from journeymesh.sources.document_places import Identities, PackedIdentities, places_of
from journeymesh.sources.fix_fields import identifiers
from journeymesh.sources.mapping import Mapping, TextField
from journeymesh.sources.mongodb import BATCH_DOCUMENTS, MongodbSource, projection
from journeymesh.sources.mongodb_changes import MongodbChanges, latest_position
from journeymesh.sources.mongodb_clients import other_clients, plain_text
from journeymesh.sources.mongodb_queries import in_array, nameless_query, server_path, vehicle_queries
from journeymesh.sources.paths import marks_array, parsed
from journeymesh.sources.vehicle_port import DocumentPlaces, OtherClients, TooMuchAsked, VehicleRead, VehicleTimes

MAX_DOCUMENTS: Final = 5_000_000
REMEMBERED_BYTES: Final = 64 << 20
_TRAIL_FROM: Final = 1 << 41
_TRAIL_BYTES: Final = 1 << 41
_CHECKED_NUMBERS: Final = 1_000
_INT64: Final = 2**63


class Trail:
    """The ids of the documents read last, so that their origins can be told without keeping the documents.

    Origins are handed out of a range of their own. The last reading is always remembered, the ones before it as far
    as all together hold ``most_bytes``. Used by several threads.
    """

    def __init__(self, most_bytes: int = REMEMBERED_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._next = 0
        self._held: deque[tuple[int, PackedIdentities]] = deque()
        self._bytes = 0

    def reserve(self, length: int) -> int:
        """A stream offset with so many bytes that are nobody else's."""
        with self._lock:
            if self._next + length > _TRAIL_BYTES:  # what began there was forgotten long ago
                self._held.clear()
                self._next = self._bytes = 0
            start = _TRAIL_FROM + self._next
            self._next += length
            return start

    def remember(self, read: Sequence[tuple[int, PackedIdentities]]) -> None:
        """Keep one reading: each of its buffers' stream offset and ids."""
        with self._lock:
            self._held.extend(read)
            self._bytes += sum(packed.nbytes for _, packed in read)
            while self._bytes > self._most_bytes and len(self._held) > len(read):
                self._bytes -= self._held.popleft()[1].nbytes

    def documents(self, offsets: Sequence[int]) -> list[bytes]:
        """A document with the ``_id`` alone for each stream offset; empty where it is forgotten."""
        with self._lock:
            held = sorted(self._held, key=lambda entry: entry[0])
        starts = [start for start, _ in held]
        found = []
        for offset in offsets:
            at = bisect_right(starts, offset) - 1
            found.append(held[at][1].document(offset - starts[at]) if at >= 0 else b"")
        return found


@dataclass(slots=True)
class _Gathered:
    """What one reading has brought so far."""

    fixes: list[Fixes] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    places: list[DocumentPlaces] = field(default_factory=list)
    trail: list[tuple[int, PackedIdentities]] = field(default_factory=list)
    documents: int = 0


class MongodbVehicles(MongodbSource):
    """The mapped collection of a MongoDB, asked by vehicle; see ``VehicleSource``. Several threads may ask at once.

    An index on the vehicle's path and the clock's makes reads cheap; without it each read scans the collection.
    A read of more than ``max_documents`` is refused, so that nobody pulls a fleet by accident. Where vehicles are
    named inside an array, its elements must stand in an array proper, not in a document keyed by position.

    Raises:
        UsageError: the URL cannot be understood or no database is named.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached or refuses.
    """

    def __init__(
        self,
        url: str,
        mapping: Mapping,
        *,
        batch_documents: int = BATCH_DOCUMENTS,
        max_documents: int = MAX_DOCUMENTS,
    ) -> None:
        self._max_documents = max_documents
        self._trail = Trail()
        self._readers = threading.local()
        one_of(mapping.collections, "a source that is queried by vehicle has")
        super().__init__(url, mapping, batch_documents=batch_documents)

    def read(self, wanted: Sequence[VehicleTimes], *, places: bool = False) -> VehicleRead:
        """The fixes of these vehicles and times, and the refusals of their documents; see ``VehicleSource``.

        Where clocks are texts or stand in arrays the whole of a vehicle is read.

        Raises:
            SourceUnreadable: the server cannot be read. TooMuchAsked: it holds more than ``max_documents`` of these.
        """
        gathered = _Gathered()
        for query, vehicles in vehicle_queries(self._mapping, wanted):
            self._gather(both(query, self._condition), gathered, vehicles, places)
        return self._answer(gathered, places)

    def nameless(self) -> VehicleRead:
        """The refusals of documents in which the mapping finds no vehicle."""
        gathered = _Gathered()
        self._gather(both(nameless_query(self._mapping), self._condition), gathered, frozenset(), False)
        return self._answer(gathered, False)

    def vehicles(self) -> list[str]:
        """Every vehicle that documents name, in order of name, as the mapping reads it."""
        path = self._mapping.fields.vehicle.path
        if marks_array(path) or any(step.isdigit() for step in parsed(path).steps):
            with self._faults():
                found = self._collection.find_raw_batches(
                    self._condition, projection=[_projectable(path)], batch_size=self._batch_documents
                )
                return sorted({name for content in found for name in _names_in(content, path)[0]})
        names, numbers = set[str](), set[int]()
        with self._faults():
            for content in self._grouped([]):
                found_names, found_numbers = _names_in(content, "_id")
                names.update(found_names)
                numbers.update(found_numbers)
            # The server groups equal numbers whatever their types; the large ones are no names where they are doubles.
            doubtful = sorted(numbers)
            for at in range(0, len(doubtful), _CHECKED_NUMBERS):
                some = doubtful[at : at + _CHECKED_NUMBERS]
                for content in self._grouped(
                    [{"$match": {server_path(path): {"$in": some, "$type": ["int", "long", "decimal"]}}}]
                ):
                    names.update(_names_in(content, "_id")[0])
        return sorted(names)

    def position(self) -> str:
        """The position after everything written until now."""
        return latest_position(self._database, self._mapping, self.name)

    def changes(self, after: str) -> MongodbChanges:
        """The changes after this position, of fixes and policies; see ``VehicleSource``."""
        return MongodbChanges(self._database, self._mapping, self.name, after)

    def latency_s(self) -> float:
        """How long the server takes to answer a ping."""
        with self._faults():
            began = perf_counter()
            self._client.admin.command("ping")
            return perf_counter() - began

    def other_clients(self) -> OtherClients:
        """Who else uses the server at this instant, on this database or idle. Raises nothing."""
        return other_clients(self._client, self._database.name)

    def describe(self, origins: I64) -> list[str]:
        """``blackbox/5ce7…`` for each origin: of the last reads from memory, of batches asked of the server again."""
        offsets = origins >> ELEMENT_BITS
        read = np.flatnonzero(offsets >= _TRAIL_FROM).tolist()
        places = super().describe(np.where(offsets >= _TRAIL_FROM, -1, origins))
        reader = BsonReader(self._mapping)
        for at, document in zip(read, self._trail.documents([int(offsets[at]) for at in read]), strict=True):
            if document:
                places[at] = reader.place(document, int(origins[at]))
        return places

    @property
    def _condition(self) -> dict[str, Any]:
        """As much of the mapping's conditions as the server can tell."""
        return server_query(self._mapping.where)

    @property
    def _collection(self) -> Any:
        return self._database[self._collections[0]]

    def _grouped(self, before: list[dict[str, Any]]) -> Iterator[bytes]:
        path = self._mapping.fields.vehicle.path
        ours = [{"$match": self._condition}] if self._condition else []
        pipeline = [*ours, *before, {"$group": {"_id": f"${server_path(path)}"}}]
        return iter(
            self._collection.aggregate_raw_batches(pipeline, allowDiskUse=True, batchSize=self._batch_documents)
        )

    def _gather(self, query: dict[str, Any], into: _Gathered, vehicles: frozenset[str], places: bool) -> None:
        """Read what the query finds; once more from its beginning where the server forgot the cursor."""
        from pymongo.errors import AutoReconnect, CursorNotFound

        before = into.documents
        for attempt in range(2):
            here = _Gathered(documents=before)
            try:
                with self._faults(passing=(AutoReconnect, CursorNotFound)):
                    found = self._collection.find_raw_batches(
                        query,
                        projection=projection(self._mapping),
                        batch_size=self._batch_documents,
                        limit=self._max_documents + 1 - before,
                    )
                    for content in found:
                        self._read_buffer(content, here, vehicles, places)
            except (AutoReconnect, CursorNotFound) as error:
                if attempt:
                    raise SourceUnreadable(
                        f"source {self.name} cannot be read: {plain_text(error)}",
                        todo="check that the server is up and ask again",
                    ) from error
                continue
            break
        into.documents = here.documents
        for name in ("fixes", "refusals", "places", "trail"):
            getattr(into, name).extend(getattr(here, name))

    def _read_buffer(self, content: bytes, into: _Gathered, vehicles: frozenset[str], places: bool) -> None:
        buffer = np.frombuffer(content, np.uint8)
        start = self._trail.reserve(len(content))
        parts = list(self._reader().parts(buffer, start))
        documents = sum(part.documents for part in parts)
        into.documents += documents
        if into.documents > self._max_documents:
            raise TooMuchAsked(
                f"source {self.name} has more than {self._max_documents} documents for this request",
                todo="ask for fewer vehicles or a shorter time",
            )
        if parts[-1].end < len(buffer):
            raise SourceUnreadable(
                f"source {self.name} sent a document of impossible length", todo="check the server's data files"
            )
        for part in parts:
            into.fixes.append(_of_vehicles(part.fixes, vehicles))
            into.refusals += self._refusals_of(part, vehicles)
        identities = Identities(buffer, documents, digesting=places)
        into.trail.append((start, identities.packed()))
        if places:
            met = _of_vehicles(Fixes.concat([part.met for part in parts]), vehicles)
            into.places.append(places_of(met, identities, start))

    def _refusals_of(self, part: ReadPart, vehicles: frozenset[str]) -> list[Refusal]:
        """Those that belong to what was asked for; no vehicle was where the nameless were asked for."""
        if not vehicles:
            return [refusal for refusal in part.refusals if refusal.vehicle is None]
        nameless = not in_array(self._mapping)  # a document without rows was found by its vehicle
        return [one for one in part.refusals if one.vehicle in vehicles or (one.vehicle is None and nameless)]

    def _answer(self, gathered: _Gathered, places: bool) -> VehicleRead:
        self._trail.remember(gathered.trail)
        fixes = Fixes.concat([part for part in gathered.fixes if len(part)])
        found = DocumentPlaces.concat(gathered.places) if places else ()
        return VehicleRead(fixes, gathered.refusals, gathered.documents, found)

    def _reader(self) -> BsonReader:
        """This thread's reader: it keeps what it learnt of shapes, and is for one thread."""
        reader: BsonReader | None = getattr(self._readers, "reader", None)
        if reader is None:
            reader = self._readers.reader = BsonReader(self._mapping)
        return reader


def _of_vehicles(fixes: Fixes, vehicles: frozenset[str]) -> Fixes:
    """The fixes of these vehicles: others come along where a document holds several, or a collation ignores case."""
    wanted = np.fromiter((name in vehicles for name in fixes.vehicles), np.bool_, len(fixes.vehicles))
    if wanted.all() and not (len(wanted) == 0 and len(fixes)):
        return fixes if len(fixes) == 0 or (fixes.vehicle >= 0).all() else fixes.take(fixes.vehicle >= 0)
    return fixes.take(np.append(wanted, False)[fixes.vehicle])


def _projectable(path: str) -> str:
    """A path as far as the server can project it: not into positions of an array."""
    steps = server_path(path).split(".")
    number = next((at for at, step in enumerate(steps) if step.isdigit()), len(steps))
    return ".".join(steps[:number])


def _names_in(content: bytes, path: str) -> tuple[set[str], set[int]]:
    """(names, whole doubles that are none) at this path of the documents, as the mapping reads them."""
    walk = Walk(PathTrie.of([path]))
    buffer = np.frombuffer(content, np.uint8)
    names, numbers = set[str](), set[int]()
    at = 0
    while at < len(buffer):
        rows = walk.rows(buffer, at)
        found, codes, _ = identifiers(Cells(buffer, rows.offsets, rows.kinds, walk.trie.slots), TextField(path=path))
        names.update(found[code] for code in np.unique(codes[codes >= 0]).tolist())
        slot = walk.trie.slots[path]
        for row in np.flatnonzero(rows.kinds[:, slot] == 0x01).tolist():
            value = value_at(buffer, int(rows.kinds[row, slot]), int(rows.offsets[row, slot]), "a number")
            if math.isfinite(value) and EXACT <= abs(value) < _INT64 and value == int(value):
                numbers.add(int(value))
        at = rows.end
        if rows.stop != NEEDS_ROOM:
            break
    return names, numbers
