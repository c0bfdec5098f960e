"""The console as an application: its pages behind the same edge as every service's HTTP."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from litestar import Litestar, Request
from litestar.datastructures import CacheControlHeader, State
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.static_files import create_static_files_router
from prometheus_client import CollectorRegistry

from journeymesh.services.console import (
    approvals,
    decisions,
    exports,
    home,
    journeys,
    live,
    policies,
    policy_page,
    products,
    refusals,
    search,
    signing_in,
)
from journeymesh.services.console.apis import Apis, IdentityAway
from journeymesh.services.console.config import FORM_BYTES, ConsoleConfig
from journeymesh.services.console.oidc import OidcSignIn, ProviderAway
from journeymesh.services.console.rendering import STATIC, link, page, redirect
from journeymesh.services.console.requests import SESSION, FormRefused, SignInNeeded, session_id_of
from journeymesh.services.console.sessions import Sessions, SessionsAway
from journeymesh.services.console.streams import Streams
from journeymesh.services.http import health
from journeymesh.services.http.answers import Receive, Send, Sendable
from journeymesh.services.http.building import place_of
from journeymesh.services.http.edge import Edge, Observers, route_of
from journeymesh.services.http.life import Life
from journeymesh.services.http.limits import Rates
from journeymesh.services.http.logs import Log, structured_log
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.problems import FAULT, ProblemRaised
from journeymesh.services.http.routing import PATH_TEMPLATE, Routing

CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src 'self'{tiles}; style-src 'self'; "
    "img-src 'self'; font-src 'self'; form-action 'self'{provider}; base-uri 'none'; frame-ancestors 'none'"
)
"""``provider``: where signing out sends a browser on to, which browsers count to the form; ``tiles``:
where the basemap's pictures are."""
SECURITY_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"strict-transport-security", b"max-age=31536000"),
)
ROUTES: Final = tuple(
    route
    for part in (
        home,
        search,
        policies,
        policy_page,
        journeys,
        refusals,
        exports,
        products,
        approvals,
        decisions,
        live,
        signing_in,
    )
    for route in part.ROUTES
)
PROBES: Final = (health.livez, health.readyz, health.metrics)
_PROBED: Final = frozenset(route.path for route in PROBES)
_KEPT: Final = CacheControlHeader(max_age=31_536_000, public=True, immutable=True)
"""Of others' files: their version is in their path."""
logger = logging.getLogger(__name__)


def build_app(
    config: ConsoleConfig,
    *,
    life: Life | None = None,
    log: Log | None = None,
    transport: Any = None,
    now_s: Callable[[], float] = time.time,
    clock_s: Callable[[], float] = time.time,
) -> Any:
    """The ASGI application. ``transport``: httpx's, in place of the network to the APIs."""
    life = life or Life()
    metrics = HttpMetrics(CollectorRegistry(), lambda: life.in_flight)
    log = log or structured_log("console")
    remembered = config.http.clients_remembered
    oidc = None
    if config.oidc is not None:
        oidc = OidcSignIn(config.oidc, f"{config.public_url}/sign-in/callback", now_s=now_s)
    shared = {
        "console": config,
        "apis": Apis(config, transport),
        "sessions": Sessions(config.rows, config.session_rules(), clock_s=clock_s, now_s=now_s),
        "sign_ins": Rates(config.sign_ins_per_s, config.sign_ins_burst, remembered),
        "logouts": Rates(config.logouts_per_s, config.logouts_burst, remembered),
        "oidc": oidc,
        "log": log,
        "life": life,
        "streams": Streams(config.streams, config.streams_per_session, every_s=config.live_every_s, life=life),
    }
    app = _pages(shared)
    handler, probes = app.asgi_handler, Routing(PROBES, {"life": life, "metrics": metrics})

    async def answering(scope: Any, receive: Any) -> Sendable:
        return await probes.answer(scope, receive) if scope["path"] in _PROBED else _Page(handler, scope)

    edge: Any = Edge(
        answering,
        lambda _scope, error: error if isinstance(error, ProblemRaised) else ProblemRaised(FAULT),
        config.http,
        Observers(life, metrics, log),
        security_headers=(*SECURITY_HEADERS, (b"content-security-policy", _content_policy(config).encode())),
    )
    app.asgi_handler = edge
    return app


