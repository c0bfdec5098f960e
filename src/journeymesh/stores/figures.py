"""Figures: what each term of a policy adds up to in a month, in twelve months or in all, sorted by one of its numbers.

Stores that keep them answer from an index (``figure_changes``); from all others they are computed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import FIGURE_SCHEMA, SUMMED_COLUMNS, summarise_terms
from journeymesh.stores.figure_port import FiguresQuery, Place
from journeymesh.stores.policy_summaries import JourneysOfMany
from journeymesh.stores.port import JourneyQuery

_POLICIES_AT_ONCE: Final = 256


def computed_figures(
    store: JourneysOfMany, policies: Sequence[Policy], query: FiguresQuery, rules: ScoreRules
) -> pa.Table:
    """What ``FigureReads.figures`` answers of these policies, from their journeys.

    Raises:
        RulesConflict: one of these terms has journeys of more than one rules version, and ``query.marks_mixed`` is
            false.
    """
    wanted = [
        policy
        for policy in policies
        if policy.tenant == query.tenant and (query.numbers is None or policy.number in query.numbers)
    ]
    found = FIGURE_SCHEMA.empty_table()
    for first in range(0, len(wanted), _POLICIES_AT_ONCE):
        some = wanted[first : first + _POLICIES_AT_ONCE]
        numbers = tuple(dict.fromkeys(policy.number for policy in some))
        read = store.journeys(JourneyQuery(policies=numbers, columns=SUMMED_COLUMNS, in_any_order=True))
        rows = _of_period(summarise_terms(read, some, query.period, rules, marks_mixed=query.marks_mixed), query)
        found = first_rows(pa.concat_tables([found, rows]), query)
    return found


def first_rows(table: pa.Table, query: FiguresQuery) -> pa.Table:
    """Of rows of the query's period (``FIGURE_SCHEMA``) those that it asks for, in its order."""
    kept = pc.is_valid(table[query.sort])
    for bounds, compare in ((query.least, pc.greater_equal), (query.most, pc.less_equal)):
        for name, bound in bounds.items():
            kept = pc.and_(kept, pc.fill_null(compare(table[name], bound), False))
    rows = table.filter(kept)
    places = list(zip(*(rows[name].to_pylist() for name in (query.sort, "policy", "policy_from")), strict=True))
    order = sorted(range(len(places)), key=places.__getitem__, reverse=query.descending)
    if query.after is not None:
        after = query.after
        order = [row for row in order if (places[row] < after if query.descending else places[row] > after)]
    return rows.take(pa.array(order[: query.limit], pa.int64()))


def place_of(table: pa.Table, row: int, sort: str) -> Place:
    """Where this row of ``FIGURE_SCHEMA`` stands."""
    value, number, begin = (table[name][row].as_py() for name in (sort, "policy", "policy_from"))
    return float(value), number, begin


def _of_period(table: pa.Table, query: FiguresQuery) -> pa.Table:
    if query.month is None:
        return table
    last = np.datetime64(query.month, "M")
    first = last if query.period == "month" else last - 11
    return table.filter(pc.equal(table["period_from"], pa.scalar(first.astype("datetime64[D]").item(), pa.date32())))
