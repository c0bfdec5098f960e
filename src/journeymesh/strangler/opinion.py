"""A third opinion: the door's answers beside numbers that did not come through our walker, mapping and pass.

Both sides of a slice share these, so that they can be equal to the byte and wrong together. Here the journeys of each
policy and month of its time zone are held beside what legacy itself stored, or beside a naive pass; each policy and
month gets a class, and what can be reckoned as a reason explains as much as it can be the reason of, and no more.

The last third opinion of each slice, as recorded: what a gate and ``status`` look at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

import msgspec
import sqlalchemy as sa

from journeymesh.field_copies import copy_fields
from journeymesh.strangler.control import Control, now_us, opinions
from journeymesh.strangler.routes import Route

Amounts = Mapping[str, float]
"""By measure: ``distance_m``, ``duration_s``, ``driving_s``, ``journeys``."""

TOLERANCE: Final = 0.01
FLOORS: Final[Mapping[str, float]] = {"distance_m": 100.0, "duration_s": 60.0, "driving_s": 60.0, "journeys": 1.0}
"""Less than this is no difference, however little a month has. Systems store kilometres with one decimal and minutes
without any; and one drive round the corner, which is a journey from 60 m on, may be none by other rules."""
MOST_REFUSED: Final = 0.05
"""Where more of a month's fixes were refused, that is no explanation: the mapping itself is in doubt."""
SPREAD: Final = 2.0
"""Driving is not even over a month: a share of its time, or of its fixes, may hold twice that share of the way."""
_UNITS: Final[Mapping[str, Mapping[float, str]]] = {
    "distance_m": {1.609344: "miles and kilometres", 1000.0: "metres and kilometres", 1609.344: "metres and miles"},
    "duration_s": {60.0: "minutes and seconds, or hours and minutes", 1000.0: "ms and s", 3600.0: "hours and seconds"},
}


@unique
class Class(StrEnum):
    """What holding a policy's month beside the other numbers comes to."""

    AGREES = "agrees"
    EXPLAINED = "explained"
    """It differs by no more than a reason that can be reckoned is good for."""
    DIFFERS = "differs"
    ONLY_LEGACY = "only in legacy"
    ONLY_DOOR = "only at the door"
    NOT_COMPARED = "not compared"
    """There is nothing to hold it beside, or the month is not over."""
    NOT_ASKED = "not answered"
    """The door could not answer for the policy."""


GOOD: Final = (Class.AGREES, Class.EXPLAINED)
BAD: Final = (Class.DIFFERS, Class.ONLY_LEGACY, Class.ONLY_DOOR, Class.NOT_ASKED)


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthFacts:
    """What is known of a policy's month that may be a reason.

    - ``crossing``: what journeys add up to that begin in one month and end in another, this one among the two
    - ``outside_share``: share of the month's time in which the policy is not in force
    - ``refused_share``, ``late_share``: of the month's fixes; late ones came after legacy made its total
    - ``before_first``: legacy has no fix of the vehicle from before the end of the month
    - ``in_utc``: the door's amounts if the month began and ended at midnight UTC
    """

    crossing: Amounts = field(default_factory=dict)
    outside_share: float = 0.0
    refused_share: float = 0.0
    late_share: float = 0.0
    before_first: bool = False
    in_utc: Amounts | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One policy and month. ``month`` counts from the year 0; ``measure`` is the one that is furthest off, with both
    values; None: there is none. ``unit`` names the units that may have been mistaken for each other."""

    policy: str
    month: int
    found: Class
    measure: str | None = None
    door: float | None = None
    other: float | None = None
    reason: str | None = None
    unit: str | None = None

    @property
    def off(self) -> float:
        """The difference as a share of the larger value, 0 to 1."""
        most = max(self.door or 0.0, self.other or 0.0)
        return abs((self.door or 0.0) - (self.other or 0.0)) / most if most else 0.0


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a comparison found, of a whole slice."""

    verdicts: Sequence[Verdict]

    @property
    def classes(self) -> dict[str, int]:
        """How many policies and months there are of each class."""
        counts = Counter(verdict.found for verdict in self.verdicts)
        return {each.value: counts[each] for each in Class}

    @property
    def policies(self) -> int:
        """How many policies were compared in at least one month, or should have been."""
        return len({verdict.policy for verdict in self.verdicts if verdict.found is not Class.NOT_COMPARED})

    @property
    def good(self) -> int:
        """How many of them agree or are explained in each of their months."""
        compared = {verdict.policy for verdict in self.verdicts if verdict.found in GOOD}
        return len(compared - {verdict.policy for verdict in self.verdicts if verdict.found in BAD})

    @property
    def share(self) -> float | None:
        """``good`` among ``policies``; None where nothing was compared, or nothing agrees by itself."""
        return self.good / self.policies if self.policies and self.classes[Class.AGREES] else None

    def worst(self, most: int) -> list[Verdict]:
        """The bad ones, then the explained, each by how far they are off."""
        shown = [verdict for verdict in self.verdicts if verdict.found in (*BAD, Class.EXPLAINED)]
        return sorted(shown, key=lambda one: (one.found in GOOD, -one.off, one.policy, one.month))[:most]


