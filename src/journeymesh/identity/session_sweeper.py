"""Removes sessions that have ended, and knows whether the place of sessions can be reached."""

from __future__ import annotations

import logging
from typing import Self

from journeymesh.databases.database import now_us
from journeymesh.errors import StoreUnavailable
from journeymesh.following import Follower
from journeymesh.identity.session_rows import SessionRows

_log = logging.getLogger(__name__)


class SessionSweeper(Follower):
    """Every two seconds. What the first one raises is raised by ``start``."""

    every_s = 2.0

    def __init__(self, rows: SessionRows, *, idle_s: float) -> None:
        self._rows, self._idle_us = rows, int(idle_s * 1_000_000)
        self._fault = ""

    def fault(self) -> str:
        """What is wrong with the place of sessions; empty: nothing."""
        return self._fault

    def start(self) -> Self:
        """Sweep, and go on by a thread.

        Raises:
            StoreUnavailable: the first one failed.
        """
        self._rows.remove_ended(now_us(), self._idle_us)
        self._begin()
        return self

    def tick(self) -> None:
        """Sweep once."""
        try:
            self._rows.remove_ended(now_us(), self._idle_us)
        except StoreUnavailable as error:
            if not self._fault:
                _log.warning("%s", error)
            self._fault = "the place of sessions cannot be reached"
        else:
            self._fault = ""
