"""Policies that contradict each other: which of them are used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from journeymesh.journeys.policies import Policy, both_of


class Contradiction(NamedTuple):
    """A policy that cannot be used beside others. ``reason`` is ``detail`` without the vehicle's or device's name."""

    policy: Policy
    detail: str
    reason: str


def without_conflicts(
    policies: Iterable[Policy], standing: Iterable[Policy] = ()
) -> tuple[list[Policy], list[Contradiction]]:
    """(the policies that can be used beside each other, the others with why not). Order does not matter.

    Of two policies in force for one device or vehicle at one instant the one that begins first is used, of one term
    given in two ways the first by value; those ``standing`` are used in any case. The same policy given twice is one.

    Where the two are of different tenants, neither is used: whose the vehicle is cannot be told from who begins first.
    """
    given = sorted(policies, key=_order)
    refused = _between_tenants(given)
    contested = {each.policy.term for each in refused}
    used: list[Policy] = []
    terms: dict[tuple[object, ...], Policy] = {}
    by_id: dict[str, list[Policy]] = {}
    for policy in standing:
        _use(policy, terms, by_id)
    for policy in given:
        if policy.term in contested:
            continue
        known = terms.get(_term(policy))
        if known == policy:
            if policy not in used:
                used.append(policy)
            continue
        if known is not None:
            twice = f"policy {policy.number} is given twice from one instant on, differently"
            refused.append(Contradiction(policy, twice, twice))
            continue
        if (why := _conflict(policy, by_id)) is not None:
            refused.append(why)
            continue
        _use(policy, terms, by_id)
        used.append(policy)
    return used, refused


def _between_tenants(given: list[Policy]) -> list[Contradiction]:
    """Of these policies, in order of their beginnings, those in force at once with another tenant's, and with which."""
    refused: dict[Policy, Contradiction] = {}
    by_id: dict[str, list[Policy]] = {}
    for policy in given:
        for name in _names(policy):
            before = by_id.setdefault(name, [])
            for other in before:
                if other.tenant != policy.tenant and (since := _both_from(other, policy)) is not None:
                    for one in (other, policy):
                        both = both_of(other, policy)
                        refused.setdefault(one, _contradiction(one, both, name, since, "neither is used"))
            # What is over by now is in force with none that begins later.
            by_id[name] = [each for each in before if each.valid_to is None or each.valid_to > policy.valid_from]
            by_id[name].append(policy)
    return [refused[policy] for policy in dict.fromkeys(given) if policy in refused]


def _contradiction(policy: Policy, both: str, name: str, since: str, which: str) -> Contradiction:
    detail, reason = (f"{both} in force for {one} from {since}: {which}" for one in (name, "one vehicle"))
    return Contradiction(policy, detail, reason)


def _both_from(one: Policy, other: Policy) -> str | None:
    """From when on both are in force; None: they never are."""
    begins_before = one.valid_to is None or other.valid_from < one.valid_to
    if begins_before and (other.valid_to is None or one.valid_from < other.valid_to):
        return max(one.valid_from, other.valid_from).isoformat()
    return None


def _conflict(policy: Policy, by_id: dict[str, list[Policy]]) -> Contradiction | None:
    for name in _names(policy):
        for other in by_id.get(name, ()):
            since = _both_from(other, policy)
            if since is not None:
                which = "the one that begins first is used"
                if other.tenant != policy.tenant:
                    which = "the one that the store has stays"
                return _contradiction(policy, both_of(other, policy), name, since, which)
    return None


def _use(policy: Policy, terms: dict[tuple[object, ...], Policy], by_id: dict[str, list[Policy]]) -> None:
    terms[_term(policy)] = policy
    for name in _names(policy):
        by_id.setdefault(name, []).append(policy)


def _names(policy: Policy) -> list[str]:
    return sorted({name for name in (policy.device, policy.vehicle) if name is not None})


def _term(policy: Policy) -> tuple[object, ...]:
    return policy.number, policy.tenant, policy.valid_from


def _order(policy: Policy) -> tuple[object, ...]:
    return policy.valid_from, policy.number, policy.tenant, repr(policy)
