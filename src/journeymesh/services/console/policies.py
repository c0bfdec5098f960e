"""All policies that the viewer may see for a purpose, and one of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.answers import Rows
from journeymesh.client.rows import Journey, Summary
from journeymesh.reports.figures import WEEKDAYS
from journeymesh.services.console import charts
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.exports import FORMATS, capability_for
from journeymesh.services.console.panels import nothing
from journeymesh.services.console.rendering import link, page, units_of
from journeymesh.services.console.requests import session_of

PAGE_ROWS: Final = 50
PERIODS: Final = ("month", "term", "week", "day")
JOURNEYS_SHOWN: Final = 50
RECENT: Final = timedelta(days=92)


@get("/policies")
async def policies(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A page of policies by number, with what their journeys add up to in the term."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    query = request.query_params
    purpose = viewer.chosen(query.get("purpose"))
    filters = {"product": query.get("product") or None, "status": query.get("status") or None}
    if purpose is None or not viewer.may("summaries:read", purpose):
        refusal = viewer.refusal("summaries:read", purpose)
        return page(request, "policies.html", session=session, viewer=viewer, purpose=purpose, refusal=refusal,
                    listed=None, filters=filters, after=None)  # fmt: skip
    asked = apis.of(session, purpose).summaries("term", page_size=PAGE_ROWS, **filters)
    listed = await apis.panel(anext(asked.pages(query.get("after") or None)))
    after = listed.value.after if listed.value else None
    following = link("/policies", {"purpose": purpose, **filters, "after": after}) if after else None
    return page(request, "policies.html", session=session, viewer=viewer, purpose=purpose, listed=listed,
                filters=filters, after=following, refusal=None)  # fmt: skip


@get("/policies/{policy:path}")
async def policy(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A policy: its term, its periods, when it drives, how it is scored, its journeys."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    number = request.path_params["policy"].removeprefix("/")  # a number may have slashes
    purpose = viewer.chosen(request.query_params.get("purpose"))
    period = request.query_params.get("period", "month")
    period = period if period in PERIODS else "month"
    refusals = {
        name: None if viewer.may(name, purpose) and purpose else viewer.refusal(name, purpose)
        for name in ("summaries:read", "journeys:read", "journeys:export")
    }
    asked = apis.of(session, purpose)
    term, periods, journeys = await asyncio.gather(
        apis.panel(_term(asked, number)) if not refusals["summaries:read"] else nothing(),
        apis.panel(asked.summary(number, period)) if not refusals["summaries:read"] else nothing(),  # type: ignore[arg-type]
        apis.panel(recent_journeys(asked, number)) if not refusals["journeys:read"] else nothing(),
    )
    zone = term.value.get("zone") if term and term.value else None
    rows = journeys.value if journeys and journeys.value else []
    return page(
        request, "policy.html", session=session, viewer=viewer, purpose=purpose, number=number, period=period,
        periods_there_are=PERIODS, refusals=refusals, term=term, periods=periods, journeys=journeys,
        bars=charts.bars(list(periods.value), "distance_m") if periods and periods.value else [],
        week=charts.week(rows), weekdays=WEEKDAYS,
        export_formats=[form for form in FORMATS if not refusals[capability_for(form)]], units=units_of(request, zone),
    )  # fmt: skip


async def _term(asked: AsyncJourneymesh, number: str) -> Summary:
    """The summary of the policy's latest term; empty where there is none."""
    rows: Rows[Summary] = await asked.summary(number, "term")
    return rows[-1] if len(rows) else {}


async def recent_journeys(asked: AsyncJourneymesh, number: str) -> list[Journey]:
    """The latest journeys of the last three months in which there were any, the newest first."""
    since: datetime | None = datetime.now(UTC) - RECENT
    rows = [row async for row in asked.journeys(number, since)]
    if not rows:
        rows = [row async for row in asked.journeys(number)]
    return rows[::-1][:JOURNEYS_SHOWN]


ROUTES = (policies, policy)
