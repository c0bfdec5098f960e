"""Open pages that are told of changes: one look for all pages of a session, so many sessions and pages at most."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from journeymesh.services.http.life import Life

Look = Callable[[], Awaitable[str | None]]
"""The name of the present state; None: nobody can say. Raises ``SessionOver``."""
logger = logging.getLogger(__name__)


class SessionOver(Exception):
    """There is no such session any more, or its token does not count."""


class Watch:
    """What is known of one session's state. ``begun``: looks so far; ``state`` is what look ``seen`` found, 0: none."""

    def __init__(self) -> None:
        self.begun = self.seen = 0
        self.state = ""
        self.ended = self.over = False
        self.pages = 0
        self.task: asyncio.Task[None] | None = None
        self._news: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def news(self) -> asyncio.Future[None]:
        """Done after the next look. To be taken before what is known is looked at."""
        return self._news

    def tell(self) -> None:
        """Wake all pages."""
        told, self._news = self._news, asyncio.get_running_loop().create_future()
        told.set_result(None)


class Streams:
    """The pages of this process that are told of changes, by their session's name. Used by one event loop."""

    def __init__(self, most: int, most_per_session: int, *, every_s: float, life: Life) -> None:
        self._most, self._most_per_session = most, most_per_session
        self._every_s, self._life = every_s, life
        self._watches: dict[str, Watch] = {}

    def __len__(self) -> int:
        return sum(each.pages for each in self._watches.values())

    def enter(self, name: str, look: Look) -> Watch | None:
        """One page more of this session, whose state ``look`` finds; None: there are as many as there may be."""
        watch = self._watches.get(name)
        if len(self) >= self._most or (watch is not None and watch.pages >= self._most_per_session):
            return None
        if watch is None or watch.over:
            watch = self._watches[name] = Watch()
            watch.task = asyncio.ensure_future(self._look_on(watch, look))
        watch.pages += 1
        return watch

    def leave(self, name: str, watch: Watch) -> None:
        """One page less. With the last one nobody looks any more."""
        watch.pages -= 1
        if watch.pages <= 0:
            if self._watches.get(name) is watch:
                del self._watches[name]
            if watch.task is not None:
                watch.task.cancel()

    async def _look_on(self, watch: Watch, look: Look) -> None:
        """Look again and again until the session is over or the service stops."""
        try:
            while not self._life.draining:
                watch.begun += 1
                state = await look()
                if state is not None:
                    watch.seen, watch.state = watch.begun, state
                watch.tell()
                await asyncio.sleep(self._every_s)
        except SessionOver:
            watch.ended = True
        except Exception as error:  # the pages' connections end, and they come again
            logger.exception("a look for changes failed: %s", type(error).__name__)
        finally:
            watch.over = True
            watch.tell()
