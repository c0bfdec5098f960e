"""A policy's score: what it is made of, by which rules, and what would change it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from journeymesh.access.decision import Decision
from journeymesh.journeys.answers import plain
from journeymesh.journeys.score_changes import score_changes
from journeymesh.journeys.summaries import SUMMED_COLUMNS, summarise_each
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.problems import PRECONDITION_FAILED, RULES_CONFLICT
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import ENTITY_TAG, IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.policy_answers import (
    Admitted,
    Dependencies,
    admitted,
    dependencies_of,
    look_again,
    obliged,
    policies_of_path,
    read_answer,
    remembered_unchanged,
    state_of,
)
from journeymesh.stores.port import JourneyQuery
from journeymesh.wire.journeys import PolicyScore, ScoreChangeGiven, ScorePartGiven


@HttpRoute(
    "GET",
    "/v1/policies/{policy}/score",
    summary="A policy's score, and what would change it",
    tag="policies",
    capability="summaries:read",
    about=policies_of_path,
    in_vain=look_again,
    answers=(
        Answer(200, "The score of the latest term", {JSON: PolicyScore}, ENTITY_TAG),
        Answer(304, "The caller has it already", {}, ENTITY_TAG),
    ),
    path_told={"policy": "the number of a policy of the caller's tenant"},
    headers=IF_NONE_MATCH,
    problems=(PRECONDITION_FAILED, RULES_CONFLICT),
)
async def score(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """The score of the latest term with its parts, each part's rule, and how the score would rise if there were less
    of one part, by the same formula. All null and empty where there are no journeys, or where the purpose hides it."""
    deps, scope = dependencies_of(request), request.scope
    policy = admitted(decision)
    state = state_of(deps, decision, policy, "score")
    if (held := remembered_unchanged(deps, scope, state)) is not None:
        return held
    return read_answer(deps, scope, state, await deps.threads.run(_scored, deps, decision, policy), JSON)


def _scored(deps: Dependencies, decision: Decision, policy: Admitted) -> bytes:
    found = deps.reads.journeys(
        JourneyQuery(policy=policy.number, tenant=policy.tenant, terms=policy.begins, columns=SUMMED_COLUMNS)
    )
    rules = deps.config.score
    terms = obliged(summarise_each(found, policy.terms, "term", rules), decision, policy)
    row: dict[str, Any] = terms.slice(len(terms) - 1, 1).to_pylist()[0] if len(terms) else {}
    parts = row.get("score_parts") or []
    changes = score_changes({part["part"]: part["value"] for part in parts}, rules)
    answer = PolicyScore(
        period_from=row.get("period_from"),
        period_to=row.get("period_to"),
        score=row.get("score"),
        parts=[
            ScorePartGiven(**part, best=getattr(rules, part["part"]).best, worst=getattr(rules, part["part"]).worst)
            for part in parts
        ],
        changes=[msgspec.convert(change, ScoreChangeGiven, from_attributes=True) for change in changes],
    )
    return msgspec.json.encode(plain(msgspec.to_builtins(answer)))


ROUTES: Final = (score,)
