"""Holds the door's answers for a slice beside legacy's own totals, or beside a naive pass over a sample of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np

from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.instants import from_us, to_us
from journeymesh.journeys.fixes import NOT_REPORTED_US
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.totals import Total, TotalsMapping, TotalsRead, month_of, read_totals
from journeymesh.stores.port import RefusalQuery, Store
from journeymesh.strangler.control import now_us
from journeymesh.strangler.door_months import DoorMonth, door_months, evidence_of, span_us
from journeymesh.strangler.naive import NaiveJourney, naive_journeys
from journeymesh.strangler.naive_fixes import NaiveFix, NaiveReader
from journeymesh.strangler.opinion import BAD, TOLERANCE, Class, MonthFacts, Opinion, Verdict, judge, suspected
from journeymesh.strangler.policy_book import Member, vehicles_of
from journeymesh.strangler.questions import Side

if TYPE_CHECKING:
    from journeymesh.sources.mongodb_documents import MongodbDocuments

MOST_LOOKED_INTO: Final = 1_000
"""Of so many months that do not agree fixes and refusals are asked for, which is dear; where there are more of them,
late fixes are not what is wrong."""
_TICK: Final = timedelta(microseconds=1)
Key = tuple[str, int]
"""A policy's name and a month counted from the year 0."""


