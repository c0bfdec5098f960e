"""Blocking reads on a bounded number of threads, so that the event loop never waits for a store."""

from __future__ import annotations

import asyncio
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
