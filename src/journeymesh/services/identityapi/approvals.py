"""Approvals: asked for, approved or rejected, acknowledged, revoked. Who does it is what the token says, no body."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final

import msgspec

from journeymesh.access.decision import Decision
from journeymesh.errors import JourneymeshError
from journeymesh.field_copies import copy_fields
from journeymesh.governance.approval_records import ApprovalQuery
from journeymesh.governance.approvals import (
    Approval,
    ApprovalAction,
    Person,
    RequestInvalid,
    StepNotPossible,
    StepNotTheirs,
    Wish,
    permitted_steps,
)
from journeymesh.identity.identity import PLATFORM
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.problems import (
    CONFLICT,
    CURSOR_REFUSED,
    MALFORMED,
    NOT_FOUND,
    NOT_YOURS,
    UNPROCESSABLE,
    ProblemRaised,
)
from journeymesh.services.http.queries import json_body, query_of
from journeymesh.services.http.requests import HttpRequest, bearer_token
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.identityapi import answers
from journeymesh.services.identityapi.decisions import BODY_PROBLEMS
from journeymesh.services.identityapi.dependencies import IdentityDependencies, answered, dependencies_of, id_of_path
from journeymesh.wire.identity import (
    ApprovalGiven,
    ApprovalPage,
    ApprovalTaken,
    ApprovalTold,
    Name,
    State,
    StepBody,
)

_route: Final = partial(HttpRoute, product=PLATFORM, tag="approvals")
AUDIT_KIND: Final = "approval"
"""The kind of audit records of approvals' steps."""
_ID: Final = {"approval_id": "the approval's id"}
CAPABILITY_OF: Final = {
    ApprovalAction.APPROVE: "approvals:decide",
    ApprovalAction.REJECT: "approvals:decide",
    ApprovalAction.ACKNOWLEDGE: "approvals:request",
    ApprovalAction.REVOKE: "approvals:decide",
}
"""What each step needs besides being the caller's to take."""
_KINDS: Final = {RequestInvalid: UNPROCESSABLE, StepNotTheirs: NOT_YOURS, StepNotPossible: CONFLICT}


class ApprovalsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals; ``state`` is that of now."""

    product: Name | None = None
    purpose: Name | None = None
    domain: Name | None = None
    state: State | None = None
    after: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


@_route(
    "GET",
    "/v1/approvals",
    summary="The approvals of one's tenant, newest request first",
    capability="approvals:read",
    answers=(Answer(200, "A page of approvals", {JSON: ApprovalPage}),),
    query=ApprovalsAsked,
    problems=(CURSOR_REFUSED,),
)
async def approvals(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Who was approved, or asks to be, for which purpose."""
    asked = query_of(request.scope, ApprovalsAsked)
    if asked.state is not None and asked.state not in State:
        raise ProblemRaised(MALFORMED, "query: there is no such state")
    deps, tenant = dependencies_of(request), person_of(decision).tenant
    after = None if asked.after is None else await deps.in_thread(deps.approvals.find, asked.after, tenant=tenant)
    if asked.after is not None and after is None:
        raise ProblemRaised(CURSOR_REFUSED)
    query = copy_fields(ApprovalQuery, asked, tenant=tenant, after=after)
    found = await deps.in_thread(deps.approvals.query, query)
    more = len(found) == asked.limit
    given = await _giving(request, decision)
    return answered(ApprovalPage(items=[given(each) for each in found], next=found[-1].id if more else None))


