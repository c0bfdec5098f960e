"""The question for a sorted book, and the port of stores that keep its figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

import pyarrow as pa

from journeymesh.errors import UsageError
from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.period_sums import FigurePeriod
from journeymesh.journeys.rules import ScoreRules

Place = tuple[float, str, datetime]
"""Where a row stands: the value that it is sorted by, the policy's number and the beginning of its term."""


@dataclass(frozen=True, slots=True)
class FiguresQuery:
    """Which figures of a tenant's policies. Rows without a value of ``sort`` are not among them.

    - ``month``: its first day: the month, or the last one of twelve; None with the period ``term`` alone
    - ``sort``: one of ``SORTS``; equal values are in the order of number and term, all of it from the highest down
      where ``descending``
    - ``least``, ``most``: by name of ``SORTS``, the bounds of rows, themselves within; a row without a value is outside
    - ``after``: the place of the last row seen
    - ``numbers``: of policies with these numbers alone; None: of all
    - ``marks_mixed``: a term that has journeys of more than one rules version ends nothing: its rows' ``rules_version``
      is empty (``SEVERAL_VERSIONS``)

    Raises:
        UsageError: there is no such number to sort by, or the month does not fit the period.
    """

    tenant: str
    period: FigurePeriod
    month: date | None
    sort: str
    descending: bool = True
    least: Mapping[str, float] = field(default_factory=dict)
    most: Mapping[str, float] = field(default_factory=dict)
    after: Place | None = None
    limit: int = 100
    numbers: tuple[str, ...] | None = None
    marks_mixed: bool = False

    def __post_init__(self) -> None:
        for name in (self.sort, *self.least, *self.most):
            if name not in SORTS:
                raise UsageError(f"figures are not sorted by {name!r}", todo=f"use one of {', '.join(SORTS)}")
        if (self.month is None) is not (self.period == "term") or (self.month is not None and self.month.day != 1):
            raise UsageError(
                f"{self.month} is no month of {self.period}", todo="give a month's first day, none of term"
            )


class FigureReads(Protocol):
    """The part of a store that keeps figures."""

    def figures(self, query: FiguresQuery, rules: ScoreRules) -> pa.Table | None:
        """``FIGURE_SCHEMA`` in the query's order, at most ``query.limit`` rows; None: they are not kept, or their score
        is by other rules.

        Raises:
            RulesConflict: one of these terms has journeys of more than one rules version, and ``query.marks_mixed`` is
                false.
        """
