"""Whether a service lives, is ready, and is on its way out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from journeymesh.services.http.connections import Uses


@dataclass(slots=True)
class Life:
    """``checks`` say, by name, what is wrong at this moment; an empty text: nothing. They answer at once, from memory.

    ``in_flight`` counts requests that are not answered to their end, ``uses`` knows over which connections they came.
    """

    checks: dict[str, Callable[[], str]] = field(default_factory=dict)
    draining: bool = False
    in_flight: int = 0
    uses: Uses = field(default_factory=Uses)

    def faults(self) -> dict[str, str]:
        """What keeps the service from being ready; empty: it is."""
        found = {"draining": "the service is stopping"} if self.draining else {}
        for name, check in self.checks.items():
            if what := check():
                found[name] = what
        return found

    async def drained(self, within_s: float) -> bool:
        """Wait until no request is under way; False: some still are after that time."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self.in_flight and loop.time() < until:
            await asyncio.sleep(0.01)
        return not self.in_flight
