"""One journey: its figures, its harsh events, and where it went, for those who may see that."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request, get
from litestar.response import Response

from journeymesh.services.console import charts
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import nothing
from journeymesh.services.console.rendering import page, units_of
from journeymesh.services.console.requests import session_of


@get("/journeys/{journey:str}")
async def journey(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The journey's page. Its track is asked for only where it may be read."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    journey_id = request.path_params["journey"]
    purpose = viewer.chosen(request.query_params.get("purpose"))
    asked = apis.of(session, purpose)
    may_read = purpose is not None and viewer.may("journeys:read", purpose)
    may_track = purpose is not None and viewer.may("tracks:read", purpose)
    row, fixes = await asyncio.gather(
        apis.panel(asked.journey(journey_id)) if may_read else nothing(),
        apis.panel(asked.track(journey_id)) if may_track else nothing(),
    )
    told = row.value if row else None
    harsh = (told or {}).get("harsh_events") or []
    drawn = charts.track(list(fixes.value), harsh) if fixes and fixes.value else None
    return page(
        request, "journey.html", session=session, viewer=viewer, purpose=purpose, journey_id=journey_id,
        row=row, harsh=harsh, fixes=fixes, drawn=drawn, units=units_of(request, (told or {}).get("zone")),
        refusal=None if may_read else viewer.refusal("journeys:read", purpose),
        no_track=None if may_track else viewer.refusal("tracks:read", purpose),
    )  # fmt: skip


ROUTES = (journey,)
