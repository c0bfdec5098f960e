"""What one client may ask, and how long an answer may take to begin."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from journeymesh.services.http.edge import App, Receive, Scope, Send
from journeymesh.services.http.problems import TOO_SLOW, ProblemRaised, send_problem
from journeymesh.services.http.requests import REQUEST_ID


@dataclass(slots=True)
class Rates:
    """Token buckets by client: ``per_s`` refill them up to ``burst``. Remembers the ``remembered`` latest clients."""

    per_s: float
    burst: int
    remembered: int
    clock_s: Callable[[], float] = time.monotonic
    _left: OrderedDict[object, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, client: object) -> float | None:
        """Take one; None: it was there. Else the seconds until there is one."""
        now = self.clock_s()
        left, at = self._left.pop(client, (float(self.burst), now))
        left = min(float(self.burst), left + (now - at) * self.per_s)
        wait = None if left >= 1.0 else (1.0 - left) / self.per_s
        self._left[client] = (left if wait is not None else left - 1.0, now)
        if len(self._left) > self.remembered:
            self._left.popitem(last=False)
        return wait

    def give_back(self, client: object) -> None:
        """Give one back."""
        held = self._left.get(client)
        if held is not None:
            self._left[client] = (min(float(self.burst), held[0] + 1.0), held[1])


class TimeLimit:
    """Wraps an ASGI application: an answer that has not begun after ``within_s`` becomes a problem.

    One that has begun goes on: an export may take as long as its reader does. Who is late is looked for every tenth of
    ``within_s``, at once for all: a timer for each request would cost more than the request's routing.
    """

    def __init__(self, app: App, within_s: float) -> None:
        self._app, self._within_s = app, within_s
        self._begun: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._sweeping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through."""
        task = asyncio.current_task()
        if scope["type"] != "http" or task is None:
            await self._app(scope, receive, send)
            return
        self._begun[task] = time.monotonic()
        if not self._sweeping:
            self._sweep()

        async def answer(message: Any) -> None:
            self._begun.pop(task, None)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            await send_problem(send, ProblemRaised(TOO_SLOW), scope[REQUEST_ID])
        finally:
            self._begun.pop(task, None)
            self._late.discard(task)

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
