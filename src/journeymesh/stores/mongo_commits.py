"""How a MongoDB store commits whole batches without transactions.

Every document carries the number of the ``batch`` that wrote it and is never changed afterwards. One *head* document
is the write-ahead marker of the batch under way, and its updates are the only steps that change what readers see:

1. *begin*: ``writing`` names the batch and its writer; the batch's documents are inserted, and beside them the ids of
   the documents that they replace (``journeymesh_replaced``).
2. *commit*: one update takes ``writing`` away, sets ``committed`` and ``applying`` to the batch and moves ``position``
   to its last change. From here on readers see its documents, and no longer those it replaces.
3. *apply*: the replaced documents are deleted; ``applying`` is taken away.

A reader sees batches up to ``committed`` that were not rolled back, without the documents replaced by the batch being
applied; it reads the head again at the end, and starts over where another batch was committed meanwhile. The next
writer finishes what it finds: a batch that was being applied is applied; one that was being written is first fenced
(its writer can then no longer commit) and its documents are deleted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from journeymesh.errors import StoreUnavailable
from journeymesh.processes import Process

T = TypeVar("T")

PREFIX: Final = "journeymesh_"
"""Every collection of ours has it: the database may be one that other applications use."""
HEAD_ID: Final = "head"
KINDS: Final = ("journeys", "history", "refusals", "policies", "rules", "runs", "blocks", "changes", "figures")
LEASE_S: Final = 15.0
"""A writer elsewhere that shows no sign of life for so long is taken to be dead. Wrongly so costs it its batch only."""
_READ_ATTEMPTS: Final = 50
_IDS_PER_PART: Final = 50_000
_DELETED_AT_ONCE: Final = 10_000
_REMEMBERED_ROLLBACKS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a reader may see: batches up to ``committed``, but for ``hidden`` ones, without ``replaced`` documents.

    ``position`` is that of the store's last change.
    """

    committed: int
    hidden: tuple[int, ...]
    replaced: frozenset[str]
    position: int = 0

    def filter(self, **conditions: Any) -> dict[str, Any]:
        """A query for visible documents (``replaced`` ones still have to be left out)."""
        batch: dict[str, Any] = {"$lte": self.committed}
        if self.hidden:
            batch["$nin"] = list(self.hidden)
        return {"batch": batch, **conditions}


_EMPTY_HEAD: Final[dict[str, Any]] = {
    "last": 0, "committed": 0, "position": 0, "writing": None, "applying": None, "rolled_back": [], "to_sweep": [],
}  # fmt: skip
"""The head of an empty store. Some servers keep no null and no empty list: what is absent is read as it stands here."""


