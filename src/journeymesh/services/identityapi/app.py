"""identityapi as an application: its routes are listed here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from litestar import Litestar

from journeymesh.services.http.building import Service, build_http
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log
from journeymesh.services.identityapi import approvals, audit, bearer, catalogue, decisions
from journeymesh.services.identityapi.parts import PARTS, Parts

TOLD: Final = (
    "Who one is and what one may do, by capability and by approved purpose; decisions and why they were made; purposes "
    "and their approvals; the audit."
)
VERSION: Final = "1.0.0"
"""Of the wire contract: a breaking change is a new major version, and a new path."""
ROUTES: Final = (*bearer.ROUTES, *decisions.ROUTES, *catalogue.ROUTES, *approvals.ROUTES, *audit.ROUTES)


def build_app(
    parts: Parts, *, config: HttpConfig | None = None, life: Life | None = None, log: Log | None = None
) -> Litestar:
    """The application over these parts. Nothing is opened; the parts' threads end with the application."""
    app = build_http(
        Service(
            name="identityapi",
            title="identityapi",
            version=VERSION,
            told=TOLD,
            routes=ROUTES,
            decisions=parts.decisions,
            config=config or HttpConfig(),
            life=life or Life(),
            log=log,
            state={PARTS: parts},
            on_shutdown=[parts.close],
        )
    )
    inner: Any = _Steps(app.asgi_handler)
    app.asgi_handler = inner
    return app


class _Steps:
    """Lets a path end in ``:approve``: the router knows whole parts of a path only, so the step becomes one."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request through."""
        if scope["type"] == "http" and (found := approvals.with_step_apart(scope["path"])) is not None:
            scope = {**scope, "path": found, "raw_path": found.encode()}
        await self._app(scope, receive, send)
