"""Futures of other threads awaited on an event loop, that is woken once for all that are done together."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field


@dataclass(slots=True)
class Waking:
    """A group commit ends many futures at once: ``asyncio.wrap_future`` would wake the loop for each. Belongs to one
    event loop."""

    _done: deque[tuple[asyncio.Future[None], BaseException | None]] = field(default_factory=deque)
    _called: bool = False

    async def until(self, future: Future[None]) -> None:
        """Wait for it.

        Raises:
            BaseException: what it failed with.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def done(ended: Future[None]) -> None:
            try:
                error = ended.exception()
            except CancelledError:
                error = asyncio.CancelledError()
            self._done.append((waiter, error))
            if not self._called:
                self._called = True
                try:
                    loop.call_soon_threadsafe(self._wake)
                except RuntimeError:  # the loop is closed: nobody waits any more
                    self._done.clear()

        future.add_done_callback(done)
        await waiter

    def _wake(self) -> None:
        # Before the queue is emptied: what is added meanwhile calls again, at worst for nothing.
        self._called = False
        while self._done:
            waiter, error = self._done.popleft()
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
