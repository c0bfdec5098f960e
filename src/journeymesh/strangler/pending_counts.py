"""Counts that are gathered in memory until they are written down together."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class PendingCounts(Generic[K]):
    """How often something was met, and when last (µs since 1970 UTC), by key. Safe for threads."""

    def __init__(self) -> None:
        self._counts: dict[K, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, key: K, at_us: int = 0, times: int = 1) -> None:
        """Count it so many times more."""
        with self._lock:
            before, last_us = self._counts.get(key, (0, 0))
            self._counts[key] = before + times, max(last_us, at_us)

    @contextmanager
    def taken(self) -> Iterator[dict[K, tuple[int, int]]]:
        """The counts until now, to be written down inside the ``with``; where that fails they are kept."""
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            yield counts
        except BaseException:
            for key, (times, last_us) in counts.items():
                self.add(key, last_us, times)
            raise
