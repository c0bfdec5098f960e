"""Faults and denials as RFC 9457 problems: one table from our errors and reasons to a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from journeymesh.access.decision import Decision
from journeymesh.access.reasons import REASONS
from journeymesh.errors import (
    JourneymeshError,
    NotFound,
    RulesConflict,
    SourceUnreadable,
    StoreCorrupt,
    StoreUnavailable,
    UsageError,
)
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.ledger.port import AuditUnwritable
from journeymesh.wire.identity import Reason

MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "https://journeymesh.example/problems/"
"""Every problem's ``type`` begins with this; what follows is stable over versions."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``retry_after_s`` is what the answer says where nobody knows better; None: nothing."""

    name: str
    status: int
    title: str
    retry_after_s: float | None = None

    @property
    def type(self) -> str:
        """The URI that names it."""
        return TYPES + self.name


MALFORMED: Final = Kind("malformed", 400, "The request cannot be understood")
CURSOR_REFUSED: Final = Kind("cursor-refused", 400, "The cursor is not one that this listing gave")
TOKEN_MISSING: Final = Kind("token-missing", 401, "No bearer token")
TOKEN_REFUSED: Final = Kind("token-refused", 401, "The token is refused")
CAPABILITY_MISSING: Final = Kind("capability-missing", 403, "You lack the capability")
PURPOSE_MISSING: Final = Kind("purpose-missing", 403, "No purpose is named")
PURPOSE_UNKNOWN: Final = Kind("purpose-unknown", 403, "The purpose is not known")
APPROVAL_MISSING: Final = Kind("approval-missing", 403, "The purpose is not approved for you")
NOT_YOURS: Final = Kind("not-yours", 403, "Somebody else has to do this")
POLICY_FORBIDS: Final = Kind("policy-forbids", 403, "An access policy forbids it")
NOT_FOUND: Final = Kind("not-found", 404, "There is no such thing, or none that you may know of")
METHOD_NOT_ALLOWED: Final = Kind("method-not-allowed", 405, "The method is not allowed here")
NOT_ACCEPTABLE: Final = Kind("not-acceptable", 406, "None of the accepted media types is on offer")
CONFLICT: Final = Kind("conflict", 409, "It conflicts with what is there or under way")
RULES_CONFLICT: Final = Kind("rules-conflict", 409, "Journeys of two rules versions do not add up")
PRECONDITION_FAILED: Final = Kind("precondition-failed", 412, "A condition of the request does not hold")
TOO_LARGE: Final = Kind("too-large", 413, "The request's body is too large")
TARGET_TOO_LONG: Final = Kind("target-too-long", 414, "The request's path and query are too long")
UNSUPPORTED_MEDIA_TYPE: Final = Kind("unsupported-media-type", 415, "The body's media type is not taken")
UNPROCESSABLE: Final = Kind("unprocessable", 422, "The body is understood and cannot be taken")
GROUP_TOO_SMALL: Final = Kind("group-too-small", 403, "The answer is about fewer policies than may be told of")
HEADERS_TOO_LARGE: Final = Kind("headers-too-large", 431, "The request's headers are too many or too large")
TOO_MANY_REQUESTS: Final = Kind("too-many-requests", 429, "Too many requests", 1.0)
FAULT: Final = Kind("fault", 500, "The service has a fault")
UNAVAILABLE: Final = Kind("unavailable", 503, "Not at this moment", 2.0)
TOO_SLOW: Final = Kind("too-slow", 503, "It took longer than a request may take", 2.0)
OVERLOADED: Final = Kind("overloaded", 503, "More requests are waiting than can be answered in time", 1.0)

KINDS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Kind))

OF_REASON: Final[Mapping[Reason, Kind]] = {
    Reason.TOKEN_MISSING: TOKEN_MISSING,
    Reason.TOKEN_REFUSED: TOKEN_REFUSED,
    Reason.CAPABILITY_UNKNOWN: CAPABILITY_MISSING,
    Reason.CAPABILITY_MISSING: CAPABILITY_MISSING,
    Reason.PURPOSE_MISSING: PURPOSE_MISSING,
    Reason.PURPOSE_UNKNOWN: PURPOSE_UNKNOWN,
    Reason.APPROVAL_MISSING: APPROVAL_MISSING,
    Reason.POLICY_FORBIDS: POLICY_FORBIDS,
    Reason.FAULT: UNAVAILABLE,
}
"""Every reason but ALLOWED."""

