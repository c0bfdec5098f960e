"""Policies that contradict each other: which of them are used."""

from __future__ import annotations

from collections.abc import Iterable

from journeymesh.journeys.policies import Policy


def without_conflicts(
    policies: Iterable[Policy], standing: Iterable[Policy] = ()
) -> tuple[list[Policy], list[tuple[Policy, str]]]:
    """(the policies that can be used beside each other, the others with why not). Order does not matter.

    Of two policies in force for one device or vehicle at one instant the one that begins first is used, of one term
    given in two ways the first by value; those ``standing`` are used in any case. The same policy given twice is one.
    """
    used: list[Policy] = []
    refused: list[tuple[Policy, str]] = []
    terms: dict[tuple[object, ...], Policy] = {}
    by_id: dict[str, list[Policy]] = {}
    for policy in standing:
        _use(policy, terms, by_id)
    for policy in sorted(policies, key=_order):
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


def _conflict(policy: Policy, by_id: dict[str, list[Policy]]) -> str | None:
    for name in _names(policy):
        for other in by_id.get(name, ()):
            begins_before = other.valid_to is None or policy.valid_from < other.valid_to
            if begins_before and (policy.valid_to is None or other.valid_from < policy.valid_to):
                since = max(policy.valid_from, other.valid_from).isoformat()
                both = f"policies {other.number} and {policy.number} are both"
                if other.number == policy.number:
                    both = f"two terms of policy {policy.number} are"
                return f"{both} in force for {name} from {since}: the one that begins first is used"
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
