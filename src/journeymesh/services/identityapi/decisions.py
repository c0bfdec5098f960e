"""Decisions about others, made for a service or a gateway, and why a decision was made."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from journeymesh.access.decision import Decision
from journeymesh.access.explain import explain
from journeymesh.access.record import RECORD_KIND
from journeymesh.identity.capabilities import capability
from journeymesh.identity.identity import PLATFORM
from journeymesh.ledger.port import AuditRecord
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.problems import (
    NOT_FOUND,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.services.http.queries import json_body
from journeymesh.services.http.requests import HttpRequest, bearer_token
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.identityapi import answers
from journeymesh.services.identityapi.dependencies import answered, dependencies_of, id_of_path
from journeymesh.wire.identity import AsksTaken, AskTaken, DecisionGiven, DecisionsGiven, Explained

_route: Final = partial(HttpRoute, product=PLATFORM, tag="decisions")
_MOST_BATCH_BYTES = 2 << 20
"""A hundred questions, each with a token as long as tokens may be."""
BODY_PROBLEMS = (TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, UNPROCESSABLE)


@_route(
    "POST",
    "/v1/decisions",
    summary="A decision about the bearer of a token",
    capability="decisions:make",
    answers=(Answer(200, "The decision; a denial is one too", {JSON: DecisionGiven}),),
    takes={JSON: AskTaken},
    problems=BODY_PROBLEMS,
)
async def decide(request: HttpRequest, decision: Decision) -> ReadyAnswer:  # noqa: ARG001 - the guard
    """May the bearer of this token do this, for this purpose? The decision is audited as every other, and is told when
    its record is durable. What it obliges to is for the caller to do."""
    body = await json_body(request, AskTaken)
    return answered((await _decided(request, [body]))[0])


@_route(
    "POST",
    "/v1/decisions:batch",
    name="decideBatch",
    summary="Up to a hundred decisions",
    capability="decisions:make",
    answers=(Answer(200, "The decisions, in the order of the questions", {JSON: DecisionsGiven}),),
    takes={JSON: AsksTaken},
    problems=BODY_PROBLEMS,
)
async def decide_batch(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Each is a decision of its own, with its own audit record; the answer comes when all of them are durable."""
    body = await json_body(request, AsksTaken, _MOST_BATCH_BYTES)
    gate: Gate = request.state["gate"]  # each counts as a request
    gate.charge(decision.identity, len(body.asks) - 1)
    return answered(DecisionsGiven(items=await _decided(request, body.asks)))


@_route(
    "GET",
    "/v1/decisions/{decision_id}/explain",
    name="explain",
    summary="Why a decision was made",
    capability="decisions:explain",
    answers=(Answer(200, "The reasons in words", {JSON: Explained}),),
    path_told={"decision_id": "the decision's id, as every denial tells it"},
    problems=(NOT_FOUND,),
)
async def explain_decision(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """From its audit record. Decisions about another tenant's people are not found."""
    deps = dependencies_of(request)
    record = await deps.in_thread(deps.audit.find, id_of_path(request, "decision_id"))
    if record is None or record.kind != RECORD_KIND or not of_tenant(record, decision):
        raise ProblemRaised(NOT_FOUND)
    return answered(answers.explained(record, explain(record.body)))


def of_tenant(record: AuditRecord, decision: Decision) -> bool:
    """Whether the record is about nobody of another tenant than the one who reads it."""
    assert decision.identity is not None
    return record.body.get("tenant") in (None, decision.identity.tenant)


async def _decided(request: HttpRequest, asks: list[AskTaken]) -> list[DecisionGiven]:
    """The decisions, their audit records durable.

    Raises:
        AuditUnwritable: one of the records is not.
    """
    deps, metrics = dependencies_of(request), request.state["metrics"]
    callers = bearer_token(request.scope)
    made = await deps.in_thread(
        lambda: [
            deps.decisions.decide(callers if each.token is None else each.token, answers.question(each))
            for each in asks
        ]
    )
    for asked, decision in zip(asks, made, strict=True):
        known = capability(asked.product, asked.capability)
        metrics.decided("unknown" if known is None else known.name, decision.reason.value)
    await asyncio.shield(asyncio.gather(*(asyncio.wrap_future(decision.recorded) for decision in made)))
    return [answers.decision(each) for each in made]


ROUTES = (decide, decide_batch, explain_decision)
