"""The outermost part of a service: request id, trace context, security headers, metrics and the access log."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log
from journeymesh.services.http.metrics import UNMATCHED, HttpMetrics
from journeymesh.services.http.requests import DECISION_IDS, REQUEST_ID, random_id, trace_id

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

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


class Edge:
    """Wraps an ASGI application. What it writes down names a request's route by its template."""

    def __init__(self, app: App, life: Life, metrics: HttpMetrics, log: Log, *, access_log: bool) -> None:
        self._app, self._life, self._metrics, self._log = app, life, metrics, log
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = parent = None
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = value
            elif name == b"traceparent":
                parent = value
        request_id = scope[REQUEST_ID] = random_id(given) or os.urandom(16).hex()
        ours = (*SECURITY_HEADERS, (b"x-request-id", request_id.encode()))
        decision_ids: list[str] = []
        scope[DECISION_IDS] = decision_ids
        status = 0

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *ours]
                if decision_ids:  # the last one let the answer out, or kept it in
                    message["headers"].append((b"decision-id", decision_ids[-1].encode()))
            await send(message)

        self._life.in_flight += 1
        began = time.perf_counter()
        try:
            if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
                await self._app(scope, receive, answer)
            else:
                await self._traced(scope, receive, answer, parent, lambda: status)
        finally:
            self._life.in_flight -= 1
            self._told(scope, status or GONE, time.perf_counter() - began, request_id, trace_id(parent))

    async def _traced(
        self, scope: Scope, receive: Receive, send: Send, parent: bytes | None, status: Callable[[], int]
    ) -> None:
        """In a span that goes on the caller's trace. An SDK is in the process, so that it goes somewhere."""
        carrier = {"traceparent": parent.decode("latin-1")} if trace_id(parent) and parent else {}
        method = scope["method"]
        with _TRACER.start_as_current_span(
            method, context=_PROPAGATOR.extract(carrier), kind=trace.SpanKind.SERVER
        ) as span:
            try:
                await self._app(scope, receive, send)
            finally:
                route = route_of(scope)
                span.update_name(f"{method} {route}")
                span.set_attribute("http.request.method", method)
                span.set_attribute("http.route", route)
                span.set_attribute("http.response.status_code", status() or GONE)

    def _told(self, scope: Scope, status: int, seconds: float, request_id: str, trace: str | None) -> None:
        route, method = route_of(scope), scope["method"]
        self._metrics.answered(method, route, status, seconds)
        if self._access_log or status >= 500:
            more = {} if trace is None else {"trace_id": trace}
            write = self._log.warning if status >= 500 else self._log.info
            write("answered", method=method, route=route, status=status, ms=round(seconds * 1000, 3),
                  request_id=request_id, **more)  # fmt: skip


def route_of(scope: Scope) -> str:
    """The template of the request's route, without the types of its parts: ``/v1/policies/{policy}/summary``."""
    template: str | None = scope.get("path_template")
    if template is None:
        return UNMATCHED
    shown = _SHOWN.get(template)
    if shown is None:
        shown = _SHOWN[template] = template.replace(":str}", "}")
    return shown


_SHOWN: Final[dict[str, str]] = {}
