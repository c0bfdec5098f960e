"""Signing in at an OpenID provider, with a token, or in the demo as one of its people; signing out."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from litestar import Request, get, post
from litestar.datastructures import State
from litestar.response import Response
from msgspec import structs

from journeymesh.identity.identity import TokenRefused
from journeymesh.identity.tokens import read_unverified
from journeymesh.instants import from_us
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.oidc import Begun, Login, OidcSignIn, ProviderAway, SignInFailed
from journeymesh.services.console.rendering import page, redirect
from journeymesh.services.console.requests import (
    SignInNeeded,
    fields_of,
    form_of,
    local_path,
    require_own_page,
    session_cookie,
    session_id_of,
    session_of,
    sign_in_cookie,
)
from journeymesh.services.console.sessions import Session, Sessions
from journeymesh.services.http.limits import Rates
from journeymesh.services.http.requests import client_address


@get("/sign-in")
async def sign_in(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The page to sign in."""
    return _sign_in_page(request, local_path(request.query_params.get("after")))


@post("/sign-in", status_code=303)
async def take_token(request: Request[Any, Any, Any]) -> Response[Any]:
    """Begin a session for the bearer of a token, or for one of the demo's people."""
    require_own_page(request)
    config: ConsoleConfig = request.app.state["console"]
    if _too_often(request):
        return _sign_in_page(request, "/", "Too many attempts. Wait a moment.", 429)
    fields = await fields_of(request)
    after = local_path(fields.get("after"))
    mint = config.people.get(fields.get("person", ""))
    token = fields.get("token", "").strip() if mint is None and config.oidc is None else ""
    if mint is not None:
        token = mint()
    if not token.isascii() or not token.isprintable() or not 0 < len(token) <= 16_384:
        return _sign_in_page(request, after, "This is no token.", 400)
    return await _let_in(request, token, after, None)


@get("/sign-in/start")
async def start(request: Request[Any, Any, Any]) -> Response[Any]:
    """Send the browser to the OpenID provider."""
    config: ConsoleConfig = request.app.state["console"]
    oidc: OidcSignIn | None = request.app.state["oidc"]
    if oidc is None:
        return redirect("/sign-in")
    if _too_often(request):
        return _sign_in_page(request, "/", "Too many attempts. Wait a moment.", 429)
    try:
        url, begun = await oidc.begin(local_path(request.query_params.get("after")))
    except SignInFailed as error:
        return _sign_in_page(request, "/", error.words, 503)
    return redirect(url, cookies=[sign_in_cookie(config, begun)])


@get("/sign-in/callback")
async def callback(request: Request[Any, Any, Any]) -> Response[Any]:
    """Where the OpenID provider sends the browser back to."""
    config: ConsoleConfig = request.app.state["console"]
    oidc: OidcSignIn | None = request.app.state["oidc"]
    begun = Begun.of_cookie(request.cookies.get(sign_in_cookie(config, None).key, ""))
    if oidc is None or begun is None:
        return _sign_in_page(request, "/", "This sign-in was not begun in this browser, or too long ago.", 400)
    if _too_often(request):  # the provider is asked, and whoever has such a cookie can come again and again
        return _sign_in_page(request, local_path(begun.after), "Too many attempts. Wait a moment.", 429)
    try:
        token, login = await oidc.finish(begun, request.query_params)
    except SignInFailed as error:
        status = 503 if isinstance(error, ProviderAway) else 403
        return _sign_in_page(request, local_path(begun.after), error.words, status)
    return await _let_in(request, token, local_path(begun.after), login)


@post("/sign-out", status_code=303)
async def sign_out(request: Request[Any, Any, Any]) -> Response[Any]:
    """End the session, and where it was begun at an OpenID provider, the one there too."""
    config: ConsoleConfig = request.app.state["console"]
    sessions: Sessions = request.app.state["sessions"]
    oidc: OidcSignIn | None = request.app.state["oidc"]
    session = session_of(request)
    await form_of(request, session)
    await sessions.end(session.id)
    after = "/sign-in"
    if oidc is not None and session.login is not None:
        try:
            after = await oidc.end_url(session.login, f"{config.public_url}/sign-in")
        except SignInFailed:  # this session has ended all the same
            after = "/sign-in"
    return redirect(after, cookies=[session_cookie(config, None)], headers={"clear-site-data": '"cache"'})