@_route(
    "GET",
    "/v1/approvals/{approval_id}",
    summary="An approval and every step of it",
    capability="approvals:read",
    answers=(Answer(200, "The approval", {JSON: ApprovalTold}),),
    path_told=_ID,
    problems=(NOT_FOUND,),
)
async def approval(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """With who took each step, when and why. Another tenant's is not found."""
    deps, approval_id = dependencies_of(request), id_of_path(request, "approval_id")
    found = await deps.in_thread(deps.approvals.find, approval_id, tenant=person_of(decision).tenant)
    if found is None:
        raise ProblemRaised(NOT_FOUND)
    history = await deps.in_thread(deps.approvals.history, approval_id)
    given = await _giving(request, decision)
    return answered(ApprovalTold(approval=given(found), history=[answers.step(each) for each in history]))


@_route(
    "POST",
    "/v1/approvals",
    name="requestApproval",
    summary="Ask for the approval of a purpose on a product",
    capability="approvals:request",
    answers=(Answer(201, "The request", {JSON: ApprovalGiven}, {"Location": "where it can be looked at"}),),
    takes={JSON: ApprovalTaken},
    problems=(*BODY_PROBLEMS, NOT_YOURS),
)
async def request_approval(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """For a domain that one works for. It counts once an approver that the product's contract names has approved it,
    who is somebody else, and the domain has acknowledged the obligations."""
    body, deps = await json_body(request, ApprovalTaken), dependencies_of(request)
    person = person_of(decision)
    made = await _taken(deps, person, "request", lambda: deps.approvals.request(_wish(deps, body), person))
    given = await _giving(request, decision)
    return answered(given(made), 201, {"location": f"/v1/approvals/{made.id}"})


def _step_route(step: ApprovalAction, summary: str, told: str) -> Any:
    """The route of one step."""

    async def take(request: HttpRequest, decision: Decision) -> ReadyAnswer:
        body, deps = await json_body(request, StepBody), dependencies_of(request)
        approval_id, person = id_of_path(request, "approval_id"), person_of(decision)
        made = await _taken(deps, person, step, lambda: deps.approvals.step(approval_id, step, person, body.why))
        given = await _giving(request, decision)
        return answered(given(made))

    take.__name__, take.__doc__ = f"{step}_approval", told
    return _route(
        "POST",
        f"/v1/approvals/{{approval_id}}:{step}",
        name=f"{step}Approval",
        summary=summary,
        capability=CAPABILITY_OF[step],
        answers=(Answer(200, "The approval after the step", {JSON: ApprovalGiven}),),
        takes={JSON: StepBody},
        path_told=_ID,
        problems=(*BODY_PROBLEMS, NOT_FOUND, NOT_YOURS, CONFLICT),
    )(take)


STEPS: Final = (
    _step_route(
        ApprovalAction.APPROVE,
        "Approve",
        "By an approver that the product's contract names and who is not the requester.",
    ),
    _step_route(ApprovalAction.REJECT, "Reject", "By an approver who is not the requester."),
    _step_route(
        ApprovalAction.ACKNOWLEDGE,
        "Acknowledge the obligations",
        "By somebody who works for the domain that asked. From then on the approval counts, within its dates.",
    ),
    _step_route(
        ApprovalAction.REVOKE,
        "Revoke",
        "By an approver, or by who requested it. Within a second it counts nowhere.",
    ),
)


def person_of(decision: Decision) -> Person:
    """Who the decision identified: the one who takes a step."""
    identity = decision.identity
    assert identity is not None  # the decision allowed
    return Person(identity.provider, identity.subject, identity.tenant, identity.domains, identity.person)


async def _giving(request: HttpRequest, decision: Decision) -> Callable[[Approval], ApprovalGiven]:
    """What gives an approval as it is now: with what the contract obliges to, and the steps that the caller may take,
    which have to be theirs and within their capabilities."""
    deps, person = dependencies_of(request), person_of(decision)
    token = bearer_token(request.scope)
    assert token is not None  # the decision allowed
    offers = await deps.in_thread(deps.decisions.offers, token, PLATFORM)
    capable = {offer.capability.name for offer in offers if offer.allowed}
    now = datetime.now(UTC)

    def given(known: Approval) -> ApprovalGiven:
        contract = deps.contracts.of(known.product)
        fits = contract is not None and contract.major == known.product_major
        obligations = contract.purposes.get(known.purpose) if contract is not None and fits else None
        steps = [step for step in permitted_steps(known, person, contract, now) if CAPABILITY_OF[step] in capable]
        return answers.approval(known, obligations, steps, now)

    return given


def _wish(deps: IdentityDependencies, body: ApprovalTaken) -> Wish:
    contract = deps.contracts.of(body.product)
    begins = body.valid_from or datetime.now(UTC)
    longest = timedelta(days=contract.longest_approval_days if contract is not None else 1)
    return copy_fields(Wish, body, valid_from=begins, valid_to=body.valid_to or begins + longest)


async def _taken(deps: IdentityDependencies, person: Person, step: str, take: Callable[[], Approval]) -> Approval:
    """What came of a step, once the audit has it too: who as a pseudonym, and nothing that anybody wrote.

    Raises:
        ProblemRaised: it is not theirs to take, not possible now, or nothing that anybody could approve.
        AuditUnwritable: it was taken, and stands in the approval's own history; the audit does not have it.
    """
    try:
        made = await deps.in_thread(take)
    except JourneymeshError as error:
        for kind, problem in _KINDS.items():
            if isinstance(error, kind):
                raise ProblemRaised(problem, str(error)) from error
        raise
    body = {
        "approval": made.id,
        "step": str(step),
        "product": made.product,
        "product_major": made.product_major,
        "purpose": made.purpose,
        "tenant": made.tenant,
        "domain": made.domain,
        "provider": person.provider,
        "subject": deps.pseudonyms.of("subject", person.provider, person.subject),
    }
    await asyncio.wrap_future(deps.writer.append(AUDIT_KIND, body, key=f"{AUDIT_KIND}:{made.id}"))
    return made


ROUTES = (approvals, approval, request_approval, *STEPS)
