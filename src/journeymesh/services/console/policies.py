"""All policies that the viewer may see for a purpose, and one of them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.answers import Rows
from journeymesh.client.rows import Journey
from journeymesh.journeys.period_sums import Period
from journeymesh.reports.figures import WEEKDAYS
from journeymesh.services.console import charts
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.exports import FORMATS, capability_for
from journeymesh.services.console.panels import nothing
from journeymesh.services.console.rendering import link, page, units_of
from journeymesh.services.console.requests import session_of

PAGE_ROWS: Final = 50
PERIODS: Final[tuple[Period, ...]] = ("month", "term", "week", "day")
JOURNEYS_SHOWN: Final = 50


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
    wanted = request.query_params.get("period")
    period = next((each for each in PERIODS if each == wanted), PERIODS[0])
    after = request.query_params.get("after") or None
    refusals = {
        name: None if viewer.may(name, purpose) and purpose else viewer.refusal(name, purpose)
        for name in ("summaries:read", "journeys:read", "journeys:export")
    }
    asked = apis.of(session, purpose)
    may_sum, may_read = not refusals["summaries:read"], not refusals["journeys:read"]
    terms, periods, journeys = await asyncio.gather(
        apis.panel(asked.summary(number, "term")) if may_sum else nothing(),
        apis.panel(asked.summary(number, period)) if may_sum and period != "term" else nothing(),
        apis.panel(journeys_page(asked, number, after)) if may_read else nothing(),
    )
    periods = terms if period == "term" else periods
    zone = next((row.get("zone") for row in terms.value or () if row), None) if terms else None
    rows = journeys.value.rows if journeys and journeys.value else []
    older = journeys.value.after if journeys and journeys.value else None
    return page(
        request, "policy.html", session=session, viewer=viewer, purpose=purpose, number=number, period=period,
        periods_there_are=PERIODS, refusals=refusals, terms=terms, periods=periods, journeys=journeys,
        newest=after is None, older=older and link(
            "/policies/{policy}", {"purpose": purpose, "period": period, "after": older}, policy=number
        ),
        bars=charts.bars(list(periods.value), "distance_m") if periods and periods.value else [],
        week=charts.week(rows), weekdays=WEEKDAYS,
        export_formats=[form for form in FORMATS if not refusals[capability_for(form)]], units=units_of(request, zone),
    )  # fmt: skip


async def journeys_page(asked: AsyncJourneymesh, number: str, after: str | None) -> Rows[Journey]:
    """A page of the policy's journeys, the newest first, behind this cursor."""
    return await anext(asked.journeys(number, newest_first=True, page_size=JOURNEYS_SHOWN).pages(after))


ROUTES = (policies, policy)
