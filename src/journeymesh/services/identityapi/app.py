"""identityapi as an application: its routes are listed here."""

from __future__ import annotations

from typing import Final

from journeymesh.services.http.building import HttpApp, Service, build_http
from journeymesh.services.http.config import HttpConfig
from journeymesh.services.http.life import Life
from journeymesh.services.http.logs import Log
from journeymesh.services.identityapi import approvals, audit, bearer, catalogue, decisions
from journeymesh.services.identityapi.dependencies import DEPENDENCIES, IdentityDependencies

TOLD: Final = (
    "Who one is and what one may do, by capability and by approved purpose; decisions and why they were made; purposes "
    "and their approvals; the audit."
)
VERSION: Final = "1.0.0"
"""Of the wire contract: a breaking change is a new major version, and a new path."""
ROUTES: Final = (*bearer.ROUTES, *decisions.ROUTES, *catalogue.ROUTES, *approvals.ROUTES, *audit.ROUTES)


def build_app(
    deps: IdentityDependencies, *, config: HttpConfig | None = None, life: Life | None = None, log: Log | None = None
) -> HttpApp:
    """The application over these dependencies. Nothing is opened; their threads end with the application."""
    return build_http(
        Service(
            name="identityapi",
            title="identityapi",
            version=VERSION,
            told=TOLD,
            routes=ROUTES,
            decisions=deps.decisions,
            config=config or HttpConfig(),
            life=life or Life(),
            log=log,
            state={DEPENDENCIES: deps},
            on_shutdown=[deps.close],
        )
    )
