"""Bodies of requests: how large one may be, and how many bytes of them the whole process holds."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Final

from journeymesh.services.http.allocators import give_back_soon
from journeymesh.services.http.answers import RawHeaders, ReadyAnswer, Receive, Send
from journeymesh.services.http.problems import MALFORMED, TOO_LARGE, TOO_MANY_REQUESTS, ProblemRaised
from journeymesh.services.http.requests import HttpRequest, header

BODIES: Final = "bodies"
"""The key of the application's ``BodyBudget`` in its state."""
_RETRY_AFTER_S: Final = 2.0
_MOST_DIGITS: Final = 18
_LARGE_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 256 << 10


@dataclass(slots=True)
class BodyBudget:
    """At most ``most_bytes`` of bodies that are being read or worked on. Safe for several threads."""

    most_bytes: int
    _used: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def used_bytes(self) -> int:
        """Bytes of bodies that are held now."""
        return self._used

    def lease(self) -> BodyLease:
        """A share of the budget for one body, empty at first."""
        return BodyLease(self)

    def take_if_left(self, by_bytes: int) -> bool:
        """Take so many bytes; False: there are not so many left."""
        with self._lock:
            if self._used + by_bytes > self.most_bytes:
                return False
            self._used += by_bytes
            return True

    def take(self, by_bytes: int) -> None:
        """Take so many bytes, or give them back where negative, whether or not there are so many left."""
        with self._lock:
            self._used += by_bytes


@dataclass(slots=True)
class BodyLease:
    """What one body takes of the budget, until it is released: when nothing works on the body any more, which may be
    after the request's own end. May be released by any thread, and more than once."""

    budget: BodyBudget
    _bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def grow(self, by_bytes: int) -> None:
        """Take so many bytes more.

        Raises:
            ProblemRaised: the process holds as many as it may (429).
        """
        if not self.budget.take_if_left(by_bytes):
            told = "the service is working on as many bytes of bodies as it may"
            raise ProblemRaised(TOO_MANY_REQUESTS, told, retry_after_s=_RETRY_AFTER_S)
        self._bytes += by_bytes

    def grow_anyway(self, by_bytes: int) -> None:
        """Take so many bytes more, even beyond what there is: bodies that come meanwhile are refused."""
        self.budget.take(by_bytes)
        self._bytes += by_bytes

    def release(self) -> None:
        """Give all of them back."""
        with self._lock:
            held, self._bytes = self._bytes, 0
        self.budget.take(-held)
        if held >= _LARGE_BYTES:
            give_back_soon()


async def read_body(request: HttpRequest, lease: BodyLease, most_bytes: int) -> bytearray:
    """The request's body; what it takes of the budget is the caller's to release, whatever comes of it.

    Raises:
        ProblemRaised: it is larger than ``most_bytes`` (413), the process holds too much of bodies (429), or it broke
            off (400).
    """
    too_large = ProblemRaised(TOO_LARGE, f"at most {most_bytes} bytes are taken here")
    announced = header(request.scope, b"content-length")
    if announced is not None and announced.isdecimal() and int(announced[:_MOST_DIGITS]) > most_bytes:
        raise too_large
    body, more = bytearray(), True
    while more:
        message = await request.receive()
        if message["type"] != "http.request":
            raise ProblemRaised(MALFORMED, "the body broke off")
        piece = message.get("body", b"")
        if len(body) + len(piece) > most_bytes:
            raise too_large
        lease.grow(len(piece))
        body += piece
        more = message.get("more_body", False)
    return body


class LeasedAnswer(ReadyAnswer):
    """An answer that may be larger than the body it answers. While it is sent it counts as a body: what is answered is
    done, so that bodies that come meanwhile are refused in its stead."""

    def __init__(self, budget: BodyBudget, headers: RawHeaders, body: bytes) -> None:
        super().__init__(200, headers, body)
        self._budget = budget

    async def send(self, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as it is declared
        """Send it in pieces: the server takes one when the client has taken those before."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        lease = self._budget.lease()
        lease.grow_anyway(len(self.body))
        rest = memoryview(self.body)
        self.body = b""
        try:
            while len(rest) > _PIECE_BYTES:
                await send({"type": "http.response.body", "body": bytes(rest[:_PIECE_BYTES]), "more_body": True})
                rest = rest[_PIECE_BYTES:]
            await send({"type": "http.response.body", "body": bytes(rest), "more_body": False})
        finally:
            del rest
            lease.release()
