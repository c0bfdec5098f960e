"""A service's metrics. Labels name routes by their template, never policies, journeys or people."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

PREFIX: Final = "journeymesh_http"
UNMATCHED: Final = "unmatched"
"""The route of requests that no route is for."""
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class HttpMetrics:
    """Requests by route, method and status; their time; requests under way; decisions by reason."""

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        self.registry = registry
        self._requests = Counter(f"{PREFIX}_requests", "answers", ["method", "route", "status"], registry=registry)
        self._seconds = Histogram(
            f"{PREFIX}_seconds", "time to the end of the answer", ["method", "route"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self._decisions = Counter(
            f"{PREFIX}_decisions", "decisions by capability and reason", ["capability", "reason"], registry=registry
        )
        Gauge(f"{PREFIX}_in_flight", "requests under way", registry=registry).set_function(in_flight)
        self._of: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._of_reason: dict[tuple[str, str], Counter] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        held = self._of.get((method, route, status))
        if held is None:
            method = method if method in _METHODS else "other"
            held = self._requests.labels(method, route, str(status)), self._seconds.labels(method, route)
            self._of[method, route, status] = held
        held[0].inc()
        held[1].observe(seconds)

    def decided(self, capability: str, reason: str) -> None:
        """Count a decision."""
        held = self._of_reason.get((capability, reason))
        if held is None:
            held = self._of_reason[capability, reason] = self._decisions.labels(capability, reason)
        held.inc()


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
