"""Refusals of requests without a token: one audit record of how many there were in a while, not one for each. Whoever
has no token could otherwise write as many records as they can send requests."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from journeymesh.access.decision import Ask
from journeymesh.access.random_ids import random_id
from journeymesh.access.record import RECORD_KIND, DecisionState, body_of
from journeymesh.ledger.port import AuditWriter
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.wire.identity import Reason

INTERVAL_S: Final = 10.0
_NOTHING_KNOWN: Final = Ask(product="", capability="")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class TokenlessRefusals:
    """Counts, and writes a record ``interval_s`` after the first that it counted. Safe for several threads."""

    audit: AuditWriter
    pseudonyms: Pseudonyms
    interval_s: float = INTERVAL_S
    _count: int = 0
    _id: str = ""
    _from_us: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def count(self) -> str:
        """Count one; returns the id of the record that will stand for it."""
        with self._lock:
            if not self._count:
                self._id, self._from_us = random_id(), time.time_ns() // 1000
                self._timer = threading.Timer(self.interval_s, self.write)
                self._timer.daemon = True
                self._timer.start()
            self._count += 1
            return self._id

    def write(self) -> None:
        """Write the record of those that were counted since the last one; nothing where there are none."""
        with self._lock:
            count, decision_id, from_us = self._count, self._id, self._from_us
            self._count = 0
            if self._timer is not None:
                self._timer.cancel()
        if not count:
            return
        body = body_of(Reason.TOKEN_MISSING, _NOTHING_KNOWN, DecisionState(decision_id), self.pseudonyms)
        body |= {"count": count, "from_us": from_us, "to_us": time.time_ns() // 1000}
        try:
            self.audit.append(RECORD_KIND, body, key=decision_id)
        except Exception as error:
            logger.warning("%s refusals without a token are not recorded: %s", count, type(error).__name__)
