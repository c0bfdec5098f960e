"""Answers: bytes that are ready, and bytes that come piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

JSON: Final = "application/json"
Send = Callable[[Any], Awaitable[None]]
"""What an ASGI application sends its messages by."""
Receive = Callable[[], Awaitable[Any]]
"""What an ASGI application gets its messages from."""
RawHeaders = Sequence[tuple[bytes, bytes]]


def raw_headers(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Headers as ASGI has them."""
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


class Sendable(Protocol):
    """What a route's function returns."""

    async def send(self, receive: Receive, send: Send) -> None:
        """Send the answer over ASGI."""


class ReadyAnswer:
    """A status, headers and a body, sent as they are; ``content-length`` is added where there is content."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes = b"") -> None:
        self.status, self.body = status, body
        self.headers = headers if status in (204, 304) else (*headers, (b"content-length", b"%d" % len(body)))

    async def send(self, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as it is declared
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def json_answer(body: bytes, headers: Mapping[str, str], status: int = 200) -> ReadyAnswer:
    """An answer whose body is JSON already."""
    return ReadyAnswer(status, raw_headers({"content-type": JSON, **headers}.items()), body)


class StreamedAnswer:
    """Pieces, each sent when it is there. Where the client goes away, no further ones are made."""

    def __init__(self, headers: Mapping[str, str], media: str, pieces: AsyncIterator[bytes]) -> None:
        content = f"{media}; charset=utf-8" if media.startswith("text/") else media
        self._headers, self._pieces = raw_headers({**headers, "content-type": content}.items()), pieces

    async def send(self, receive: Receive, send: Send) -> None:
        """Send them.

        Raises:
            Exception: what making a piece failed with: the answer is broken off.
        """
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        sending, gone = asyncio.ensure_future(self._send(send)), asyncio.ensure_future(_disconnected(receive))
        try:
            ended, _ = await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                each.result()
        finally:
            sending.cancel()
            gone.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async for piece in self._pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
