"""The first page: what the viewer can do here, for which purposes, until when, and what awaits them."""

from __future__ import annotations

from typing import Any

from litestar import Request, get, post
from litestar.datastructures import Cookie
from litestar.response import Response

from journeymesh.identity.capabilities import CAPABILITIES
from journeymesh.services.console import approvals
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.panels import Panel
from journeymesh.services.console.rendering import UNITS_COOKIE, page, redirect
from journeymesh.services.console.requests import form_of, local_path, session_of


@get("/")
async def home(request: Request[Any, Any, Any]) -> Response[bytes]:
    """What can be done, row by row: offered with its purposes, or not, and why."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    rows = [
        {
            "name": each.name,
            "meaning": each.meaning,
            "personal": each.personal,
            "offers": viewer.offers_of(each.name),
            "refusal": None if viewer.may(each.name) else viewer.refusal(each.name, _wished(request)),
        }
        for each in CAPABILITIES
    ]
    waiting: Panel[approvals.Awaiting] = Panel()
    if viewer.may("approvals:read"):
        waiting = await apis.panel(approvals.awaiting(apis.of(session), viewer))
    return page(request, "home.html", session=session, viewer=viewer, rows=rows, waiting=waiting)


@post("/units", status_code=303)
async def choose_units(request: Request[Any, Any, Any]) -> Response[Any]:
    """Show distances in kilometres or miles from now on, in this browser."""
    config: ConsoleConfig = request.app.state["console"]
    fields = await form_of(request, session_of(request))
    chosen = "miles" if fields.get("units") == "miles" else "km"
    cookie = Cookie(
        key=UNITS_COOKIE, value=chosen, httponly=True, secure=config.secure, samesite="lax", max_age=365 * 86_400
    )
    return redirect(local_path(fields.get("after")), cookies=[cookie])


def _wished(request: Request[Any, Any, Any]) -> str | None:
    return request.query_params.get("purpose")


ROUTES = (home, choose_units)
