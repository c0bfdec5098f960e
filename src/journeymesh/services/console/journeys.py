"""One journey: its figures, its harsh events, and where it went, for those who may see that."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from litestar import Request, get
from litestar.response import Response
from markupsafe import Markup

from journeymesh.services.console import basemap, charts, tracks
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.changed import shown_changes
from journeymesh.services.console.config import ConsoleConfig
from journeymesh.services.console.panels import nothing
from journeymesh.services.console.rendering import page, units_of
from journeymesh.services.console.requests import session_of

ROWS_SHOWN: Final = 500
"""Fixes in the page's table; longer tracks are shown thinned out."""
REFUSED_SHOWN: Final = 200
VERSIONS_SHOWN: Final = 20


@get("/journeys/{journey:str}")
async def journey(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The journey's page. Its track is asked for only where it may be read."""
    apis: Apis = request.app.state["apis"]
    config: ConsoleConfig = request.app.state["console"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    journey_id = request.path_params["journey"]
    purpose = viewer.chosen(request.query_params.get("purpose"))
    asked = apis.of(session, purpose)
    may_read = purpose is not None and viewer.may("journeys:read", purpose)
    may_track = purpose is not None and viewer.may("tracks:read", purpose)
    of_its_time = asked.journey_refusals(journey_id, positions=may_track, page_size=REFUSED_SHOWN)
    row, fixes, versions, refused = await asyncio.gather(
        apis.panel(asked.journey(journey_id)) if may_read else nothing(),
        apis.panel(asked.track(journey_id)) if may_track else nothing(),
        apis.panel(asked.journey_versions(journey_id, limit=VERSIONS_SHOWN)) if may_read else nothing(),
        apis.panel(anext(of_its_time.pages())) if may_read else nothing(),
    )
    told = row.value if row else None
    harsh = (told or {}).get("harsh_events") or []
    rows = fixes.value.rows if fixes and fixes.value else []
    refused_rows = refused.value.rows if refused and refused.value else []
    drawn = charts.track(rows, harsh, refused_rows) if rows else None
    rules = tracks.speeding_rules((told or {}).get("rules_version"))
    columns = tracks.columns(rows, rules) if drawn else None
    return page(
        request, "journey.html", session=session, viewer=viewer, purpose=purpose, journey_id=journey_id,
        row=row, harsh=harsh, fixes=fixes, drawn=drawn, units=units_of(request, (told or {}).get("zone")),
        versions=versions, refused=refused, shown_changes=shown_changes, may_track=may_track,
        basemap=config.basemap, archive=basemap.PATH, marks_speeding=rules is not None,
        sampled=tracks.sampled(rows, columns["over"], ROWS_SHOWN) if columns else (),
        columns=Markup(msgspec.json.encode(columns).decode()) if columns else None,  # noqa: S704 - numbers alone
        refusal=None if may_read else viewer.refusal("journeys:read", purpose),
        no_track=None if may_track else viewer.refusal("tracks:read", purpose),
    )  # fmt: skip


@get(basemap.PATH)
async def basemap_archive(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Bytes of the basemap's archive, as the Range header names them."""
    session_of(request)
    config: ConsoleConfig = request.app.state["console"]
    archive = config.basemap.archive
    if archive is None:
        return Response(b"", status_code=404)
    found = await basemap.piece(archive, request.headers.get("range", ""))
    if isinstance(found, int):
        return Response(b"", status_code=416, headers={"content-range": f"bytes */{found}"})
    headers = {
        "content-range": f"bytes {found.first}-{found.last}/{found.size}",
        "cache-control": "private, max-age=3600",
    }
    return Response(found.content, status_code=206, headers=headers, media_type="application/octet-stream")


ROUTES = (journey, basemap_archive)
