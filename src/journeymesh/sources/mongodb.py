"""A live MongoDB as a source: raw batches in the order of ``_id``, so that a run can be taken up again."""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import bson
import numpy as np
from bson import json_util
from bson.errors import InvalidBSON

from journeymesh.databases.mongodb_answers import is_of_driver
from journeymesh.errors import SourceMissing, SourceUnreadable, UsageError
from journeymesh.journeys.fixes import I64
from journeymesh.safe_text import place_of
from journeymesh.sources.bson_fixes import ELEMENT_BITS, BsonReader
from journeymesh.sources.bson_policies import policies_of
from journeymesh.sources.bson_values import MIN_DOCUMENT_BYTES, OPTIONS, canonical, documents_in
from journeymesh.sources.bson_walker import whole_documents
from journeymesh.sources.collection_names import BUCKETS, is_pattern, named_in, names_several
from journeymesh.sources.conditions import both, server_query
from journeymesh.sources.field_tally import FieldTally
from journeymesh.sources.file_vehicles import require_rows_of_files, vehicle_of_collection
from journeymesh.sources.mapping import Mapping, mapped_paths
from journeymesh.sources.mapping_fields import BESIDE
from journeymesh.sources.mongodb_clients import OWN_APPLICATION, plain_text
from journeymesh.sources.paths import is_literal, parsed
from journeymesh.sources.policy_reading import UsablePolicies
from journeymesh.sources.port import SourceBatch, SourceItem, SourceSize

if TYPE_CHECKING:
    from pymongo import MongoClient

BATCH_DOCUMENTS: Final = 50_000
REMEMBERED_BATCHES: Final = 1 << 17
SELECT_TIMEOUT_MS: Final = 5_000
SOCKET_TIMEOUT_MS: Final = 60_000
_LATER_TYPES: Final = (
    ("minKey",), ("null",), ("number",), ("string",), ("object",), ("array",), ("binData",), ("objectId",),
    ("bool",), ("date",), ("timestamp",), ("regex",), ("maxKey",),
)  # fmt: skip
"""MongoDB's order of types. ``$gt`` compares within one type only, so later types are asked for by name. Symbols, which
no driver has written for a decade, are left out."""


_KEY_TYPES: Final = ("minKey", "maxKey")