OF_ERROR: Final[tuple[tuple[type[JourneymeshError], Kind], ...]] = (
    (TokenRefused, TOKEN_REFUSED),
    (ProviderUnavailable, UNAVAILABLE),
    (AuditUnwritable, UNAVAILABLE),
    (StoreCorrupt, FAULT),
    (StoreUnavailable, UNAVAILABLE),
    (SourceUnreadable, UNAVAILABLE),
    (RulesConflict, RULES_CONFLICT),
    (NotFound, NOT_FOUND),
    (UsageError, MALFORMED),
)
"""The first that an error is an instance of counts; an error of none of them is a fault."""

_OURS_TO_TELL: Final = (UsageError, NotFound)
"""Errors whose words are about the call; what others say is about the inside and stays there."""


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every answer that is no success, as RFC 9457 has it, with three members of ours."""

    type: str
    title: str
    status: int
    detail: str = ""
    reason: str = ""
    """A denial's: why, in one of a fixed few words."""
    decision_id: str = ""
    """A denial's: what it can be explained by."""
    request_id: str = ""


class ProblemRaised(Exception):
    """Raised where a request ends with a problem. ``headers`` are the answer's besides those every problem has."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        retry_after_s: float | None = None,
        headers: Mapping[str, str] | None = None,
        decision: Decision | None = None,
    ) -> None:
        self.kind = kind
        self.detail = detail
        self.retry_after_s = kind.retry_after_s if retry_after_s is None else retry_after_s
        self.headers = dict(headers or {})
        self.decision = decision
        super().__init__(kind.name)


def of_decision(decision: Decision) -> ProblemRaised:
    """The problem that a denial is."""
    kind = OF_REASON[decision.reason]
    headers = {}
    if kind.status == 401:
        error = ', error="invalid_token"' if decision.reason is Reason.TOKEN_REFUSED else ""
        headers["www-authenticate"] = f'Bearer realm="journeymesh"{error}'
    told = f"{REASONS[decision.reason].what}: {REASONS[decision.reason].todo}"
    return ProblemRaised(kind, told, retry_after_s=decision.retry_after_s, headers=headers, decision=decision)


def hidden(decision: Decision) -> ProblemRaised:
    """The problem that a policy is which may not be known for this purpose: as if there were none. Who may know it for
    another purpose is told which rule hides it, for it tells them nothing new; nobody else is. Whether there is one is
    looked for either way, so that the answer takes as long."""
    concealed, known_for = decision.concealed, decision.known_for()
    if concealed is None or known_for is None:
        return ProblemRaised(NOT_FOUND)
    rules = f"the access policy {', '.join(concealed.determining)}"
    rule = rules if concealed.determining else "the product's contract"
    return ProblemRaised(
        NOT_FOUND,
        f"{rule} hides this policy, with its status {concealed.policy.status}, for the purpose {decision.ask.purpose}: "
        f"you may know it for {known_for}",
    )


def of_error(error: Exception) -> ProblemRaised:
    """The problem that an error is, of ours or of whatever kind."""
    if isinstance(error, ProblemRaised):
        return error
    kind = next((kind for ours, kind in OF_ERROR if isinstance(error, ours)), FAULT)
    detail = str(error) if isinstance(error, _OURS_TO_TELL) else ""
    if kind is TOKEN_REFUSED:
        return ProblemRaised(kind, headers={"www-authenticate": 'Bearer realm="journeymesh", error="invalid_token"'})
    return ProblemRaised(kind, detail, retry_after_s=getattr(error, "retry_after_s", None))


def rendered(problem: ProblemRaised, request_id: str = "") -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """(status, headers, body) of the answer."""
    decision = problem.decision
    body = msgspec.json.encode(
        Problem(
            type=problem.kind.type,
            title=problem.kind.title,
            status=problem.kind.status,
            detail=problem.detail,
            reason="" if decision is None else decision.reason.value,
            decision_id="" if decision is None else decision.decision_id,
            request_id=request_id,
        )
    )
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in problem.headers.items()]
    headers += [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers.append((b"cache-control", b"no-store"))
    if problem.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, round(problem.retry_after_s))).encode()))
    return problem.kind.status, headers, body


async def send_problem(send: Any, problem: ProblemRaised, request_id: str = "") -> None:
    """Answer with the problem, over ASGI."""
    status, headers, body = rendered(problem, request_id)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
