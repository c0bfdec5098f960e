"""Legacy documents exported and deleted by vehicle, for retiring. The only place that deletes from a source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from pymongo.collation import Collation

from journeymesh.errors import UsageError
from journeymesh.sources.bson_values import documents_in
from journeymesh.sources.collection_names import one_of
from journeymesh.sources.conditions import both, exact_query, of_elements
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.mongodb import MongodbSource
from journeymesh.sources.mongodb_queries import in_array, vehicle_queries
from journeymesh.sources.vehicle_port import VehicleTimes

_EXACT: Final = Collation("simple")
"""``D1`` is not ``d1``, whatever the collection's own collation says."""


class MongodbRemover(MongodbSource):
    """The mapped collection of a MongoDB with the right to delete from it; see ``DocumentRemover``.

    Raises:
        UsageError: vehicles are named inside arrays, or conditions are, so that a document may be another vehicle's, or
            somebody else's, as well.
    """

    def __init__(self, url: str, mapping: Mapping) -> None:
        if of_elements(mapping.where):
            raise UsageError(
                "documents of this mapping may hold elements that its conditions leave out, so they cannot be removed",
                todo="remove them with the applications that wrote them",
            )
        if in_array(mapping):
            raise UsageError(
                "documents of this mapping may hold several vehicles, so they cannot be removed by vehicle",
                todo="remove them with the applications that wrote them",
            )
        one_of(mapping.collections, "documents are removed from")
        super().__init__(url, mapping)

    def raw_documents(self, vehicles: Sequence[str]) -> Iterator[bytes]:
        """The documents of these vehicles as BSON, whole, in order of ``_id`` within a thousand vehicles."""
        collection: Any = self._database[self._collections[0]]
        for query in self._queries(vehicles):
            with self._faults():
                for content in collection.find_raw_batches(
                    query, sort=[("_id", 1)], batch_size=self._batch_documents, collation=_EXACT
                ):
                    yield from documents_in(content)

    def remove_vehicles(self, vehicles: Sequence[str]) -> int:
        """Delete the documents of these vehicles; returns how many there were. Idempotent."""
        collection = self._database[self._collections[0]]
        removed = 0
        for query in self._queries(vehicles):
            with self._faults():
                removed += collection.delete_many(query, collation=_EXACT).deleted_count
        return removed

    def _queries(self, vehicles: Sequence[str]) -> Iterator[dict[str, Any]]:
        """What finds the documents of these vehicles that the mapping's conditions leave to us, and no other."""
        exact = exact_query(self._mapping.where)
        for query, _ in vehicle_queries(self._mapping, [VehicleTimes(vehicle) for vehicle in vehicles]):
            yield both(query, exact)
