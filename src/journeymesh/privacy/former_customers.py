"""Who is a former customer: whose terms ended long enough ago, and what keeps them nevertheless."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from journeymesh.journeys.policies import Policy, by_time

_WAITS: Final = "of a policy of the same person it is undecided whose the one that followed is"


class CustomerState(StrEnum):
    """What becomes of a customer whose terms ended long enough ago."""

    due = "due"
    held = "held"
    undecided = "undecided"
    renewed = "renewed"


class PolicyName(NamedTuple):
    """What names a policy, whatever its terms."""

    tenant: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """Why a policy's data stays: who said so, and until when; None: until it is released."""

    who: str
    why: str
    until: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """Whether it keeps the data at this instant."""
        return self.until is None or now < self.until


class Succession(NamedTuple):
    """A policy and another one of the tenant that followed on its device or vehicle, by their numbers."""

    tenant: str
    number: str
    successor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessorDecision:
    """Whether one successor on the same device or vehicle is the same person. It says nothing of later ones."""

    same_person: bool
    who: str
    why: str


@dataclass(frozen=True, slots=True)
class FormerCustomer:
    """A policy all of whose terms ended more than the contract's days ago."""

    policy: PolicyName = field(repr=False)
    terms: tuple[Policy, ...] = field(repr=False)
    ended_at: datetime
    state: CustomerState
    because: str = field(default="", repr=False)


def former_customers(
    policies: Iterable[Policy],
    *,
    ended_before: datetime,
    now: datetime,
    holds: Mapping[PolicyName, LegalHold],
    decisions: Mapping[Succession, SuccessorDecision],
) -> list[FormerCustomer]:
    """The policies whose last term ended before ``ended_before``, by their names.

    A renewal under the same number is no former customer: one term that is in force, or ended since, keeps them all.
    Another number of the same tenant on the same device or vehicle, behind it, may be the same person's: that is
    undecided until somebody says so of these two. Who is the same person as a successor is the same as that one's, too:
    whose successor is undecided is so as well.
    """
    by_policy: dict[PolicyName, list[Policy]] = {}
    by_carrier: dict[tuple[str, str], list[Policy]] = {}
    for policy in policies:
        by_policy.setdefault(PolicyName(policy.tenant, policy.number), []).append(policy)
        for carrier in {policy.device, policy.vehicle} - {None}:
            by_carrier.setdefault((policy.tenant, str(carrier)), []).append(policy)
    former = {name: end for name, terms in by_policy.items() if (end := _end(terms)) is not None and end < ended_before}
    successors = {name: _successors(by_policy[name], by_carrier) for name in former}
    current = _same_as_any(set(by_policy) - set(former), decisions)
    # Holds are left out: whose hold it is says nothing of who the successor is.
    states = {name: _state(name, successors[name], {}, decisions, now)[0] for name in former if name not in current}
    waiting = _same_as_any((name for name, state in states.items() if state is CustomerState.undecided), decisions)
    found = []
    for name, ended_at in sorted(former.items()):
        terms = by_policy[name]
        state, because = _state(name, successors[name], holds, decisions, now)
        if state is not CustomerState.held and name in current:
            state, because = CustomerState.renewed, current[name]
        elif state is CustomerState.due and name in waiting:
            state, because = CustomerState.undecided, _WAITS
        found.append(FormerCustomer(name, tuple(sorted(terms, key=by_time)), ended_at, state, because))
    return found


def _end(terms: Sequence[Policy]) -> datetime | None:
    """When the last of the terms ended; None: one has no end."""
    ends = [term.valid_to for term in terms if term.valid_to is not None]
    return max(ends) if len(ends) == len(terms) else None


def _same_as_any(
    policies: Iterable[PolicyName], decisions: Mapping[Succession, SuccessorDecision]
) -> dict[PolicyName, str]:
    """Predecessors of these policies that are the same person's by decisions, over any number of steps, and why."""
    before: dict[PolicyName, list[tuple[PolicyName, str]]] = {}
    for pair, decision in decisions.items():
        if decision.same_person:
            predecessor = PolicyName(pair.tenant, pair.number), f"{decision.why} ({decision.who})"
            before.setdefault(PolicyName(pair.tenant, pair.successor), []).append(predecessor)
    found: dict[PolicyName, str] = {}
    waiting = list(policies)
    while waiting:
        for name, because in before.get(waiting.pop(), ()):
            if name not in found:
                found[name] = because
                waiting.append(name)
    return found


def _state(
    name: PolicyName,
    successors: Sequence[Policy],
    holds: Mapping[PolicyName, LegalHold],
    decisions: Mapping[Succession, SuccessorDecision],
    now: datetime,
) -> tuple[CustomerState, str]:
    """Held, undecided or due, and because of what. Of successors each has to be decided."""
    hold = holds.get(name)
    if hold is not None and hold.is_in_force(now):
        until = "" if hold.until is None else f" until {hold.until.date().isoformat()}"
        return CustomerState.held, f"{hold.why} ({hold.who}){until}"
    because = ""
    for number in dict.fromkeys(policy.number for policy in successors):
        decision = decisions.get(Succession(*name, number))
        if decision is None:
            return CustomerState.undecided, f"policy {number} followed on the same device or vehicle"
        because = f"{decision.why} ({decision.who})"
    return CustomerState.due, because


def _successors(terms: Sequence[Policy], by_carrier: Mapping[tuple[str, str], Sequence[Policy]]) -> list[Policy]:
    """Terms of other policies of the tenant, on a device or vehicle of these, that began behind their first."""
    first = min(term.valid_from for term in terms)
    others = {
        other.term: other
        for term in terms
        for name in {term.device, term.vehicle} - {None}
        for other in by_carrier.get((term.tenant, str(name)), ())
        if other.number != term.number and other.valid_from > first
    }
    return sorted(others.values(), key=by_time)


def ended_before(now: datetime, keep_after_end_days: int) -> datetime:
    """The instant before which a last term has to have ended."""
    return now - timedelta(days=keep_after_end_days)
