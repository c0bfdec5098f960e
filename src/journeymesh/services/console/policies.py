"""The book: all policies that the viewer may see for a purpose, sorted and filtered by what the address says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, get_args

from litestar import Request, get
from litestar.response import Response

from journeymesh.journeys.fields import SORTS
from journeymesh.journeys.period_sums import FigurePeriod
from journeymesh.reports.units import Units
from journeymesh.services.console.apis import Apis
from journeymesh.services.console.rendering import link, page, units_of
from journeymesh.services.console.requests import session_of
from journeymesh.services.console.trends import moves
from journeymesh.services.console.viewer import Viewer

PAGE_ROWS: Final = 50
PERIODS: Final[tuple[FigurePeriod, ...]] = get_args(FigurePeriod)
STATUSES: Final = ("active", "lapsed", "cancelled")
COLUMNS: Final = {
    "journeys": "Journeys", "distance_m": "Distance", "night_share": "Night", "speeding_share": "Over limit",
    "harsh_events_per_100km": "Harsh per 100 km", "mileage_ratio": "Against declared", "score": "Score",
}  # fmt: skip
"""The numbers of a row, in the order that they are shown in."""


@dataclass(frozen=True, slots=True)
class BookAsked:
    """What an address asks of the book. ``sort`` None: by number, over the term. ``bound``: the column that ``least``
    and ``most`` are about, in the units shown (distances in km or miles, shares in per cent)."""

    product: str | None
    status: str | None
    policy: str | None
    sort: str | None
    lowest: bool
    period: FigurePeriod
    bound: str | None
    least: float | None
    most: float | None

    @classmethod
    def of(cls, query: Mapping[str, str], sorts: tuple[str, ...]) -> BookAsked:
        """As far as the address can be understood, and the columns are among those that sort for the viewer."""
        bound = query.get("bound") if query.get("bound") in sorts else None
        sort = query.get("sort") if query.get("sort") in sorts else bound
        return cls(
            product=query.get("product") or None,
            status=query.get("status") if query.get("status") in STATUSES else None,
            policy=(query.get("policy") or "").strip() or None,
            sort=sort,
            lowest=query.get("order") == "lowest",
            period=next((each for each in PERIODS if each == query.get("period")), "term") if sort else "term",
            bound=bound,
            least=_number(query.get("least")) if bound else None,
            most=_number(query.get("most")) if bound else None,
        )

    def address(self, purpose: str | None, **changed: object) -> str:
        """The page's address, with these changes."""
        query: dict[str, object] = {
            "purpose": purpose, "product": self.product, "status": self.status, "policy": self.policy,
            "sort": self.sort, "order": "lowest" if self.lowest else None,
            "period": self.period if self.sort else None,
            "bound": self.bound, "least": self.least, "most": self.most,
        }  # fmt: skip
        return link("/policies", query | changed)

    def bounds(self, amount: float | None, units: Units) -> dict[str, float]:
        """A bound as the API takes it, in SI."""
        if self.bound is None or amount is None:
            return {}
        return {self.bound: amount * _si(self.bound, units)}


@get("/policies")
async def policies(request: Request[Any, Any, Any]) -> Response[bytes]:
    """A page of the book, with what each policy's journeys add up to."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    query, units = request.query_params, units_of(request)
    purpose = viewer.chosen(query.get("purpose"))
    sorts = sortable(viewer, purpose)
    asked = BookAsked.of(query, sorts)
    shown: dict[str, Any] = {
        "asked": asked,
        "sorts": sorts,
        "columns": COLUMNS,
        "statuses": STATUSES,
        "periods": PERIODS,
    }
    if purpose is None or not viewer.may("summaries:read", purpose):
        refusal = viewer.refusal("summaries:read", purpose)
        return page(request, "policies.html", session=session, viewer=viewer, purpose=purpose, refusal=refusal,
                    listed=None, following=None, first=True, **shown)  # fmt: skip
    client, after = apis.of(session, purpose), query.get("after") or None
    filters: dict[str, Any] = {"product": asked.product, "status": asked.status}
    if may_say_what_moved := "period_from" not in masked(viewer, purpose):
        filters["moved"] = True
    if asked.sort is None and asked.policy is None:
        pages = client.summaries("term", page_size=PAGE_ROWS, **filters)
    else:
        pages = client.book(
            asked.sort or sorts[0], asked.period, lowest=asked.lowest, policy=asked.policy, page_size=PAGE_ROWS,
            least=asked.bounds(asked.least, units), most=asked.bounds(asked.most, units), **filters,
        )  # fmt: skip
    listed = await apis.panel(anext(pages.pages(after)))
    following = asked.address(purpose, after=listed.value.after) if listed.value and listed.value.after else None
    return page(request, "policies.html", session=session, viewer=viewer, purpose=purpose, listed=listed,
                moves=moves, says_what_moved=may_say_what_moved, refusal=None, following=following,
                first=after is None, **shown)  # fmt: skip


def sortable(viewer: Viewer, purpose: str | None) -> tuple[str, ...]:
    """The columns by which the book sorts for the purpose: a masked one neither sorts nor filters."""
    hidden = masked(viewer, purpose)
    return tuple(name for name in COLUMNS if name in SORTS and name not in hidden)


def masked(viewer: Viewer, purpose: str | None) -> frozenset[str]:
    """The fields of summaries that are hidden for the purpose."""
    offers = [each for each in viewer.offers_of("summaries:read") if each.purpose == purpose]
    return frozenset(name for each in offers for name in each.mask)


def _number(text: str | None) -> float | None:
    """A number of an address; None: it is none, or no amount."""
    try:
        amount = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return amount if math.isfinite(amount) and 0 <= amount <= 1e9 else None


def _si(column: str, units: Units) -> float:
    if column == "distance_m":
        return 1_609.344 if units.distance == "miles" else 1_000.0
    return 0.01 if column in ("night_share", "speeding_share") else 1.0


ROUTES = (policies,)
