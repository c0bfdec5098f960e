"""A clock that a test steps."""

from __future__ import annotations

import threading

from journeymesh.following import Clock


class SteppedClock(Clock):
    """Nobody waits: waiting for what is not there lets the time pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def now_s(self) -> float:
        """What has passed."""
        return self.passed_s

    def wait(self, event: threading.Event, at_most_s: float) -> bool:
        """At once; what is not set by then is not set."""
        if not event.is_set():
            self.passed_s += at_most_s
        return event.is_set()
