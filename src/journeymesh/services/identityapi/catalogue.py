"""What there is to choose from: purposes, and the identity providers."""

from __future__ import annotations

from functools import partial
from typing import Final

from journeymesh.access.decision import Decision
from journeymesh.identity.identity import PLATFORM
from journeymesh.services.http.answers import JSON, ReadyAnswer
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.identityapi import answers
from journeymesh.services.identityapi.dependencies import answered, dependencies_of
from journeymesh.wire.identity import ProvidersGiven, PurposesGiven

_route: Final = partial(HttpRoute, product=PLATFORM, tag="catalogue")


@_route(
    "GET",
    "/v1/providers",
    summary="The identity providers and how they are doing",
    capability="providers:read",
    answers=(Answer(200, "The providers", {JSON: ProvidersGiven}),),
)
async def providers(request: HttpRequest, decision: Decision) -> ReadyAnswer:  # noqa: ARG001 - the guard
    """Tokens are routed to them by issuer and tenant; there is never a union of what several say."""
    deps = dependencies_of(request)
    states = await deps.in_thread(deps.providers.states)
    return answered(ProvidersGiven(items=[answers.provider(each) for each in states]))


@_route(
    "GET",
    "/v1/purposes",
    summary="The purposes that data can be used for",
    capability="purposes:read",
    answers=(Answer(200, "The tree of purposes", {JSON: PurposesGiven}),),
)
async def purposes(request: HttpRequest, decision: Decision) -> ReadyAnswer:  # noqa: ARG001 - the guard
    """Each narrower purpose beneath the broader one. An approval covers exactly its purpose."""
    return answered(PurposesGiven(items=answers.purposes(dependencies_of(request).contracts.purposes)))


ROUTES = (purposes, providers)
