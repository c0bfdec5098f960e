"""Approvals: asked for, approved or rejected, acknowledged, revoked. Who does it is what the token says, no body."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.response.base import ASGIResponse

from journeymesh.access.decision import Decision
from journeymesh.errors import JourneymeshError
from journeymesh.governance.approvals import (
    Approval,
    Person,
    RequestInvalid,
    State,
    Step,
    StepNotPossible,
    StepNotTheirs,
    Wish,
)
from journeymesh.services.http.gate import Decided
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.http.problems import (
    CONFLICT,
    CURSOR_REFUSED,
    NOT_FOUND,
    NOT_YOURS,
    UNPROCESSABLE,
    ProblemRaised,
)
from journeymesh.services.http.queries import json_body, query_of
from journeymesh.services.identityapi.answers import Name
from journeymesh.services.identityapi.approval_answers import (
    ApprovalGiven,
    ApprovalPage,
    ApprovalTaken,
    ApprovalTold,
    StepBody,
    StepGiven,
)
from journeymesh.services.identityapi.decisions import BODY_PROBLEMS
from journeymesh.services.identityapi.parts import Parts, answered, guarded, id_of_path, parts_of

AUDIT_KIND: Final = "approval"
"""The kind of audit records of approvals' steps."""
_STEP: Final = re.compile(rf"(/v1/approvals/[^/:]+)(:(?:{'|'.join(Step)}))")
_ID: Final = {"approval_id": "the approval's id"}
_KINDS: Final = {RequestInvalid: UNPROCESSABLE, StepNotTheirs: NOT_YOURS, StepNotPossible: CONFLICT}


class ApprovalsAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which approvals; ``state`` is that of now."""

    product: Name | None = None
    purpose: Name | None = None
    domain: Name | None = None
    state: State | None = None
    after: Name | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


@get(
    "/v1/approvals",
    operation_id="approvals",
    summary="The approvals of one's tenant, newest request first",
    tags=["approvals"],
    **guarded(
        "approvals:read",
        answers=(Answer(200, "A page of approvals", {JSON: ApprovalPage}),),
        query=ApprovalsAsked,
        problems=(CURSOR_REFUSED,),
    ),
)
async def approvals(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """Who was approved, or asks to be, for which purpose."""
    asked = query_of(request.scope, ApprovalsAsked)
    parts, tenant = parts_of(request), person_of(decision).tenant
    after = None if asked.after is None else await parts.in_thread(parts.approvals.find, asked.after, tenant=tenant)
    if asked.after is not None and after is None:
        raise ProblemRaised(CURSOR_REFUSED)
    found = await parts.in_thread(
        parts.approvals.query,
        tenant=tenant,
        product=asked.product,
        purpose=asked.purpose,
        domain=asked.domain,
        state=asked.state,
        after=after,
        limit=asked.limit,
    )
    more = len(found) == asked.limit
    return answered(ApprovalPage(items=[given(parts, each) for each in found], next=found[-1].id if more else None))


@get(
    "/v1/approvals/{approval_id:str}",
    operation_id="approval",
    summary="An approval and every step of it",
    tags=["approvals"],
    **guarded(
        "approvals:read",
        answers=(Answer(200, "The approval", {JSON: ApprovalTold}),),
        path=_ID,
        problems=(NOT_FOUND,),
    ),
)
async def approval(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """With who took each step, when and why. Another tenant's is not found."""
    parts, approval_id = parts_of(request), id_of_path(request, "approval_id")
    found = await parts.in_thread(parts.approvals.find, approval_id, tenant=person_of(decision).tenant)
    if found is None:
        raise ProblemRaised(NOT_FOUND)
    history = await parts.in_thread(parts.approvals.history, approval_id)
    return answered(ApprovalTold(approval=given(parts, found), history=[StepGiven.of(each) for each in history]))


