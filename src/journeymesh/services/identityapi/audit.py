"""The audit: asked of, signed, verified."""

from __future__ import annotations

import asyncio
import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.response.base import ASGIResponse

from journeymesh.ledger.port import AuditPlace
from journeymesh.ledger.verification import Verification
from journeymesh.services.http.gate import Decided
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.http.problems import CURSOR_REFUSED, OVERLOADED, ProblemRaised
from journeymesh.services.http.queries import query_of
from journeymesh.services.identityapi.answers import Name
from journeymesh.services.identityapi.audit_answers import AuditEntry, AuditPage, CheckpointGiven, VerificationGiven
from journeymesh.services.identityapi.decisions import of_tenant
from journeymesh.services.identityapi.parts import answered, guarded, parts_of

VERIFYING: Final = "verifying"
"""The key of the application's state under which the latest verification is."""


class AuditQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which records: of this kind, of this writer, within ``[since, until)``."""

    after: Annotated[str, msgspec.Meta(max_length=500)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    kind: Name | None = None
    writer: Name | None = None
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


@get(
    "/v1/audit",
    operation_id="audit",
    summary="The audit's records, oldest first",
    tags=["audit"],
    **guarded(
        "audit:read",
        answers=(Answer(200, "A page of records", {JSON: AuditPage}),),
        query=AuditQuery,
        problems=(CURSOR_REFUSED,),
    ),
)
async def audit(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """Records about another tenant's people are left out, so a page can be shorter than its limit and not the last."""
    query = query_of(request.scope, AuditQuery)
    parts = parts_of(request)
    records = await parts.in_thread(
        parts.audit.query,
        after=None if query.after is None else _place(query.after),
        limit=query.limit,
        kind=query.kind,
        writer=query.writer,
        since=query.since,
        until=query.until,
    )
    more = len(records) == query.limit
    return answered(
        AuditPage(
            items=[AuditEntry.of(each) for each in records if of_tenant(each, decision)],
            next=_cursor(records[-1].place) if more else None,
        )
    )


@post(
    "/v1/audit:checkpoint",
    operation_id="checkpointAudit",
    summary="Sign the heads of all chains and keep that elsewhere",
    tags=["audit"],
    status_code=200,
    **guarded("audit:read", answers=(Answer(200, "The checkpoint", {JSON: CheckpointGiven}),)),
)
async def checkpoint(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:  # noqa: ARG001 - the guard
    """What is signed can no longer be cut off or rewritten without a verification seeing it."""
    parts = parts_of(request)
    return answered(CheckpointGiven.of(await parts.in_thread(parts.audit.checkpoint, parts.signer, parts.kept)))


@post(
    "/v1/audit:verify",
    operation_id="verifyAudit",
    summary="Whether the audit is what was written",
    tags=["audit"],
    status_code=200,
    **guarded("audit:read", answers=(Answer(200, "What was found", {JSON: VerificationGiven}),)),
)
async def verify(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:  # noqa: ARG001 - the guard
    """Every record against the one before, every signed head against its record. One verification runs at a time; one
    that takes longer than a request may is for the command line."""
    parts = parts_of(request)
    under_way: asyncio.Task[Verification] | None = request.app.state.get(VERIFYING)
    if under_way is not None and not under_way.done():
        raise ProblemRaised(OVERLOADED, "a verification is under way")
    # A request that is given up does not end the thread: the task goes on being the one, until it is done.
    started = asyncio.ensure_future(parts.in_thread(parts.audit.verify, parts.kept, parts.signer.keys))
    request.app.state[VERIFYING] = started
    return answered(VerificationGiven.of(await asyncio.shield(started)))


def _cursor(place: AuditPlace) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(tuple(place))).decode().rstrip("=")


def _place(cursor: str) -> AuditPlace:
    try:
        held = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        at_us, writer, number = msgspec.json.decode(held, type=tuple[_Int64, Name, _Int64])
    except (binascii.Error, msgspec.MsgspecError, ValueError) as error:
        raise ProblemRaised(CURSOR_REFUSED) from error
    return AuditPlace(at_us, writer, number)


_Int64 = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
ROUTES = (audit, checkpoint, verify)
