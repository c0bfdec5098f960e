"""Decisions about others, made for a service or a gateway, and why a decision was made."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request, get, post
from litestar.response.base import ASGIResponse

from journeymesh.access.explain import explain
from journeymesh.access.record import RECORD_KIND
from journeymesh.identity.capabilities import capability
from journeymesh.ledger.port import AuditRecord
from journeymesh.services.http.gate import Decided, Gate
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.http.problems import (
    NOT_FOUND,
    TOO_LARGE,
    UNPROCESSABLE,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemRaised,
)
from journeymesh.services.http.queries import json_body
from journeymesh.services.http.requests import bearer_token
from journeymesh.services.identityapi.answers import AsksTaken, AskTaken, DecisionGiven, DecisionsGiven, Explained
from journeymesh.services.identityapi.parts import answered, guarded, id_of_path, parts_of

_MOST_BATCH_BYTES = 2 << 20
"""A hundred questions, each with a token as long as tokens may be."""
BODY_PROBLEMS = (TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, UNPROCESSABLE)


@post(
    "/v1/decisions",
    operation_id="decide",
    summary="A decision about the bearer of a token",
    tags=["decisions"],
    status_code=200,
    **guarded(
        "decisions:make",
        answers=(Answer(200, "The decision; a denial is one too", {JSON: DecisionGiven}),),
        takes={JSON: AskTaken},
        problems=BODY_PROBLEMS,
    ),
)
async def decide(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:  # noqa: ARG001 - the guard
    """May the bearer of this token do this, for this purpose? The decision is audited as every other, and is told when
    its record is durable. What it obliges to is for the caller to do."""
    body = await json_body(request, AskTaken)
    return answered((await _decided(request, [body]))[0])


@post(
    "/v1/decisions:batch",
    operation_id="decideBatch",
    summary="Up to a hundred decisions",
    tags=["decisions"],
    status_code=200,
    **guarded(
        "decisions:make",
        answers=(Answer(200, "The decisions, in the order of the questions", {JSON: DecisionsGiven}),),
        takes={JSON: AsksTaken},
        problems=BODY_PROBLEMS,
    ),
)
async def decide_batch(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """Each is a decision of its own, with its own audit record; the answer comes when all of them are durable."""
    body = await json_body(request, AsksTaken, _MOST_BATCH_BYTES)
    gate: Gate = request.app.state["gate"]  # each counts as a request
    gate.charge(decision.identity, len(body.asks) - 1)
    return answered(DecisionsGiven(items=await _decided(request, body.asks)))


@get(
    "/v1/decisions/{decision_id:str}/explain",
    operation_id="explain",
    summary="Why a decision was made",
    tags=["decisions"],
    **guarded(
        "decisions:explain",
        answers=(Answer(200, "The reasons in words", {JSON: Explained}),),
        path={"decision_id": "the decision's id, as every denial tells it"},
        problems=(NOT_FOUND,),
    ),
)
async def explain_decision(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """From its audit record. Decisions about another tenant's people are not found."""
    parts = parts_of(request)
    record = await parts.in_thread(parts.audit.find, id_of_path(request, "decision_id"))
    if record is None or record.kind != RECORD_KIND or not of_tenant(record, decision):
        raise ProblemRaised(NOT_FOUND)
    return answered(Explained.of(record, explain(record.body)))


def of_tenant(record: AuditRecord, decision: Decided) -> bool:
    """Whether the record is about nobody of another tenant than the one who reads it."""
    assert decision.identity is not None
    return record.body.get("tenant") in (None, decision.identity.tenant)


async def _decided(request: Request[Any, Any, Any], asks: list[AskTaken]) -> list[DecisionGiven]:
    """The decisions, their audit records durable.

    Raises:
        AuditUnwritable: one of the records is not.
    """
    parts, metrics = parts_of(request), request.app.state["metrics"]
    callers = bearer_token(request.scope)
    made = await parts.in_thread(
        lambda: [parts.decisions.decide(callers if each.token is None else each.token, each.ask()) for each in asks]
    )
    for asked, decision in zip(asks, made, strict=True):
        known = capability(asked.product, asked.capability)
        metrics.decided("unknown" if known is None else known.name, decision.reason.value)
    await asyncio.shield(asyncio.gather(*(asyncio.wrap_future(decision.recorded) for decision in made)))
    return [DecisionGiven.of(decision) for decision in made]


ROUTES = (decide, decide_batch, explain_decision)