def _pages(shared: dict[str, Any]) -> Litestar:
    """The pages' own application; ``shared`` is what they find in its state."""
    opened = [each for each in (shared["apis"], shared["oidc"]) if each is not None]
    return Litestar(
        route_handlers=[
            *ROUTES,
            create_static_files_router("/static/vendor", [STATIC / "vendor"], cache_control=_KEPT, name="vendored"),
            create_static_files_router("/static", [STATIC], cache_control=None),
        ],
        openapi_config=None,
        logging_config=None,
        request_max_body_size=FORM_BYTES,
        on_shutdown=[each.close for each in opened],
        before_request=_before,
        exception_handlers={
            SignInNeeded: _to_sign_in,
            FormRefused: _form_refused,
            IdentityAway: _identity_away,
            SessionsAway: _sessions_away,
            ProviderAway: _provider_away,
            HTTPException: _no_page,
            Exception: _fault,
        },
        state=State(shared),
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """An answer that the pages' own application sends."""

    application: Any
    scope: Any

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it."""
        await self.application(self.scope, receive, send)


def _content_policy(config: ConsoleConfig) -> str:
    origins = {"provider": config.oidc.origin if config.oidc else None, "tiles": config.basemap.origin}
    return CONTENT_POLICY.format(**{name: f" {origin}" if origin else "" for name, origin in origins.items()})


async def _before(request: Request[Any, Any, Any]) -> None:
    """Note the route's template, for logs and metrics: paths hold policies' numbers; look the viewer's session up."""
    template = request.scope.get("path_template")
    request.scope[PATH_TEMPLATE] = template or "static"
    path = request.scope["path"]
    if path.startswith("/static/"):
        return
    session_id, used = session_id_of(request), path != live.PATH
    if path.startswith("/sign-"):  # in or out: no API is asked with the session's token, so that nothing renews it
        sessions: Sessions = request.app.state["sessions"]
        request.state[SESSION] = await sessions.of(session_id, used=used)
    else:
        request.state[SESSION] = await signing_in.current_session(request.app.state, session_id, used=used)


def _to_sign_in(_request: Request[Any, Any, Any], error: SignInNeeded) -> Response[Any]:
    return redirect(link("/sign-in", {"after": error.after if error.after != "/" else None}))


def _form_refused(request: Request[Any, Any, Any], _error: FormRefused) -> Response[bytes]:
    what = "This form was not sent from a page of your session. Go back, load the page anew and send it again."
    return page(request, "problem.html", status=403, title="Not sent", what=what)


def _identity_away(request: Request[Any, Any, Any], error: IdentityAway) -> Response[bytes]:
    what = "Who you are and what you may do cannot be looked up now, so nothing can be shown. " + error.missing.words
    return page(request, "problem.html", status=503, title="Sign-in service not available", what=what)


def _sessions_away(request: Request[Any, Any, Any], _error: SessionsAway) -> Response[bytes]:
    what = "Whether you are signed in cannot be looked up now, so nothing can be shown. Try again in a moment."
    return page(request, "problem.html", status=503, title="Sessions not available", what=what)


def _provider_away(request: Request[Any, Any, Any], _error: ProviderAway) -> Response[bytes]:
    what = (
        "Your sign-in cannot be renewed now, because the identity provider does not answer, so nothing can be shown. "
        "You are not signed out: try again in a moment."
    )
    return page(request, "problem.html", status=503, title="Identity provider not available", what=what)


def _no_page(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if error.status_code >= 500:
        return _fault(request, error)
    what = "There is no such page." if error.status_code == 404 else "The request was not understood."
    return page(request, "problem.html", status=error.status_code, title="No such page", what=what)


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log: Log = request.app.state["log"]
    log.error("fault", error=type(error).__name__, at=place_of(error), route=route_of(request.scope))
    logger.debug("fault", exc_info=error)
    what = "The console failed to make this page. The fault is on record; try again."
    return page(request, "problem.html", status=500, title="Something went wrong", what=what)
