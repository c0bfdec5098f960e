"""The data product: what it promises, column by column, and what it may be used for."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response import Response

from journeymesh.services.console.apis import Apis
from journeymesh.services.console.panels import Panel
from journeymesh.services.console.rendering import page
from journeymesh.services.console.requests import session_of


@get("/data")
async def data(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The product's contract for people: columns with classification and unit, purposes, service levels."""
    apis: Apis = request.app.state["apis"]
    session = session_of(request)
    viewer = await apis.viewer(session)
    refusal = None if viewer.may("product:read") else viewer.refusal("product:read", None)
    product: Panel[Any] = Panel() if refusal else await apis.panel(apis.of(session).product())
    contract = product.value.contract if product.value else {}
    custom = {each.get("property"): each.get("value") for each in contract.get("customProperties", ())}
    return page(
        request, "data.html", session=session, viewer=viewer, refusal=refusal, product=product, contract=contract,
        purposes=custom.get("purposes") or [],
    )  # fmt: skip


ROUTES = (data,)
