"""The policies that a caller may know, and where a listing over them goes on."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from time import monotonic
from typing import Any, Final

from journeymesh.access.decision import Decision
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.lru import LruCache

MOST_CALLERS: Final = 32
"""Callers and purposes whose policies are remembered: about 8 bytes a policy for each."""
JUDGED_ANEW_S: Final = 60.0
"""So long it is remembered at most what a caller may know."""
_WHOLE: Final = datetime(9999, 12, 31, tzinfo=UTC)
_EMPTY: Final = "\0"

Sealed = tuple[datetime, str]
"""What a cursor holds: an instant and a text."""


@dataclass(slots=True)
class KnownPolicies:
    """Which policies a decision lets its caller know of, in the order of listings. It is remembered for the latest
    callers while the policies at hand are the same, so that a page costs the same whatever lies hidden beside it; but
    for ``JUDGED_ANEW_S`` at most: what a passing fault denied is not hidden for longer.

    Safe for several threads: at worst two of them find out the same.
    """

    clock_s: Callable[[], float] = monotonic
    _known: LruCache[tuple[object, ...], tuple[Sequence[Policy], tuple[Policy, ...], float]] = field(
        default_factory=lambda: LruCache(MOST_CALLERS)
    )

    _by_term: LruCache[int, tuple[Sequence[Policy], Mapping[PolicyTerm, Policy]]] = field(
        default_factory=lambda: LruCache(MOST_CALLERS)
    )

    def by_term(self, policies: Sequence[Policy]) -> Mapping[PolicyTerm, Policy]:
        """These policies by their terms, remembered where ``of`` gave them."""
        held = self._by_term.get(id(policies))
        if held is not None and held[0] is policies:
            return held[1]
        found = {policy.term: policy for policy in policies}
        if isinstance(policies, tuple):
            self._by_term.put(id(policies), (policies, found))
        return found

    def of(self, decision: Decision, every: Sequence[Policy]) -> tuple[Policy, ...]:
        """Those of ``every`` that may be known, by number, tenant and beginning: the same object while they are the
        same policies."""
        key, now_s = caller_of(decision), self.clock_s()
        held = self._known.get(key)
        if held is not None and held[0] is every and now_s - held[2] < JUDGED_ANEW_S:
            return held[1]
        found = tuple(sorted((policy for policy in every if decision.admits(policy)), key=_term))
        if held is not None and held[0] is every and held[1] == found:
            found = held[1]
        self._known.put(key, (every, found, now_s))
        return found


@dataclass(frozen=True, slots=True)
class ComparedPolicies:
    """What a policy is compared with: by number the figures of each policy's latest term, in the order of numbers, of
    which at most ``most`` count; and the numbers of those left out, whose latest term has journeys of
    ``several_versions`` of the rules."""

    rows: Mapping[str, Mapping[str, Any]]
    several_versions: frozenset[str]
    most: int


@dataclass(slots=True)
class ComparedBooks:
    """What callers' policies are compared with, remembered for as long as the policies that may be known are the same
    and so are the versions of the data of those that are looked at.

    Safe for several threads: at worst two of them read the same.
    """

    _books: LruCache[tuple[object, ...], tuple[Sequence[Policy], tuple[str, ...], ComparedPolicies]] = field(
        default_factory=lambda: LruCache(MOST_CALLERS)
    )

    def of(
        self,
        key: tuple[object, ...],
        present: tuple[Sequence[Policy], tuple[str, ...] | None],
        read: Callable[[], ComparedPolicies],
    ) -> ComparedPolicies:
        """What is remembered by this key of the ``present`` policies and versions, or what ``read`` gives. Without
        versions (None) it is read. ``present`` is of before ``read``, so that what is read is at most newer."""
        (known, versions), remembered = present, self._books.get(key)
        if remembered is not None and remembered[0] is known and remembered[1] == versions:
            return remembered[2]
        found = read()
        if versions is not None:
            self._books.put(key, (known, versions, found))
        return found


def caller_of(decision: Decision) -> tuple[object, ...]:
    """A key of all that what may be known depends on, besides the policies."""
    ask, identity = decision.ask, decision.identity
    who = None if identity is None else (identity.provider, identity.subject, identity.tenant, identity.domains)
    return who, ask.product, ask.capability, ask.purpose, decision.approval_id, decision.obligations.digest


def _term(policy: Policy) -> tuple[str, str, datetime]:
    return policy.number, policy.tenant, policy.valid_from


def _whose(policy: Policy) -> tuple[str, str]:
    return policy.number, policy.tenant


def behind_term(policies: Sequence[Policy], sealed: Sealed | None) -> Sequence[Policy]:
    """The policies behind the one that ``after_term`` sealed."""
    if sealed is None:
        return policies
    number, tenant = sealed[1].split(_EMPTY, 1)
    return policies[bisect_right(policies, (number, tenant, sealed[0]), key=_term) :]


def after_term(policy: Policy) -> Sealed:
    """Behind this policy."""
    return policy.valid_from, _EMPTY.join(_whose(policy))


def behind_row(policies: Sequence[Policy], sealed: Sealed | None) -> Sequence[Policy]:
    """The policies at which a listing of summaries goes on: the first may have been listed in part."""
    if sealed is None:
        return policies
    number, tenant = sealed[1].split(_EMPTY, 1)
    place = bisect_right if sealed[0] == _WHOLE else bisect_left
    return policies[place(policies, (number, tenant), key=_whose) :]


def after_row(number: str, tenant: str, period_from: date) -> Sealed:
    """Behind this policy's row of this period."""
    return datetime.combine(period_from, time(0), UTC), _EMPTY.join((number, tenant))


def after_policy(policy: Policy) -> Sealed:
    """Behind all rows of this policy."""
    return _WHOLE, _EMPTY.join(_whose(policy))


def some_policies(policies: Sequence[Policy], most: int) -> Sequence[Policy]:
    """The first ``most`` of them, and all further terms of the last."""
    end = most
    while 0 < end < len(policies) and _whose(policies[end]) == _whose(policies[end - 1]):
        end += 1
    return policies[:end]