@dataclass(slots=True)
class OtherNumbers:
    """What the door is held beside, by policy and month. ``computed_us``: when legacy made the latest of the totals.

    ``months`` are the first and the last month that there is anything of; outside of them nothing is compared.
    ``elsewhere`` counts rows of policies that are not the slice's, ``unclear`` those of a vehicle and month that two
    policies share.
    """

    amounts: dict[Key, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))
    computed_us: dict[Key, int] = field(default_factory=dict)
    months: tuple[int, int] | None = None
    rows: int = 0
    elsewhere: int = 0
    unclear: int = 0
    unreadable: int = 0
    first_fault: str | None = None

    def add(self, name: str, month: int, total: Mapping[str, float]) -> None:
        """Add what a row says."""
        held = self.amounts[name, month]
        for measure, value in total.items():
            held[measure] = held.get(measure, 0.0) + value

    def note_month(self, month: int) -> None:
        """There is something of this month."""
        low, high = self.months or (month, month)
        self.months = min(low, month), max(high, month)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """Compares.

    - ``side``: the door, as a caller has it
    - ``target``: the slice's target, whose quarantine tells what was refused; None: there is none yet
    - ``documents``: opens the legacy database for the driver alone; not asked where nothing needs it
    - ``at_us``: now; a month that is not over is not compared
    """

    side: Side
    rules: JourneyRules
    target: Store | None
    documents: Callable[[], MongodbDocuments]
    tolerance: float = TOLERANCE
    at_us: int = field(default_factory=now_us)
    _looked_into: list[Key] = field(default_factory=list)

    def with_totals(
        self, members: Sequence[Member], totals: TotalsMapping, on_done: Callable[[int], None] | None = None
    ) -> tuple[Opinion, OtherNumbers]:
        """Beside legacy's own totals.

        Raises:
            JourneymeshError: the totals cannot be read.
        """
        read = read_totals(totals, lambda name: self.documents().documents(name))
        other = by_policy(read, members)
        return self.hold_beside(members, other, totals.measures, on_done), other

    def with_naive(
        self, members: Sequence[Member], on_done: Callable[[int], None] | None = None
    ) -> tuple[Opinion, OtherNumbers]:
        """Beside a naive pass over the documents of these policies. Distances alone are compared: a stop's edges are
        not looked for as finely.

        Raises:
            NaiveUnable: documents of the mapping are not read so. SourceUnreadable: legacy cannot be read.
        """
        reader = self.documents()
        other = OtherNumbers()
        for member in members:
            parser = NaiveReader(reader.mapping)
            by_vehicle: dict[str, list[NaiveFix]] = defaultdict(list)
            names = list(dict.fromkeys(name for term in member.terms for name in vehicles_of(term)))
            for document in reader.of_vehicles(names):
                other.rows += 1
                for fix in parser.fixes(document):
                    by_vehicle[fix.vehicle].append(fix)
            other.unreadable += parser.unreadable
            for name in names:
                for journey in naive_journeys(by_vehicle.pop(name, ()), self.rules):
                    _attribute(journey, name, member, other)
        return self.hold_beside(members, other, ("distance_m",), on_done, all_months=True), other

    def hold_beside(
        self,
        members: Sequence[Member],
        other: OtherNumbers,
        measures: Sequence[str],
        on_done: Callable[[int], None] | None = None,
        *,
        all_months: bool = False,
    ) -> Opinion:
        """The door's months of these policies beside the others. ``all_months``: also those of which the others have
        nothing for anybody."""
        verdicts: list[Verdict] = []
        for done, member in enumerate(members, 1):
            try:
                verdicts += self._of_member(member, other, measures, all_months)
            except JourneymeshError as error:
                verdicts.append(Verdict(member.name, month_of(from_us(self.at_us)), Class.NOT_ASKED, reason=error.what))
            if on_done is not None:
                on_done(done)
        return Opinion(suspected(verdicts))

    def _of_member(
        self, member: Member, other: OtherNumbers, measures: Sequence[str], all_months: bool
    ) -> Iterator[Verdict]:
        ours = door_months(self.side, member)
        months = {month for month, held in ours.items() if held.amounts}
        months |= {month for name, month in other.amounts if name == member.name}
        for month in sorted(months):
            yield self._of_month(member, month, ours.get(month), other, measures, all_months)

    def _of_month(
        self,
        member: Member,
        month: int,
        held: DoorMonth | None,
        other: OtherNumbers,
        measures: Sequence[str],
        all_months: bool,
    ) -> Verdict:
        key = member.name, month
        theirs = other.amounts.get(key)
        ours = None if held is None or not held.amounts else {name: held.amounts[name] for name in measures}
        low, high = other.months or (month + 1, month)
        if theirs is None and not all_months and not low <= month <= high:
            return Verdict(*key, Class.NOT_COMPARED, reason="the totals do not cover that month")
        evidence = evidence_of(month, held, member.terms)
        found = judge(*key, ours, theirs, evidence, self.tolerance)
        if found.found not in BAD:
            return found
        if span_us(month, member.terms[-1].zone)[1] > self.at_us:
            return Verdict(
                *key, Class.NOT_COMPARED, found.measure, found.door, found.other, "the month is not over", found.unit
            )
        if len(self._looked_into) >= MOST_LOOKED_INTO:
            return found
        self._looked_into.append(key)
        evidence = self._looked_closer(evidence, member, month, other.computed_us.get(key))
        return judge(*key, ours, theirs, evidence, self.tolerance)

    def _looked_closer(self, evidence: MonthFacts, member: Member, month: int, computed_us: int | None) -> MonthFacts:
        """The evidence with what is dear to find out, for a month that does not agree: which fixes were refused, which
        came after legacy made its total (a day after the month, where that is not known), and since when there are
        any."""
        terms = member.terms
        begin_us, end_us = span_us(month, terms[-1].zone)
        names = [name for term in terms if _overlaps(term, begin_us, end_us) for name in vehicles_of(term)]
        names = list(dict.fromkeys(names or [name for term in terms for name in vehicles_of(term)]))
        begin, end = (datetime.fromtimestamp(at / 1e6, UTC) for at in (begin_us, end_us))
        until_us = computed_us if computed_us is not None else end_us + 86_400_000_000
        fixes = late = refused = 0
        for name in names:
            held = self.side.fixes(name, begin, end - _TICK)
            fixes += len(held)
            if (received_us := held.received_at_us) is not None:
                late += int(np.count_nonzero((received_us > until_us) & (received_us != NOT_REPORTED_US)))
            if self.target is not None:
                query = RefusalQuery(vehicle=name, fixed_from=begin, fixed_to=end)
                refused += sum(1 for _ in self.target.refusals(query))
        first = None if fixes else self._first_s(names)
        return replace(
            evidence,
            late_share=late / fixes if fixes else 0.0,
            refused_share=max(evidence.refused_share, refused / (fixes + refused) if refused else 0.0),
            before_first=first is not None and first * 1e6 >= end_us,
        )

    def _first_s(self, vehicles: Sequence[str]) -> float | None:
        """The first instant that a document of legacy has for these vehicles; None where one of its documents cannot be
        read, or legacy cannot: then nobody knows what there was."""
        try:
            reader = self.documents()
            parser = NaiveReader(reader.mapping)
            first = min((fix.at_s for document in reader.of_vehicles(vehicles) for fix in parser.fixes(document)),
                        default=None)  # fmt: skip
        except JourneymeshError:
            return None
        return None if parser.unreadable else first


