"""What is told of the product from what a store knows of its runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from journeymesh.stores.port import Run


class Runs(Protocol):
    """The part of a store that tells of its runs."""

    def runs(self) -> list[Run]:
        """Runs, oldest first."""


@dataclass(slots=True)
class StoreProduct:
    """The contract, with freshness and quality by the store's last run. What was read counts for ``held_s``."""

    told: Mapping[str, Any]
    store: Runs
    held_s: float = 5.0
    clock_s: Callable[[], float] = time.monotonic
    _last: Run | None = None
    _read_s: float = float("-inf")

    def contract(self) -> Mapping[str, Any]:
        """The data contract, as ODCS has it."""
        return self.told

    def freshness(self) -> Mapping[str, Any]:
        """When the last run began and ended; null: none did."""
        last = self._run()
        return {
            "last_run_started_at": None if last is None else last.started_at,
            "last_run_finished_at": None if last is None else last.finished_at,
            "rules_version": None if last is None else last.rules_version,
        }

    def quality(self) -> Mapping[str, Any]:
        """What the last run accepted and refused, by reason."""
        last = self._run()
        return {} if last is None else {"last_run": last.counts}

    def _run(self) -> Run | None:
        if self.clock_s() - self._read_s > self.held_s:
            runs = self.store.runs()
            self._last = runs[-1] if runs else None
            self._read_s = self.clock_s()
        return self._last
