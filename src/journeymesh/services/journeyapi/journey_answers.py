"""What the routes about one journey share: the policy's term that it is of, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import pyarrow as pa

from journeymesh.access.record import NOBODYS
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.problems import NOT_FOUND, ProblemRaised
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.journeyapi.policy_answers import Admitted, Dependencies, dependencies_of, look_again

Capability = str | Callable[[HttpRequest], str]
"""The capability that a route's requests need, or what says which one a request needs."""

_FOUND: Final = "journeymesh.journey"
"""The key in a request's scope of the journey that was read to know its policy."""
_LOOKED_FOR: Final = "journeymesh.looked_for"
"""The key in a request's scope that is there once its journey was looked for in the store."""


def about_journey(capability: Capability) -> Any:
    """What finds the policy's term that a request about a journey is about."""

    async def term_of_journey(request: HttpRequest) -> Sequence[Policy]:
        """The term of the policy that the journey is of, which is judged by itself. Where that is not remembered, or
        remembered as another tenant's, the journey is read among those of the caller's tenant, for callers only who may
        read journeys of some policy: the decision about that comes first. So another tenant's journey is looked for as
        one that is not there."""
        deps, scope = dependencies_of(request), request.scope
        gate: Gate = request.state["gate"]
        journey_id = request.path_params["journey"]
        term = deps.terms.get(journey_id)
        if term is None or term.tenant != gate.tenant_of(scope):
            decision = await gate.decided(scope, JOURNEYS, _named(capability, request))
            tenant = "" if decision.identity is None else decision.identity.tenant
            found = await deps.threads.run(deps.reads.journey, journey_id, tenant)
            scope[_LOOKED_FOR] = True
            if found is None:
                return () if term is None else deps.policies.known(term.number, term.tenant)
            scope[_FOUND] = found
            term = _term(found)
            if term is None:
                return ()
            deps.terms.put(journey_id, term)
        known = deps.policies.known(term.number, term.tenant)
        # A beginning that is not known at this moment: of a single term it was corrected, else it could be any's.
        return known if len(known) == 1 else [policy for policy in known if policy.term == term]

    return term_of_journey


def journey_in_vain(capability: Capability) -> Any:
    """What takes the time of finding a journey that is not to be told of."""

    async def look_for_it(request: HttpRequest) -> None:
        """A journey that may not be known of, and was remembered, is looked for all the same: its refusal costs what
        that of an unknown one does."""
        deps, scope = dependencies_of(request), request.scope
        if not scope.get(_LOOKED_FOR):
            gate: Gate = request.state["gate"]
            await gate.decided(scope, JOURNEYS, _named(capability, request))
            await deps.threads.run(deps.reads.journey, request.path_params["journey"], NOBODYS)
        await look_again(request)

    return look_for_it


def _term(journey: pa.Table) -> PolicyTerm | None:
    """The term that the journey says it is of; None: of none."""
    (row,) = journey.select(["policy", "tenant", "policy_from"]).to_pylist()
    return None if row["policy"] is None else PolicyTerm(row["policy"], row["tenant"], row["policy_from"])


async def journey_of(deps: Dependencies, scope: Any, journey_id: str, policy: Admitted) -> pa.Table:
    """The journey, where it is of the term that was decided about.

    Raises:
        ProblemRaised: it is gone, or of another term by now; asked again, that one is decided about.
    """
    found = scope.get(_FOUND)
    if found is None:
        found = await deps.threads.run(deps.reads.journey, journey_id, policy.tenant)
    term = None if found is None else _term(found)
    if term is None or term != deps.terms.get(journey_id) or term[:2] != (policy.number, policy.tenant):
        deps.terms.discard(journey_id)
        raise ProblemRaised(NOT_FOUND)
    return found


def _named(capability: Capability, request: HttpRequest) -> str:
    return capability if isinstance(capability, str) else capability(request)
