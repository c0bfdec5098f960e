"""The MongoDB store, for servers with and without transactions: see ``mongo_commits`` for how a batch is committed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fields import SORTS
from journeymesh.safe_text import shown_url
from journeymesh.stores import records, term_upgrade
from journeymesh.stores.figure_changes import fill_figures
from journeymesh.stores.former_refusals import ROWS_AT_ONCE, renamed
from journeymesh.stores.mongo_commits import Commits, Snapshot
from journeymesh.stores.mongo_database import Database
from journeymesh.stores.mongo_faults import mongo_faults
from journeymesh.stores.mongo_rows import MongoRows, PlannedRows
from journeymesh.stores.mongo_term_upgrade import upgrade_to_terms
from journeymesh.stores.row_batches import move_in_feed
from journeymesh.stores.row_kinds import OF_VEHICLES, ReadableRows, WritableRows
from journeymesh.stores.row_store import RowStore
from journeymesh.stores.schema_version import SCHEMA_VERSION

T = TypeVar("T")

BUSY_TIMEOUT_S: Final = 60.0
_INDEXES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "journeys": (
        ("started_at_us", "key"),
        ("policy", "started_at_us", "key"),
        ("vehicle", "started_at_us", "ended_at_us"),
        ("tenant", "product", "started_at_us"),
    ),
    "history": (("journey_id", "latest"),),
    "refusals": (("vehicle", "fixed_at_us"), ("reason", "key")),
    "policies": (records.POLICY_KEY,),
    "rules": (),
    "runs": (),
    "blocks": (("vehicle", "day", "part"), ("day",)),
    "changes": (("position",),),
    "figures": (records.POLICY_KEY, *(("period", "tenant", name, "number", "valid_from_us") for name in SORTS)),
}


class MongodbStore(RowStore):
    """Both ports on MongoDB. Safe for threads; a forked child must connect anew.

    Reads are answered by the primary from majority-committed documents, whatever the URL prefers: each is
    consistent with whole batches (``refusals`` page by page).
    """

    def __init__(self, url: str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._given = url
        self.url = shown_url(url)
        self._writing = threading.Lock()
        self._database = Database(url)
        self._commits = Commits(self._database.collection, self.url, busy_timeout_s)

    @classmethod
    def connect(cls, url: str) -> MongodbStore:
        """The store at ``mongodb://host/database?replicaSet=…`` (database ``journeymesh`` unless named).

        Nothing is opened before the first call.
        """
        return cls(url)

    def migrate(self) -> None:
        """Create or upgrade the schema to this version's, and settle what a killed writer left. Idempotent."""
        with mongo_faults(self._given, self.url):
            head = self._commits.head()
            if head is None or str(head["schema"]) < SCHEMA_VERSION:
                for kind, indexes in _INDEXES.items():
                    for fields in (("key",), ("batch",), *indexes):
                        self._database.collection(kind).create_index([(field, 1) for field in fields])
                self._database.collection("replaced").create_index([("batch", 1)])
                self._commits.create_head(SCHEMA_VERSION)
        if head is not None and str(head["schema"]) < SCHEMA_VERSION:
            self._upgrade(str(head["schema"]))
        with mongo_faults(self._given, self.url):
            self._head()
            with self._writing:
                self._commits.settle()

    def _upgrade(self, found: str) -> None:
        """Each step is a batch of its own, and the version is put with the last one."""
        if found < "0002":
            self._commit(_begin_feed, schema="0002")
        after: str | None = "" if found < "0003" else None
        while after is not None:
            after = self._commit(lambda planned, last=after: _rename_refusals(planned, last), schema="0002")  # type: ignore[misc]
        if found < term_upgrade.SCHEMA:
            self._commit(
                lambda planned: upgrade_to_terms(self._database, self._commits, planned), schema=term_upgrade.SCHEMA
            )
        if found < "0006":
            last = self._commit(lambda planned: fill_figures(planned, None), schema="0005")
            while last is not None:
                last = self._commit(lambda planned, last=last: fill_figures(planned, last), schema="0005")  # type: ignore[misc]
        # Fields that came with 0005 are absent from journeys made before, which reads as null.
        self._commit(lambda _: None, schema=SCHEMA_VERSION)

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        with mongo_faults(self._given, self.url):
            return self._schema(), SCHEMA_VERSION

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._database.close()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[ReadableRows]:
        yield MongoRows(self._database, self._read_snapshot)

    def _read(self, reading: Callable[[ReadableRows], T]) -> T:
        return self._read_snapshot(lambda seen: reading(MongoRows(self._database, lambda read: read(seen))))

    def _read_snapshot(self, reading: Callable[[Snapshot], T]) -> T:
        """What ``reading`` returns for one snapshot; it is called again where that did not last."""
        with mongo_faults(self._given, self.url):
            return self._commits.read(reading, self._head())

    def _write(self, writing: Callable[[WritableRows], T]) -> T:
        return self._commit(writing)

    def _commit(self, writing: Callable[[PlannedRows], T], *, schema: str | None = None) -> T:
        """Commit what is written; ``schema`` is the version that a step of an upgrade leaves."""
        with self._writing, mongo_faults(self._given, self.url):
            if schema is None:
                self._head()
            sequence, seen = self._commits.begin()
            try:
                planned = PlannedRows(self._database, self._commits, sequence, seen)
                result = writing(planned)
                if not planned.has_changes and schema in (None, self._schema()):
                    self._commits.abandon(sequence)
                    return result
                planned.flush()
                self._commits.commit(sequence, planned.position(), schema or SCHEMA_VERSION)
            except BaseException:
                with contextlib.suppress(Exception):  # the next writer does it where this one no longer can
                    self._commits.roll_back(sequence)
                raise
            with contextlib.suppress(Exception):  # the batch is in; the next writer applies it where this one cannot
                self._commits.apply(sequence)
            return result

    def _schema(self) -> str | None:
        head = self._commits.head()
        return None if head is None else str(head["schema"])

    def _head(self) -> dict[str, Any]:
        head = self._commits.head()
        if head is None:
            raise StoreUnavailable(
                f"{self.url}: has no journeymesh schema", todo="create it with: journeymesh store migrate --store URL"
            )
        if str(head["schema"]) > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.url}: was made by a newer journeymesh (schema {head['schema']}, this one has {SCHEMA_VERSION})",
                todo="upgrade journeymesh, or use another store",
            )
        if str(head["schema"]) < SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self.url}: has the older schema {head['schema']}, {SCHEMA_VERSION} is needed",
                todo="upgrade it with: journeymesh store migrate --store URL",
            )
        return head


def _begin_feed(into: PlannedRows) -> None:
    """Put every vehicle into the feed, by name."""
    vehicles = {vehicle for kind in OF_VEHICLES for (vehicle,) in into.select(kind, columns=("vehicle",))}
    if known := sorted(vehicle for vehicle in vehicles if vehicle is not None):
        move_in_feed(into, known)


def _rename_refusals(into: PlannedRows, after: str) -> str | None:
    """Give refusals behind this id, as many as are read at once, the id of their input; the last one's."""
    page = list(into.select("refusals", order=("refusal_id",), after=(after,), limit=ROWS_AT_ONCE))
    rows = renamed(page)
    among = [("refusal_id", "in", [row[0] for row in rows.values()])]
    taken = {refusal_id for (refusal_id,) in into.select("refusals", among, columns=("refusal_id",))}
    rows = {former: row for former, row in rows.items() if row[0] not in taken}
    if rows:
        gone = into.delete("refusals", [(former,) for former in rows])
        move_in_feed(into, dict.fromkeys([*gone, *into.put("refusals", list(rows.values()))]))
    return page[-1][0] if page else None
