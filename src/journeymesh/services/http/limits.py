"""What one client may ask, and how long an answer may take to begin."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Rates:
    """Token buckets by client: ``per_s`` refill them up to ``burst``. Remembers the ``remembered`` latest clients."""

    per_s: float
    burst: int
    remembered: int
    clock_s: Callable[[], float] = time.monotonic
    _left: OrderedDict[object, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, client: object, count: int = 1) -> float | None:
        """Take so many, and never more than ``burst``; None: they were there. Else the seconds until they are."""
        count = min(count, max(1, self.burst))
        now = self.clock_s()
        left, at = self._left.pop(client, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self.per_s)
        wait = None if left >= count else (count - left) / self.per_s
        self._left[client] = (left if wait is not None else left - count, now)
        if len(self._left) > self.remembered:
            self._left.popitem(last=False)
        return wait

    def give_back(self, client: object) -> None:
        """Give one back."""
        held = self._left.get(client)
        if held is not None:
            self._left[client] = (min(float(self.burst), held[0] + 1.0), held[1])


class TimeLimit:
    """An answer that has not begun after ``within_s`` is given up: its task is cancelled.

    One that has begun goes on: an export may take as long as its reader does. Who is late is looked for every tenth of
    ``within_s``, at once for all: a timer for each request would cost more than the request's routing.
    """

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._sweeping = False

    def begin(self) -> asyncio.Task[Any] | None:
        """From now on this task's answer has to begin in time."""
        task = asyncio.current_task()
        if task is not None:
            self._begun[task] = time.monotonic()
            if not self._sweeping:
                self._sweep()
        return task

    def end(self, task: asyncio.Task[Any] | None) -> None:
        """The task's answer has begun, or will not begin."""
        if task is not None:
            self._begun.pop(task, None)

    def was_late(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether the task is cancelled for that, which then is over."""
        if task is None or task not in self._late:
            return False
        self._late.discard(task)
        task.uncancel()
        return True

    def _sweep(self) -> None:
        """Cancel who is late; called again while requests are under way."""
        oldest = time.monotonic() - self._within_s
        for task, began in list(self._begun.items()):
            if began > oldest:
                break  # the others came later
            del self._begun[task]
            self._late.add(task)
            task.cancel()
        self._sweeping = bool(self._begun)
        if self._sweeping:
            asyncio.get_running_loop().call_later(self._within_s / 10, self._sweep)
