"""Whether a running service may go on answering: its tombstones looked at again and again, and what they refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from journeymesh.errors import JourneymeshError
from journeymesh.following import Follower

PREFIX: Final = "journeymesh_tombstones"


@dataclass(slots=True)
class TombstoneWatch(Follower):
    """Looks every ``every_s`` seconds whether tombstones can be trusted. Started by ``with``; raises nothing."""

    check: Callable[[], None]
    """Raises where they cannot: they are missing, of another key, or older than the key store's last run."""
    refused: Callable[[], Mapping[str, int]]
    """How many rows of input they refused, by kind."""
    every_s: float = 5.0
    counts: Mapping[str, int] = field(default_factory=dict)
    """What ``refused`` said last."""
    _fault: str = "the tombstones were not looked at yet"

    def tick(self) -> None:
        """Look once."""
        try:
            self.check()
            self.counts = self.refused()
        except JourneymeshError as error:
            self._fault = str(error)
        else:
            self._fault = ""

    def fault(self) -> str:
        """Why they cannot be trusted; empty: they can."""
        return self._fault


@dataclass(frozen=True, slots=True, eq=False)
class TombstoneMetrics(Collector):
    """What tombstones refused, by kind of input, as the watch saw it last: nobody waits for a database. Labels name
    nobody."""

    watch: TombstoneWatch

    def collect(self) -> Iterator[Metric]:
        """The metrics."""
        yield GaugeMetricFamily(f"{PREFIX}_ready", "1 while tombstones can be trusted", float(not self.watch.fault()))
        counts = CounterMetricFamily(f"{PREFIX}_refused_rows", "input that tombstones covered", labels=("kind",))
        for kind, rows in sorted(self.watch.counts.items()):
            counts.add_metric((kind,), rows)
        yield counts
