"""What the door's journeys add up to, by policy and month of the policy's time zone, and what may explain a month."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from journeymesh.instants import to_us
from journeymesh.journeys.policies import Policy
from journeymesh.sources.totals import MEASURES, month_of
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.opinion import Amounts, MonthFacts
from journeymesh.strangler.policy_book import Member
from journeymesh.strangler.questions import JourneysAsked, Side

_COLUMNS = ("journey_id", "started_at", "ended_at", "policy_from", "distance_m", "duration_s", "driving_s", "fixes",
            "quarantined")  # fmt: skip
_TICK = timedelta(microseconds=1)


@dataclass(slots=True)
class DoorMonth:
    """A month: what its journeys add up to, and those that begin or end in another one; ``in_utc`` is the same month
    of UTC's calendar."""

    amounts: dict[str, float] = field(default_factory=dict)
    crossing: dict[str, float] = field(default_factory=dict)
    in_utc: dict[str, float] = field(default_factory=dict)
    fixes: int = 0
    quarantined: int = 0


def door_months(side: Side, member: Member) -> dict[int, DoorMonth]:
    """By month (counted from the year 0) what the side answers for the policy.

    Raises:
        JourneymeshError: the side cannot answer.
    """
    found: dict[int, DoorMonth] = defaultdict(DoorMonth)
    zones = {term.valid_from: term.zone for term in member.terms}
    for row in side.journeys(journeys_of(member)).select(list(_COLUMNS)).to_pylist():
        zone = ZoneInfo(zones.get(row["policy_from"], member.terms[-1].zone))
        began, ended = (month_of(row[name].astimezone(zone)) for name in ("started_at", "ended_at"))
        amounts = {"journeys": 1.0} | {name: float(row[name]) for name in MEASURES if name != "journeys"}
        month = found[began]
        _add(month.amounts, amounts)
        _add(found[month_of(row["started_at"].astimezone(UTC))].in_utc, amounts)
        month.fixes += row["fixes"]
        month.quarantined += row["quarantined"]
        if ended != began:
            for crossed in (began, ended):
                _add(found[crossed].crossing, amounts)
    return dict(found)


def journeys_of(member: Member) -> JourneyQuery:
    """The question for all journeys of the policy."""
    asked = member.questions()[1]
    assert isinstance(asked, JourneysAsked)
    return replace(asked.query, in_any_order=True)


def evidence_of(month: int, held: DoorMonth | None, terms: Sequence[Policy]) -> MonthFacts:
    """What the journeys and the terms themselves say of the month."""
    held = held or DoorMonth()
    return MonthFacts(
        crossing=held.crossing,
        outside_share=outside_share(month, terms),
        refused_share=held.quarantined / (held.fixes + held.quarantined) if held.quarantined else 0.0,
        in_utc=held.in_utc,
    )


def outside_share(month: int, terms: Sequence[Policy]) -> float:
    """The share of the month's time in which none of the terms is in force, 0 to 1."""
    inside = 0
    begin_us, end_us = span_us(month, terms[-1].zone)
    for term in terms:
        first_us = max(to_us(term.valid_from), begin_us)
        last_us = end_us if term.valid_to is None else min(to_us(term.valid_to), end_us)
        inside += max(last_us - first_us, 0)
    return max(1.0 - inside / (end_us - begin_us), 0.0)


@lru_cache(4096)
def span_us(month: int, zone: str) -> tuple[int, int]:
    """The instants [from, to) in µs of a month of the zone."""
    from_at, to_at = (datetime(at // 12, at % 12 + 1, 1, tzinfo=ZoneInfo(zone)) for at in (month, month + 1))
    return to_us(from_at), to_us(to_at)


def _add(sums: dict[str, float], amounts: Amounts) -> None:
    for name, value in amounts.items():
        sums[name] = sums.get(name, 0.0) + value
