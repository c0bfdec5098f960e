"""Answers remembered with their ETag, so that what has not changed is not sent again."""

from __future__ import annotations

from dataclasses import dataclass, field

from journeymesh.client.exchange import Reply, Request
from journeymesh.client.tokens import asker_of
from journeymesh.lru import LruCache

Key = tuple[str, ...]


@dataclass(slots=True)
class Remembered:
    """The latest answers that had an ETag, bounded by their bytes, for each asker its own: one client may be given
    tokens of several people or tenants one after the other. Safe for several threads.

    The service decides on every request whether the answer may be had again; a denial is never answered from here.
    """

    most_bytes: int
    _replies: LruCache[Key, Reply] = field(init=False)

    def __post_init__(self) -> None:
        self._replies = LruCache(self.most_bytes, lambda reply: len(reply.body))

    def get(self, request: Request, token: str | None) -> Reply | None:
        """The remembered answer to this request by whoever the token is of. None is for one that goes into a file."""
        if request.method != "GET" or request.into is not None or not self.most_bytes:
            return None
        return self._replies.get(_key(request, token))

    def put(self, request: Request, token: str | None, reply: Reply) -> None:
        """Remember the answer if it has an ETag and fits."""
        if request.method == "GET" and request.into is None and reply.status == 200 and reply.etag:
            self._replies.put(_key(request, token), reply)

    def forget(self, request: Request, token: str | None) -> None:
        """Forget the answer: its reader may no longer have it."""
        self._replies.discard(_key(request, token))


def _key(request: Request, token: str | None) -> Key:
    asked = (f"{name}={value}" for name, value in sorted(request.params.items()))
    return (asker_of(token), request.service, request.path, request.accept, request.purpose or "", *asked)
