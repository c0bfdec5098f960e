"""Futures of other threads awaited on an event loop, that is woken once for all who wait for the same one."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from functools import partial


@dataclass(slots=True)
class Waking:
    """Records that share a commit share its future: ``asyncio.wrap_future`` would wake the loop for each who waits.
    Belongs to one event loop."""

    _waiting: dict[Future[None], list[asyncio.Future[None]]] = field(default_factory=dict)

    async def until(self, future: Future[None]) -> None:
        """Wait for it. Who is cancelled meanwhile leaves the others waiting.

        Raises:
            BaseException: what it failed with.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        waiters = self._waiting.get(future)
        if waiters is None:
            self._waiting[future] = [waiter]
            future.add_done_callback(partial(self._done, loop))
        else:
            waiters.append(waiter)
        await waiter

    def _done(self, loop: asyncio.AbstractEventLoop, future: Future[None]) -> None:
        try:
            loop.call_soon_threadsafe(self._wake, future)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._waiting.pop(future, None)

    def _wake(self, future: Future[None]) -> None:
        try:
            error = future.exception()
        except CancelledError:
            error = asyncio.CancelledError()
        for waiter in self._waiting.pop(future):
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
