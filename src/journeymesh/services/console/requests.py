"""What the console believes of a request: its session, and that a form was sent from one of its own pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from litestar import Request
from litestar.datastructures import Cookie

from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.oidc import SIGN_IN_WITHIN_S, Begun
from journeymesh.services.console.sessions import Session

SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TOKEN: Final = "form_token"  # noqa: S105 - a field's name
SESSION: Final = "session"
"""Where a request's state has the viewer's session."""
_LOCAL: Final = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")


class SignInNeeded(Exception):
    """Nobody is signed in, or their session has ended. ``after``: where to go on once somebody is."""

    def __init__(self, after: str) -> None:
        self.after = after
        super().__init__()


class FormRefused(Exception):
    """A form does not come from a page of this session."""


def cookie_name(config: ConsoleConfig) -> str:
    """Over TLS the name keeps other hosts of the domain from setting it, and paths from narrowing it."""
    return "__Host-journeymesh" if config.secure else "journeymesh"


def sign_in_cookie(config: ConsoleConfig, begun: Begun | None) -> Cookie:
    """The cookie that keeps a sign-in under way; None: that takes it away."""
    return Cookie(
        key=f"{cookie_name(config)}-sign-in",
        value=begun.in_cookie() if begun else "",
        path="/",
        httponly=True,
        secure=config.secure,
        samesite="lax",
        max_age=int(SIGN_IN_WITHIN_S) if begun else 0,
    )


def session_cookie(config: ConsoleConfig, session_id: str | None) -> Cookie:
    """The cookie that names a session; None: that takes it away."""
    return Cookie(
        key=cookie_name(config),
        value=session_id or "",
        path="/",
        httponly=True,
        secure=config.secure,
        samesite="lax",
        max_age=None if session_id else 0,
    )


def session_id_of(request: Request[Any, Any, Any]) -> str | None:
    """The session's id that the browser names."""
    config: ConsoleConfig = request.app.state["console"]
    return request.cookies.get(cookie_name(config))


def session_of(request: Request[Any, Any, Any]) -> Session:
    """The viewer's session.

    Raises:
        SignInNeeded: there is none.
    """
    session: Session | None = request.state.get(SESSION)  # looked up before the request came to a page
    if session is None:
        raise SignInNeeded(local_path(path_and_query(request)) if request.method in SAFE else "/")
    return session


def local_path(given: str | None) -> str:
    """A path of this console that was handed in; whatever could lead elsewhere becomes ``/``."""
    return given if given and _LOCAL.fullmatch(given) else "/"


def require_own_page(request: Request[Any, Any, Any]) -> None:
    """Refuse what another site's page has a browser send.

    Raises:
        FormRefused: the browser says that it comes from elsewhere, or says nothing.
    """
    config: ConsoleConfig = request.app.state["console"]
    origin = request.headers.get("origin")
    if origin is None or origin != config.public_url:
        raise FormRefused


async def form_of(request: Request[Any, Any, Any], session: Session) -> Mapping[str, str]:
    """The fields of a form that was sent from a page of this session.

    Raises:
        FormRefused: it was not.
    """
    require_own_page(request)
    fields = await fields_of(request)
    if not session.is_of_form(fields.get(FORM_TOKEN, "")):
        raise FormRefused
    return fields


async def fields_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The text fields of a form."""
    form = await request.form()
    return {name: value for name, value in form.items() if isinstance(value, str)}


def path_and_query(request: Request[Any, Any, Any]) -> str:
    """What was asked for, as a link."""
    query = request.scope["query_string"].decode("latin-1")
    return quote(request.scope["path"], safe="/:%-._~") + (f"?{query}" if query else "")
