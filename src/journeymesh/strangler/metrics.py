"""The move as Prometheus metrics, read from the control database when they are asked for.

A lag that is unknown has no sample: an alert on absence tells it from a lag of 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from journeymesh.errors import JourneymeshError
from journeymesh.strangler.slices import Phase
from journeymesh.strangler.status import FeedStatus, SliceStatus

PREFIX: Final = "journeymesh_strangler"


class StranglerMetrics(Collector):
    """Collects the slices' and the feeds' metrics. Labels name slices and stores, never policies or vehicles."""

    def __init__(self, slices: Callable[[], Sequence[SliceStatus]], feeds: Callable[[], Sequence[FeedStatus]]) -> None:
        self._slices = slices
        self._feeds = feeds

    def collect(self) -> Iterator[Any]:
        """The metrics as they are now; ``journeymesh_strangler_control_up`` 0 alone where they cannot be read."""
        up = GaugeMetricFamily(f"{PREFIX}_control_up", "1 while the control database can be read")
        try:
            slices, feeds = self._slices(), self._feeds()
        except JourneymeshError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _of_slices(slices)
        yield from _of_feeds(feeds)


def registry_of(metrics: StranglerMetrics) -> CollectorRegistry:
    """A registry with these metrics alone."""
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


def _of_slices(slices: Sequence[SliceStatus]) -> Iterator[Any]:
    phase = GaugeMetricFamily(f"{PREFIX}_slice_phase", "1 for the phase the slice is in", labels=["slice", "phase"])
    for each in slices:
        for one in Phase:
            phase.add_metric([each.slice, one.value], float(each.phase == one))
    yield phase
    for name, told, value in (
        ("target_complete", "1 while the target is complete for the slice", lambda s: float(s.complete)),
        ("policies", "policies in the slice", lambda s: s.policies),
        ("policies_unusable", "policies of legacy that cannot be used, in whichever slice", _unusable),
        ("open_mismatches", "differences that nobody has accepted", lambda s: s.open_mismatches),
        ("documents_read", "legacy documents read since the target was filled", _refusals("documents")),
        ("documents_refused", "documents of which something stands refused", _refusals("refused")),
        ("window_documents_read", "documents read in the last window", _refusals("window_documents")),
        ("window_documents_refused", "documents more that stand refused since then", _refusals("window_refused")),
        ("refused_before_ratio", "share that was refused before the window", _refusals("share_before")),
        ("foreign_runs", "runs of others in the target that were not compared yet", _foreign_runs),
        ("refusals_questioned", "1 while a sudden share of refusals is open", _questioned),
        ("shadow_coverage_ratio", "share of the policies that were compared", lambda s: s.shadow_coverage),
        ("writes_waiting", "accepted batches of fixes not delivered yet", lambda s: s.writes_waiting),
        ("gates_closed", "gates that keep the slice from its next phase", lambda s: len(s.closed_gates)),
        ("backfill_vehicles", "vehicles to fill", lambda s: s.backfill.vehicles if s.backfill else None),
        ("backfill_vehicles_done", "vehicles filled", lambda s: s.backfill.vehicles_done if s.backfill else None),
    ):
        gauge = GaugeMetricFamily(f"{PREFIX}_{name}", told, labels=["slice"])
        for each in slices:
            found = value(each)
            if found is not None:
                gauge.add_metric([each.slice], float(found))
        yield gauge
    reads = CounterMetricFamily(f"{PREFIX}_shadow_reads", "shadow reads by outcome", labels=["slice", "outcome"])
    for each in slices:
        for outcome, count in sorted(each.shadow_reads.items()):
            reads.add_metric([each.slice, outcome], count)
    yield reads


def _refusals(name: str) -> Callable[[SliceStatus], float | None]:
    return lambda status: None if status.refusals is None else getattr(status.refusals, name)


def _unusable(status: SliceStatus) -> float | None:
    return None if status.unusable_policies is None else status.unusable_policies.count


def _foreign_runs(status: SliceStatus) -> float | None:
    return None if status.foreign_runs is None else len(status.foreign_runs)


def _questioned(status: SliceStatus) -> float | None:
    return None if status.refusals is None else float(status.refusals.question is not None)


def _of_feeds(feeds: Sequence[FeedStatus]) -> Iterator[Any]:
    labels = ["upstream", "target"]
    lag = GaugeMetricFamily(
        f"{PREFIX}_lag_seconds", "how far the target is behind; absent while unknown", labels=labels
    )
    state = GaugeMetricFamily(f"{PREFIX}_feed_state", "1 for the state the feed is in", labels=[*labels, "state"])
    events = CounterMetricFamily(f"{PREFIX}_events", "changes dealt with", labels=labels)
    for each in feeds:
        names = [each.upstream, each.target]
        if each.lag_s is not None:
            lag.add_metric(names, each.lag_s)
        state.add_metric([*names, each.state], 1)
        events.add_metric(names, each.events)
    yield lag
    yield state
    yield events
