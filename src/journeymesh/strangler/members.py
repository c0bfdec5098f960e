"""The policies of a slice: under which name comparisons of each are recorded, and what is asked to compare it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.questions import JourneysAsked, PolicyAsked, Question
from journeymesh.strangler.slices import Selector


@dataclass(frozen=True, slots=True)
class Member:
    """A policy of a slice. ``terms`` are those of its terms that the slice holds; ``whole`` says that it holds all of
    them, and that no other tenant has a policy of the number."""

    name: str
    terms: tuple[Policy, ...]
    whole: bool

    def questions(self) -> tuple[Question, Question]:
        """What both sides are asked to compare it: for the policy, and for its journeys."""
        number, tenant = self.terms[0].number, self.terms[0].tenant
        if self.whole:
            return PolicyAsked(number), JourneysAsked(JourneyQuery(policy=number))
        begins = tuple(policy.valid_from for policy in self.terms)
        return PolicyAsked(number, tenant), JourneysAsked(JourneyQuery(policy=number, tenant=tenant, terms=begins))


def recorded_name(policy: Policy, of_number: Iterable[Policy]) -> str:
    """The policy's number; with its tenant where another tenant is among those of the number."""
    shared = any(other.tenant != policy.tenant for other in of_number)
    return f"{policy.number} of {policy.tenant}" if shared else policy.number


def members_of(selector: Selector, policies: Sequence[Policy]) -> list[Member]:
    """The policies, among all there are, with a term in the slice."""
    by_number: dict[str, list[Policy]] = {}
    for policy in policies:
        by_number.setdefault(policy.number, []).append(policy)
    found = []
    for terms in by_number.values():
        for tenant in dict.fromkeys(policy.tenant for policy in terms):
            own = tuple(policy for policy in terms if policy.tenant == tenant and selector.holds(policy))
            if own:
                found.append(Member(recorded_name(own[0], terms), own, len(own) == len(terms)))
    return found
