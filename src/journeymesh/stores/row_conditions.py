"""What rows have to meet that a question is about, but for its cursor."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Final

from journeymesh.instants import to_us
from journeymesh.journeys.summaries import SUMMARY_SCHEMA
from journeymesh.stores.figure_port import FiguresQuery
from journeymesh.stores.figure_rows import period_name
from journeymesh.stores.port import JourneyQuery, RefusalQuery
from journeymesh.stores.row_kinds import Condition

_NO_INSTANT_BEFORE_US: Final = -(2**63)


def journey_conditions(query: JourneyQuery) -> list[Condition]:
    """What journeys have to meet, but for the cursor."""
    named = ((name, "=", getattr(query, name)) for name in ("policy", "vehicle", "tenant", "product"))
    where: list[Condition] = [condition for condition in named if condition[2] is not None]
    if query.policies is not None:
        where.append(("policy", "in", query.policies))
    if query.terms is not None:
        where.append(("policy_from_us", "in", [to_us(at) for at in query.terms]))
    if query.unattributed:
        where.append(("policy", "=", None))
    return where + _between("started_at_us", query.started_from, query.started_to)


def figure_conditions(query: FiguresQuery) -> list[Condition]:
    """What figures have to meet, but for the cursor and the numbers."""
    where: list[Condition] = [("period", "=", period_name(query.period, query.month)), ("tenant", "=", query.tenant)]
    where += [(name, ">=", bound) for name, bound in query.least.items()]
    where += [(name, "<=", bound) for name, bound in query.most.items()]
    if SUMMARY_SCHEMA.field(query.sort).nullable:
        where.append((query.sort, ">=", -math.inf))
    return where


def refusal_conditions(query: RefusalQuery) -> list[Condition]:
    """What refusals have to meet, but for the cursor."""
    named = ((name, "=", getattr(query, name)) for name in ("reason", "vehicle"))
    where: list[Condition] = [condition for condition in named if condition[2] is not None]
    if query.without_vehicle:
        where.append(("vehicle", "=", None))
    if query.among is not None:
        where.append(("refusal_id", "in", query.among))
    if query.by_time and query.fixed_from is None:
        where.append(("fixed_at_us", ">=", _NO_INSTANT_BEFORE_US))
    return where + _between("fixed_at_us", query.fixed_from, query.fixed_to)


def _between(name: str, first: datetime | None, end: datetime | None) -> list[Condition]:
    bounds = ((name, ">=", first), (name, "<", end))
    return [(name, operator, to_us(at)) for name, operator, at in bounds if at is not None]
