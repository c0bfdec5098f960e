"""The outermost part of a service: request id, trace context, security headers, metrics and the access log.

It is one application with all that every request passes, not a wrapper around wrappers: a layer that does nothing for a
request costs it nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from journeymesh.access.random_ids import random_id
from journeymesh.services.http.answers import Receive, Send, Sendable
from journeymesh.services.http.compression import Compression
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.limits import TimeLimit
from journeymesh.services.http.logs import Log
from journeymesh.services.http.metrics import UNMATCHED, HttpMetrics
from journeymesh.services.http.problems import TOO_SLOW, ProblemRaised, send_problem
from journeymesh.services.http.requests import (
    DECISION_IDS,
    REQUEST_ID,
    Header,
    Scope,
    given_id,
    headers_joined,
    headers_of,
    trace_id,
)
from journeymesh.services.http.routing import PATH_TEMPLATE

Answering = Callable[[Any, Receive], Awaitable[Sendable]]

SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000"),
)
_TRACER: Final = trace.get_tracer("journeymesh.services")
_PROPAGATOR: Final = TraceContextTextMapPropagator()
GONE: Final = 499
"""The status in metrics of a request whose client went away before its answer began."""


@dataclass(frozen=True, slots=True)
class Observers:
    """What learns of every request: the service's life, its metrics and its log."""

    life: Life
    metrics: HttpMetrics
    log: Log


class Edge:
    """An ASGI application over what ``answering`` gives for a request. What it writes down names the request's route
    by its template. ``problem_of`` says what a request ends with that failed."""

    def __init__(
        self,
        answering: Answering,
        problem_of: Callable[[Scope, Exception], ProblemRaised],
        config: HttpConfig,
        observers: Observers,
        *,
        security_headers: Sequence[tuple[bytes, bytes]] = SECURITY_HEADERS,
    ) -> None:
        self._answering, self._problem_of = answering, problem_of
        self._life, self._metrics, self._log = observers.life, observers.metrics, observers.log
        self._limit = TimeLimit(config.answer_within_s)
        self._compression = Compression(config.compress_from_bytes)
        self._access_log = config.access_log
        self._security_headers = security_headers
        self._traces, self._traces_from_s = False, 0.0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return  # nothing else is spoken here
        held = headers_of(scope)
        parent = held.get(b"traceparent")
        request_id = scope[REQUEST_ID] = given_id(held.get(b"x-request-id")) or random_id()
        leaving = _Leaving(send, (*self._security_headers, (b"x-request-id", request_id.encode())), self._limit)
        scope[DECISION_IDS] = leaving.decision_ids
        encodings = headers_joined(scope, b"accept-encoding")
        out = self._compression.before(leaving.send, encodings) if encodings else leaving.send
        life = self._life
        life.in_flight += 1
        peer = life.uses.begin(scope.get("client"))
        began = time.perf_counter()
        try:
            if self._tracing(began):
                await self._traced(scope, receive, out, leaving, parent)
            else:
                await self._answered(scope, receive, out, leaving)
        finally:
            life.in_flight -= 1
            life.uses.end(peer)
            self._told(scope, leaving.status or GONE, time.perf_counter() - began, request_id, trace_id(parent))

    async def _answered(self, scope: Any, receive: Any, send: Any, leaving: _Leaving) -> None:
        """Send the answer, or the problem that the request ends with."""
        task = leaving.task = self._limit.begin()
        try:
            answer = await self._answering(scope, receive)
            await answer.send(receive, send)
        except asyncio.CancelledError:
            if not self._limit.was_late(task):
                raise
            await send_problem(send, ProblemRaised(TOO_SLOW), scope[REQUEST_ID])
        except Exception as error:
            problem = self._problem_of(scope, error)
            if leaving.status:
                raise  # the server breaks the connection off, so that nobody takes the part for the whole
            _free_frames(error)
            _free_frames(problem)
            await send_problem(send, problem, scope[REQUEST_ID])
        finally:
            self._limit.end(task)

    def _tracing(self, now_s: float) -> bool:
        """Whether spans go anywhere: an SDK is in the process. Looked for once a second."""
        if now_s >= self._traces_from_s:
            self._traces_from_s = now_s + 1.0
            self._traces = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
        return self._traces

    async def _traced(
        self, scope: Scope, receive: Receive, send: Send, leaving: _Leaving, parent: Header | None
    ) -> None:
        """In a span that goes on the caller's trace. An SDK is in the process, so that it goes somewhere."""
        carrier = {"traceparent": parent.decode("latin-1")} if trace_id(parent) and isinstance(parent, bytes) else {}
        method = scope["method"]
        with _TRACER.start_as_current_span(
            method, context=_PROPAGATOR.extract(carrier), kind=trace.SpanKind.SERVER
        ) as span:
            try:
                await self._answered(scope, receive, send, leaving)
            finally:
                route = route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", leaving.status or GONE)

    def _told(self, scope: Scope, status: int, seconds: float, request_id: str, trace: str | None) -> None:
        route, method = route_of(scope), scope["method"]
        self._metrics.answered(method, route, status, seconds)
        if self._access_log or status >= 500:
            more = {} if trace is None else {"trace_id": trace}
            write = self._log.warning if status >= 500 else self._log.info
            write("answered", method=method, route=route, status=status, ms=round(seconds * 1000, 3),
                  request_id=request_id, **more)  # fmt: skip


def _free_frames(error: BaseException | None) -> None:
    """Let go of the frames that it and its causes came through: they have it as a local, and with it all that the
    request held would stay in memory until Python looks for cycles."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


class _Leaving:
    """An answer on its way out: what every answer has besides is added where it begins."""

    __slots__ = ("_headers", "_limit", "_send", "decision_ids", "status", "task")

    def __init__(self, send: Send, headers: Sequence[tuple[bytes, bytes]], limit: TimeLimit) -> None:
        self._send, self._headers, self._limit = send, headers, limit
        self.decision_ids: list[str] = []
        self.status = 0
        self.task: asyncio.Task[Any] | None = None

    async def send(self, message: Any) -> None:
        """Send a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._limit.end(self.task)
            message["headers"] = headers = [*message["headers"], *self._headers]
            if self.decision_ids:  # the last one let the answer out, or kept it in
                headers.append((b"decision-id", self.decision_ids[-1].encode()))
        await self._send(message)


def route_of(scope: Scope) -> str:
    """The template of the request's route: ``/v1/policies/{policy}/summary``."""
    template: str = scope.get(PATH_TEMPLATE, UNMATCHED)
    return template
