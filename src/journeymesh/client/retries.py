"""When a request is sent again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how patiently a request is sent again.

    Only what can be repeated without harm is: reads, and writes with an idempotency key; or a request that never left
    because no connection came about. 429, 502, 503, 504 and broken connections are worth another try.

    - ``attempts``: how often a request is sent at most; 1: never again
    - ``first_wait_s``: about how long the first wait is; it doubles each time, up to ``longest_wait_s``
    - ``longest_wait_s``: a service that asks for a longer wait (``Retry-After``) is not asked again
    """

    attempts: int = 4
    first_wait_s: float = 0.2
    longest_wait_s: float = 30.0

    def wait_s(self, failures: int, asked_s: float | None) -> float | None:
        """How long to wait after this many failures (from 1); None: give up.

        What the service asked for is waited out in full; the jitter keeps many clients from coming back at once.
        """
        if failures >= self.attempts or (asked_s or 0.0) > self.longest_wait_s:
            return None
        step = min(self.first_wait_s * 2.0 ** (failures - 1), self.longest_wait_s)
        jitter = random.random()  # noqa: S311 - spreads load, guards nothing
        return min(asked_s + step * jitter, self.longest_wait_s) if asked_s else step * (0.5 + 0.5 * jitter)


WORTH_ANOTHER_TRY = frozenset({429, 502, 503, 504})


def retry_after_s(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that ``Retry-After`` asks to wait, given as seconds or as a date; None: absent or unreadable."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