def judge(
    policy: str, month: int, door: Amounts | None, other: Amounts | None, evidence: MonthFacts, tolerance: float
) -> Verdict:
    """The class of one policy and month, by the measure that is furthest off; one side at least has something."""
    found = [
        _of_measure((policy, month), measure, door, other, evidence, tolerance)
        for measure in (other if other is not None else door) or ()
    ]
    if not found:
        return Verdict(policy, month, Class.NOT_COMPARED, reason="the sides have no measure in common")
    order = (Class.AGREES, Class.EXPLAINED, Class.ONLY_DOOR, Class.ONLY_LEGACY, Class.DIFFERS)
    return max(found, key=lambda one: (order.index(one.found), one.off))


def suspected(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """The same, where half of a policy's months or more are off by the factor of two units: these differ, whatever
    else may explain them. One such month among others may be chance."""
    by_policy: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_policy.setdefault(verdict.policy, []).append(verdict)
    found = []
    for held in by_policy.values():
        compared = sum(verdict.found in (*GOOD, Class.DIFFERS) for verdict in held)
        doubtful = sum(verdict.unit is not None for verdict in held)
        is_unit = 2 * doubtful >= max(compared, 1)
        found += [_as_unit(verdict) if is_unit and verdict.unit is not None else verdict for verdict in held]
    return found


def _as_unit(verdict: Verdict) -> Verdict:
    assert verdict.door is not None
    assert verdict.other is not None
    times = verdict.door / verdict.other
    told = f"{times:.4g}" if times >= 1 else f"1/{1 / times:.4g}"
    reason = f"a wrong unit is suspected: the door has {told} times as much ({verdict.unit})"
    return Verdict(
        verdict.policy, verdict.month, Class.DIFFERS, verdict.measure, verdict.door, verdict.other, reason, verdict.unit
    )


def _of_measure(
    of: tuple[str, int],
    measure: str,
    door: Amounts | None,
    other: Amounts | None,
    evidence: MonthFacts,
    tolerance: float,
) -> Verdict:
    ours = 0.0 if door is None else door.get(measure, 0.0)
    theirs = 0.0 if other is None else other.get(measure, 0.0)

    def verdict(found: Class, reason: str | None = None) -> Verdict:
        return Verdict(*of, found, measure, ours, theirs, reason, _unit(measure, ours, theirs))

    allowed = max(tolerance * theirs, FLOORS[measure])
    difference = abs(ours - theirs)
    if difference <= allowed:
        return verdict(Class.AGREES)
    if door is None and evidence.before_first:
        return verdict(Class.EXPLAINED, "legacy no longer has fixes of that time")
    reasons = _reasons(measure, ours, theirs, evidence)
    if reasons and difference <= allowed + sum(reasons.values()):
        return verdict(Class.EXPLAINED, "; ".join(reasons))
    found = Class.ONLY_LEGACY if door is None else Class.ONLY_DOOR if other is None else Class.DIFFERS
    return verdict(found, _hint(measure, theirs, evidence, allowed))


def _reasons(measure: str, ours: float, theirs: float, evidence: MonthFacts) -> dict[str, float]:
    """Each reason in words, with the most that it is good for."""
    found = {}
    if crossing := evidence.crossing.get(measure, 0.0):
        found["journeys cross the month's border"] = crossing
    if theirs > ours and evidence.outside_share > 0.0:
        share = evidence.outside_share
        found[f"the policy is not in force in {_percent(share)} of the month"] = SPREAD * share * theirs
    if 0.0 < evidence.refused_share <= MOST_REFUSED:
        share = evidence.refused_share
        found[f"{_percent(share)} of the month's fixes are refused"] = SPREAD * share * max(ours, theirs)
    if ours > theirs and evidence.late_share > 0.0:
        share = evidence.late_share
        found[f"{_percent(share)} of the month's fixes came after the total"] = min(SPREAD * share, 1.0) * ours
    return found


def _hint(measure: str, theirs: float, evidence: MonthFacts, allowed: float) -> str | None:
    """What speaks for a fault, in words."""
    if evidence.refused_share > MOST_REFUSED:
        return f"{_percent(evidence.refused_share)} of the month's fixes are refused: look at the mapping"
    if evidence.in_utc is not None and abs(evidence.in_utc.get(measure, 0.0) - theirs) <= allowed:
        return "it would agree if months began at midnight UTC: look at the zones of the mapping and of the totals"
    return None


def _unit(measure: str, ours: float, theirs: float) -> str | None:
    if not ours or not theirs:
        return None
    times = max(ours / theirs, theirs / ours)
    known = _UNITS.get("duration_s" if measure == "driving_s" else measure, {})
    return next((told for factor, told in known.items() if abs(times / factor - 1) <= TOLERANCE), None)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


TOTALS = "totals"
"""Held beside legacy's own totals: what the gate asks for."""
NAIVE = "naive"
"""Held beside a naive pass over a sample."""


class RecordedOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """A third opinion as recorded. ``classes`` counts policies and months by class; ``good`` of ``policies`` agree or
    are explained; ``stale`` says why it no longer counts, None: it does."""

    kind: str
    at_us: int
    answering: str
    policies: int
    good: int
    share: float | None
    classes: dict[str, int]
    stale: str | None = None


def record_opinion(control: Control, route: Route, kind: str, found: Opinion) -> None:
    """Record what was found of the slice as its route is; what was found before of this kind is forgotten."""
    name = route.slice.name
    with control.writing() as connection:
        connection.execute(sa.delete(opinions).where(opinions.c.slice == name, opinions.c.kind == kind))
        connection.execute(
            sa.insert(opinions).values(
                slice=name,
                kind=kind,
                at_us=now_us(),
                source=route.source,
                target=route.target,
                answering=route.answering_name,
                selector=route.slice.selector.digest,
                policies=found.policies,
                good=found.good,
                classes=msgspec.json.encode(found.classes).decode(),
            )
        )


def opinions_of(control: Control, route: Route) -> dict[str, RecordedOpinion]:
    """What is recorded of the slice, by kind."""
    held = opinions.c
    with control.reading() as connection:
        rows = connection.execute(sa.select(opinions).where(held.slice == route.slice.name)).all()
    found = {}
    for row in rows:
        classes = msgspec.json.decode(row.classes, type=dict[str, int])
        is_known = bool(row.policies) and bool(classes.get(Class.AGREES))
        share = row.good / row.policies if is_known else None
        found[row.kind] = copy_fields(RecordedOpinion, row, share=share, classes=classes, stale=_stale(row, route))
    return found


def _stale(row: sa.Row[tuple[object, ...]], route: Route) -> str | None:
    if (row.source, row.target) != (route.source, route.target):
        return f"recorded when the slice moved from {row.source} to {row.target}"
    if row.selector != route.slice.selector.digest:
        return "recorded for another set of policies"
    return None
