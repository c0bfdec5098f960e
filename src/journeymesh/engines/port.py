"""What a run is asked to do, what it reports while it works and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from journeymesh.instants import to_us
from journeymesh.journeys.journey import Refusal
from journeymesh.journeys.local_time import DAY_US
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules

_FIRST_DAY: Final = -(2**31)
"""A day before every instant."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long fixes are kept beside journeys. ``keep`` None: without end; zero: not at all (summaries only)."""

    keep: timedelta | None = None

    @property
    def keeps_nothing(self) -> bool:
        """Whether no fixes are kept at all."""
        return self.keep == timedelta(0)

    def first_day(self, now: datetime) -> int:
        """The first UTC day (since 1970) whose fixes are kept at that instant."""
        return _FIRST_DAY if self.keep is None else to_us(now - self.keep) // DAY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is done.

    ``policies`` None takes the source's own. ``now`` bounds future clocks where the receipt is not reported, and
    dates the run. ``memory_bytes`` bounds the columns that are in memory at once; docs/performance.md has what whole
    processes were measured to need.
    """

    rules: JourneyRules
    policies: Sequence[Policy] | None = None
    retention: Retention = Retention()
    jobs: int = 1
    memory_bytes: int = 32 * 2**20
    allow_mixed_rules: bool = False
    now: datetime | None = None
    resume: bool = True


@dataclass(slots=True)
class RunReport:
    """What a run did. ``counts`` are by name, all of them present:

    ``read_bytes, fixes`` (read), ``accepted, duplicates, refused`` (fixes and inputs refused), ``values_unreadable``
    (fixes used without a value, which is kept in quarantine), ``other_documents``
    (read, and by the mapping's conditions not for us: neither fixes nor refused), ``outside_policy``
    (accepted fixes of vehicles or times without a policy), ``outside_journey`` (accepted fixes that belong to no
    journey: parked, or below the minimum), ``speed_doubted`` (accepted fixes whose reported speed was not used),
    ``vehicles, journeys, journeys_changed, journeys_removed, harsh_events``;
    ``refused_<reason code>`` for each reason met.
    """

    run_id: str
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    examples: dict[str, Refusal] = field(default_factory=dict)
    """The first input refused for each reason, by the reason's code."""
    is_resumed: bool = False
    """Whether the run went on behind what an earlier one had read, so that there may be nothing to read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is; ``total_bytes`` and ``total_fixes`` as far as known."""

    phase: str
    fixes: int
    read_bytes: int
    total_fixes: int | None = None
    total_bytes: int | None = None


OnProgress = Callable[[Progress], None]
"""Called now and then from the run's own thread; must return quickly."""
