"""Work beside questions that must not slow them: most of it in their pauses, a small share of the time between them."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Final

PAUSE_S: Final = 0.05
"""No question for so long is a pause."""
TICK_S: Final = 0.02
_FIRST_GUESS_S: Final = 0.005


@dataclass(slots=True)
class Yielding:
    """Says when the next piece of work may begin. Safe for threads, which share one budget.

    In a pause it may begin at once. While questions come, pieces may take ``share`` of one core's time together, and
    that has to be saved up first from when the questions began: the first ones of a burst are not met by work that
    waited for them. ``share`` 1: there is nothing to yield to.
    """

    share: float
    _asked_at: float = 0.0
    _saved_from: float = 0.0
    """From when on time counts as saved up."""
    _typical_s: float = _FIRST_GUESS_S
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self) -> None:
        """A question came. Costs it next to nothing: no lock is taken, the worst of a race is a piece too early."""
        at = time.monotonic()
        if at - self._asked_at >= PAUSE_S:
            self._saved_from = at
        self._asked_at = at

    def worked(self, took_s: float) -> None:
        """A piece of work took so much of a core's time."""
        with self._lock:
            over_s = took_s - self._typical_s
            self._typical_s += over_s / 8
            self._saved_from += self._saving_s(over_s)

    def may_begin(self) -> bool:
        """Whether a piece of work may begin now; if so, what it will typically take is spent."""
        with self._lock:
            at = time.monotonic()
            if self.share >= 1.0 or at - self._asked_at >= PAUSE_S:
                return True
            if at < self._saved_from + self._saving_s(self._typical_s):
                return False
            self._saved_from = at
            return True

    def wait(self, stop: threading.Event) -> bool:
        """Wait until work may begin; False: told to stop before."""
        while not self.may_begin():
            if stop.wait(TICK_S):
                return False
        return not stop.is_set()

    def _saving_s(self, took_s: float) -> float:
        """How long a piece of work has to be saved up for."""
        return took_s * (1 / self.share - 1)
