"""What a service's refusal or silence is to its caller, in the tree of ``journeymesh.errors``.

ApiError                             what it means                                 also a
├── RequestRefused                   the call is wrong: 400, 406, 413, 415, 422     UsageError
├── TokenNotAccepted                 no token, or one that does not count: 401
├── AccessDenied                     capability, purpose or approval lacks: 403
├── NotThere                         unknown, or not this caller's to see: 404      NotFound
├── Conflicting                      a state or a key that does not fit: 409, 412
├── RateLimited                      too many requests: 429
├── ServiceUnavailable               no answer, or 5xx                              StoreUnavailable
└── AnswerUnreadable                 an answer that is not what the API promises
"""

from __future__ import annotations

from typing import Any

import msgspec

from journeymesh.errors import JourneymeshError, NotFound, StoreUnavailable, UsageError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An RFC 9457 problem as the services write it.

    ``reason`` is why access was denied, in the decision's words; ``decision_id`` names the decision for an explanation.
    """

    type: str = "about:blank"
    title: str = ""
    status: int = 0
    detail: str = ""
    todo: str = ""
    reason: str | None = None
    decision_id: str | None = None
    request_id: str | None = None


class ApiError(JourneymeshError):
    """A service refused a request or could not answer it.

    - ``status``: HTTP's; 0 where no answer came
    - ``problem``: what the service said; None where it said nothing readable
    - ``retry_after_s``: when asking again may help; None: not said
    """

    def __init__(
        self,
        what: str,
        *,
        todo: str = "",
        status: int = 0,
        problem: Problem | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.status = status
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__(what, todo=todo)

    @property
    def reason(self) -> str | None:
        """Why access was denied, in the decision's words; None: it was not a matter of access."""
        return self.problem.reason if self.problem else None

    @property
    def decision_id(self) -> str | None:
        """The decision behind the refusal, for ``explain``; None: there was none."""
        return self.problem.decision_id if self.problem else None


class RequestRefused(ApiError, UsageError):
    """The service does not understand or accept the request as it is."""


class TokenNotAccepted(ApiError):
    """The service was given no token, or one that does not count."""


class AccessDenied(ApiError):
    """The caller lacks the capability, the purpose or its approval."""


class NotThere(ApiError, NotFound):
    """The service knows no such thing, or it is not this caller's to see."""


class Conflicting(ApiError):
    """The request does not fit the state it meets: a step already taken, or a key used for something else."""


class RateLimited(ApiError):
    """The service was asked too often, and went on saying so."""

    exit_code = 5


class ServiceUnavailable(ApiError, StoreUnavailable):
    """The service cannot be reached or cannot answer at this moment."""


class AnswerUnreadable(ApiError):
    """The service's answer is not what its API promises."""


_DENIED = "name a purpose that is approved for the product, or ask for the capability or the approval"
_KINDS: dict[int, tuple[type[ApiError], str]] = {
    401: (TokenNotAccepted, "give a token that has not expired, of a provider that the service knows"),
    403: (AccessDenied, _DENIED),
    404: (NotThere, "check the id; what is not yours to see is answered the same way"),
    409: (Conflicting, "look at the present state, then decide whether to go on"),
    412: (Conflicting, "look at the present state, then decide whether to go on"),
    413: (RequestRefused, "send it in smaller batches"),
    429: (RateLimited, "ask less often"),
}


def refusal(status: int, body: bytes, place: str, retry_after_s: float | None) -> ApiError:
    """The error that an answer of 4xx or 5xx is.

    ``place`` is the method and the route's template: numbers and ids do not get into messages.
    """
    problem = _problem(body)
    kind, todo = _KINDS.get(status, (RequestRefused, "correct the request"))
    if status >= 500:
        kind, todo = ServiceUnavailable, "try again"
    said = (problem.detail or problem.title) if problem else ""
    return kind(
        f"{place}: {status} {said}".rstrip(),
        todo=(problem.todo if problem else "") or todo,
        status=status,
        problem=problem,
        retry_after_s=retry_after_s,
    )


def _problem(body: bytes) -> Problem | None:
    try:
        held: Any = msgspec.json.decode(body)
        return msgspec.convert(held, Problem, strict=False) if isinstance(held, dict) else None
    except (msgspec.MsgspecError, RecursionError):
        return None
