"""A feeder that runs on and does its next thing when it is told to, so that anything may come in between."""

from __future__ import annotations

import threading

import pytest

from journeymesh.strangler import feeder as feeders
from journeymesh.strangler.feeder import Feeder

_WITHIN_S = 60.0


class Turnstile(threading.Event):
    """A thread's ``stop`` that lets it through once for each ``let_through``."""

    def __init__(self) -> None:
        super().__init__()
        self._permits = threading.Semaphore(0)
        self._waiting = threading.Event()

    def is_set(self) -> bool:
        self._waiting.set()
        self._permits.acquire()
        self._waiting.clear()
        return super().is_set()

    def set(self) -> None:
        super().set()
        self._permits.release(1_000)

    def wait(self, timeout: float | None = None) -> bool:
        return super().is_set()

    def let_through(self, thread: threading.Thread) -> None:
        """Let the thread go on until it is back here, or has ended."""
        self.arrive(thread)
        self._waiting.clear()
        self._permits.release()
        self.arrive(thread)

    def arrive(self, thread: threading.Thread) -> None:
        """Wait until the thread waits here."""
        for _ in range(int(_WITHIN_S / 0.01)):
            if self._waiting.wait(0.01) or not thread.is_alive():
                return
        raise AssertionError(f"{thread.name} neither came back nor ended")


class SteppedThread(feeders._FeedThread):
    """A feeder's thread behind a turnstile."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.stop = Turnstile()


class SteppedFeeder:
    """A running feeder; ``step`` lets each of its threads do one thing."""

    def __init__(self, feeder: Feeder, patch: pytest.MonkeyPatch) -> None:
        self.feeder, self._patch = feeder, patch

    def step(self, looks: bool) -> None:
        """``looks``: half a second has gone by, after which a feed looks at its target again."""
        self._patch.setattr(feeders, "CHECK_S", -1.0 if looks else 1e9)
        with self._patch.context() as patch:
            patch.setattr(feeders, "_FeedThread", SteppedThread)
            self.feeder._follow(False)
        for thread in list(self.feeder._threads.values()):
            assert isinstance(thread.stop, Turnstile)
            thread.stop.let_through(thread)
            if thread.bug is not None:
                raise thread.bug

    def close(self) -> None:
        """Stop it as a signal does."""
        for thread in self.feeder._threads.values():
            thread.stop.set()
        for thread in self.feeder._threads.values():
            thread.join()
