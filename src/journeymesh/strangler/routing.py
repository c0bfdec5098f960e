"""Which route a policy's questions take. Found once for each policy and kept until routes or policy change."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.strangler.routes import Route, Routes, RoutesFollower, RoutesUnreadable

_MOST_KEPT: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Kept:
    routes: Routes
    by_term: dict[PolicyTerm, tuple[Policy, Route | None]] = field(default_factory=dict)


@dataclass(slots=True)
class Routing:
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
