"""One policy: its term, its score and what would change it, its periods, when it drives, its journeys."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from litestar import Request, get
from litestar.response import Response

from journeymesh.client import AsyncJourneymesh
from journeymesh.client.answers import Rows
from journeymesh.client.rows import Journey
from journeymesh.journeys.period_sums import Period
from journeymesh.reports.figures import PART_TITLES, WEEKDAYS
from journeymesh.services.console import charts
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.exports import FORMATS, SUMMARY_CAPABILITY, capability_for
from journeymesh.services.console.panels import nothing
from journeymesh.services.console.policies import COLUMNS
from journeymesh.services.console.rendering import link, page, units_of
from journeymesh.services.console.requests import session_of
from journeymesh.services.console.trends import trends

PERIODS: Final[tuple[Period, ...]] = ("month", "week", "day", "term")
MEASURES: Final = {"distance_m": "distance", "journeys": "journeys", "night_share": "night",
                   "harsh_events_per_100km": "harsh events", "score": "score"}  # fmt: skip
"""What the bars can show."""
JOURNEYS_SHOWN: Final = 50
WEEK_OF: Final = 1_000
"""The journeys of which it is shown when a policy drives: the latest ones, some fifteen months of daily use."""
CHANGES_SHOWN: Final = 6


@get("/policies/{policy:path}")
async def policy(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The policy's page. Each part is asked for where it may be read, and stands by itself."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    query = request.query_params
    number = request.path_params["policy"].removeprefix("/")  # a number may have slashes
    purpose = viewer.chosen(query.get("purpose"))
    period = next((each for each in PERIODS if each == query.get("period")), PERIODS[0])
    measure = query["measure"] if query.get("measure") in MEASURES else "distance_m"
    after = query.get("after") or None
    refusals = {
        name: None if viewer.may(name, purpose) and purpose else viewer.refusal(name, purpose)
        for name in ("summaries:read", "journeys:read", "journeys:export")
    }
    asked = apis.of(session, purpose)
    may_sum, may_read = not refusals["summaries:read"], not refusals["journeys:read"]
    (terms, periods, score, compared), (journeys, driven, product) = await asyncio.gather(
        asyncio.gather(
            apis.panel(asked.summary(number, "term")) if may_sum else nothing(),
            apis.panel(asked.summary(number, period)) if may_sum and period != "term" else nothing(),
            apis.panel(asked.score(number)) if may_sum else nothing(),
            apis.panel(asked.comparison(number)) if may_sum else nothing(),
        ),
        asyncio.gather(
            apis.panel(newest(asked, number, after)) if may_read else nothing(),
            apis.panel(newest(asked, number, fields=("hours",), page_size=WEEK_OF)) if may_read else nothing(),
            apis.panel(asked.product()) if viewer.may("product:read") else nothing(),
        ),
    )
    periods = terms if period == "term" else periods
    zone = next((row.get("zone") for row in terms.value or () if row), None) if terms else None
    older = journeys.value.after if journeys and journeys.value else None
    gone = journeys is not None and journeys.missing is not None  # a file of them is refused as they are
    here = link("/policies/{policy}", policy=number)
    shown = {"purpose": purpose, "period": period, "measure": measure}
    rows = list(periods.value) if periods and periods.value else []
    return page(
        request, "policy.html", session=session, viewer=viewer, purpose=purpose, number=number, here_path=here,
        period=period, periods_there_are=PERIODS, measure=measure, measures=MEASURES, shown=shown, refusals=refusals,
        compared=compared, figure_titles=COLUMNS,
        terms=terms, periods=periods, score=score, journeys=journeys, driven=driven, product=product,
        part_titles=PART_TITLES, changes_shown=CHANGES_SHOWN, newest=after is None,
        older=older and link(here, {**shown, "after": older}),
        bars=charts.bars(rows, measure), trend=trends(rows, datetime.now(UTC).date()),
        week=charts.week(driven.value if driven and driven.value else ()), weekdays=WEEKDAYS,
        export_formats=[each for each in FORMATS if not refusals[capability_for(each)] and not gone],
        summary_formats=FORMATS if not refusals[SUMMARY_CAPABILITY] else (), units=units_of(request, zone),
    )  # fmt: skip


async def newest(asked: AsyncJourneymesh, number: str, after: str | None = None, **what: Any) -> Rows[Journey]:
    """A page of the policy's journeys, the newest first, behind this cursor."""
    return await anext(asked.journeys(number, newest_first=True, **{"page_size": JOURNEYS_SHOWN, **what}).pages(after))


ROUTES = (policy,)