@post(
    "/v1/approvals",
    operation_id="requestApproval",
    summary="Ask for the approval of a purpose on a product",
    tags=["approvals"],
    status_code=201,
    **guarded(
        "approvals:request",
        answers=(Answer(201, "The request", {JSON: ApprovalGiven}, {"Location": "where it can be looked at"}),),
        takes={JSON: ApprovalTaken},
        problems=(*BODY_PROBLEMS, NOT_YOURS),
    ),
)
async def request_approval(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """For a domain that one works for. It counts once an approver that the product's contract names has approved it,
    who is somebody else, and the domain has acknowledged the obligations."""
    body, parts = await json_body(request, ApprovalTaken), parts_of(request)
    person = person_of(decision)
    made = await _taken(parts, person, "request", lambda: parts.approvals.request(_wish(parts, body), person))
    return answered(given(parts, made), 201, {"location": f"/v1/approvals/{made.id}"})


def _step_route(step: Step, capability: str, summary: str, told: str) -> Any:
    """The route of one step."""

    async def take(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
        body, parts = await json_body(request, StepBody), parts_of(request)
        approval_id, person = id_of_path(request, "approval_id"), person_of(decision)
        made = await _taken(parts, person, step, lambda: parts.approvals.step(approval_id, step, person, body.why))
        return answered(given(parts, made))

    take.__name__, take.__doc__ = f"{step}_approval", told
    return post(
        f"/v1/approvals/{{approval_id:str}}/:{step}",
        operation_id=f"{step}Approval",
        summary=summary,
        tags=["approvals"],
        status_code=200,
        **guarded(
            capability,
            answers=(Answer(200, "The approval after the step", {JSON: ApprovalGiven}),),
            takes={JSON: StepBody},
            path=_ID,
            problems=(*BODY_PROBLEMS, NOT_FOUND, NOT_YOURS, CONFLICT),
        ),
    )(take)


STEPS: Final = (
    _step_route(
        Step.APPROVE,
        "approvals:decide",
        "Approve",
        "By an approver that the product's contract names and who is not the requester.",
    ),
    _step_route(Step.REJECT, "approvals:decide", "Reject", "By an approver who is not the requester."),
    _step_route(
        Step.ACKNOWLEDGE,
        "approvals:request",
        "Acknowledge the obligations",
        "By somebody who works for the domain that asked. From then on the approval counts, within its dates.",
    ),
    _step_route(
        Step.REVOKE,
        "approvals:decide",
        "Revoke",
        "By an approver, or by who requested it. Within a second it counts nowhere.",
    ),
)


def person_of(decision: Decision) -> Person:
    """Who the decision identified: the one who takes a step."""
    identity = decision.identity
    assert identity is not None  # the decision allowed
    return Person(identity.provider, identity.subject, identity.tenant, identity.domains, identity.person)


def given(parts: Parts, held: Approval) -> ApprovalGiven:
    """The approval as it is now, with what the contract obliges to."""
    contract = parts.contracts.of(held.product)
    fits = contract is not None and contract.major == held.product_major
    obligations = contract.purposes.get(held.purpose) if contract is not None and fits else None
    return ApprovalGiven.of(held, obligations, datetime.now(UTC))


def with_step_apart(path: str) -> str | None:
    """``/v1/approvals/ID:approve`` as ``/v1/approvals/ID/:approve``; None: the path is no step's."""
    found = _STEP.fullmatch(path)
    return None if found is None else f"{found[1]}/{found[2]}"


def _wish(parts: Parts, body: ApprovalTaken) -> Wish:
    contract = parts.contracts.of(body.product)
    begins = body.valid_from or datetime.now(UTC)
    longest = timedelta(days=contract.longest_approval_days if contract is not None else 1)
    return Wish(
        product=body.product,
        purpose=body.purpose,
        domain=body.domain,
        reason=body.reason,
        valid_from=begins,
        valid_to=body.valid_to or begins + longest,
    )


async def _taken(parts: Parts, person: Person, step: str, take: Callable[[], Approval]) -> Approval:
    """What came of a step, once the audit has it too: who as a pseudonym, and nothing that anybody wrote.

    Raises:
        ProblemRaised: it is not theirs to take, not possible now, or nothing that anybody could approve.
        AuditUnwritable: it was taken, and stands in the approval's own history; the audit does not have it.
    """
    try:
        made = await parts.in_thread(take)
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
        "subject": parts.pseudonyms.of("subject", person.provider, person.subject),
    }
    await asyncio.wrap_future(parts.writer.append(AUDIT_KIND, body, key=f"{AUDIT_KIND}:{made.id}"))
    return made


ROUTES = (approvals, approval, request_approval, *STEPS)
