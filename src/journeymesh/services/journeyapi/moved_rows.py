"""What moved, for rows of the book: their figures beside those of the period before."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.journeys.moves import MOVED, moved
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.summaries import SEVERAL_VERSIONS
from journeymesh.services.journeyapi.policy_answers import Dependencies
from journeymesh.services.journeyapi.sorted_book import EACH, every_row
from journeymesh.stores.figure_port import FiguresQuery

_ALL: Final = 1 << 31
Term = tuple[str, date]
"""A policy's number, and the local date at which its term begins."""


def with_moved(
    deps: Dependencies, decision: Decision, policies: Sequence[Policy], rows: pa.Table, query: FiguresQuery
) -> pa.Table:
    """The rows, of the query's period and of these policies (in the order of numbers), with what moved in each.

    A month is compared with the month before, twelve months with the twelve before those, and a term by the last whole
    month of UTC beside the one before. What may not leave is not compared, and neither is a term with
    journeys of more than one rules version: of terms that are not among the rows it changes nothing.
    """
    numbers = tuple(dict.fromkeys(rows["policy"].to_pylist()))
    own = [policy for number in numbers for policy in _of_number(policies, number)]
    asked = replace(query, sort=EACH, least={}, most={}, after=None, limit=_ALL, numbers=numbers, marks_mixed=True)
    month = query.month
    if month is None:
        month = _earlier(datetime.now(UTC).date().replace(day=1), 1)
        asked = replace(asked, period="month", month=month)
        after = _by_term(every_row(deps, decision, own, asked)) if numbers else {}
    else:
        after = _by_term(rows)
    former = replace(asked, month=_earlier(month, 12 if query.period == "last_12_months" else 1))
    before = _by_term(every_row(deps, decision, own, former)) if numbers else {}
    hidden = decision.obligations.hidden
    found = [
        None if (row := after.get(term)) is None or row["rules_version"] == SEVERAL_VERSIONS
        else moved(before.get(term), row, hidden)
        for term in _terms(rows)
    ]  # fmt: skip
    return rows.append_column(MOVED, pa.array(found, MOVED.type))


def _of_number(policies: Sequence[Policy], number: str) -> Sequence[Policy]:
    """The policies are in the order of numbers: a page takes the same time in a book of any size."""
    first, behind = (find(policies, number, key=lambda each: each.number) for find in (bisect_left, bisect_right))
    return policies[first:behind]


def _by_term(rows: pa.Table) -> Mapping[Term, Mapping[str, Any]]:
    return dict(zip(_terms(rows), rows.to_pylist(), strict=True))


def _terms(rows: pa.Table) -> list[Term]:
    """Of each row. A summary of a whole term says the date alone, by which figures are looked up, too."""
    if "policy_from" not in rows.column_names:
        return list(zip(rows["policy"].to_pylist(), rows["period_from"].to_pylist(), strict=True))
    begins = zip(*(rows[name].to_pylist() for name in ("policy", "policy_from", "zone")), strict=True)
    return [(number, begin.astimezone(ZoneInfo(zone)).date()) for number, begin, zone in begins]


def _earlier(month: date, count: int) -> date:
    first: date = (np.datetime64(month, "M") - count).astype("datetime64[D]").item()
    return first
