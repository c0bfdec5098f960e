"""The data product: its contract, how recent it is, and its quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse

from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.journeys.answers import plain
from journeymesh.services.http.gate import Decided, needs
from journeymesh.services.http.openapi import JSON, Answer, documents
from journeymesh.services.http.problems import PRECONDITION_FAILED
from journeymesh.services.journeyapi.asked import parts_of, read_answer
from journeymesh.services.journeyapi.ports import Product
from journeymesh.services.journeyapi.schemas import ProductTold


@get(
    "/v1/products/journeys",
    operation_id="product",
    summary="The data product",
    tags=["products"],
    **needs(
        "product:read",
        opt=documents(
            answers=(
                Answer(200, "The product", {JSON: ProductTold}, {"ETag": "names what is told"}),
                Answer(304, "The caller has it already"),
            ),
            headers={"If-None-Match": ("entity tags of what the caller has", False)},
            problems=(PRECONDITION_FAILED,),
        ),
    ),
)
async def product(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:
    """Its contract as ODCS has it, its freshness and its quality. Nothing of it is personal."""
    del decision  # nothing has to be done to what is told
    parts = parts_of(request)
    body = await parts.threads.run(_told, parts.product)
    return read_answer(parts_of(request), request.scope, None, body, JSON)


def _told(product: Product) -> bytes:
    told: Mapping[str, Any] = {
        "product": JOURNEYS,
        "contract": product.contract(),
        "freshness": product.freshness(),
        "quality": product.quality(),
    }
    return msgspec.json.encode(plain(told))
