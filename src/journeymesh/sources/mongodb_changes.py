"""A live MongoDB followed as it changes: one change stream of its database, resumed where it was left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from journeymesh.errors import SourceUnreadable
from journeymesh.sources.bson_values import canonical
from journeymesh.sources.change_events import MOST_EVENTS, ChangeDecoder
from journeymesh.sources.mapping import Mapping
from journeymesh.sources.mongodb import projection
from journeymesh.sources.mongodb_clients import plain_text
from journeymesh.sources.vehicle_port import ChangeBatch, PositionLost

if TYPE_CHECKING:
    from pymongo.database import Database

AWAIT_MS: Final = 50
"""How long the server holds a question for changes open; it answers at once when one comes."""
_MOST_BYTES: Final = 256 << 20
_LOST_CODES: Final = (136, 222, 260, 280, 286, 10334)
"""CappedPositionLost, CloseChangeStream, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost and
BSONObjectTooLarge: the stream cannot go on from this token, however often it is tried."""
_NO_REPLICA_SET: Final = (40573, 20)
_EVENT_FIELDS: Final = ("operationType", "ns", "to", "wallTime", "clusterTime", "documentKey")


def latest_position(database: Database[Any], mapping: Mapping, name: str) -> str:
    """The position after everything that the server has committed to a majority until now.

    Raises:
        SourceUnreadable: the server cannot be reached or has no change streams.
    """
    with _faults(name), _watch(database, mapping, None) as stream:
        token = stream.resume_token
    if token is None:
        raise SourceUnreadable(f"source {name} returned no resume token", todo="use MongoDB 6 or later")
    return _position(token)


class MongodbChanges:
    """The changes of the mapped collection and of its policies; see ``ChangeStream``.

    A connection that breaks is made again, and the stream taken up after what was last returned: nothing is lost or
    skipped, or ``PositionLost`` says so. For one thread at a time.

    Raises:
        PositionLost: the server no longer has this position. SourceUnreadable: it cannot be followed.
    """

    def __init__(self, database: Database[Any], mapping: Mapping, name: str, after: str) -> None:
        self._database = database
        self._mapping = mapping
        self._name = name
        self._decoder = ChangeDecoder(mapping)
        self._position = after
        self._token = _token(after, name)
        self._closed = False
        self._stream: Any = None
        with _faults(name):
            self._stream = _watch(database, mapping, self._token)

    def next_batch(self, wait_s: float, limit: int = 1000) -> ChangeBatch:
        """The changes that are there, else the first to come within ``wait_s``; see ``ChangeStream``."""
        if self._closed:
            raise SourceUnreadable(f"source {self._name} is no longer followed", todo="open its changes again")
        try:
            with _faults(self._name):
                if self._stream is None:
                    self._stream = _watch(self._database, self._mapping, self._token)
                events = self._pull(monotonic() + wait_s, max(1, min(limit, MOST_EVENTS)))
                token = self._stream.resume_token
                alive = self._stream.alive
            position = self._position if token is None or token == self._token else _position(token)
            batch = self._decoder.batch(events, position)
        except BaseException:
            self._drop()
            raise
        self._token, self._position = token or self._token, position
        if not alive:  # the server ends the stream with an invalidation: it goes on in another
            self._drop()
        return batch

    def close(self) -> None:
        """Close the cursor. Idempotent."""
        self._closed = True
        self._drop()

    def _pull(self, deadline: float, limit: int) -> list[bytes]:
        """What the server has sent or sends before the deadline, without waiting for more than the first."""
        events: list[bytes] = []
        size = 0
        while not events:
            event = self._stream.try_next()
            while event is not None:
                events.append(event.raw)
                size += len(event.raw)
                more = len(events) < limit and size < _MOST_BYTES and _has_more(self._stream)
                event = self._stream.try_next() if more else None
            if not events and (monotonic() >= deadline or not self._stream.alive):
                break
        return events

    def _drop(self) -> None:
        """Give the cursor up; the next question opens one after the last position."""
        from pymongo.errors import PyMongoError

        stream, self._stream = self._stream, None
        if stream is not None:
            try:
                stream.close()
            except PyMongoError:  # the server forgets it by itself
                return


def _watch(database: Database[Any], mapping: Mapping, token: Any) -> Any:
    """A stream of raw events of the database, narrowed by the server to what the mapping reads.

    One stream for fixes and policies: one position, and one order. Dropping a collection does not end it.
    """
    names = [mapping.collection, *([mapping.policies.collection] if mapping.policies is not None else [])]
    concerned = {
        "$or": [
            {"ns.coll": {"$in": names}},
            {"to.coll": {"$in": names}},
            {"operationType": {"$in": ["dropDatabase", "invalidate"]}},
        ]
    }
    projected = projection(mapping)
    paths = ["_id", *(path for path in projected or () if path != "_id" and not path.startswith("_id."))]
    whole = ("fullDocument", "fullDocumentBeforeChange")
    images = whole if projected is None else [f"{image}.{path}" for image in whole for path in paths]
    shown = dict.fromkeys([*_EVENT_FIELDS, *images], 1)
    raw: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
    return database.with_options(codec_options=raw).watch(
        [{"$match": concerned}, {"$project": shown}],
        full_document="updateLookup",
        full_document_before_change="whenAvailable",
        start_after=token,
        max_await_time_ms=AWAIT_MS,
    )


def _has_more(stream: Any) -> bool:
    """Whether an event that was sent already waits in the driver. It has no public word for this; if ever the private
    one goes, each batch has one event: slow, and right."""
    return bool(getattr(getattr(stream, "_cursor", None), "_data", None))


def _position(token: Any) -> str:
    return canonical(dict(token.items())) or ""


def _token(position: str, name: str) -> Any:
    try:
        token = json_util.loads(position)
    except (ValueError, TypeError):
        token = None
    if not isinstance(token, dict) or "_data" not in token:
        raise PositionLost(f"source {name}: {position[:40]!r} is no position", todo=_LOST_TODO)
    return token


_LOST_TODO: Final = "compare what is there with the source, then follow it from its present position"


@contextmanager
def _faults(name: str) -> Iterator[None]:
    from pymongo.errors import OperationFailure, PyMongoError

    try:
        yield
    except OperationFailure as error:
        if error.code in _LOST_CODES or error.has_error_label("NonResumableChangeStreamError"):
            raise PositionLost(
                f"source {name} no longer has the changes after this position: {plain_text(error)}", todo=_LOST_TODO
            ) from error
        todo = "check the rights: find and changeStream on the database"
        if error.code in _NO_REPLICA_SET:
            todo = "change streams need a replica set or a sharded cluster"
        raise SourceUnreadable(f"source {name} cannot be followed: {plain_text(error)}", todo=todo) from error
    except PyMongoError as error:
        raise SourceUnreadable(
            f"source {name} cannot be followed: {plain_text(error)}",
            todo="check that the server is up; asking again goes on from where it stopped",
        ) from error
