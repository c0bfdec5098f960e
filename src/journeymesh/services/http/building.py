"""An application of a service: its routes with everything that all services' HTTP has."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from prometheus_client import CollectorRegistry

from journeymesh.services.http import health
from journeymesh.services.http.answers import Receive, Send
from journeymesh.services.http.bodies import BODIES, BodyBudget
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.edge import Edge, Observers, route_of
from journeymesh.services.http.gate import Decisions, Gate
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log, structured_log
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.openapi import documented
from journeymesh.services.http.problems import ProblemRaised, of_error
from journeymesh.services.http.requests import REQUEST_ID
from journeymesh.services.http.routes import OPEN_ROUTES, HttpRoute
from journeymesh.services.http.routing import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What one service's application is built from.

    - ``name``: as logs have it; ``title``, ``version``, ``told``: as its OpenAPI document has them
    - ``state``: what its routes find in ``request.state``
    - ``on_shutdown``: what is called when the application ends
    """

    name: str
    title: str
    version: str
    told: str
    routes: Sequence[HttpRoute]
    decisions: Decisions
    config: HttpConfig = field(default_factory=HttpConfig)
    life: Life = field(default_factory=Life)
    state: Mapping[str, Any] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    log: Log | None = None
    on_shutdown: Sequence[Callable[[], object]] = ()


class HttpApp:
    """An ASGI application. ``routes`` are its own, with those that every service has; ``state`` is theirs."""

    def __init__(self, routes: Sequence[HttpRoute], state: dict[str, Any], edge: Edge, service: Service) -> None:
        self.routes, self.state = routes, state
        self._edge, self._on_shutdown = edge, service.on_shutdown

    def __call__(self, scope: Any, receive: Receive, send: Send) -> Awaitable[None]:
        """Answer a request, or follow the server's life."""
        return self._live(receive, send) if scope["type"] == "lifespan" else self._edge(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """While the application answers. Once: its threads end with it."""
        try:
            yield
        finally:
            for close in self._on_shutdown:
                close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.lifespan():
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def build_http(service: Service) -> HttpApp:
    """The application. Nothing is opened before its lifespan begins.

    Raises:
        ValueError: a route needs neither a capability nor a token, and is not one of ``OPEN_ROUTES``.
    """
    config, life = service.config, service.life
    metrics = HttpMetrics(service.registry, lambda: life.in_flight)
    log = service.log or structured_log(service.name)
    gate = Gate(service.decisions, config, metrics)
    routes = (*service.routes, *health.ROUTES)
    for route in routes:
        if route.capability is None and not route.bearer and route.path not in OPEN_ROUTES:
            raise ValueError(f"{route.path} declares no capability and is no open route")
    document = functools.cache(
        lambda: health.encoded_document(documented(routes, service.title, service.version, service.told))
    )
    state = {
        **service.state,
        "gate": gate,
        "life": life,
        "metrics": metrics,
        "openapi": document,
        BODIES: BodyBudget(config.bodies_bytes),
    }
    edge = Edge(
        Routing(routes, state, gate).answer,
        functools.partial(_problem_of, log),
        config,
        Observers(life, metrics, log),
    )
    return HttpApp(routes, state, edge, service)


def openapi_bytes(app: HttpApp) -> bytes:
    """The OpenAPI document as the application serves it."""
    body: bytes = app.state["openapi"]()
    return body


def _problem_of(log: Log, scope: Any, error: Exception) -> ProblemRaised:
    """The problem that ends a request."""
    problem = of_error(error)
    if problem.kind.status >= 500 and not isinstance(error, ProblemRaised):
        # Not its words: they may name a policy.
        request_id: str = scope.get(REQUEST_ID, "")
        log.error("fault", error=type(error).__name__, at=place_of(error), route=route_of(scope), request_id=request_id)
        logging.getLogger(__name__).debug("fault", exc_info=error)
    return problem


def place_of(error: BaseException) -> str:
    """Where it was raised: file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
