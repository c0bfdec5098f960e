"""The change feed of a MongoDB store: one document a vehicle, committed and rolled forward with its batch."""

from __future__ import annotations

from collections.abc import Iterator

from journeymesh.stores.mongo_commits import Snapshot
from journeymesh.stores.mongo_database import Database
from journeymesh.stores.mongo_plan import VEHICLE_KINDS
from journeymesh.stores.port import StoreChanges
from journeymesh.stores.positions import changes_page

_NAMES_AT_ONCE = 1_000


def read_changes(database: Database, seen: Snapshot, after: str | None, limit: int) -> StoreChanges:
    """A page of the feed."""

    def read(first: int, size: int) -> tuple[int, list[tuple[str, int]]]:
        found = database.find("changes", seen, {"position": {"$gt": first}}, ("position",), size)
        return seen.position, [(document["vehicle"], int(document["position"])) for document in found]

    return changes_page(after, limit, read)


def vehicles_held_after(database: Database, seen: Snapshot, after: str | None, limit: int) -> list[str]:
    """Vehicles by name that the store still holds something of: the feed also knows those it no longer does."""
    held: list[str] = []
    while len(held) < limit:
        size = min(limit - len(held), _NAMES_AT_ONCE)
        conditions = {} if after is None else {"key": {"$gt": after}}
        page = [document["key"] for document in database.find("changes", seen, conditions, ("key",), size, ("key",))]
        holding = {name for kind in VEHICLE_KINDS for name in _vehicles_of(database, kind, seen, page)}
        held += [name for name in page if name in holding]
        if len(page) < size:
            break
        after = page[-1]
    return held


def every_vehicle(database: Database, seen: Snapshot) -> list[str]:
    """The vehicles of all documents, by name."""
    return sorted({name for kind in VEHICLE_KINDS for name in _vehicles_of(database, kind, seen, None)})


def _vehicles_of(database: Database, kind: str, seen: Snapshot, among: list[str] | None) -> Iterator[str]:
    conditions = {"vehicle": {"$ne": None} if among is None else {"$in": among}}
    if seen.replaced:
        yield from (found["vehicle"] for found in database.find(kind, seen, conditions, fields=("vehicle",)))
        return
    grouped = [{"$match": seen.filter(**conditions)}, {"$group": {"_id": "$vehicle"}}]
    yield from (found["_id"] for found in database.collection(kind).aggregate(grouped))
