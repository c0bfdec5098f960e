"""Summaries of many policies from what a store holds, some policies at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.period_sums import Period
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import SUMMED_COLUMNS, of_terms, summarise_each
from journeymesh.stores.port import JourneyQuery

_FIRST_POLICIES: Final = 64
_MOST_POLICIES: Final = 1_024
_JOURNEYS_AT_ONCE: Final = 60_000
"""About so many journeys are read at once, however many a policy has: 20 MB of them."""


class JourneysOfMany(Protocol):
    """The part of a store that is read."""

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policies``, in any order."""


Bound = date | datetime | None
"""An instant, or a date, which begins for each policy at midnight of its own clock; None: no bound."""


def policy_summaries(
    store: JourneysOfMany,
    policies: Sequence[Policy],
    period: Period,
    rules: ScoreRules,
    started_from: Bound = None,
    started_to: Bound = None,
) -> Iterator[pa.Table]:
    """``SUMMARY_SCHEMA`` of these policies in their order, page by page, over journeys that start in the span.

    Terms of one number and tenant are one policy, as ``summarise_each`` says, and stand where the first of them does.

    Raises:
        RulesConflict: a policy's journeys were made with more than one rules version.
    """
    by_policy: dict[tuple[str, str], list[Policy]] = {}
    for policy in policies:
        by_policy.setdefault((policy.number, policy.tenant), []).append(policy)
    policies = [policy for terms in by_policy.values() for policy in terms]
    first, size = 0, _FIRST_POLICIES
    while first < len(policies):
        some = policies[first : _end(policies, first + size)]
        starts, ends = _Bounds.of(some, started_from), _Bounds.of(some, started_to)
        query = JourneyQuery(
            policies=tuple(dict.fromkeys(policy.number for policy in some)),
            started_from=None if starts is None else starts.earliest,
            started_to=None if ends is None else ends.latest,
            columns=SUMMED_COLUMNS,
            in_any_order=True,
        )
        journeys = store.journeys(query)
        found = len(journeys)
        if starts is not None:
            journeys = starts.kept(journeys, pc.greater_equal)
        if ends is not None:
            journeys = ends.kept(journeys, pc.less)
        yield summarise_each(journeys, some, period, rules)
        first += len(some)
        size = max(1, min(_MOST_POLICIES, size * 4, _JOURNEYS_AT_ONCE * len(some) // max(1, found)))


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The instant that a bound is for each policy."""

    earliest: datetime
    latest: datetime
    each: tuple[Sequence[Policy], list[datetime]] | None
    """For each term its own; None: the same for all."""

    @classmethod
    def of(cls, policies: Sequence[Policy], at: Bound) -> _Bounds | None:
        if at is None:
            return None
        if isinstance(at, datetime):
            return cls(at, at, None)
        by_zone = {zone: datetime.combine(at, time(0), ZoneInfo(zone)).astimezone(UTC) for zone in _zones(policies)}
        instants = sorted(by_zone.values())
        if len(instants) == 1:
            return cls(instants[0], instants[0], None)
        return cls(instants[0], instants[-1], (policies, [by_zone[policy.zone] for policy in policies]))

    def kept(self, journeys: pa.Table, compare: Callable[[Any, Any], Any]) -> pa.Table:
        """Those of the journeys on the policy's own side of the bound."""
        if self.each is None:
            return journeys
        policies, instants = self.each
        journeys, owner = of_terms(journeys, policies)
        bounds = pa.array(instants, journeys["started_at"].type).take(pa.array(owner))
        return journeys.filter(compare(journeys["started_at"], bounds))


def _zones(policies: Sequence[Policy]) -> set[str]:
    return {policy.zone for policy in policies}


def _end(policies: Sequence[Policy], end: int) -> int:
    """The first place from here on where another policy begins."""
    while 0 < end < len(policies) and policies[end].term[:2] == policies[end - 1].term[:2]:
        end += 1
    return end
