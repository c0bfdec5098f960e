"""An application of a service: its routes with everything that all services' HTTP has."""

from __future__ import annotations

import functools
import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from litestar import Litestar
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from prometheus_client import CollectorRegistry

from journeymesh.services.http import health
from journeymesh.services.http.bodies import BODIES, BodyBudget
from journeymesh.services.http.compression import Compression
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.edge import Edge, route_of
from journeymesh.services.http.gate import Decisions, Gate
from journeymesh.services.http.life import Life
from journeymesh.services.http.limits import TimeLimit
from journeymesh.services.http.logs import Log, structured_log
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.openapi import documented, routes_of
from journeymesh.services.http.problems import (
    FAULT,
    OF_STATUS,
    ProblemRaised,
    of_error,
)
from journeymesh.services.http.requests import REQUEST_ID
from journeymesh.services.http.routing import Routing


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What one service's application is built from.

    - ``name``: as logs have it; ``title``, ``version``, ``told``: as its OpenAPI document has them
    - ``routes``: Litestar's route handlers; each declares what it needs (``gate.needs``) or is an open one
    - ``state``: what its routes find in ``request.app.state``
    """

    name: str
    title: str
    version: str
    told: str
    routes: Sequence[Any]
    decisions: Decisions
    config: HttpConfig = field(default_factory=HttpConfig)
    life: Life = field(default_factory=Life)
    state: Mapping[str, Any] = field(default_factory=dict)
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    log: Log | None = None
    on_startup: Sequence[Callable[[], Any]] = ()
    on_shutdown: Sequence[Callable[[], Any]] = ()


def build_http(service: Service) -> Litestar:
    """The application. Nothing is opened before its lifespan begins."""
    config = service.config
    life = service.life
    metrics = HttpMetrics(service.registry, lambda: life.in_flight)
    log = service.log or structured_log(service.name)
    gate = Gate(service.decisions, config, metrics)
    app = Litestar(
        route_handlers=[*service.routes, health.livez, health.readyz, health.metrics, health.openapi],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=config.max_body_bytes,
        on_startup=list(service.on_startup),
        on_shutdown=list(service.on_shutdown),
        state=State(
            {
                **service.state,
                "gate": gate,
                "life": life,
                "metrics": metrics,
                "log": log,
                "config": config,
                BODIES: BodyBudget(config.bodies_bytes),
            }
        ),
    )
    app.state["openapi"] = functools.cache(
        lambda: health.encoded_document(documented(app, service.title, service.version, service.told))
    )
    within: Any = Edge(
        Routing(routes_of(app)).answer,
        functools.partial(_problem_of, log),
        life=life,
        metrics=metrics,
        log=log,
        limit=TimeLimit(config.answer_within_s),
        compression=Compression(config.compress_from_bytes),
        access_log=config.access_log,
    )
    app.asgi_handler = within
    return app


def openapi_bytes(app: Litestar) -> bytes:
    """The OpenAPI document as the application serves it."""
    body: bytes = app.state["openapi"]()
    return body


def _problem_of(log: Log, scope: Any, error: Exception) -> ProblemRaised:
    """The problem that ends a request."""
    problem = _of_framework(error) if isinstance(error, HTTPException) else of_error(error)
    if problem.kind.status >= 500 and not isinstance(error, ProblemRaised):
        # Not its words: they may name a policy.
        request_id: str = scope.get(REQUEST_ID, "")
        log.error("fault", error=type(error).__name__, at=_place(error), route=route_of(scope), request_id=request_id)
        logging.getLogger(__name__).debug("fault", exc_info=error)
    return problem


def _of_framework(error: HTTPException) -> ProblemRaised:
    kind = OF_STATUS.get(error.status_code, FAULT)
    if kind is FAULT:
        return ProblemRaised(FAULT)
    extra = error.extra if isinstance(error.extra, list) else []
    told = [f"{each.get('key', '?')}: {each.get('message', '')}" for each in extra if isinstance(each, dict)]
    detail = "; ".join(told) if told else ("" if error.status_code in (404, 405) else str(error.detail))
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    return ProblemRaised(kind, detail, headers=headers)


def _place(error: BaseException) -> str:
    """Where it was raised: file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
