"""Blocking reads on a bounded number of threads, so that the event loop never waits for a store."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from journeymesh.services.http.problems import OVERLOADED, ProblemRaised

T = TypeVar("T")


@dataclass(slots=True)
class ReadingThreads:
    """``threads`` reads at once; ``waiting`` more may wait. Belongs to one event loop."""

    threads: int
    waiting: int
    _pool: ThreadPoolExecutor = field(init=False)
    _under_way: int = 0

    def __post_init__(self) -> None:
        self._pool = ThreadPoolExecutor(self.threads, "reading")

    async def work(self, work: Callable[[], T], after: Callable[[], None]) -> T:
        """What ``work`` gives, from a thread. ``after`` is called once, by whichever thread, when nothing is at work
        any more: later than this ends where the request was cancelled and its work goes on, at once where it never
        began.

        Raises:
            ProblemRaised: too many are waiting already.
        """
        if self._under_way >= self.threads + self.waiting:
            after()
            raise ProblemRaised(OVERLOADED)
        self._under_way += 1
        loop = asyncio.get_running_loop()
        try:
            begun = self._pool.submit(work)
        except RuntimeError:  # the application is ending
            self._under_way -= 1
            after()
            raise
        begun.add_done_callback(lambda _: self._ended(loop, after))
        return await asyncio.wrap_future(begun)

    def _ended(self, loop: asyncio.AbstractEventLoop, after: Callable[[], None]) -> None:
        after()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody counts any more
            loop.call_soon_threadsafe(self._one_less)

    def _one_less(self) -> None:
        self._under_way -= 1

    async def run(self, read: Callable[..., T], *arguments: Any) -> T:
        """What ``read`` gives, from a thread.

        Raises:
            ProblemRaised: too many are waiting already.
        """
        if self._under_way >= self.threads + self.waiting:
            raise ProblemRaised(OVERLOADED)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, read, *arguments)
        finally:
            self._under_way -= 1

    def close(self) -> None:
        """Let the reads under way end, and those that wait go."""
        self._pool.shutdown(wait=False, cancel_futures=True)
