"""How a policy's last whole period differs from the one before, and what moved most, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

MEASURES: Final[Mapping[str, tuple[str, str]]] = {
    "distance_m": ("Distance a day observed", "share"),
    "journeys": ("Journeys a day observed", "share"),
    "night_share": ("At night", "percentage points"),
    "speeding_share": ("Over the limit", "percentage points"),
    "harsh_events_per_100km": ("Harsh events per 100 km", "number"),
    "score": ("Score", "points"),
}
"""What is compared: what people call it, and how the difference is said."""
MOVES: Final[Mapping[str, tuple[str, str]]] = {
    "distance_m_per_day": ("Distance a day", "share"),
    "journeys_per_day": ("Journeys a day", "share"),
    "night_share": ("Night", "percentage points"),
    "speeding_share": ("Over limit", "percentage points"),
    "harsh_events_per_100km": ("Harsh per 100 km", "number"),
    "score": ("Score", "points"),
}
"""What the book says moved, in fewer words."""
_NEXT_TO_NONE: Final = 9.995
"""Of what grew by so many times itself, or more, a percentage says nothing: it would have four digits."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A measure's difference, in words. ``direction``: 1 more, -1 less, 0 the same."""

    name: str
    difference: str
    direction: int


@dataclass(frozen=True, slots=True)
class Trends:
    """The last whole period, and how it differs from the one before."""

    period_from: date
    before_from: date
    measures: list[Trend]


def trends(rows: Sequence[Mapping[str, Any]], today: date) -> Trends | None:
    """Of summaries by period, oldest first; None where the last two whole periods do not follow one another.

    A measure that is masked or not known in either is left out. Amounts are compared for each day that was observed: a
    term or a recording may begin or end amid a period.
    """
    whole = [row for row in rows if row.get("period_to") is not None and row["period_to"] <= today]
    if len(whole) < 2 or whole[-2]["period_to"] != whole[-1]["period_from"]:
        return None
    before, now = whole[-2:]
    found = []
    for field, (name, said) in MEASURES.items():
        values = [_value(row, field, a_day=said == "share") for row in (before, now)]
        if values[0] is not None and values[1] is not None:
            found.append(Trend(name, *_difference(values[0], values[1], said)))
    return Trends(now["period_from"], before["period_from"], found)


def moves(row: Mapping[str, Any]) -> list[str] | None:
    """What the book says moved in this row, each as "Distance a day +50 %"; None: there was nothing to compare."""
    named = row.get("moved")
    return None if named is None else [_move(**each) for each in named]


def _move(measure: str, before: float, after: float, **_: float) -> str:
    name, said = MOVES[measure]
    amount = after - before
    if said == "share" and amount >= _NEXT_TO_NONE * before:
        return f"{name} {_from(before)}"
    if said == "share":
        number, unit = f"{100.0 * amount / before:+.0f}", " %"
    else:
        number = f"{100.0 * amount if said == 'percentage points' else amount:+.1f}"
        unit = "" if said == "number" else " points"
    return f"{name} {number.replace('-', '−')}{unit}"


def _from(before: float) -> str:
    return "from none" if before == 0 else "from next to none"


def _value(row: Mapping[str, Any], field: str, *, a_day: bool) -> float | None:
    value, days = row.get(field), row.get("observed_days")
    if value is None or not a_day:
        return None if value is None else float(value)
    return float(value) / days if days else None


def _difference(before: float, now: float, said: str) -> tuple[str, int]:
    """(the difference in words, its direction); what rounds to nothing is the same."""
    if said == "share":
        if before == now:
            return "the same", 0
        if now - before >= _NEXT_TO_NONE * before:
            return f"more, {_from(before)}", 1
        amount, unit = 100.0 * (now - before) / before, " %"
    elif said == "percentage points":
        amount, unit = 100.0 * (now - before), " percentage points"
    else:
        amount, unit = now - before, " points" if said == "points" else ""
    digits = 0 if said == "share" else 1
    rounded = round(abs(amount), digits)
    if rounded == 0:
        return "the same", 0
    return f"{rounded:.{digits}f}{unit} {'more' if amount > 0 else 'less'}", 1 if amount > 0 else -1
