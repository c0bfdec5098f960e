"""The upgrade of a MongoDB store to policy terms: policies get their key, journeys and history the term's beginning.

Journeys and history are changed where they stand, field by field, for there may be more of them than one batch holds.
Who reads them by the schema before does not notice, and an upgrade that was stopped is done again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from journeymesh.stores import records
from journeymesh.stores.mongo_commits import Commits, Snapshot
from journeymesh.stores.mongo_database import BATCH_SIZE, Database
from journeymesh.stores.mongo_documents import (
    HISTORY_COLUMNS,
    Document,
    journey_document,
    journey_row,
    policy_document,
    record_document,
    record_row,
)
from journeymesh.stores.mongo_plan import Plan
from journeymesh.stores.term_upgrade import content_with_term

_CONTENT: Final = HISTORY_COLUMNS.index("content")


def upgrade_to_terms(database: Database, commits: Commits, planned: Plan, seen: Snapshot) -> None:
    """Change journeys and history, and plan the change of policies."""
    held = database.find("policies", seen, {})
    policies = [records.policy_of(record_row(records.POLICY_COLUMNS, document)) for document in held]
    begins = {policy.number: records.to_us(policy.valid_from) for policy in policies}

    def journey(document: Document) -> dict[str, Any]:
        begin = None if document["policy"] is None else begins.get(document["policy"])
        changed = journey_document(journey_row({**document, "policy_from_us": begin}))
        return {"policy_from_us": begin, "digest": changed["digest"]}

    def history(document: Document) -> dict[str, Any]:
        row = list(record_row(HISTORY_COLUMNS, document))
        row[_CONTENT] = content_with_term(row[_CONTENT], begins)
        changed = record_document(HISTORY_COLUMNS, row, row[0])
        return {name: changed[name] for name in ("content", "digest")}

    for kind, change in (("journeys", journey), ("history", history)):
        _change_each(database, kind, change, lambda: commits.still_writing(planned.sequence))
    planned.remove("policies", [document["key"] for document in held])
    planned.put("policies", [[policy_document(policy)] for policy in policies])


def _change_each(
    database: Database, kind: str, change: Callable[[Document], Mapping[str, Any]], alive: Callable[[], None]
) -> None:
    from pymongo import UpdateOne

    collection, after = database.collection(kind), ""
    while page := list(collection.find({"_id": {"$gt": after}}).sort("_id", 1).limit(BATCH_SIZE)):
        changes = [UpdateOne({"_id": document["_id"]}, {"$set": change(document)}) for document in page]
        collection.bulk_write(changes, ordered=False)
        alive()
        after = page[-1]["_id"]
