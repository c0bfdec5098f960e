"""Pages from templates: every value is escaped, every figure has its unit, every instant its time zone."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment
from litestar import Request
from litestar.datastructures import Cookie
from litestar.response import Redirect, Response

from journeymesh.reports.templating import page_environment
from journeymesh.reports.units import Units
from journeymesh.safe_text import on_terminal
from journeymesh.services.console.requests import FORM_TOKEN, local_path, path_and_query
from journeymesh.services.console.sessions import Session
from journeymesh.services.console.viewer import Viewer

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"
PINS: Final = Path(__file__).parent / "browser/package.json"
PAGE_HEADERS: Final = {"content-type": "text/html; charset=utf-8", "cache-control": "no-store", "vary": "cookie"}
UNITS_COOKIE: Final = "journeymesh-units"
SCRIPT_POLICY: Final = "script-src 'nonce-{nonce}'; worker-src 'self'"
"""A page's own policy, besides the one of every answer: of our own files, the scripts that this page names."""


def page(
    request: Request[Any, Any, Any],
    template: str,
    *,
    session: Session | None = None,
    viewer: Viewer | None = None,
    status: int = 200,
    **values: Any,
) -> Response[bytes]:
    """A page: what its template makes of these values, in the frame that all pages have."""
    nonce = secrets.token_urlsafe(16)
    context: dict[str, Any] = {
        "nonce": nonce,
        "again": path_and_query(request) if request.method == "GET" and status == 200 else None,
        "viewer": viewer,
        "session": session,
        "form_token_name": FORM_TOKEN,
        "here": local_path(request.scope["path"]),
        "units": units_of(request),
        "now": datetime.now(UTC),
        "purpose": None,
        **values,
    }
    text = _environment().get_template(template).render(context)
    headers = {**PAGE_HEADERS, "content-security-policy": SCRIPT_POLICY.format(nonce=nonce)}
    return Response(text.encode(), status_code=status, headers=headers, media_type="text/html; charset=utf-8")


def redirect(path: str, *, cookies: Sequence[Cookie] = (), headers: Mapping[str, str] | None = None) -> Response[Any]:
    """On to another page of the console, by GET. Nobody keeps the answer."""
    return Redirect(
        path, status_code=303, cookies=list(cookies), headers={"cache-control": "no-store", **(headers or {})}
    )


def units_of(request: Request[Any, Any, Any], zone: str | None = None) -> Units:
    """The units that this browser asked for, on this clock."""
    miles = request.cookies.get(UNITS_COOKIE) == "miles"
    return Units("miles" if miles else "km", zone or "UTC")


def link(path: str, query: Mapping[str, object] | None = None, **parts: str) -> str:
    """A path of the console: ``{name}`` filled with parts, values of the query that are None left out."""
    filled = path.format(**{name: quote(value, safe="") for name, value in parts.items()})
    given = {name: str(value) for name, value in (query or {}).items() if value not in (None, "")}
    return f"{filled}?{urlencode(given)}" if given else filled


def vendored(package: str, file: str) -> str:
    """The path of a file of another's browser library, in the version that the lock names."""
    return f"/static/vendor/{package}-{_pinned()[package]}/{file}"


def plain(text: object) -> str:
    """Foreign text without what would turn the direction of writing or hide in it; Jinja escapes it besides."""
    return on_terminal(str(text))


def day(at: datetime) -> str:
    """A day in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def days_left(at: datetime, now: datetime) -> str:
    """How long until then, in days."""
    days = (at - now).days
    return "today" if days < 1 else "1 day" if days == 1 else f"{days} days"


@cache
def _pinned() -> dict[str, str]:
    """The version of each browser library."""
    versions: dict[str, str] = json.loads(PINS.read_text("utf-8"))["dependencies"]
    return versions


@cache
def _environment() -> Environment:
    environment = page_environment(TEMPLATES)
    environment.filters |= {"plain": plain, "day": day, "days_left": days_left}
    environment.globals |= {"link": link, "vendored": vendored}
    return environment
