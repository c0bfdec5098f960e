"""A service's metrics. Labels name routes by their template, never policies, journeys or people.

They are counted in plain numbers, for one event loop counts alone, and given to Prometheus' client when it asks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

PREFIX: Final = "journeymesh_http"
UNMATCHED: Final = "unmatched"
"""The route of requests that no route is for."""
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class _Times:
    """How many answers took how long: by the first of ``_SECONDS`` that is not shorter, and those above all."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_SECONDS) + 1))
    sum_s: float = 0.0


@dataclass(slots=True)
class _Answers:
    """The answers of one method, route and status; their times are those of all statuses."""

    times: _Times
    count: int = 0


class HttpMetrics:
    """Requests by route, method and status; their time; requests under way; decisions by reason.

    Belongs to one event loop.
    """

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        self.registry = registry
        self._in_flight = in_flight
        self._answers: dict[tuple[str, str, int], _Answers] = {}
        self._times: dict[tuple[str, str], _Times] = {}
        self._decisions: dict[tuple[str, str], int] = {}
        registry.register(self)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer."""
        held = self._answers.get((method, route, status))
        if held is None:
            method = method if method in _METHODS else "other"
            times = self._times.setdefault((method, route), _Times())
            held = self._answers.setdefault((method, route, status), _Answers(times))
        held.count += 1
        times = held.times
        times.counts[bisect_left(_SECONDS, seconds)] += 1
        times.sum_s += seconds

    def decided(self, capability: str, reason: str) -> None:
        """Count a decision."""
        key = (capability, reason)
        self._decisions[key] = self._decisions.get(key, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """What was counted, as Prometheus' client takes it."""
        answers = CounterMetricFamily(f"{PREFIX}_requests", "answers", labels=("method", "route", "status"))
        for (method, route, status), held in self._answers.items():
            answers.add_metric((method, route, str(status)), held.count)
        yield answers
        told = "time to the end of the answer"
        seconds = HistogramMetricFamily(f"{PREFIX}_seconds", told, labels=("method", "route"))
        for labels, times in self._times.items():
            upto = map(str, (*_SECONDS, "+Inf"))
            seconds.add_metric(labels, list(zip(upto, accumulate(times.counts), strict=True)), times.sum_s)
        yield seconds
        told = "decisions by capability and reason"
        decisions = CounterMetricFamily(f"{PREFIX}_decisions", told, labels=("capability", "reason"))
        for (capability, reason), count in self._decisions.items():
            decisions.add_metric((capability, str(reason)), count)
        yield decisions
        yield GaugeMetricFamily(f"{PREFIX}_in_flight", "requests under way", self._in_flight())
