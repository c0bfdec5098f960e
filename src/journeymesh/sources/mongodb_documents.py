"""Documents of the legacy database as the driver decodes them: for who checks what our own walker reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from journeymesh.errors import SourceMissing
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.mongodb import MongodbSource
from journeymesh.sources.mongodb_queries import server_path, values_of


class MongodbDocuments(MongodbSource):
    """The legacy MongoDB, read by pymongo alone; see ``DocumentReader``.

    Raises:
        UsageError: the URL cannot be understood or no database is named.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached or refuses.
    """

    def __init__(self, url: str, mapping: Mapping) -> None:
        super().__init__(url, mapping)
        self.mapping = mapping

    def documents(self, collection: str) -> Iterator[dict[str, Any]]:
        """Every document of a collection.

        Raises:
            SourceMissing: it is not there. SourceUnreadable: it cannot be read.
        """
        with self._faults():
            there = self._database.list_collection_names()
            if collection not in there:
                known = ", ".join(sorted(there)[:20]) or "none"
                raise SourceMissing(
                    f"source {self.name} has no collection {collection!r}, only {known}",
                    todo="correct the totals file's collection",
                )
            yield from self._database[collection].find()

    def of_vehicles(self, vehicles: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Every document of the mapped collections that names one of the vehicles."""
        values = [value for vehicle in vehicles for value in values_of(vehicle)]
        with self._faults():
            for name in self._collections:
                yield from self._database[name].find({server_path(self.mapping.fields.vehicle.path): {"$in": values}})
