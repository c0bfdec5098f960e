"""Policies that contradict each other: which of them are used."""

from __future__ import annotations

from collections.abc import Iterable

from journeymesh.journeys.policies import Policy, both_of


def without_conflicts(
    policies: Iterable[Policy], standing: Iterable[Policy] = ()
) -> tuple[list[Policy], list[tuple[Policy, str]]]:
    """(the policies that can be used beside each other, the others with why not). Order does not matter.

    Of two policies in force for one device or vehicle at one instant the one that begins first is used, of one term
    given in two ways the first by value; those ``standing`` are used in any case. The same policy given twice is one.

    Where the two are of different tenants, neither is used: whose the vehicle is cannot be told from who begins first.
    """
    given = sorted(policies, key=_order)
    refused = _between_tenants(given)
    contested = {policy.term for policy, _ in refused}
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
            refused.append((policy, f"policy {policy.number} is given twice from one instant on, differently"))
            continue
        if (why := _conflict(policy, by_id)) is not None:
            refused.append((policy, why))
            continue
        _use(policy, terms, by_id)
        used.append(policy)
    return used, refused


def _between_tenants(given: list[Policy]) -> list[tuple[Policy, str]]:
    """Of these policies, in order of their beginnings, those in force at once with another tenant's, and with which."""
    refused: dict[Policy, str] = {}
    by_id: dict[str, list[Policy]] = {}
    for policy in given:
        for name in _names(policy):
            before = by_id.setdefault(name, [])
            for other in before:
                if other.tenant != policy.tenant and (since := _both_from(other, policy)) is not None:
                    why = f"{both_of(other, policy)} in force for {name} from {since}: neither is used"
                    refused.setdefault(other, why)
                    refused.setdefault(policy, why)
            # What is over by now is in force with none that begins later.
            by_id[name] = [each for each in before if each.valid_to is None or each.valid_to > policy.valid_from]
            by_id[name].append(policy)
    return [(policy, refused[policy]) for policy in dict.fromkeys(given) if policy in refused]


def _both_from(one: Policy, other: Policy) -> str | None:
    """From when on both are in force; None: they never are."""
    begins_before = one.valid_to is None or other.valid_from < one.valid_to
    if begins_before and (other.valid_to is None or one.valid_from < other.valid_to):
        return max(one.valid_from, other.valid_from).isoformat()
    return None


def _conflict(policy: Policy, by_id: dict[str, list[Policy]]) -> str | None:
    for name in _names(policy):
        for other in by_id.get(name, ()):
            since = _both_from(other, policy)
            if since is not None:
                which = "the one that begins first is used"
                if other.tenant != policy.tenant:
                    which = "the one that the store has stays"
                return f"{both_of(other, policy)} in force for {name} from {since}: {which}"
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
