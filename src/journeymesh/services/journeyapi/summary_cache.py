"""Encoded summaries in memory, for as long as the data that they were made of is the present one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

_OVERHEAD: Final = 600
"""What an entry holds besides its body, about."""


@dataclass(slots=True)
class EncodedCache:
    """The bodies of answers by tag, which names data, obligations and representation; at most ``most_bytes`` of them,
    the least lately used go. Several who want one that is not there wait for one reading. Belongs to one event loop."""

    most_bytes: int
    _bodies: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _making: dict[str, asyncio.Future[bytes]] = field(default_factory=dict)
    _bytes: int = 0

    def get(self, tag: str) -> bytes | None:
        """The body; None: it is not there."""
        body = self._bodies.get(tag)
        if body is not None:
            self._bodies.move_to_end(tag)
        return body

    async def made(self, tag: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """The body, made by the first who wants it."""
        under_way = self._making.get(tag)
        if under_way is not None:
            return await asyncio.shield(under_way)
        self._making[tag] = future = asyncio.ensure_future(make())
        future.add_done_callback(lambda done: self._done(tag, done))
        return await asyncio.shield(future)

    def _done(self, tag: str, made: asyncio.Future[bytes]) -> None:
        self._making.pop(tag, None)
        if made.cancelled() or made.exception() is not None:
            return
        body = made.result()
        size = len(body) + _OVERHEAD
        if size > self.most_bytes:
            return
        self._bodies[tag] = body
        self._bytes += size
        while self._bytes > self.most_bytes:
            _, gone = self._bodies.popitem(last=False)
            self._bytes -= len(gone) + _OVERHEAD
