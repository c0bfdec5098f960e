"""The audit: asked of, signed, verified."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec

from journeymesh.access.decision import Decision
from journeymesh.field_copies import copy_fields
from journeymesh.identity.identity import PLATFORM
from journeymesh.instants import from_us, to_us
from journeymesh.ledger.audit import RecordQuery
from journeymesh.ledger.port import AuditPlace, AuditRecord
from journeymesh.ledger.verification import Verification
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.problems import CURSOR_REFUSED, OVERLOADED, ProblemRaised
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.identityapi import answers
from journeymesh.services.identityapi.decisions import of_tenant
from journeymesh.services.identityapi.dependencies import IdentityDependencies, answered, dependencies_of
from journeymesh.wire.identity import AuditPage, CheckpointGiven, Name, VerificationGiven

_route: Final = partial(HttpRoute, product=PLATFORM, tag="audit")
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


@_route(
    "GET",
    "/v1/audit",
    summary="The audit's records, oldest first",
    capability="audit:read",
    answers=(Answer(200, "A page of records", {JSON: AuditPage}),),
    query=AuditQuery,
    problems=(CURSOR_REFUSED,),
)
async def audit(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Records about another tenant's people are left out, and nothing tells how many they are: a page is full, but for
    the last, unless so many lay between that the service stopped looking for a while."""
    query = query_of(request.scope, AuditQuery)
    deps = dependencies_of(request)
    assert decision.identity is not None
    listing = repr((decision.identity.tenant, query.kind, query.writer, query.since, query.until))
    after = None if query.after is None else _place(deps, listing, query.after)
    items, following = await deps.in_thread(_page, deps, decision, query, after)
    return answered(
        AuditPage(
            items=[answers.audit_entry(each) for each in items],
            next=None if following is None else deps.cursors.seal(listing, *_sealed(following)),
        )
    )


def _page(
    deps: IdentityDependencies, decision: Decision, query: AuditQuery, after: AuditPlace | None
) -> tuple[list[AuditRecord], AuditPlace | None]:
    """(records about the caller's tenant, where to go on behind them)."""
    found: list[AuditRecord] = []
    for _ in range(_MOST_READ // _READ_AT_ONCE):
        asked = copy_fields(RecordQuery, query, after=after, limit=_READ_AT_ONCE, newest_first=False)
        records = deps.audit.query(asked)
        for record in records:
            after = record.place
            if of_tenant(record, decision):
                found.append(record)
                if len(found) == query.limit:
                    return found, after
        if len(records) < _READ_AT_ONCE:
            return found, None
    return found, after


@_route(
    "POST",
    "/v1/audit:checkpoint",
    name="checkpointAudit",
    summary="Sign the heads of all chains and keep that elsewhere",
    capability="audit:operate",
    answers=(Answer(200, "The checkpoint", {JSON: CheckpointGiven}),),
)
async def checkpoint(request: HttpRequest, decision: Decision) -> ReadyAnswer:  # noqa: ARG001 - the guard
    """What is signed can no longer be cut off or rewritten without a verification seeing it."""
    deps = dependencies_of(request)
    return answered(answers.checkpoint(await deps.in_thread(deps.audit.checkpoint, deps.signer, deps.kept)))


@_route(
    "POST",
    "/v1/audit:verify",
    name="verifyAudit",
    summary="Whether the audit is what was written",
    capability="audit:operate",
    answers=(Answer(200, "What was found", {JSON: VerificationGiven}),),
)
async def verify(request: HttpRequest, decision: Decision) -> ReadyAnswer:  # noqa: ARG001 - the guard
    """Every record against the one before, every signed head against its record. One verification runs at a time; one
    that takes longer than a request may is for the command line."""
    deps = dependencies_of(request)
    under_way: asyncio.Task[Verification] | None = request.state.get(VERIFYING)
    if under_way is not None and not under_way.done():
        raise ProblemRaised(OVERLOADED, "a verification is under way")
    # A request that is given up does not end the thread: the task goes on being the one, until it is done.
    started = asyncio.ensure_future(deps.in_thread(deps.audit.verify, deps.kept, deps.signer.keys))
    request.state[VERIFYING] = started
    return answered(answers.verification(await asyncio.shield(started)))


def _sealed(place: AuditPlace) -> tuple[datetime, str]:
    return from_us(place.at_us), f"{place.number} {place.writer}"


def _place(deps: IdentityDependencies, listing: str, cursor: str) -> AuditPlace:
    at, rest = deps.cursors.open(listing, cursor)
    number, _, writer = rest.partition(" ")
    return AuditPlace(to_us(at), writer, int(number))


ROUTES = (audit, checkpoint, verify)
