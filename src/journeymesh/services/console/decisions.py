"""Why something was decided, for those who may know."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response import Response

from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import Panel
from journeymesh.services.console.rendering import page
from journeymesh.services.console.requests import session_of


@get("/decisions/{decision:str}")
async def decision(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A decision's explanation."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    decision_id = request.path_params["decision"]
    refusal = None if viewer.may("decisions:explain") else viewer.refusal("decisions:explain", None)
    told: Panel[Any] = Panel() if refusal else await apis.panel(apis.of(session).explain(decision_id))
    return page(
        request, "decision.html", session=session, viewer=viewer, decision_id=decision_id, refusal=refusal, told=told
    )


ROUTES = (decision,)
