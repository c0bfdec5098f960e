"""The audit: asked of, signed, verified."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.response.base import ASGIResponse

from journeymesh.ledger.port import AuditPlace, AuditRecord
from journeymesh.ledger.verification import Verification
from journeymesh.services.http.gate import Decided
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.http.problems import CURSOR_REFUSED, OVERLOADED, ProblemRaised
from journeymesh.services.http.queries import query_of
from journeymesh.services.identityapi.answers import Name, instant_of
from journeymesh.services.identityapi.audit_answers import AuditEntry, AuditPage, CheckpointGiven, VerificationGiven
from journeymesh.services.identityapi.decisions import of_tenant
from journeymesh.services.identityapi.parts import Parts, answered, guarded, parts_of

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_READ_AT_ONCE: Final = 1_000
_MOST_READ: Final = 20_000
"""Records that one page looks through at most, whosever they are."""
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
    """Records about another tenant's people are left out, and nothing tells how many they are: a page is full, but for
    the last, unless so many lay between that the service stopped looking for a while."""
    query = query_of(request.scope, AuditQuery)
    parts = parts_of(request)
    assert decision.identity is not None
    listing = repr((decision.identity.tenant, query.kind, query.writer, query.since, query.until))
    after = None if query.after is None else _place(parts, listing, query.after)
    items, following = await parts.in_thread(_page, parts, decision, query, after)
    return answered(
        AuditPage(
            items=[AuditEntry.of(each) for each in items],
            next=None if following is None else parts.cursors.seal(listing, *_sealed(following)),
        )
    )


def _page(
    parts: Parts, decision: Decided, query: AuditQuery, after: AuditPlace | None
) -> tuple[list[AuditRecord], AuditPlace | None]:
    """(records about the caller's tenant, where to go on behind them)."""
    found: list[AuditRecord] = []
    for _ in range(_MOST_READ // _READ_AT_ONCE):
        records = parts.audit.query(
            after=after, limit=_READ_AT_ONCE, kind=query.kind, writer=query.writer, since=query.since, until=query.until
        )
        for record in records:
            after = record.place
            if of_tenant(record, decision):
                found.append(record)
                if len(found) == query.limit:
                    return found, after
        if len(records) < _READ_AT_ONCE:
            return found, None
    return found, after


@post(
    "/v1/audit:checkpoint",
    operation_id="checkpointAudit",
    summary="Sign the heads of all chains and keep that elsewhere",
    tags=["audit"],
    status_code=200,
    **guarded("audit:operate", answers=(Answer(200, "The checkpoint", {JSON: CheckpointGiven}),)),
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
    **guarded("audit:operate", answers=(Answer(200, "What was found", {JSON: VerificationGiven}),)),
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


def _sealed(place: AuditPlace) -> tuple[datetime, str]:
    return instant_of(place.at_us), f"{place.number} {place.writer}"


def _place(parts: Parts, listing: str, cursor: str) -> AuditPlace:
    at, rest = parts.cursors.open(listing, cursor)
    number, _, writer = rest.partition(" ")
    return AuditPlace((at - _EPOCH) // timedelta(microseconds=1), writer, int(number))


ROUTES = (audit, checkpoint, verify)
