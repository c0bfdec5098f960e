"""What there is to choose from: purposes, and the identity providers."""

from __future__ import annotations

from typing import Any

from litestar import Request, get
from litestar.response.base import ASGIResponse

from journeymesh.services.http.gate import Decided
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.identityapi.answers import ProviderGiven, ProvidersGiven, PurposeGiven, PurposesGiven
from journeymesh.services.identityapi.parts import answered, guarded, parts_of


@get(
    "/v1/providers",
    operation_id="providers",
    summary="The identity providers and how they are doing",
    tags=["catalogue"],
    **guarded("providers:read", answers=(Answer(200, "The providers", {JSON: ProvidersGiven}),)),
)
async def providers(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:  # noqa: ARG001 - the guard
    """Tokens are routed to them by issuer and tenant; there is never a union of what several say."""
    parts = parts_of(request)
    states = await parts.in_thread(parts.providers.states)
    return answered(ProvidersGiven(items=[ProviderGiven.of(each) for each in states]))


@get(
    "/v1/purposes",
    operation_id="purposes",
    summary="The purposes that data can be used for",
    tags=["catalogue"],
    **guarded("purposes:read", answers=(Answer(200, "The tree of purposes", {JSON: PurposesGiven}),)),
)
async def purposes(request: Request[Any, Any, Any], decision: Decided) -> ASGIResponse:  # noqa: ARG001 - the guard
    """Each narrower purpose beneath the broader one. An approval covers exactly its purpose."""
    return answered(PurposesGiven(items=PurposeGiven.beneath(parts_of(request).contracts.purposes, None)))


ROUTES = (purposes, providers)
