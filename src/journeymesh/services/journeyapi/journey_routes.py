"""One journey, and where it went."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from journeymesh.access.decision import Decision
from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.negotiation import chosen
from journeymesh.services.http.problems import NOT_ACCEPTABLE, NOT_FOUND, PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.requests import HttpRequest, headers_joined
from journeymesh.services.http.routes import ENTITY_TAG, IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.journey_answers import about_journey, journey_in_vain, journey_of
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    obliged,
    read_answer,
    remembered_unchanged,
    state_of,
)
from journeymesh.services.journeyapi.rendering import JSON, OFFERED, json_object, tables, whole
from journeymesh.services.journeyapi.schemas import Fix, FixPage, Journey
from journeymesh.strangler.questions import fix_table


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}",
    summary="One journey",
    tag="journeys",
    capability="journeys:read",
    about=about_journey("journeys:read"),
    in_vain=journey_in_vain("journeys:read"),
    answers=(
        Answer(200, "The journey", {JSON: Journey}, ENTITY_TAG),
        Answer(304, "The caller has it already", {}, ENTITY_TAG),
    ),
    path_told={"journey": "the journey's id; one that a late fix made obsolete leads to its successor"},
    headers=IF_NONE_MATCH,
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
    table = obliged(await journey_of(deps, scope, journey_id, policy), decision, policy)
    if not len(table):
        raise ProblemRaised(NOT_FOUND)
    return read_answer(deps, scope, state, json_object(table), JSON)


@HttpRoute(
    "GET",
    "/v1/journeys/{journey}/track",
    summary="Where a journey went, fix by fix",
    tag="journeys",
    capability="tracks:read",
    about=about_journey("tracks:read"),
    in_vain=journey_in_vain("tracks:read"),
    answers=(
        Answer(200, "Fixes by time", tables(FixPage, Fix), ENTITY_TAG),
        Answer(304, "The caller has them already", {}, ENTITY_TAG),
    ),
    path_told={"journey": "the journey's id"},
    headers={**IF_NONE_MATCH, "Accept": ("the media type of the answer", False)},
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
    row = await journey_of(deps, scope, journey_id, policy)
    body = await deps.threads.run(_track, deps, decision, policy, media, row)
    return read_answer(deps, scope, state, body, media)


def _track(deps: Dependencies, decision: Decision, policy: Admitted, media: str, journey: pa.Table) -> bytes:
    """The fixes of a one-row table's journey."""
    vehicle, first, last = (journey[name][0].as_py() for name in ("vehicle", "started_at", "ended_at"))
    return whole(media, obliged(fix_table(deps.reads.fixes(vehicle, first, last)), decision, policy))


ROUTES: Final = (journey, track)
