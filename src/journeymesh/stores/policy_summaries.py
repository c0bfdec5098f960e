"""Summaries of many policies from what a store holds, some policies at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import pyarrow as pa

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import SUMMED_COLUMNS, Period, summarise_each
from journeymesh.stores.port import JourneyQuery, JourneyStore

_POLICIES_AT_ONCE: Final = 64


def policy_summaries(
    store: JourneyStore,
    policies: Sequence[Policy],
    period: Period,
    rules: ScoreRules,
    started_from: datetime | None = None,
    started_to: datetime | None = None,
) -> Iterator[pa.Table]:
    """``SUMMARY_SCHEMA`` of these policies in their order, page by page, over journeys that start in the span.

    Raises:
        RulesConflict: a policy's journeys were made with more than one rules version.
    """
    for first in range(0, len(policies), _POLICIES_AT_ONCE):
        some = policies[first : first + _POLICIES_AT_ONCE]
        query = JourneyQuery(
            policies=tuple(policy.number for policy in some),
            started_from=started_from,
            started_to=started_to,
            columns=SUMMED_COLUMNS,
            in_any_order=True,
        )
        yield summarise_each(store.journeys(query), some, period, rules)
