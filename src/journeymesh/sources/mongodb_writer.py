"""Fixes written back to a live MongoDB, as documents that its mapping reads as the very same fixes."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

import numpy as np

from journeymesh.databases.mongodb_answers import is_of_driver
from journeymesh.errors import SourceUnreadable
from journeymesh.journeys.fixes import Fixes
from journeymesh.sources.collection_names import one_of
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.mapping_inverse import MappingInverse
from journeymesh.sources.mongodb import MongodbSource

BATCH_FIXES: Final = 10_000
_ID_BYTES: Final = 13
_DUPLICATE: Final = 11000


def fix_id(vehicle: str, fixed_at_us: int, lat_deg: float, lon_deg: float) -> str:
    """The ``_id`` of the document of this fix: stable over runs and machines, and telling nothing of it."""
    place = struct.pack("<dd", lat_deg, lon_deg)
    digest = hashlib.blake2b(f"{vehicle}\0{fixed_at_us}\0".encode() + place, digest_size=_ID_BYTES)
    return f"journeymesh:{digest.hexdigest()}"


class MongodbFixWriter(MongodbSource):
    """The mapped collection of a MongoDB, with the right to insert; see ``FixWriter``.

    What ``mapping_inverse`` says is written exactly and what rounded. A fix that is there already is left as it is.

    Raises:
        UsageError: the mapping cannot be inverted, and why.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached or refuses.
    """

    def __init__(self, url: str, mapping: Mapping) -> None:
        self._inverse = MappingInverse(mapping)
        one_of(mapping.collections, "fixes are written to")
        super().__init__(url, mapping)

    def put(self, fixes: Fixes) -> int:
        """Write each fix, acknowledged by a majority; returns how many were there before. Idempotent.

        Fixes that agree in vehicle, instant and position are one document, the first of them.

        Raises:
            UsageError: fixes that the mapping cannot hold exactly; none of their ten thousand is written.
            SourceUnreadable: the server refused. Putting the same again completes what was begun.
        """
        return sum(self._put(fixes.take(slice(at, at + BATCH_FIXES))) for at in range(0, len(fixes), BATCH_FIXES))

    def _put(self, fixes: Fixes) -> int:
        from pymongo import UpdateOne, WriteConcern
        from pymongo.errors import BulkWriteError

        by_id: dict[str, dict[str, Any]] = {}
        columns = (fixes.vehicle, fixes.fixed_at_us, fixes.lat_deg, fixes.lon_deg)
        rows = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
        for (code, us, lat, lon), document in zip(rows, self._inverse.documents(fixes), strict=True):
            by_id.setdefault(fix_id(fixes.vehicles[code], us, lat, lon), document)
        writes = [
            UpdateOne({"_id": identity}, {"$setOnInsert": document}, upsert=True)
            for identity, document in by_id.items()
        ]
        collection = self._database[self._collections[0]].with_options(write_concern=WriteConcern(w="majority"))
        with self._faults():
            try:
                return int(collection.bulk_write(writes, ordered=False).matched_count)
            except BulkWriteError as error:
                details: Any = error.details
                if not _only_rivals(details):
                    raise self._refused(_first_fault(details)) from error
                return int(details["nMatched"]) + len(details["writeErrors"])
            except KeyError as error:
                if not is_of_driver(error):
                    raise
                return self._put_one_by_one(collection, by_id)

    def _put_one_by_one(self, collection: Any, by_id: dict[str, dict[str, Any]]) -> int:
        """Write to a server that does not say which writes of many failed; how many were there before."""
        from pymongo.errors import WriteError

        there = 0
        codes: list[int | None] = []
        for identity, document in by_id.items():
            try:
                there += collection.update_one({"_id": identity}, {"$setOnInsert": document}, upsert=True).matched_count
            except WriteError as error:
                if error.code == _DUPLICATE and collection.find_one({"_id": identity}, {"_id": 1}) is not None:
                    there += 1  # another writer put the same at the same time
                else:
                    codes.append(error.code)
        if codes:
            raise self._refused(f"{len(codes)} writes failed, the first with code {codes[0]}")
        return there

    def _refused(self, fault: str) -> SourceUnreadable:
        todo = "check the collection's rules and indexes, then put the same again"
        return SourceUnreadable(f"source {self.name} refused fixes: {fault}", todo=todo)


def _only_rivals(details: dict[str, Any]) -> bool:
    """Whether all that went wrong is that another writer put the same documents at the same time."""
    faults = details.get("writeErrors", [])
    same = all(fault.get("code") == _DUPLICATE and fault.get("keyPattern") == {"_id": 1} for fault in faults)
    return bool(faults) and same and not details.get("writeConcernErrors")


def _first_fault(details: dict[str, Any]) -> str:
    """What the server objected to, by its code: its text may quote the document."""
    faults = [*details.get("writeErrors", []), *details.get("writeConcernErrors", [])]
    return f"{len(faults)} writes failed, the first with code {faults[0].get('code') if faults else 'unknown'}"