class MongodbSource:
    """The mapped collection of a MongoDB: ``mongodb://host/database?readPreference=secondaryPreferred…``.

    The URL's options are the driver's (read preference, time-outs, TLS); ``batch_documents`` is how many documents
    are asked for at once. The database is the URL's, else the mapping's.

    Raises:
        UsageError: the URL cannot be understood or no database is named.
        SourceMissing: the collection is not there. SourceUnreadable: the server cannot be reached or refuses.
    """

    def __init__(self, url: str, mapping: Mapping, *, batch_documents: int = BATCH_DOCUMENTS) -> None:
        self.name = place_of(url)
        self.tally: FieldTally | None = None
        require_rows_of_files(mapping.fields)
        self._mapping = mapping
        self._names_several = names_several(mapping.collections)
        self._batch_documents = batch_documents
        # Where each batch began in the stream of all that was read, and after which _id: origins stay good while
        # the source is open, whichever reading they come from, until so many batches more were read.
        self._starts: list[tuple[int, str, str | None]] = []
        self._read = 0
        self._numbering = threading.Lock()
        self._there: set[str] = set()
        self._lacks_types = False
        """Whether the server does not know MongoDB's smallest and largest key, so that no ``_id`` is one."""
        self._client = self._connect(url)
        try:
            path = urlsplit(url).path.strip("/")
            database = path or mapping.database
            if not database:
                raise UsageError(f"source {self.name} names no database", todo="end the URL with /DATABASE")
            self._database = self._client.get_database(database, codec_options=OPTIONS)
            self._collections = self._named(mapping.collections, buckets=mapping.layout != "document")
            for name in self._collections:
                self._vehicle_of(name)
        except BaseException:
            self._client.close()
            raise

    def _connect(self, url: str) -> MongoClient[dict[str, Any]]:
        from pymongo import MongoClient
        from pymongo.errors import ConfigurationError

        try:
            given = {option.partition("=")[0].lower() for option in urlsplit(url).query.split("&")}
            defaults: dict[str, Any] = {}
            if "serverselectiontimeoutms" not in given:
                defaults["serverSelectionTimeoutMS"] = SELECT_TIMEOUT_MS
            if "sockettimeoutms" not in given:
                defaults["socketTimeoutMS"] = SOCKET_TIMEOUT_MS
            return MongoClient(url, appname=OWN_APPLICATION, **defaults)
        except (ConfigurationError, ValueError, TypeError) as error:
            # The driver's text may quote the URL, and so a password.
            kind = type(error).__name__
            todo = "write mongodb://user:password@host/database, with special characters %-escaped"
            raise UsageError(f"source {self.name} is no MongoDB URL ({kind})", todo=todo) from None

    def _named(self, named: Sequence[str], *, buckets: bool = False) -> list[str]:
        """The collections of these names and patterns.

        Raises:
            SourceMissing: one is not there.
        """
        from pymongo.errors import OperationFailure

        with self._faults():
            try:
                there = self._database.list_collection_names()
            except OperationFailure as error:
                if error.code == 13 and not any(is_pattern(one) for one in named):
                    return list(named)  # not allowed to list; reading may still be
                raise
        self._there = set(there)
        found, missing = named_in(named, there, buckets=buckets)
        if missing:
            known = ", ".join(sorted(there)[:20]) or "none"
            raise SourceMissing(
                f"source {self.name} has no collection {missing[0]!r}, only {known}",
                todo="correct the mapping's collection or the URL's database",
            )
        return found

    def _vehicle_of(self, collection: str) -> str | None:
        return vehicle_of_collection(collection.removeprefix(BUCKETS), None, self._mapping.fields.vehicle)

    def size(self) -> SourceSize:
        """The number of documents the server estimates, where a document is a fix."""
        if self._mapping.layout != "document":
            return SourceSize()
        with self._faults():
            counts = [self._database[name].estimated_document_count() for name in self._collections]
        return SourceSize(fixes=sum(counts))

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        """Every document once, by ``_id``; ``resume`` is the ``_id`` of the last one read, as extended JSON.

        Of several collections one after the other; ``resume`` then has such an ``_id`` for each that was begun.
        """
        reader = BsonReader(self._mapping, self.tally)
        reader.vehicle = self._vehicle_of(self._collections[0])
        if not self._names_several:
            resume = None if _ids_of(resume) else resume
            yield from self._collection_batches(reader, self._collections[0], resume)
            return
        read = _ids_of(resume)
        for collection in self._collections:
            reader.collection, reader.vehicle = collection, self._vehicle_of(collection)
            for batch in self._collection_batches(reader, collection, read.get(collection)):
                if batch.resume is not None:
                    read[collection] = batch.resume
                yield replace(batch, resume=json.dumps([read]))

    def _collection_batches(self, reader: BsonReader, collection: str, resume: str | None) -> Iterator[SourceBatch]:
        for content, last_id in self._raw_batches(collection, resume):
            offset = self._number(len(content), collection, resume)
            buffer = np.frombuffer(content, np.uint8)
            held: SourceBatch | None = None
            end = 0
            for part in reader.parts(buffer, offset):
                if held is not None:
                    yield held
                end, refusals = part.end, part.refusals
                held = SourceBatch(part.fixes, refusals, 0 if held else len(content), resume, part.others)
            assert held is not None
            if end < len(buffer):
                cause = "the server sent a document of impossible length"
                refusals = [
                    *held.refusals,
                    reader.unreadable(buffer[end:], offset + end, offset + len(buffer), cause),
                ]
                held = SourceBatch(held.fixes, refusals, held.read_bytes, resume, held.others)
            yield SourceBatch(held.fixes, held.refusals, held.read_bytes, last_id, held.others)
            resume = last_id

    def _number(self, length: int, collection: str, resume: str | None) -> int:
        """The stream offset of a batch of so many bytes of the collection that begins after this ``_id``."""
        with self._numbering:
            offset = self._read
            self._read += length
            self._starts.append((offset, collection, resume))
            if len(self._starts) > REMEMBERED_BATCHES:
                self._starts = self._starts[REMEMBERED_BATCHES // 2 :]
            return offset

    def _raw_batches(self, collection: str, resume: str | None) -> Iterator[tuple[bytes, str | None]]:
        """(documents, the last one's ``_id``). A cursor that the server forgot is opened again where it stood."""
        from pymongo.errors import AutoReconnect, CursorNotFound

        moved = True
        while True:
            try:
                with self._faults(passing=(AutoReconnect, CursorNotFound)):
                    for content in self._cursor(collection, resume):
                        if not content:
                            continue
                        resume = self._last_id(content, resume)
                        moved = True
                        yield content, resume
                    return
            except SourceUnreadable as error:
                if self._lacks_types or "type name alias" not in str(error):
                    raise
                self._lacks_types = True
            except (AutoReconnect, CursorNotFound) as error:
                if not moved:
                    raise SourceUnreadable(
                        f"source {self.name} cannot be read: {plain_text(error)}",
                        todo="check that the server is up; running again goes on from where it stopped",
                    ) from error
                moved = False

    def _cursor(self, collection: str, resume: str | None) -> Any:
        return self._database[collection].find_raw_batches(
            both(_after(resume, without=_KEY_TYPES if self._lacks_types else ()), server_query(self._mapping.where)),
            projection=projection(self._mapping),
            sort=[("_id", 1)],
            batch_size=self._batch_documents,
        )

    @staticmethod
    def _last_id(content: bytes, before: str | None) -> str | None:
        at, _ = whole_documents(np.frombuffer(content, np.uint8))
        if at < 0:
            return before
        length = int.from_bytes(content[at : at + 4], "little")
        return canonical(bson.decode(content[at : at + length], OPTIONS).get("_id"))

    def describe(self, origins: I64) -> list[str]:
        """``blackbox/5ce7…`` for each origin, asked of the server again, batch by batch."""
        reader = BsonReader(self._mapping)
        starts = self._starts
        by_batch: dict[int, list[int]] = {}
        for origin in {int(origin) for origin in origins if origin >= 0}:
            batch = bisect_right(starts, origin >> ELEMENT_BITS, key=lambda start: start[0]) - 1
            by_batch.setdefault(batch, []).append(origin)
        places: dict[int, str] = {}
        for batch, members in by_batch.items():
            if batch < 0:
                continue
            start, collection, resume = starts[batch]
            if self._names_several:
                reader.collection = collection
            content, _ = next(self._raw_batches(collection, resume), (b"", None))
            for origin in members:
                at = (origin >> ELEMENT_BITS) - start
                length = int.from_bytes(content[at : at + 4], "little")
                if MIN_DOCUMENT_BYTES <= length <= len(content) - at:
                    places[origin] = reader.place(content[at : at + length], origin)
        return [places.get(int(origin), self._mapping.collection) for origin in origins]

    def items(self) -> list[SourceItem]:
        """The collections of the database."""
        mine = [*self._collections, *(name.removeprefix(BUCKETS) for name in self._collections)]
        section = self._mapping.policies
        told = [SourceItem(f"{self._database.name}.{name}") for name in self._collections]
        if section is not None:
            told.append(SourceItem(f"{self._database.name}.{section.collection}", "read", "policies"))
            mine.append(section.collection)
        others = [name for name in sorted(self._there) if name not in mine and name.removeprefix(BUCKETS) not in mine]
        why = "the mapping does not name it"
        return [*told, *(SourceItem(f"{self._database.name}.{name}", "skipped", why) for name in others)]

    def policies(self) -> UsablePolicies:
        """The policies in the mapping's policies collection, in the same database."""
        section = self._mapping.policies
        if section is None:
            return UsablePolicies()
        (collection,) = self._named([section.collection])
        with self._faults():
            batches: list[Any] = list(self._database[collection].find_raw_batches())
        try:
            return policies_of(chain.from_iterable(map(documents_in, batches)), section)
        except InvalidBSON as error:
            raise SourceUnreadable(f"source {self.name} sent {error}", todo="check the server's data files") from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @contextmanager
    def _faults(self, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        from pymongo.errors import PyMongoError

        try:
            yield
        except passing:
            raise
        except PyMongoError as error:
            raise SourceUnreadable(
                f"source {self.name} cannot be read: {plain_text(error)}",
                todo="check the address, the credentials and the rights",
            ) from error
        except KeyError as error:
            if not is_of_driver(error):
                raise
            raise SourceUnreadable(
                f"source {self.name}: the server's answer lacks {error}, which MongoDB always sends",
                todo="check the server's log: the command may have failed",
            ) from error


def _after(resume: str | None, without: Sequence[str] = ()) -> dict[str, Any]:
    """The query for the documents after this ``_id``, whatever their types."""
    if resume is None:
        return {}
    last = json_util.loads(resume, json_options=json_util.CANONICAL_JSON_OPTIONS)
    later = _LATER_TYPES[_type_order(last) + 1 :]
    if not later:
        return {"_id": {"$gt": last}}
    names = [name for group in later for name in group if name not in without]
    if not names:
        return {"_id": {"$gt": last}}
    return {"$or": [{"_id": {"$gt": last}}, {"_id": {"$type": names}}]}


def _ids_of(resume: str | None) -> dict[str, str]:
    """The last ``_id`` read of each of several collections; empty where it is of one: no ``_id`` is a list."""
    try:
        read = json.loads(resume or "null")
    except ValueError:
        return {}
    return dict(read[0]) if isinstance(read, list) and read and isinstance(read[0], dict) else {}


def _type_order(value: Any) -> int:
    kind = bson.encode({"v": value})[4]
    order = {
        0xFF: 0, 0x0A: 1, 0x01: 2, 0x10: 2, 0x12: 2, 0x13: 2, 0x02: 3, 0x0E: 3, 0x03: 4, 0x04: 5, 0x05: 6, 0x07: 7,
        0x08: 8, 0x09: 9, 0x11: 10, 0x0B: 11, 0x7F: 12,
    }  # fmt: skip
    return order.get(kind, 0)


def projection(mapping: Mapping) -> list[str] | None:
    """The mapped paths as the server projects them: array positions and keys with a dot in them cannot be, and no path
    may contain another. None where only whole documents have them all."""
    paths = set()
    for path in mapped_paths(mapping):
        if path == BESIDE:
            continue
        steps = parsed(path).steps
        number = next((at for at, step in enumerate(steps) if step.isdigit() or is_literal(step)), len(steps))
        if number == 0:
            return None
        paths.add(".".join(steps[:number]))
    return sorted(path for path in paths if not any(path.startswith(f"{other}.") for other in paths))