@post("/sign-out/everywhere", status_code=200)
async def ended_elsewhere(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The OpenID provider says that it has ended a session (back-channel logout 1.0)."""
    oidc: OidcSignIn | None = request.app.state["oidc"]
    sessions: Sessions = request.app.state["sessions"]
    given = (await fields_of(request)).get("logout_token", "")
    if oidc is None or _too_often(request, "logouts"):
        return Response(b"", status_code=404 if oidc is None else 429)
    try:
        await sessions.end_of(await oidc.ended(given))
    except SignInFailed:
        return Response(b"", status_code=400, headers={"cache-control": "no-store"})
    return Response(b"", status_code=200, headers={"cache-control": "no-store"})


async def current_session(state: State, session_id: str | None, *, used: bool) -> Session | None:
    """The session of this id, its token renewed before it ends; None: there is none. Where the provider does not renew
    it, the session ends.

    Raises:
        SessionsAway, ProviderAway: nobody can say.
    """
    sessions: Sessions = state["sessions"]
    oidc: OidcSignIn | None = state["oidc"]
    session = await sessions.of(session_id, used=used)
    if session is None or session.login is None:
        return session
    if oidc is None:  # begun at a provider that this console no longer has
        return None
    return await sessions.renewed(session, partial(_with_other_tokens, oidc))


async def _with_other_tokens(oidc: OidcSignIn, session: Session) -> Session:
    if session.login is None:
        return session
    token, login = await oidc.renew(session.login)
    try:
        return replace(session, token=token, login=login, me=structs.replace(session.me, expires_at=_end_of(token)))
    except TokenRefused as error:
        raise SignInFailed("The identity provider's answer cannot be read.") from error


def _end_of(token: str) -> Any:
    """When a token ends that its provider has just made; the APIs hold it to that themselves."""
    ends_s = read_unverified(token).claims.get("exp")
    return from_us(int(ends_s) * 1_000_000 if isinstance(ends_s, int) else 0)


async def _let_in(request: Request[Any, Any, Any], token: str, after: str, login: Login | None) -> Response[Any]:
    """Begin a session. Whatever session there was ends: an id is never taken over."""
    config: ConsoleConfig = request.app.state["console"]
    sessions: Sessions = request.app.state["sessions"]
    apis: Apis = request.app.state["apis"]
    try:
        bearer = await apis.bearer(token)
    except SignInNeeded:
        return _sign_in_page(request, after, "This token does not count: it may have expired.", 403)
    if bearer.value is None:
        return _sign_in_page(request, after, bearer.missing.words if bearer.missing else "", 503)
    await sessions.end(session_id_of(request))
    try:
        session_id, _ = await sessions.begin(token, bearer.value, login)
    except SignInFailed as error:
        return _sign_in_page(request, after, error.words, 403)
    return redirect(after, cookies=[session_cookie(config, session_id), sign_in_cookie(config, None)])


def _too_often(request: Request[Any, Any, Any], what: str = "sign_ins") -> bool:
    config: ConsoleConfig = request.app.state["console"]
    rates: Rates = request.app.state[what]
    return rates.take(client_address(request.scope, config.http.trusted_proxies)) is not None


def _sign_in_page(request: Request[Any, Any, Any], after: str, wrong: str = "", status: int = 200) -> Response[bytes]:
    config: ConsoleConfig = request.app.state["console"]
    people, oidc = sorted(config.people), config.oidc is not None
    return page(request, "sign_in.html", after=after, wrong=wrong, people=people, oidc=oidc, status=status)


ROUTES = (sign_in, take_token, start, callback, sign_out, ended_elsewhere)
