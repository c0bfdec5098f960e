"""One request and its answer, without input or output: the steps that both clients carry out.

``exchange`` yields what has to be done next (get a token, send, wait) and is sent what came of it. The two clients
differ in how they do these three things and in nothing else.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from journeymesh.client.errors import ApiError, ServiceUnavailable, refusal
from journeymesh.client.retries import WORTH_ANOTHER_TRY, Retries, retry_after_s

if TYPE_CHECKING:
    from journeymesh.client.remembered import Remembered

JSON: Final = "application/json"
Service = Literal["journeyapi", "identityapi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of a service.

    ``template`` is the route as errors and traces name it, without numbers and ids. ``repeatable``: sending it twice
    does no more than sending it once. ``into``: where the answer's body goes instead of into memory.
    """

    method: str
    path: str
    template: str
    service: Service = "journeyapi"
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    accept: str = JSON
    purpose: str | None = None
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = True
    into: BinaryIO | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """The request as errors name it."""
        return f"{self.method} {self.template}"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, its headers by lower-case name, its body (empty where it went elsewhere)."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def etag(self) -> str | None:
        """What names this very answer."""
        return self.headers.get("etag")


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No whole answer came. ``left``: the request may have reached the service."""

    what: str
    left: bool


@dataclass(frozen=True, slots=True)
class TokenWanted:
    """Step: a token to send, another than the ``refused`` one if there is another. Sent: the token or None."""

    refused: str | None


@dataclass(frozen=True, slots=True)
class Send:
    """Step: send the request with these headers. Sent: ``Reply`` or ``Unanswered``."""

    request: Request
    headers: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pause:
    """Step: wait this long. Sent: nothing."""

    seconds: float


Step = TokenWanted | Send | Pause
Outcome = str | Reply | Unanswered | None


def exchange(request: Request, retries: Retries, remembered: Remembered) -> Generator[Step, Outcome, Reply]:
    """The steps from a request to its answer: tokens renewed once, failures repeated, unchanged answers remembered.

    Raises:
        ApiError: the service refused, or did not answer however often it was asked.
    """
    failures = 0
    refused: str | None = None
    refusing: ApiError | None = None
    while True:
        asked = yield TokenWanted(refused)
        if refusing is not None and asked == refused:
            raise refusing
        token = asked if isinstance(asked, str) else None
        known = remembered.get(request, token)
        came = yield Send(request, _headers(request, token, known))
        if isinstance(came, Reply):
            if came.status == 304 and known is not None:
                return known
            if came.status < 300:
                remembered.put(request, token, came)
                return came
            if came.status in (401, 403, 404):
                remembered.forget(request, token)
            wait_asked = retry_after_s(came.headers.get("retry-after"))
            fault: ApiError = refusal(came.status, came.body, request.place, wait_asked)
            if came.status == 401 and token is not None and refusing is None:
                refused, refusing = token, fault
                continue
            again = came.status in WORTH_ANOTHER_TRY and request.repeatable
        else:
            assert isinstance(came, Unanswered)
            wait_asked = None
            fault = ServiceUnavailable(f"{request.place}: {came.what}", todo="check the URL and that the service runs")
            again = request.repeatable or not came.left
        failures += 1
        wait_s = retries.wait_s(failures, wait_asked) if again else None
        if wait_s is None:
            raise fault
        yield Pause(wait_s)


def _headers(request: Request, token: str | None, known: Reply | None) -> dict[str, str]:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    headers = {"accept": request.accept, **request.headers}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    if request.purpose is not None:
        headers["data-purpose"] = request.purpose
    if known is not None and known.etag:
        headers["if-none-match"] = known.etag
    TraceContextTextMapPropagator().inject(headers)
    return headers
