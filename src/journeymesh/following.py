"""What is looked at again and again by a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from typing import Final, Self

_log = logging.getLogger(__name__)


class Clock:
    """Time as a thread that follows something takes it: monotonic seconds, and waiting. A test steps its own."""

    def now_s(self) -> float:
        """Seconds since some instant; they never go back."""
        return time.monotonic()

    def wait(self, event: threading.Event, at_most_s: float) -> bool:
        """Wait until the event is set, ``at_most_s`` seconds; whether it is."""
        return event.wait(at_most_s)


CLOCK: Final = Clock()
"""The computer's."""


class Follower(ABC):
    """Calls ``tick`` when it is started, and every ``every_s`` seconds from then on by a thread of its own, until it is
    closed. Started and closed by ``with``.
    """

    __slots__ = ("_thread", "stopping")

    every_s: float
    stopping: threading.Event
    """Set once it is being closed."""
    _thread: threading.Thread

    @abstractmethod
    def tick(self) -> None:
        """Look once. What the first tick raises is raised by ``start``; afterwards it is logged, and it goes on."""

    def start(self) -> Self:
        """Tick, and go on by a thread."""
        self.tick()
        self._begin()
        return self

    def _begin(self) -> None:
        self.stopping = threading.Event()
        self._thread = threading.Thread(target=self.follow, name=type(self).__name__, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop, and wait until a tick under way has ended. Idempotent."""
        self.stopping.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow(self) -> None:
        """What the thread does: tick, until it is being closed."""
        while not self.stopping.wait(self.every_s):
            try:
                self.tick()
            except Exception:  # the thread goes on; meanwhile what is known grows stale
                _log.exception("%s failed for a fault of ours", type(self).__name__)
