"""The quarantine of a policy, entry by entry."""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from journeymesh.journeys.reasons import TOLD
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.rendering import link, page
from journeymesh.services.console.requests import session_of

ROWS_SHOWN: Final = 100


@get("/refusals")
async def refusals(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A page of a policy's refused fixes, with positions for those who may read tracks."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    query = request.query_params
    number, reason = query.get("policy", ""), query.get("reason")
    reason = reason if reason in TOLD else None
    purpose = viewer.chosen(query.get("purpose"))
    shown = {"policy": number, "reason": reason}
    refusal = None
    if purpose is None or not viewer.may("journeys:read", purpose):
        refusal = viewer.refusal("journeys:read", purpose)
    may_track = purpose is not None and viewer.may("tracks:read", purpose)
    listed, after = None, query.get("after") or None
    if not refusal and number:
        pages = apis.of(session, purpose).refusals(number, reason=reason, positions=may_track, page_size=ROWS_SHOWN)
        listed = await apis.panel(anext(pages.pages(after)))
    behind = listed.value.after if listed and listed.value else None
    return page(
        request, "refusals.html", session=session, viewer=viewer, purpose=purpose, number=number, reason=reason,
        reasons=TOLD, listed=listed, refusal=refusal, shown=shown, may_track=may_track, first=after is None,
        following=behind and link("/refusals", {**shown, "purpose": purpose, "after": behind}),
        no_track=None if may_track else viewer.refusal("tracks:read", purpose),
    )  # fmt: skip


ROUTES = (refusals,)
