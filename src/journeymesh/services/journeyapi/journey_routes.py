"""One journey, and where it went."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.access.record import NOBODYS
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.journeys.policies import Policy, PolicyTerm
from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.negotiation import chosen
from journeymesh.services.http.problems import NOT_ACCEPTABLE, NOT_FOUND, PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.requests import HttpRequest, headers_joined
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    look_again,
    obliged,
    read_answer,
    remembered_unchanged,
    state_of,
)
from journeymesh.services.journeyapi.rendering import JSON, OFFERED, json_object, tables, whole
from journeymesh.services.journeyapi.schemas import Fix, FixPage, Journey
from journeymesh.strangler.questions import fix_table

_FOUND: Final = "journeymesh.journey"
"""The key in a request's scope of the journey that was read to know its policy."""
_LOOKED_FOR: Final = "journeymesh.looked_for"
"""The key in a request's scope that is there once its journey was looked for in the store."""
_HEADERS: Final = {"ETag": "names what the caller sees"}
_CONDITION: Final = {"If-None-Match": ("entity tags of what the caller has", False)}


def _about(capability: str) -> Any:
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
            decision = await gate.decided(scope, JOURNEYS, capability)
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


def _in_vain(capability: str) -> Any:
    async def look_for_it(request: HttpRequest) -> None:
        """A journey that may not be known of, and was remembered, is looked for all the same: its refusal costs what
        that of an unknown one does."""
        deps, scope = dependencies_of(request), request.scope
        if not scope.get(_LOOKED_FOR):
            gate: Gate = request.state["gate"]
            await gate.decided(scope, JOURNEYS, capability)
            await deps.threads.run(deps.reads.journey, request.path_params["journey"], NOBODYS)
        await look_again(request)

    return look_for_it


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}",
    summary="One journey",
    tag="journeys",
    capability="journeys:read",
    about=_about("journeys:read"),
    in_vain=_in_vain("journeys:read"),
    answers=(
        Answer(200, "The journey", {JSON: Journey}, _HEADERS),
        Answer(304, "The caller has it already", {}, _HEADERS),
    ),
    path_told={"journey": "the journey's id; one that a late fix made obsolete leads to its successor"},
    headers=_CONDITION,
    problems=(NOT_ACCEPTABLE, PRECONDITION_FAILED),
)
async def journey(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """The journey with all its fields."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    journey_id = request.path_params["journey"]
    chosen(headers_joined(scope, b"accept"), (JSON,))
    state = state_of(deps, decision, policy, "journey", journey_id)
    if (held := remembered_unchanged(deps, scope, state)) is not None:
        return held
    table = obliged(await _journey(deps, scope, journey_id, policy), decision, policy)
    if not len(table):
        raise ProblemRaised(NOT_FOUND)
    return read_answer(deps, scope, state, json_object(table), JSON)


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}/track",
    summary="Where a journey went, fix by fix",
    tag="journeys",
    capability="tracks:read",
    about=_about("tracks:read"),
    in_vain=_in_vain("tracks:read"),
    answers=(
        Answer(200, "Fixes by time", tables(FixPage, Fix), _HEADERS),
        Answer(304, "The caller has them already", {}, _HEADERS),
    ),
    path_told={"journey": "the journey's id"},
    headers={**_CONDITION, "Accept": ("the media type of the answer", False)},
    problems=(NOT_ACCEPTABLE, PRECONDITION_FAILED),
)
async def track(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """The fixes that are kept of the journey's time; none where fixes are no longer kept."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    journey_id = request.path_params["journey"]
    media = chosen(headers_joined(scope, b"accept"), OFFERED)
    state = state_of(deps, decision, policy, "track", journey_id, media)
    if (held := remembered_unchanged(deps, scope, state)) is not None:
        return held
    row = await _journey(deps, scope, journey_id, policy)
    span = row["vehicle"][0].as_py(), row["started_at"][0].as_py(), row["ended_at"][0].as_py()
    body = await deps.threads.run(_track, deps, decision, policy, media, *span)
    return read_answer(deps, scope, state, body, media)


def _track(
    deps: Dependencies,
    decision: Decision,
    policy: Admitted,
    media: str,
    vehicle: str,
    first: datetime,
    last: datetime,
) -> bytes:
    return whole(media, obliged(fix_table(deps.reads.fixes(vehicle, first, last)), decision, policy))


def _term(journey: pa.Table) -> PolicyTerm | None:
    """The term that the journey says it is of; None: of none."""
    (row,) = journey.select(["policy", "tenant", "policy_from"]).to_pylist()
    return None if row["policy"] is None else PolicyTerm(row["policy"], row["tenant"], row["policy_from"])


async def _journey(deps: Dependencies, scope: Any, journey_id: str, policy: Admitted) -> pa.Table:
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


ROUTES: Final = (journey, track)
