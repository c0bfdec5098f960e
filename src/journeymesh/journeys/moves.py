"""What moved: the numbers of a policy that changed most from one period to the next, by ``MoveRules``.

Distance and journeys are taken for each day observed, because a term, a recording or a period under way may be shorter
than the period before. Mileage against the declared one is not named: it moves with the distance a day.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import pyarrow as pa

from journeymesh.journeys.fields import FLOAT, TEXT
from journeymesh.journeys.rules import MoveRules
from journeymesh.journeys.summaries import FIGURE_SCHEMA

MOVE_TYPE: Final = pa.struct(
    [
        pa.field("measure", TEXT, nullable=False),  # one of ``MEASURES``
        pa.field("before", FLOAT, nullable=False),
        pa.field("after", FLOAT, nullable=False),
        pa.field("change", FLOAT, nullable=False),  # after less before, as a share of before or of the floor
    ]
)
MOVED: Final = pa.field("moved", pa.list_(MOVE_TYPE))
"""The largest change first; null: there is nothing to compare."""
BOOK_SCHEMA: Final = FIGURE_SCHEMA.append(MOVED)
"""A row of the book, with what moved."""
MEASURES: Final[Mapping[str, tuple[str, ...]]] = {
    "distance_m_per_day": ("distance_m", "observed_days"),
    "journeys_per_day": ("journeys", "observed_days"),
    "night_share": ("night_share",),
    "speeding_share": ("speeding_share",),
    "harsh_events_per_100km": ("harsh_events_per_100km",),
    "score": ("score",),
}
"""What is compared, and the summary's fields that it is made of: the first, divided by the second if there is one."""
RULES: Final = MoveRules()


def moved(
    before: Mapping[str, Any] | None, after: Mapping[str, Any], hidden: Collection[str] = (), rules: MoveRules = RULES
) -> list[dict[str, Any]] | None:
    """What of ``after`` moved most since ``before``, two summaries of the same policy, as rows of ``MOVE_TYPE``.

    Nothing that is made of a hidden field is named. None: the two cannot be compared, because one is not there, has too
    few days observed, or is by another version of the rules.
    """
    if before is None or before["rules_version"] != after["rules_version"]:
        return None
    if min(before["observed_days"], after["observed_days"]) < rules.least_observed_days:
        return None
    changes = []
    for measure, fields in MEASURES.items():
        values = _value(before, fields), _value(after, fields)
        if values[0] is None or values[1] is None or not set(fields).isdisjoint(hidden):
            continue
        change = (values[1] - values[0]) / max(values[0], getattr(rules, measure))
        if abs(change) >= rules.least_change:
            changes.append({"measure": measure, "before": values[0], "after": values[1], "change": change})
    return sorted(changes, key=lambda each: -abs(each["change"]))[: rules.most_named]


def _value(row: Mapping[str, Any], fields: tuple[str, ...]) -> float | None:
    value = row[fields[0]]
    if value is None or len(fields) == 1:
        return None if value is None else float(value)
    return float(value) / float(row[fields[1]])
