"""Answers whose bytes are ready: Litestar's own ``ASGIResponse`` spends more on their headers than on all else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from litestar.response.base import ASGIResponse

Send = Callable[[Any], Awaitable[None]]
"""What an ASGI application sends its messages by."""
RawHeaders = Sequence[tuple[bytes, bytes]]


def raw_headers(headers: Iterable[tuple[str, str]]) -> RawHeaders:
    """Headers as ASGI has them."""
    return tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)


class ReadyAnswer(ASGIResponse):
    """A status, headers and a body, sent as they are; ``content-length`` is added where there is content."""

    def __init__(self, status: int, headers: RawHeaders, body: bytes = b"") -> None:
        self.status_code, self.body = status, body
        self._headers = headers if status in (204, 304) else (*headers, (b"content-length", b"%d" % len(body)))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ARG002
        """Send it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self._headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})
