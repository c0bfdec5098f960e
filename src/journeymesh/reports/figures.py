"""What a page says in figures: totals, the score with its parts, months, the hour-of-week map, harsh events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa

from journeymesh.journeys.fields import SUMMED
from journeymesh.journeys.reasons import TOLD
from journeymesh.journeys.rules import ScorePart, ScoreRules
from journeymesh.journeys.summaries import speeding_share
from journeymesh.reports.units import Units, percent

Row = dict[str, Any]

KINDS: Final = ("braking", "acceleration", "cornering")
SEVERITIES: Final = ("low", "medium", "high")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SHADES: Final = 6


def totals(journeys: Sequence[Row]) -> dict[str, Any]:
    """What rows of ``JOURNEY_SCHEMA`` add up to: the fields that summaries add up by their names (None where no journey
    says), ``journeys``, and what follows from them.

    ``speeding_share`` is of the distance whose limit is known, None where none is; ``limits_recorded`` says whether any
    journey says how much of its way had a known limit: those made before there was that do not.
    """
    sums: dict[str, Any] = {}
    for summed in SUMMED:
        known = [row[summed.name] for row in journeys if row[summed.name] is not None]
        sums[summed.name] = max(known, default=0.0) if summed.summed == "max" else sum(known)
        if summed.since and not known:
            sums[summed.name] = None
    distance, duration = sums["distance_m"], sums["duration_s"]
    harsh = sum(sums[f"harsh_{kind}"] for kind in KINDS)
    names = ("distance_m", "speeding_distance_m", "limit_known_distance_m", "over_limit_distance_m")
    share = speeding_share({name: pa.array([sums[name]], pa.float64()) for name in names})
    return {
        **sums,
        "journeys": len(journeys),
        "night_share": sums["night_distance_m"] / distance if distance else 0.0,
        "speeding_share": share[0].as_py() if journeys else None,
        "limits_recorded": sums["limit_known_distance_m"] is not None,
        "harsh": harsh,
        "harsh_per_100km": harsh / distance * 100_000.0 if distance else 0.0,
        "bridged_share": sums["bridged_s"] / duration if duration else 0.0,
    }


@dataclass(frozen=True, slots=True)
class PartShown:
    """A part of the score for people. ``share`` is what it counts in the whole."""

    title: str
    value: str
    score: float
    share: float
    meaning: str


@dataclass(frozen=True, slots=True)
class ShadedHour:
    """An hour of the week. ``shade`` 0 (nothing) to 6."""

    distance_m: float
    shade: int
    label: str


@dataclass(frozen=True, slots=True)
class Month:
    """A month's row: ``share`` of the longest month's distance."""

    name: str
    row: Row
    share: float


@dataclass(frozen=True, slots=True)
class HarshListed:
    """A harsh event in the list. ``number`` is its journey's, ``row`` its row of ``harsh_events``."""

    number: int
    row: Row


@dataclass(slots=True)
class HarshTable:
    """Harsh events by kind and severity, and one by one in order of time."""

    rows: list[tuple[str, list[int], int]] = field(default_factory=list)
    total: int = 0
    listed: list[HarshListed] = field(default_factory=list)


def score_parts(term: Row, rules: ScoreRules | None) -> list[PartShown]:
    """The parts of a summary's score, explained as far as the rules are known."""
    parts = term["score_parts"]
    weights = sum(part["weight"] for part in parts) or 1.0
    return [
        PartShown(
            PART_TITLES.get(part["part"], part["part"].replace("_", " ").capitalize()),
            "unknown" if part["value"] is None else _part_value(part["part"], part["value"]),
            part["score"],
            part["weight"] / weights,
            _meaning(part["part"], getattr(rules, part["part"], None)),
        )
        for part in parts
    ]


PART_TITLES: Final = {
    "harsh_events_per_100km": "Harsh events per 100 km",
    "speeding_share": "Distance over the limit",
    "night_share": "Distance at night",
    "mileage_ratio": "Distance against declared",
}


def _part_value(name: str, value: float) -> str:
    if name.endswith("_share"):
        return percent(value)
    return f"{value:.1f}" if name == "harsh_events_per_100km" else f"{value:.2f}"


def _meaning(name: str, part: ScorePart | None) -> str:
    if part is None:
        return ""
    return f"{_part_value(name, part.best)} or less scores 100, {_part_value(name, part.worst)} or more scores 0"


def week_map(journeys: Sequence[Row], units: Units) -> list[list[ShadedHour]]:
    """Seven days of 24 hours, in the policy's local time, shaded by distance."""
    metres: dict[int, float] = defaultdict(float)
    for row in journeys:
        for hour in row["hours"]:
            metres[hour["hour_of_week"]] += hour["distance_m"]
    most = max(metres.values(), default=0.0)

    def cell(hour_of_week: int) -> ShadedHour:
        distance = metres.get(hour_of_week, 0.0)
        # The square root shows quiet hours beside busy ones.
        shade = 0 if distance <= 0 or most <= 0 else max(1, round((distance / most) ** 0.5 * _SHADES))
        day, hour = divmod(hour_of_week, 24)
        return ShadedHour(
            distance, shade, f"{WEEKDAYS[day]} {hour:02d}:00–{hour + 1:02d}:00: {units.far_named(distance)}"
        )

    return [[cell(day * 24 + hour) for hour in range(24)] for day in range(7)]


def months(rows: Sequence[Row]) -> list[Month]:
    """Monthly summaries (rows of ``SUMMARY_SCHEMA``) with their bars."""
    most = max((row["distance_m"] for row in rows), default=0.0) or 1.0
    return [Month(f"{row['period_from']:%b %Y}", row, row["distance_m"] / most) for row in rows]


def harsh_table(journeys: Sequence[Row], most: int) -> HarshTable:
    """How many harsh events of each kind and severity, and the ``most`` most severe of them by time."""
    counts = Counter((event["kind"], event["severity"]) for row in journeys for event in row["harsh_events"])
    table = HarshTable(total=sum(counts.values()))
    for kind in KINDS:
        by_severity = [counts[kind, severity] for severity in SEVERITIES]
        table.rows.append((kind, by_severity, sum(by_severity)))
    events = [HarshListed(number, event) for number, row in enumerate(journeys) for event in row["harsh_events"]]
    events.sort(key=lambda event: (-SEVERITIES.index(event.row["severity"]), -event.row["peak_mps2"]))
    table.listed = sorted(events[:most], key=lambda event: (event.row["peak_at"], event.row["kind"]))
    return table


def refusal_rows(refusals: Mapping[str, int]) -> list[tuple[str, str, int]]:
    """(reason code, what it means, how many), most first."""
    rows = [(code, TOLD.get(code, ""), number) for code, number in refusals.items() if number]
    return sorted(rows, key=lambda row: (-row[2], row[0]))
