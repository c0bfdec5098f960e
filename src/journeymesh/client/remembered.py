"""Answers remembered with their ETag, so that what has not changed is not sent again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from journeymesh.client.exchange import Reply, Request
from journeymesh.client.tokens import asker_of

Key = tuple[str, ...]


@dataclass(slots=True)
class Remembered:
    """The latest answers that had an ETag, bounded by their bytes, for each asker its own: one client may be given
    tokens of several people or tenants one after the other. Safe for several threads.

    The service decides on every request whether the answer may be had again; a denial is never answered from here.
    """

    most_bytes: int
    _held: OrderedDict[Key, Reply] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def get(self, request: Request, token: str | None) -> Reply | None:
        """The remembered answer to this request by whoever the token is of."""
        if request.method != "GET" or not self.most_bytes:
            return None
        with self._guard:
            reply = self._held.get(key := _key(request, token))
            if reply is not None:
                self._held.move_to_end(key)
            return reply

    def put(self, request: Request, token: str | None, reply: Reply) -> None:
        """Remember the answer if it has an ETag and fits."""
        if request.method != "GET" or reply.status != 200 or not reply.etag or len(reply.body) > self.most_bytes:
            return
        with self._guard:
            self._drop(key := _key(request, token))
            self._held[key] = reply
            self._bytes += len(reply.body)
            while self._bytes > self.most_bytes:
                self._drop(next(iter(self._held)))

    def forget(self, request: Request, token: str | None) -> None:
        """Forget the answer: its reader may no longer have it."""
        with self._guard:
            self._drop(_key(request, token))

    def _drop(self, key: Key) -> None:
        if (reply := self._held.pop(key, None)) is not None:
            self._bytes -= len(reply.body)


def _key(request: Request, token: str | None) -> Key:
    asked = (f"{name}={value}" for name, value in sorted(request.params.items()))
    return (asker_of(token), request.service, request.path, request.accept, request.purpose or "", *asked)
