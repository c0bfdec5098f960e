"""What one batch inserts and replaces in a MongoDB store."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from journeymesh.stores import rows
from journeymesh.stores.mongo_commits import Commits, Snapshot
from journeymesh.stores.mongo_database import BATCH_SIZE, KEYS_AT_ONCE, Database
from journeymesh.stores.mongo_documents import (
    CHANGE_COLUMNS,
    HISTORY_COLUMNS,
    Document,
    identified,
    journey_row,
    record_document,
)
from journeymesh.stores.port import StoreBatch

VEHICLE_KINDS: Final = ("journeys", "refusals", "blocks")
"""Kinds of documents that are of one vehicle, and whose change is a change of it."""


class Plan:
    """The documents to insert and the ids of those they replace, found out against what the store holds."""

    def __init__(self, database: Database, commits: Commits, sequence: int, seen: Snapshot) -> None:
        self._database, self._commits, self.sequence, self._seen = database, commits, sequence, seen
        self.inserted: dict[str, list[Document]] = defaultdict(list)
        self.replaced: dict[str, set[str]] = defaultdict(set)
        self._vehicles: dict[str, None] = {}

    def changes(self) -> bool:
        """Whether anything is left to do."""
        return any(self.inserted.values()) or any(self.replaced.values())

    def moves(self) -> bool:
        """Whether the store's position moves with it."""
        return self.changes() or bool(self._vehicles)

    def put(self, kind: str, versions: Sequence[Sequence[Document]], *, keep: bool = False) -> None:
        """Put new versions (each a document, or a block's parts) of their keys; ``keep`` keeps one that is there."""
        by_key: dict[str, Sequence[Document]] = {}
        for version in versions:
            if version[0]["key"] not in by_key or not keep:
                by_key[version[0]["key"]] = version
        held = self._held(kind, list(by_key), ("key", "digest", "vehicle"))
        for key, version in by_key.items():
            there = [document for document in held.get(key, ()) if document["_id"] not in self.replaced[kind]]
            if there and (keep or there[0]["digest"] == version[0]["digest"]):
                continue
            self.replaced[kind].update(document["_id"] for document in there)
            self._note_vehicles(kind, [*there, *version])
            self.inserted[kind] += (identified(document, self.sequence) for document in version)

    def remove(self, kind: str, keys: Sequence[str]) -> None:
        """Remove what is held under these keys."""
        for held in self._held(kind, list(keys), ("key", "vehicle")).values():
            self.replaced[kind].update(document["_id"] for document in held)
            self._note_vehicles(kind, held)

    def remove_where(self, kind: str, conditions: Mapping[str, Any], counted: str) -> int:
        """Remove what meets the conditions; the sum of its ``counted`` field."""
        found = self._database.find(kind, self._seen, conditions, fields=(counted, "vehicle"))
        self.replaced[kind].update(document["_id"] for document in found)
        self._note_vehicles(kind, found)
        return sum(document[counted] for document in found)

    def move_to_history(self, batch: StoreBatch, put: Mapping[str, Document]) -> None:
        """Move live journeys to history, unless the batch puts the very content that is live."""
        successors = {moved.journey_id: moved.successor_id for moved in batch.superseded}
        now_us = time.time_ns() // 1000
        entries: dict[str, list[Any]] = {}
        for (live,) in self._held("journeys", list(successors), None).values():
            journey_id = live["key"]
            if journey_id in put and put[journey_id]["digest"] == live["digest"]:
                continue
            content, successor = rows.row_content(journey_row(live)), successors[journey_id]
            entry_id = rows.history_id(journey_id, successor, content)
            position = self.sequence
            entries[entry_id] = [entry_id, journey_id, successor, now_us, position, position, content.decode()]
            self.replaced["journeys"].add(live["_id"])
            self._note_vehicles("journeys", [live])
        for (known,) in self._held("history", list(entries), None).values():
            entries[known["key"]][3:5] = int(known["superseded_at_us"]), int(known["position"])
        self.put("history", record_documents(HISTORY_COLUMNS, entries.values()))

    def move_in_feed(self) -> int:
        """Put the vehicles whose documents this batch changes at the end of the feed; the store's next position."""
        first = self._seen.position + 1
        moved = ((vehicle, first + k) for k, vehicle in enumerate(self._vehicles))
        self.put("changes", record_documents(CHANGE_COLUMNS, moved))
        return first + max(len(self._vehicles), 1) - 1

    def note_vehicles(self, vehicles: Iterable[str]) -> None:
        """Have these vehicles put into the feed, whether or not anything of them changes."""
        self._vehicles |= dict.fromkeys(vehicles)

    def flush(self) -> None:
        """Insert the documents, showing signs of life."""
        for kind, planned in self.inserted.items():
            for start in range(0, len(planned), BATCH_SIZE):
                if start:
                    self._commits.still_writing(self.sequence)
                self._database.collection(kind).insert_many(planned[start : start + BATCH_SIZE], ordered=False)

    def _note_vehicles(self, kind: str, documents: Iterable[Document]) -> None:
        if kind in VEHICLE_KINDS:
            self.note_vehicles(document["vehicle"] for document in documents if document["vehicle"] is not None)

    def _held(self, kind: str, keys: Sequence[str], fields: Sequence[str] | None) -> dict[str, list[Document]]:
        held: dict[str, list[Document]] = defaultdict(list)
        for start in range(0, len(keys), KEYS_AT_ONCE):
            if start:
                self._commits.still_writing(self.sequence)
            conditions = {"key": {"$in": list(keys[start : start + KEYS_AT_ONCE])}}
            for document in self._database.find(kind, self._seen, conditions, fields=fields):
                held[document["key"]].append(document)
        return held


def record_documents(columns: Sequence[str], found: Iterable[Sequence[Any]]) -> list[list[Document]]:
    """Flat rows, keyed by their first column, as versions for ``Plan.put``."""
    return [[record_document(columns, row, row[0])] for row in found]