class Commits:
    """The commit protocol on one database. ``collection(kind)`` gives a collection with the store's concerns."""

    def __init__(self, collection: Callable[[str], Any], shown: str, busy_timeout_s: float) -> None:
        self._collection = collection
        self._shown = shown
        self._busy_timeout_s = busy_timeout_s
        self._token = uuid.uuid4().hex

    def head(self) -> dict[str, Any] | None:
        """The head document; None where the store was never migrated."""
        found: dict[str, Any] | None = self._collection("head").find_one({"_id": HEAD_ID})
        return None if found is None else _EMPTY_HEAD | found

    def create_head(self, schema: str) -> None:
        """Make the head of an empty store, unless it is there."""
        self._collection("head").update_one(
            {"_id": HEAD_ID}, {"$setOnInsert": {"schema": schema, **_EMPTY_HEAD}}, upsert=True
        )

    def read(self, reading: Callable[[Snapshot], T], head: Mapping[str, Any]) -> T:
        """What ``reading`` returns for a snapshot that held throughout; ``head`` was read just before."""
        current: Mapping[str, Any] = head
        for _ in range(_READ_ATTEMPTS):
            result = reading(self._snapshot(current))
            again = self.head()
            if again is not None and again["committed"] == current["committed"]:
                return result
            if again is not None:
                current = again
        raise StoreUnavailable(f"{self._shown}: batches are written faster than they can be read", todo="try again")

    def begin(self) -> tuple[int, Snapshot]:
        """Finish what other writers left, and begin a batch: its number, and what it finds in the store.

        Raises:
            StoreUnavailable: another writer is at work for longer than the busy timeout.
        """
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            head = self.settle(deadline)
            writing = {"sequence": head["last"] + 1, "token": self._token, "touches": 0, "writer": _this_process()}
            begun = self._update(
                {"writing": None, "applying": None, "last": head["last"]},
                {"$set": {"writing": writing, "last": writing["sequence"]}},
            )
            if begun:
                return head["last"] + 1, self._snapshot(head)
            if time.monotonic() > deadline:
                raise self._busy()

    def still_writing(self, sequence: int) -> None:
        """Show a sign of life.

        Raises:
            StoreUnavailable: another writer took this batch for dead and rolled it back.
        """
        if not self._update(self._mine(sequence), {"$inc": {"writing.touches": 1}}):
            raise StoreUnavailable(f"{self._shown}: another writer rolled this batch back", todo="run again")

    def note_replaced(self, sequence: int, replaced: Mapping[str, Sequence[str]]) -> None:
        """Write down which documents the batch replaces, in documents that stay well below MongoDB's 16 MB."""
        for kind, ids in replaced.items():
            for start in range(0, len(ids), _IDS_PER_PART):
                part = list(ids[start : start + _IDS_PER_PART])
                note = {"_id": f"{sequence}/{kind}/{start}", "batch": sequence, "kind": kind, "ids": part}
                self._collection("replaced").insert_one(note)

    def commit(self, sequence: int, position: int, schema: str) -> None:
        """The one step that makes the batch visible, and with it the position of its last change."""
        committed: dict[str, Any] = {"writing": None, "committed": sequence, "applying": {"sequence": sequence}}
        committed |= {"position": position, "schema": schema}
        if not self._update(self._mine(sequence), {"$set": committed}):
            raise StoreUnavailable(f"{self._shown}: another writer rolled this batch back", todo="run again")

    def apply(self, sequence: int) -> None:
        """Delete what a committed batch replaced. May be done by anyone, and again."""
        notes = self._collection("replaced")
        for note in notes.find({"batch": sequence}):
            for start in range(0, len(note["ids"]), _DELETED_AT_ONCE):
                ids = note["ids"][start : start + _DELETED_AT_ONCE]
                self._collection(note["kind"]).delete_many({"_id": {"$in": ids}})
        self._update({"applying.sequence": sequence}, {"$set": {"applying": None}})
        notes.delete_many({"batch": {"$lte": sequence}})

    def roll_back(self, sequence: int, token: str | None = None) -> None:
        """Fence a batch that is being written, then delete its documents. Nothing happens to a committed one."""
        fenced = self._update(
            {"writing.sequence": sequence, "writing.token": token or self._token},
            {
                "$set": {"writing": None},
                "$push": {"rolled_back": {"$each": [sequence], "$slice": -_REMEMBERED_ROLLBACKS}},
                "$addToSet": {"to_sweep": sequence},
            },
        )
        if fenced:
            self._sweep([sequence])

    def abandon(self, sequence: int) -> None:
        """End a batch that has nothing to write and wrote nothing."""
        self._update(self._mine(sequence), {"$set": {"writing": None}})

    def settle(self, deadline: float | None = None) -> dict[str, Any]:
        """Roll an unfinished batch back and a committed one forward; the settled head.

        A batch whose writer lives is waited for until ``deadline``; without one it is left alone.
        """
        touches, changed_at, pause_s = -1, time.monotonic(), 0.01
        while True:
            head = self.head()
            if head is None:
                raise StoreUnavailable(
                    f"{self._shown}: has no journeymesh schema", todo="run: journeymesh store migrate"
                )
            writing, applying = head["writing"], head["applying"]
            if applying is not None:
                self.apply(applying["sequence"])
                continue
            if head["to_sweep"]:
                self._sweep(head["to_sweep"])
            if writing is None:
                return head
            if writing["touches"] != touches:
                touches, changed_at = writing["touches"], time.monotonic()
            silent = time.monotonic() - changed_at > LEASE_S
            if silent or writing["token"] == self._token or _is_dead(writing["writer"]):
                self.roll_back(writing["sequence"], writing["token"])
            elif deadline is None:
                return head
            elif time.monotonic() > deadline:
                raise self._busy()
            else:
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, 0.25)

    def _snapshot(self, head: Mapping[str, Any]) -> Snapshot:
        replaced: frozenset[str] = frozenset()
        if head["applying"] is not None:
            notes = self._collection("replaced").find({"batch": head["applying"]["sequence"]})
            replaced = frozenset(document_id for note in notes for document_id in note["ids"])
        return Snapshot(head["committed"], tuple(head["rolled_back"]), replaced, head["position"])

    def _sweep(self, sequences: Sequence[int]) -> None:
        for kind in (*KINDS, "replaced"):
            self._collection(kind).delete_many({"batch": {"$in": list(sequences)}})
        self._update({}, {"$pull": {"to_sweep": {"$in": list(sequences)}}})

    def _update(self, condition: Mapping[str, Any], change: Mapping[str, Any]) -> bool:
        result = self._collection("head").update_one({"_id": HEAD_ID, **condition}, change)
        return int(result.matched_count) > 0

    def _mine(self, sequence: int) -> dict[str, Any]:
        return {"writing.sequence": sequence, "writing.token": self._token}

    def _busy(self) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._shown}: another writer holds it", todo="wait for the other run to end, then run again"
        )


def _this_process() -> dict[str, Any]:
    here = Process.this()
    return {"host": here.host, "pid": here.pid, "born": here.started}


def _is_dead(writer: Mapping[str, Any]) -> bool:
    """Whether a writer on this very host is known to have ended."""
    return Process(writer["host"], writer["pid"], writer["born"] or "").has_ended
