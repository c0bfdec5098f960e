"""The data product: its contract, how recent it is, and its quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from journeymesh.access.decision import Decision
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.journeys.answers import plain
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.problems import PRECONDITION_FAILED
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import IF_NONE_MATCH, Answer, HttpRoute
from journeymesh.services.journeyapi.policy_answers import dependencies_of, read_answer
from journeymesh.services.journeyapi.ports import Product
from journeymesh.wire.journeys import ProductTold


@HttpRoute(
    "GET",
    "/v1/products/journeys",
    summary="The data product",
    tag="products",
    capability="product:read",
    answers=(
        Answer(200, "The product", {JSON: ProductTold}, {"ETag": "names what is told"}),
        Answer(304, "The caller has it already"),
    ),
    headers=IF_NONE_MATCH,
    problems=(PRECONDITION_FAILED,),
)
async def product(request: HttpRequest, decision: Decision) -> ReadyAnswer:
    """Its contract as ODCS has it, its freshness and its quality. Nothing of it is personal."""
    del decision  # nothing has to be done to what is told
    deps = dependencies_of(request)
    body = await deps.threads.run(_told, deps.product)
    return read_answer(dependencies_of(request), request.scope, None, body, JSON)


def _told(product: Product) -> bytes:
    told: Mapping[str, Any] = {
        "product": JOURNEYS,
        "contract": product.contract(),
        "freshness": product.freshness(),
        "quality": product.quality(),
    }
    return msgspec.json.encode(plain(told))


ROUTES: Final = (product,)
