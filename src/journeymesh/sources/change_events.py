"""MongoDB's change events, as the server sends them, to a ``ChangeBatch``: by the compiled walk, not as dicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.sources.bson_cells import Cells
from journeymesh.sources.bson_documents import U8, Rows, Walk
from journeymesh.sources.bson_fixes import BsonReader
from journeymesh.sources.bson_paths import PathTrie
from journeymesh.sources.bson_values import value_at
from journeymesh.sources.document_places import Identities, places_of
from journeymesh.sources.fix_fields import identifiers
from journeymesh.sources.mapping import Mapping, TextField
from journeymesh.sources.vehicle_port import ChangeBatch, DocumentPlaces

MOST_EVENTS: Final = 50_000
"""Events decoded at once: as many rows as the walk has room for, with some to spare."""

_OPERATION: Final = "operationType"
_COLLECTION: Final = "ns.coll"
_RENAMED: Final = "to.coll"
_KEY: Final = "documentKey"
_NOW: Final = "fullDocument"
_BEFORE: Final = "fullDocumentBeforeChange"
_RECORDED: Final = ("wallTime", "clusterTime")
_PATHS: Final = (_OPERATION, _COLLECTION, _RENAMED, _KEY, _NOW, _BEFORE, *_RECORDED)
_WRITES: Final = ("insert", "update", "replace", "delete")
_ENDS: Final = ("dropDatabase", "invalidate")
_OBJECT: Final = 0x03


@dataclass(frozen=True, slots=True)
class _Writes:
    """Events that wrote n documents of the mapped collection, in their order; b"" where the server sent none."""

    operations: list[str]
    keys: list[bytes]
    digests: list[int]
    now: list[bytes]
    before: list[bytes]


class ChangeDecoder:
    """Events of one database to batches, for one mapping; for one thread at a time."""

    def __init__(self, mapping: Mapping) -> None:
        self._collection = mapping.collection
        self._policies = mapping.policies.collection if mapping.policies is not None else None
        self._walk = Walk(PathTrie.of(_PATHS))
        self._reader = BsonReader(mapping)

    def batch(self, events: Sequence[bytes], position: str) -> ChangeBatch:
        """The batch of these events, at most ``MOST_EVENTS``.

        A document that changed several times is placed where the last of its events put it; where the earlier ones
        had put it counts as left.

        Raises:
            SourceUnreadable: the server sent something else than change events.
        """
        if not events:
            return ChangeBatch(position)
        buffer = np.frombuffer(b"".join(events), np.uint8)
        rows = self._walk.rows(buffer)
        if len(rows.faults) or len(rows.document) != len(events):
            raise SourceUnreadable("the source sent a malformed change event", todo="look for changes by comparing")
        cells = Cells(buffer, rows.offsets, rows.kinds, self._walk.trie.slots)
        operation, collection, renamed = (_texts(cells, path) for path in (_OPERATION, _COLLECTION, _RENAMED))
        ended = np.isin(operation, _ENDS).any()
        ours, moved = collection == self._collection, np.isin(operation, ("drop", "rename"))
        everything = bool(ended or (ours & moved).any() or (renamed == self._collection).any())
        policies_changed = self._policies is not None and bool(
            ended or (collection == self._policies).any() or (renamed == self._policies).any()
        )
        writes = self._writes(buffer, rows, np.flatnonzero(ours & np.isin(operation, _WRITES)), operation)
        placed, left, unplaced, refusals = self._places(writes)
        keys = dict(zip(writes.digests, writes.keys, strict=True))
        return ChangeBatch(
            position,
            events=len(events),
            placed=placed,
            left=left,
            unplaced=unplaced,
            origins=[self._reader.document_place(key, 0) for key in keys.values()],
            refusals=refusals,
            policies_changed=policies_changed,
            everything=everything,
            last_event_at=self._recorded_at(buffer, rows),
        )

    def _writes(self, buffer: U8, rows: Rows, at: I64, operation: Any) -> _Writes:
        slots = self._walk.trie.slots
        content = buffer.tobytes()

        def documents(path: str) -> list[bytes]:
            slot = slots[path]
            kinds, offsets = rows.kinds[at, slot].tolist(), rows.offsets[at, slot].tolist()
            return [
                content[start : start + int.from_bytes(content[start : start + 4], "little")]
                if kind == _OBJECT
                else b""
                for kind, start in zip(kinds, offsets, strict=True)
            ]

        keys = documents(_KEY)
        if not all(keys):
            raise SourceUnreadable("the source sent a change without its key", todo="look for changes by comparing")
        digests = Identities(np.frombuffer(b"".join(keys), np.uint8), len(keys), digesting=True).digests.tolist()
        return _Writes(operation[at].tolist(), keys, digests, documents(_NOW), documents(_BEFORE))

    def _places(self, writes: _Writes) -> tuple[DocumentPlaces, DocumentPlaces, list[int], list[Refusal]]:
        """(placed, left, unplaced, refusals of what has no vehicle)."""
        final = {digest: at for at, digest in enumerate(writes.digests)}
        now: list[bytes] = []
        before: list[bytes] = []
        inserted: set[int] = set()
        unplaced: dict[int, None] = {}
        for at, (operation, digest) in enumerate(zip(writes.operations, writes.digests, strict=True)):
            if writes.before[at]:
                before.append(writes.before[at])
            elif operation == "insert":
                inserted.add(digest)
            elif digest not in inserted:
                unplaced[digest] = None
            if writes.now[at] and operation != "delete":
                (now if final[digest] == at else before).append(writes.now[at])
        placed, refusals = self._read(now)
        left, _ = self._read(before)
        return placed, left, list(unplaced), refusals

    def _read(self, documents: list[bytes]) -> tuple[DocumentPlaces, list[Refusal]]:
        if not documents:
            return DocumentPlaces.empty(), []
        buffer = np.frombuffer(b"".join(documents), np.uint8)
        parts = list(self._reader.parts(buffer))
        identities = Identities(buffer, len(documents), digesting=True)
        places = places_of(Fixes.concat([part.met for part in parts]), identities, 0)
        return places, [refusal for part in parts for refusal in part.refusals if refusal.vehicle is None]

    def _recorded_at(self, buffer: U8, rows: Rows) -> datetime | None:
        for path in _RECORDED:
            slot = self._walk.trie.slots[path]
            value = value_at(buffer, int(rows.kinds[-1, slot]), int(rows.offsets[-1, slot]), "a date")
            if isinstance(value, datetime):
                return value.astimezone(UTC)
        return None


def _texts(cells: Cells, path: str) -> Any:
    """str[n] at a path of the events; an empty one where there is none."""
    names, codes, _ = identifiers(cells, TextField(path=path))
    return np.array([*names, ""])[codes]
