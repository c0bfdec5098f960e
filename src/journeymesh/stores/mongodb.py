"""The MongoDB store, for servers with and without transactions: see ``mongo_commits`` for how a batch is committed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

import pyarrow as pa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.policies import Policy
from journeymesh.safe_text import shown_url
from journeymesh.stores import mongo_documents as documents
from journeymesh.stores import records, rows, term_upgrade
from journeymesh.stores.digests import POLICY_SCHEMA, REFUSAL_DIGEST_SCHEMA, fixes_digest, table_digest
from journeymesh.stores.fix_blocks import DAY_US, decoded, encode_blocks, fixes_of
from journeymesh.stores.former_refusals import ROWS_AT_ONCE, renamed
from journeymesh.stores.mongo_changes import every_vehicle, read_changes, vehicles_held_after
from journeymesh.stores.mongo_commits import Commits, Snapshot
from journeymesh.stores.mongo_database import KEYS_AT_ONCE, Database
from journeymesh.stores.mongo_documents import Document
from journeymesh.stores.mongo_faults import mongo_faults
from journeymesh.stores.mongo_plan import Plan, record_documents
from journeymesh.stores.mongo_term_upgrade import upgrade_to_terms
from journeymesh.stores.port import (
    HistoryEntry,
    JourneyQuery,
    RefusalQuery,
    RulesUsed,
    Run,
    StoreBatch,
    StoreChanges,
    VehicleSpan,
)
from journeymesh.stores.records import from_us, to_us
from journeymesh.stores.writers import row_to_put

T = TypeVar("T")

SCHEMA_VERSION: Final = "0005"
BUSY_TIMEOUT_S: Final = 60.0
_PAGE: Final = 10_000
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
}


class MongodbStore:
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
            self._write(lambda planned, seen: planned.note_vehicles(every_vehicle(self._database, seen)), schema="0002")
        after: str | None = "" if found < "0003" else None
        while after is not None:
            after = self._rename_refusals(after)
        if found < term_upgrade.SCHEMA:
            self._write(
                lambda planned, seen: upgrade_to_terms(self._database, self._commits, planned, seen),
                schema=term_upgrade.SCHEMA,
            )
        # Fields that came with 0005 are absent from journeys made before, which reads as null.
        self._write(lambda *_: None, schema=SCHEMA_VERSION)

    def _rename_refusals(self, after: str) -> str | None:
        """Give refusals behind this id, as many as are read at once, the id of their input; the last one's."""
        last: list[str] = []

        def plan(planned: Plan, seen: Snapshot) -> None:
            conditions = {"key": {"$gt": after}}
            page = self._database.find("refusals", seen, conditions, ("key",), ROWS_AT_ONCE)
            rows = renamed(documents.record_row(records.REFUSAL_COLUMNS, document) for document in page)
            among = {"key": {"$in": [row[0] for row in rows.values()]}}
            taken = {document["key"] for document in self._database.find("refusals", seen, among, fields=("key",))}
            rows = {former: row for former, row in rows.items() if row[0] not in taken}
            planned.remove("refusals", list(rows))
            planned.put("refusals", record_documents(records.REFUSAL_COLUMNS, rows.values()))
            last.extend(document["key"] for document in page[-1:])

        self._write(plan, schema="0002")
        return last[0] if last else None

    def schema_version(self) -> tuple[str | None, str]:
        """(the version the store has, the version this code needs)."""
        with mongo_faults(self._given, self.url):
            return self._schema(), SCHEMA_VERSION

    def write(self, batch: StoreBatch) -> None:
        """Write the batch: all of it or, on any fault, none."""
        put = [] if batch.journeys is None else rows.rows_of(rows.stored_journeys(batch.journeys))
        journeys = {row[rows.ID]: documents.journey_document(row) for row in put}

        def plan(planned: Plan, seen: Snapshot) -> None:
            if batch.under is not None:
                held = self._database.find("runs", seen, {"key": batch.under.run_id})
                there = [documents.record_row(records.RUN_COLUMNS, document) for document in held]
                row = row_to_put(batch, there[0] if there else None, self.url)
                planned.put("runs", record_documents(records.RUN_COLUMNS, [] if row is None else [row]))
            planned.move_to_history(batch, journeys)
            planned.put("journeys", [[document] for document in journeys.values()])
            planned.remove("refusals", batch.refusals_withdrawn)
            planned.put(
                "refusals",
                record_documents(records.REFUSAL_COLUMNS, map(records.refusal_row, batch.refusals)),
                keep=True,
            )
            planned.remove("policies", list(map(documents.policy_key, batch.policies_withdrawn)))
            planned.put("policies", [[documents.policy_document(policy)] for policy in batch.policies])
            planned.remove("rules", ["\0".join((gone.version, gone.digest)) for gone in batch.rules_withdrawn])
            if batch.rules is not None:
                used = (batch.rules.version, batch.rules.digest)
                planned.put("rules", [[documents.record_document(("version", "digest_used"), used, "\0".join(used))]])
            if batch.run is not None:
                planned.put("runs", record_documents(records.RUN_COLUMNS, [records.run_row(batch.run)]))
            planned.remove("blocks", [documents.block_key(vehicle, day) for vehicle, day in batch.fixes_withdrawn])
            if batch.fixes is not None:
                planned.put("blocks", [documents.block_documents(block) for block in encode_blocks(batch.fixes)])

        self._write(plan)

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys in (started_at, journey_id) order, ``JOURNEY_SCHEMA``; at most ``query.limit``."""
        conditions = _journey_conditions(query)
        order = ("started_at_us", "key")
        found = self._read(lambda seen: self._database.find("journeys", seen, conditions, order, query.limit))
        return rows.selected(rows.journeys_of(documents.journey_row(document) for document in found), query.columns)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following ``successor_id`` from a superseded id; None if unknown or gone, or
        not of the tenant that is given."""

        whose: Document = {} if tenant is None else {"tenant": tenant}

        def follow(seen: Snapshot) -> Document | None:
            current: str | None = journey_id
            passed: set[str] = set()
            while current is not None and current not in passed:
                if found := self._database.find("journeys", seen, {"key": current, **whose}):
                    return found[0]
                passed.add(current)
                entries = self._database.find("history", seen, {"journey_id": current})
                current = max(entries, key=lambda entry: entry["latest"])["successor_id"] if entries else None
            return None

        found = self._read(follow)
        return None if found is None else rows.journeys_of([documents.journey_row(found)])

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first."""
        found = self._read(
            lambda seen: self._database.find("history", seen, {"journey_id": journey_id}, ("position", "key"))
        )
        return [
            HistoryEntry(
                journey_id,
                from_us(entry["superseded_at_us"]),
                entry["successor_id"],
                rows.journeys_of([rows.row_from_content(entry["content"])]),
            )
            for entry in found
        ]

    def vehicles(self, among: Sequence[str]) -> dict[str, VehicleSpan]:
        """Those of the vehicles that the store holds journeys or fixes of."""
        names = list(dict.fromkeys(among))

        def span(seen: Snapshot) -> dict[str, tuple[int, int]]:
            spans: dict[str, tuple[int, int]] = {}
            for kind, first, last in (("journeys", "started_at_us", "ended_at_us"), ("blocks", "first_us", "last_us")):
                for start in range(0, len(names), KEYS_AT_ONCE):
                    conditions = {"vehicle": {"$in": names[start : start + KEYS_AT_ONCE]}}
                    for name, low, high in self._spans(kind, seen, conditions, first, last):
                        known = spans.get(name, (low, high))
                        spans[name] = min(low, known[0]), max(high, known[1])
            return spans

        return {name: VehicleSpan(from_us(a), from_us(b)) for name, (a, b) in self._read(span).items()}

    def vehicles_after(self, after: str | None, limit: int) -> list[str]:
        """Up to ``limit`` vehicles with journeys, refusals or kept fixes here, by name, behind ``after``."""
        return self._read(lambda seen: vehicles_held_after(self._database, seen, after, limit))

    def changes(self, after: str | None, limit: int = 1000) -> StoreChanges:
        """Vehicles written after a position (None: the beginning), each once, in order of their last change."""
        return self._read(lambda seen: read_changes(self._database, seen, after, limit))

    def policies(self, number: str | None = None) -> list[Policy]:
        """All policies, or the terms of those with this number, by number, tenant and beginning."""
        conditions = {} if number is None else {"number": number}
        found = self._read(lambda seen: self._database.find("policies", seen, conditions, records.POLICY_KEY))
        return [records.policy_of(documents.record_row(records.POLICY_COLUMNS, document)) for document in found]

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """Quarantined inputs as (refusal_id, refusal), in refusal_id order; consistent within each 10,000."""
        after, left = query.after, query.limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            conditions = _refusal_conditions(query, after)
            page = self._read(lambda seen, c=conditions, s=size: self._database.find("refusals", seen, c, ("key",), s))  # type: ignore[misc]
            for document in page:
                yield records.refusal_of(documents.record_row(records.REFUSAL_COLUMNS, document))
            if len(page) < size:
                return
            after, left = page[-1]["key"], None if left is None else left - len(page)

    def rules(self) -> list[RulesUsed]:
        """The rules that the journeys here were made with."""
        found = self._read(lambda seen: self._database.find("rules", seen, {}, ("version", "digest_used")))
        return [RulesUsed(document["version"], document["digest_used"]) for document in found]

    def runs(self) -> list[Run]:
        """Runs, oldest first."""
        found = self._read(lambda seen: self._database.find("runs", seen, {}, ("started_at_us", "key")))
        return [records.run_of(documents.record_row(records.RUN_COLUMNS, document)) for document in found]

    def digest(self) -> dict[str, str]:
        """Canonical digests by part: journeys, refusals, policies, fixes. Starts over if a batch is committed."""
        return self._read(self._digest)

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's kept fixes with ``first <= fixed_at <= last``, by time."""
        first_us, last_us = to_us(first), to_us(last)
        conditions = {"vehicle": vehicle, "day": {"$gte": first_us // DAY_US, "$lte": last_us // DAY_US}}
        found = self._read(lambda seen: self._database.find("blocks", seen, conditions, ("day", "part")))
        contents = [content for _, _, content in documents.joined_blocks(found)]
        return fixes_of(vehicle, contents, first_us, last_us)

    def expire(self, before: datetime) -> int:
        """Forget kept fixes of UTC days that end at or before ``before``; returns how many fixes went."""
        conditions = {"day": {"$lt": to_us(before) // DAY_US}}
        gone: list[int] = []

        def plan(planned: Plan, _: Snapshot) -> None:
            gone.append(planned.remove_where("blocks", conditions, "fixes"))

        self._write(plan)
        return sum(gone)

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._database.close()

    def _write(self, plan: Callable[[Plan, Snapshot], None], *, schema: str | None = None) -> None:
        """Commit what the plan holds; ``schema`` is the version that a step of an upgrade leaves."""
        with self._writing, mongo_faults(self._given, self.url):
            if schema is None:
                self._head()
            sequence, seen = self._commits.begin()
            try:
                planned = Plan(self._database, self._commits, sequence, seen)
                plan(planned, seen)
                if not planned.changes() and schema in (None, self._schema()):
                    self._commits.abandon(sequence)
                    return
                position = planned.move_in_feed() if planned.moves() else seen.position
                planned.flush()
                self._commits.note_replaced(sequence, {k: sorted(ids) for k, ids in planned.replaced.items()})
                self._commits.commit(sequence, position, schema or SCHEMA_VERSION)
            except BaseException:
                with contextlib.suppress(Exception):  # the next writer does it where this one no longer can
                    self._commits.roll_back(sequence)
                raise
            with contextlib.suppress(Exception):  # the batch is in; the next writer applies it where this one cannot
                self._commits.apply(sequence)

    def _schema(self) -> str | None:
        head = self._commits.head()
        return None if head is None else str(head["schema"])

    def _read(self, reading: Callable[[Snapshot], T]) -> T:
        with mongo_faults(self._given, self.url):
            return self._commits.read(reading, self._head())

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

    def _spans(
        self, kind: str, seen: Snapshot, conditions: Mapping[str, Any], first: str, last: str
    ) -> Iterable[tuple[str, int, int]]:
        group = {"_id": "$vehicle", "low": {"$min": f"${first}"}, "high": {"$max": f"${last}"}}
        grouped = None if seen.replaced else self._database.grouped(kind, seen, conditions, group)
        if grouped is not None:
            yield from ((found["_id"], found["low"], found["high"]) for found in grouped)
            return
        for found in self._database.find(kind, seen, conditions, fields=("vehicle", first, last)):
            yield found["vehicle"], found[first], found[last]

    def _digest(self, seen: Snapshot) -> dict[str, str]:
        def stream(kind: str, order: Sequence[str]) -> Iterator[Document]:
            cursor = self._database.cursor(kind, seen, {}, order, None)
            return (document for document in cursor.allow_disk_use(True) if document["_id"] not in seen.replaced)

        def tables(kind: str, schema: pa.Schema, order: Sequence[str] = ("key",)) -> Iterator[pa.Table]:
            for page in _paged(stream(kind, order), _PAGE):
                yield records.table_from_rows([documents.record_row(schema.names, d) for d in page], schema)

        journeys = _paged(stream("journeys", ("key",)), _PAGE)
        return {
            "journeys": table_digest(
                rows.STORED_SCHEMA, (rows.table_of(list(map(documents.journey_row, page))) for page in journeys)
            ),
            "refusals": table_digest(REFUSAL_DIGEST_SCHEMA, tables("refusals", REFUSAL_DIGEST_SCHEMA)),
            "policies": table_digest(POLICY_SCHEMA, tables("policies", POLICY_SCHEMA, records.POLICY_KEY)),
            "fixes": fixes_digest(decoded(documents.joined_blocks(stream("blocks", ("vehicle", "day", "part"))))),
        }


def _paged(found: Iterator[Document], size: int) -> Iterator[list[Document]]:
    page: list[Document] = []
    for document in found:
        page.append(document)
        if len(page) == size:
            yield page
            page = []
    if page:
        yield page


def _journey_conditions(query: JourneyQuery) -> dict[str, Any]:
    named = {name: getattr(query, name) for name in ("policy", "vehicle", "tenant", "product")}
    conditions: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if query.policies is not None:
        conditions["$and"] = [{"policy": {"$in": list(query.policies)}}]
    if query.terms is not None:
        conditions["policy_from_us"] = {"$in": [to_us(at) for at in query.terms]}
    if query.unattributed:
        conditions["policy"] = None
    period = {}
    if query.started_from is not None:
        period["$gte"] = to_us(query.started_from)
    if query.started_to is not None:
        period["$lt"] = to_us(query.started_to)
    if period:
        conditions["started_at_us"] = period
    if query.after is not None:
        last = to_us(query.after[0])
        conditions["$or"] = [{"started_at_us": {"$gt": last}}, {"started_at_us": last, "key": {"$gt": query.after[1]}}]
    return conditions


def _refusal_conditions(query: RefusalQuery, after: str | None) -> dict[str, Any]:
    conditions: dict[str, Any] = {}
    if query.reason is not None:
        conditions["reason"] = query.reason
    if query.without_vehicle:
        conditions["vehicle"] = None
    if query.vehicle is not None:
        conditions["vehicle"] = query.vehicle
    period = {}
    if query.fixed_from is not None:
        period["$gte"] = to_us(query.fixed_from)
    if query.fixed_to is not None:
        period["$lt"] = to_us(query.fixed_to)
    if period:
        conditions["fixed_at_us"] = period
    keys: dict[str, Any] = {} if after is None else {"$gt": after}
    if query.among is not None:
        keys["$in"] = list(query.among)
    if keys:
        conditions["key"] = keys
    return conditions