def by_policy(read: TotalsRead, members: Sequence[Member]) -> OtherNumbers:
    """The totals by the slice's policies and months of their time zones."""
    found = OtherNumbers(
        rows=len(read.totals) + read.unreadable, unreadable=read.unreadable, first_fault=read.first_fault
    )
    by_number: dict[str, list[Member]] = defaultdict(list)
    by_vehicle: dict[str, list[tuple[Member, Policy]]] = defaultdict(list)
    for member in members:
        by_number[member.terms[0].number].append(member)
        for term in member.terms:
            for name in vehicles_of(term):
                by_vehicle[name].append((member, term))
    for total in read.totals:
        if total.policy is not None:
            held = [
                member for member in by_number.get(total.policy, ()) if total.tenant in (None, member.terms[0].tenant)
            ]
        else:
            held = _drivers(total, by_vehicle.get(str(total.vehicle), ()))
        if len(held) != 1:
            found.unclear += bool(held)
            found.elsewhere += not held
            _note_elsewhere(found, total)
            continue
        name, month = held[0].name, _month(total, held[0])
        found.add(name, month, total.amounts)
        found.note_month(month)
        if total.computed_us is not None:
            found.computed_us[name, month] = max(total.computed_us, found.computed_us.get((name, month), 0))
    return found


def sample_of(members: Sequence[Member], asked: str) -> list[Member]:
    """As many of the policies as are asked for, a number or a share such as ``5%``: always the same ones.

    Raises:
        UsageError: it is neither.
    """
    text = asked.strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else None
        count = max(1, round(share * len(members))) if share is not None else int(text)
    except ValueError:
        count, share = 0, None
    if count < 1 or (share is not None and not 0 < share <= 1):
        raise UsageError(
            f"--naive {asked!r} is not a sample size", todo="use a number of policies, or a share such as 5%"
        )
    return sorted(members, key=lambda member: hashlib.blake2b(member.name.encode(), digest_size=8).digest())[:count]


def _drivers(total: Total, held: Sequence[tuple[Member, Policy]]) -> list[Member]:
    """The policies under which the vehicle may have driven what the row says."""
    found = []
    for member, term in held:
        if total.started_us is not None:
            begin_us, end_us = total.started_us, total.started_us + 1
        else:
            assert total.month is not None
            begin_us, end_us = span_us(total.month, term.zone)
        if _overlaps(term, begin_us, end_us) and member not in found:
            found.append(member)
    return found


def _month(total: Total, member: Member) -> int:
    if total.month is not None:
        return total.month
    assert total.started_us is not None
    at_us = total.started_us
    inside = [term for term in member.terms if to_us(term.valid_from) <= at_us]
    return month_of(from_us(at_us).astimezone(ZoneInfo((inside or [member.terms[0]])[-1].zone)))


def _note_elsewhere(found: OtherNumbers, total: Total) -> None:
    month = total.month if total.month is not None else month_of(from_us(int(total.started_us or 0)))
    found.note_month(month)


def _attribute(journey: NaiveJourney, name: str, member: Member, other: OtherNumbers) -> None:
    began = datetime.fromtimestamp(journey.started_s, UTC)
    for term in member.terms:
        if term.covers(name, began):
            month = month_of(began.astimezone(ZoneInfo(term.zone)))
            other.add(member.name, month, {"distance_m": journey.distance_m})
            other.note_month(month)
            return


def _overlaps(term: Policy, begin_us: int, end_us: int) -> bool:
    return to_us(term.valid_from) < end_us and (term.valid_to is None or to_us(term.valid_to) > begin_us)
