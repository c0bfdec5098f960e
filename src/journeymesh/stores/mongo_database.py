"""The collections of a MongoDB store, and the documents of them that a reader may see."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from journeymesh.stores.mongo_commits import PREFIX, Snapshot
from journeymesh.stores.mongo_documents import Document

BATCH_SIZE: Final = 2_000
"""Documents inserted or fetched at once."""
BLOCKS_AT_ONCE: Final = 200
"""The same of kept fixes, which are large."""
_DATABASE: Final = "journeymesh"
_REACH_MS: Final = 10_000
_NOT_IMPLEMENTED: Final = 238


class Database:
    """The database that a URL names (``journeymesh`` unless it names one). Opens lazily."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Any = None
        self._opening = threading.Lock()

    def collection(self, kind: str) -> Any:
        """The collection with the concerns that the store relies on, whatever the URL prefers."""
        from pymongo import ReadPreference, WriteConcern
        from pymongo.read_concern import ReadConcern

        with self._opening:
            if self._client is None:
                self._client = self._open()
            database = self._client.get_default_database(_DATABASE)
        return database.get_collection(
            PREFIX + kind,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority"),
            write_concern=WriteConcern("majority", j=True),
        )

    def close(self) -> None:
        """Close the connections. Idempotent."""
        with self._opening:
            if self._client is not None:
                self._client.close()
                self._client = None

    def find(
        self,
        kind: str,
        seen: Snapshot,
        conditions: Mapping[str, Any],
        order: Sequence[str] = (),
        limit: int | None = None,
        fields: Sequence[str] | None = None,
        descending: bool = False,
    ) -> Iterator[Document]:
        """Visible documents. The limit is left to the server where nothing has to be left out here."""
        at_once = BLOCKS_AT_ONCE if kind == "blocks" else BATCH_SIZE
        cursor = self.collection(kind).find(seen.filter(**conditions), fields, batch_size=at_once)
        if order:
            cursor = cursor.sort([(name, -1 if descending else 1) for name in order]).allow_disk_use(True)
        if limit and not seen.replaced:
            cursor = cursor.limit(limit)
        with contextlib.closing(cursor):
            yield from islice((document for document in cursor if document["_id"] not in seen.replaced), limit)

    def count(self, kind: str, seen: Snapshot) -> int:
        """How many documents are visible."""
        if seen.replaced:
            return sum(1 for _ in self.find(kind, seen, {}, fields=("_id",)))
        return int(self.collection(kind).count_documents(seen.filter()))

    def grouped(
        self, kind: str, seen: Snapshot, conditions: Mapping[str, Any], group: Mapping[str, Any]
    ) -> list[Document] | None:
        """The documents grouped by the server; None where it has no such grouping, as some that speak MongoDB's wire
        protocol have not."""
        from pymongo.errors import OperationFailure

        pipeline = [{"$match": seen.filter(**conditions)}, {"$group": dict(group)}]
        try:
            return list(self.collection(kind).aggregate(pipeline))
        except OperationFailure as error:
            if error.code != _NOT_IMPLEMENTED:
                raise
            return None

    def _open(self) -> Any:
        from pymongo import MongoClient

        options: dict[str, Any] = {"appname": "journeymesh"}
        if "serverselectiontimeoutms" not in self._url.lower():
            options["serverSelectionTimeoutMS"] = _REACH_MS
        return MongoClient(self._url, **options)
