"""The door: one journey port before legacy and targets. Whoever asks here does not notice who answers.

Which route a policy's questions take. Found once for each policy and kept until routes or policy change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

import pyarrow as pa

from journeymesh.errors import UsageError
from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, Refusal
from journeymesh.journeys.policies import Policy, PolicyTerm, by_time
from journeymesh.stores.port import HistoryEntry, JourneyQuery, RefusalQuery
from journeymesh.stores.rows import selected
from journeymesh.strangler.counts import NO_SLICE, AnswerCounts
from journeymesh.strangler.journey_index import Located, Locator
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.policy_book import PolicyBook, recorded_name
from journeymesh.strangler.questions import (
    FixesAsked,
    JourneyAsked,
    JourneysAsked,
    PolicyAsked,
    Question,
    Side,
)
from journeymesh.strangler.routes import Route, Routes, RoutesFollower, RoutesUnreadable
from journeymesh.strangler.shadow import ShadowReader
from journeymesh.strangler.targets import has_lost_its_store
from journeymesh.strangler.tracing import span

_MOST_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Kept:
    routes: Routes
    by_term: dict[PolicyTerm, tuple[Policy, Route | None]] = field(default_factory=dict)


@dataclass(slots=True)
class PolicyRouting:
    """From a policy to its route. Safe for threads."""

    follower: RoutesFollower
    _kept: _Kept | None = None

    def of(self, policy: Policy) -> Route | None:
        """The policy's route; None: no slice holds it, and legacy answers.

        Raises:
            RoutesUnreadable: the routes are not known at this moment, or two slices hold the policy.
        """
        routes = self.follower.now()
        kept = self._kept
        if kept is None or kept.routes is not routes or len(kept.by_term) >= _MOST_KEPT:
            self._kept = kept = _Kept(routes)
        found = kept.by_term.get(policy.term)
        if found is None or found[0] is not policy:
            found = policy, _only(policy, routes)
            kept.by_term[policy.term] = found
        return found[1]

    def names(self) -> list[str]:
        """Every side that a route names, each once.

        Raises:
            RoutesUnreadable: the routes are not known at this moment.
        """
        routes = self.follower.now().routes
        return list(dict.fromkeys(name for route in routes for name in (route.target, route.source)))


def _only(policy: Policy, routes: Routes) -> Route | None:
    holding = [route for route in routes.routes if route.slice.selector.holds(policy)]
    if len(holding) > 1:
        names = " and ".join(route.slice.name for route in holding[:2])
        raise RoutesUnreadable(
            f"slices {names} hold one policy", todo="correct the plan so that no policy is in two slices, and apply it"
        )
    return holding[0] if holding else None


_TICK = timedelta(microseconds=1)
_PLACE = ("started_at", "journey_id")
"""What journeys are in order of."""


@dataclass(slots=True, kw_only=True)
class Door:
    """A ``Side`` that asks, for each policy, the side that its slice's route says.

    - ``sides``: the side of a name, ``legacy`` or a store's
    - ``locator``: where a journey is whose id alone is given
    - ``shadow``: compares answers; None: nothing is compared
    - ``answer_counts``: counts which side answered; None: nobody counts

    An error of the side that answers is the caller's: the other side is never asked instead. A request goes to its
    end on the side on which it began.
    """

    routing: PolicyRouting
    sides: Callable[[str], Side]
    policy_book: PolicyBook
    locator: Locator
    shadow: ShadowReader | None = None
    answer_counts: AnswerCounts | None = None

    def journeys(self, query: JourneyQuery) -> pa.Table:
        """Journeys of ``query.policy`` in (started_at, journey_id) order or its reverse; none where nobody knows the
        policy.

        Raises:
            UsageError: no policy is named. RoutesUnreadable: who answers is not known at this moment.
        """
        if query.policy is None or query.policies is not None or query.unattributed:
            raise UsageError("the door can only be queried for one policy", todo="name one policy")
        known = self.policy_book.terms(query.policy, query.tenant)
        terms = known if query.terms is None else [policy for policy in known if policy.valid_from in query.terms]
        routed = self._routed(terms)
        if not routed:
            return selected(JOURNEY_SCHEMA.empty_table(), query.columns)
        if len(routed) == 1:
            return self._journeys(*routed[0], query)
        # Terms of other products, and policies of other tenants, may be in other slices.
        columns = None if query.columns is None else tuple(dict.fromkeys((*query.columns, *_PLACE)))
        answers = [
            self._journeys(
                *each,
                replace(query, tenant=each[2][0].tenant, terms=tuple(p.valid_from for p in each[2]), columns=columns),
            )
            for each in routed
        ]
        direction = "descending" if query.newest_first else "ascending"
        together = pa.concat_tables(answers).sort_by([(name, direction) for name in _PLACE])
        return selected(together.slice(0, query.limit), query.columns)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        """The journey as a one-row table, following a late fix to its successor; None if unknown or gone, or of no
        policy of the tenant that is given.

        Raises:
            RoutesUnreadable: who answers is not known at this moment.
        """
        located = self.locator.find(journey_id, tenant)
        policy = None if located is None else self._in_force(located)
        if located is not None and tenant is not None and (policy is None or policy.tenant != tenant):
            if located.journey is None:  # given out by legacy: looked for as one that is not there
                self.locator.find_stored(journey_id, tenant)
            located = None
        if located is None:
            return None
        route, name = (None, LEGACY) if policy is None else self._route(policy)
        with _asked(route, name, "journey"):
            side = self._side(route, name)
            answer = located.journey if located.name == name else side.journey(journey_id, tenant)
        if policy is not None:
            question = JourneyAsked(journey_id)
            self._offer(route, policy, question, name, question.table(answer))
        return answer

    def policies(self, number: str | None = None) -> list[Policy]:
        """The terms of the policies with this number, as the sides that answer for them have them; all, as they are at
        hand.

        Raises:
            RoutesUnreadable: who answers is not known at this moment.
        """
        if number is None:
            return list(self.policy_book.all_terms())
        found: dict[PolicyTerm, Policy] = {}
        for route, name, terms in self._routed(self.policy_book.terms(number)):
            tenant = terms[0].tenant
            held = [policy for policy in self._side(route, name).policies(number) if policy.tenant == tenant]
            own = {policy.term for policy in terms}
            found |= {policy.term: policy for policy in held if policy.term in own or policy.term not in found}
            self._offer(route, terms[-1], PolicyAsked(number, tenant), name, None)
        return [found[term] for term in sorted(found)]

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        """The vehicle's fixes with ``first <= fixed_at <= last``, by time.

        A vehicle that goes from a policy of one side to one of another is asked of each for its time.

        Raises:
            RoutesUnreadable: who answers is not known at this moment.
        """
        parts = []
        for policy, route, name, begin, end in self._spans(vehicle, first, last):
            with _asked(route, name, "fixes"):
                parts.append(self._side(route, name).fixes(vehicle, begin, end))
            if policy is not None:
                self._offer(route, policy, FixesAsked(vehicle, begin, end), name, None)
        return parts[0] if len(parts) == 1 else Fixes.concat(parts)

    def refusals(self, query: RefusalQuery) -> Iterator[tuple[str, Refusal]]:
        """What was refused of ``query.vehicle`` in ``[fixed_from, fixed_to)``, by time: each policy's time as the side
        that answers for it has it. Nothing is compared: reconciliation compares the quarantines.

        Raises:
            UsageError: no vehicle or time is named, or not by time. RoutesUnreadable: who answers is not known at
                this moment.
        """
        vehicle, first, end = query.vehicle, query.fixed_from, query.fixed_to
        if vehicle is None or first is None or end is None or not query.by_time:
            raise UsageError("the door reads refusals by vehicle and time, ordered by time", todo="name all of these")
        left = query.limit
        for _, route, name, begin, last in list(self._spans(vehicle, first, end - _TICK)):
            if left == 0 or (query.after_time is not None and last < query.after_time[0]):
                continue
            with _asked(route, name, "refusals"):
                part = replace(query, fixed_from=begin, fixed_to=last + _TICK, limit=left)
                found = list(self._side(route, name).refusals(part))
            yield from found
            left = None if left is None else left - len(found)

    def history(self, journey_id: str) -> list[HistoryEntry]:
        """Former contents under this id, oldest first, as the side has them that answers for the journey that the id
        leads to. Legacy has none.

        Raises:
            RoutesUnreadable: who answers is not known at this moment.
        """
        located = self.locator.find(journey_id)
        policy = None if located is None else self._in_force(located)
        route, name = (None, LEGACY) if policy is None else self._route(policy)
        with _asked(route, name, "history"):
            return self._side(route, name).history(journey_id)

    def answering_name(self, policy: Policy) -> str:
        """The name of the side that answers for the policy now.

        Raises:
            RoutesUnreadable: who answers is not known at this moment.
        """
        return self._route(policy)[1]

    def _journeys(self, route: Route | None, name: str, terms: Sequence[Policy], query: JourneyQuery) -> pa.Table:
        with _asked(route, name, "journeys"):
            answer = self._side(route, name).journeys(query)
        self._offer(route, terms[-1], JourneysAsked(query), name, answer)
        return answer

    def _routed(self, terms: Sequence[Policy]) -> list[tuple[Route | None, str, list[Policy]]]:
        """The terms by tenant and by the route that they take."""
        found: dict[tuple[str, str | None], tuple[Route | None, str, list[Policy]]] = {}
        for policy in terms:
            route, name = self._route(policy)
            key = policy.tenant, None if route is None else route.slice.name
            found.setdefault(key, (route, name, []))[2].append(policy)
        return list(found.values())

    def _route(self, policy: Policy) -> tuple[Route | None, str]:
        route = self.routing.of(policy)
        if route is not None and has_lost_its_store(route):
            told = f"slice {route.slice.name}: its store is {route.detail}"
            raise RoutesUnreadable(told, todo="restore the original store")
        return route, LEGACY if route is None else route.answering_name

    def _side(self, route: Route | None, name: str) -> Side:
        if self.answer_counts is not None:
            self.answer_counts.count(NO_SLICE if route is None else route.slice.name, name)
        return self.sides(name)

    def _offer(
        self, route: Route | None, policy: Policy, question: Question, name: str, answer: pa.Table | None
    ) -> None:
        if self.shadow is not None and route is not None:
            of_number = self.policy_book.now().terms(policy.number)
            self.shadow.offer(route, recorded_name(policy, of_number), question, name, answer)

    def _in_force(self, located: Located) -> Policy | None:
        """The policy under which the journey began, as the book says; a store's word for it may be what is wrong."""
        at_us, vehicle = located.location.started_us, located.location.vehicle
        return _at(self.policy_book.of_vehicles([vehicle]), at_us)

    def _spans(
        self, vehicle: str, first: datetime, last: datetime
    ) -> Iterator[tuple[Policy | None, Route | None, str, datetime, datetime]]:
        """The time cut where the side changes: a policy's time reaches to the beginning of the next one's."""
        held = sorted(self.policy_book.of_vehicles([vehicle]), key=by_time)
        spans = list(_cut(held, first, last))
        routed = [(policy, *((None, LEGACY) if policy is None else self._route(policy))) for policy, _, _ in spans]
        begin = first
        for number, ((policy, route, name), (_, _, end)) in enumerate(zip(routed, spans, strict=True)):
            following = routed[number + 1] if number + 1 < len(routed) else None
            if following is not None and following[2] == name and following[1] is route:
                continue
            yield policy, route, name, begin, end
            begin = end + _TICK


def _asked(route: Route | None, name: str, what: str) -> AbstractContextManager[object]:
    """A span around one question to one side."""
    slice_name, phase = ("", "") if route is None else (route.slice.name, route.phase.value)
    return span("ask", what=what, side=name, slice=slice_name, phase=phase)


def _at(policies: Sequence[Policy], at_us: int) -> Policy | None:
    for policy in policies:
        if to_us(policy.valid_from) <= at_us and (policy.valid_to is None or at_us < to_us(policy.valid_to)):
            return policy
    return None


def _cut(held: Sequence[Policy], first: datetime, last: datetime) -> Iterator[tuple[Policy | None, datetime, datetime]]:
    """(policy, first, last) of each policy's share of the time, at least one."""
    if not held or last < first:
        yield (held[0] if held else None), first, last
        return
    begin = first
    for number, policy in enumerate(held):
        end = last if number + 1 == len(held) else min(last, held[number + 1].valid_from - _TICK)
        if end >= begin:
            yield policy, begin, end
            begin = end + _TICK
