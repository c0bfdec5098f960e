"""The upgrade of a MongoDB store to policy terms: policies get their key, journeys and history the term's beginning.

Journeys and history are changed where they stand, field by field, for there may be more of them than one batch holds.
Who reads them by the schema before does not notice, and an upgrade that was stopped is done again from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from journeymesh.instants import to_us
from journeymesh.stores import records, rows
from journeymesh.stores.mongo_commits import Commits
from journeymesh.stores.mongo_database import BATCH_SIZE, Database
from journeymesh.stores.mongo_documents import Document, digest_of, documents_of, row_of
from journeymesh.stores.mongo_rows import PlannedRows
from journeymesh.stores.row_batches import move_in_feed
from journeymesh.stores.row_kinds import KINDS
from journeymesh.stores.term_upgrade import content_with_term

_HISTORY: Final = KINDS["history"].columns
_CONTENT: Final = _HISTORY.index("content")


def upgrade_to_terms(database: Database, commits: Commits, planned: PlannedRows) -> None:
    """Change journeys and history, and plan the change of policies."""
    former = list(planned.select("policies"))
    policies = list(map(records.policy_of, former))
    begins = {policy.number: to_us(policy.valid_from) for policy in policies}

    def journey(document: Document) -> dict[str, Any]:
        begin = None if document["policy"] is None else begins.get(document["policy"])
        row = row_of("journeys", [{**document, "policy_from_us": begin}], rows.COLUMNS)
        return {"policy_from_us": begin, "digest": digest_of("journeys", row)}

    def history(document: Document) -> dict[str, Any]:
        row = list(row_of("history", [document], _HISTORY))
        row[_CONTENT] = content_with_term(row[_CONTENT], begins)
        digest = digest_of("history", tuple(row))
        changed = documents_of("history", document["key"], tuple(row), digest, planned.number())
        return {name: changed[0][name] for name in ("content", "digest")}

    for kind, change in (("journeys", journey), ("history", history)):
        _change_each(database, kind, change, lambda: commits.still_writing(planned.number()))
    if policies:
        planned.remove("policies", [policy.number for policy in policies])
        planned.put("policies", former)
        move_in_feed(planned, ())


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
