"""Routes that tell a token's bearer about themselves: they need a token that holds, and no capability."""

from __future__ import annotations

from functools import partial
from typing import Final
from urllib.parse import quote

import msgspec

from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.identity import PLATFORM, Identity
from journeymesh.services.http.answers import JSON, ReadyAnswer, json_answer
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.problems import (
    CAPABILITY_MISSING,
    NOT_FOUND,
    TOKEN_MISSING,
    TOO_MANY_REQUESTS,
    ProblemRaised,
)
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import HttpRequest, bearer_token, client_address
from journeymesh.services.http.routes import Answer, HttpRoute
from journeymesh.services.identityapi import answers
from journeymesh.services.identityapi.dependencies import answered, dependencies_of
from journeymesh.wire.identity import Capabilities, Me, Name, Offers

_route: Final = partial(HttpRoute, bearer=True, tag="bearer")
IDENTITY_HEADERS = {
    "Journeymesh-Provider": "the provider that vouches",
    "Journeymesh-Subject": "its name for the bearer",
    "Journeymesh-Tenant": "the bearer's tenant",
    "Journeymesh-Domains": "the bearer's domains, separated by commas",
}
"""What a gateway may hand on, percent-encoded. Services of ours never believe it: they read the token themselves."""


class OfProduct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of which product."""

    product: Name = JOURNEYS


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The capability of a product that a gateway's route wants, beside a token that holds."""

    product: Name = JOURNEYS
    capability: Name | None = None


async def identified(request: HttpRequest) -> tuple[str, Identity]:
    """The request's token and who bears it.

    Raises:
        ProblemRaised: there is no token, or its sender asks too much. TokenRefused, ProviderUnavailable.
    """
    gate: Gate = request.state["gate"]
    deps = dependencies_of(request)
    token = bearer_token(request.scope)
    address = client_address(request.scope, gate.config.trusted_proxies)
    wait_s = gate.strangers.take(address)
    if wait_s is not None:
        raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
    if token is None:
        raise ProblemRaised(TOKEN_MISSING, headers={"www-authenticate": 'Bearer realm="journeymesh"'})
    if deps.providers.would_block(token, PLATFORM):
        identity = await deps.in_thread(deps.providers.identify, token)
    else:
        identity = deps.providers.identify(token)
    wait_s = gate.clients.take((identity.provider, identity.subject))
    if wait_s is not None:
        raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
    gate.strangers.give_back(address)
    return token, identity


async def held_of(request: HttpRequest, token: str, product: str) -> frozenset[str]:
    """The names of the product's capabilities that the token's bearer has."""
    deps = dependencies_of(request)
    return await deps.in_thread(deps.providers.capabilities, token, product)


@_route(
    "GET",
    "/v1/me",
    summary="Who the token's bearer is",
    answers=(Answer(200, "The bearer", {JSON: Me}),),
)
async def me(request: HttpRequest) -> ReadyAnswer:
    """What the token says, as the provider vouches that issued it."""
    _, identity = await identified(request)
    return answered(answers.me(identity))


@_route(
    "GET",
    "/v1/me/capabilities",
    summary="What the token's bearer is capable of with a product",
    answers=(Answer(200, "The capabilities held", {JSON: Capabilities}),),
    query=OfProduct,
    problems=(NOT_FOUND,),
)
async def capabilities(request: HttpRequest) -> ReadyAnswer:
    """What a page renders from: which of the product's capabilities the bearer has. At most 30 seconds old. Each use
    of a personal one needs its approved purpose besides."""
    token, _ = await identified(request)
    product = query_of(request.scope, OfProduct).product
    known = of_product(product)
    if not known:
        raise ProblemRaised(NOT_FOUND)
    return answered(answers.capabilities(product, known, await held_of(request, token, product)))


@_route(
    "GET",
    "/v1/me/offers",
    summary="What the token's bearer may do with a product for each purpose, and why not",
    answers=(Answer(200, "The offers", {JSON: Offers}),),
    query=OfProduct,
    problems=(NOT_FOUND,),
)
async def offers(request: HttpRequest) -> ReadyAnswer:
    """What a page offers from: what would be decided now about the product as a whole, for each of its capabilities
    and each purpose that its contract allows. No decision is made or recorded; each use is decided about by itself."""
    token, identity = await identified(request)
    product = query_of(request.scope, OfProduct).product
    if not of_product(product):
        raise ProblemRaised(NOT_FOUND)
    deps = dependencies_of(request)
    contract = deps.contracts.of(product)
    approvers = () if contract is None else contract.approvers
    made = await deps.in_thread(deps.decisions.offers, token, product)
    return answered(answers.offers(product, approvers, made, deps.steps_of(identity.tenant)))


@_route(
    "GET",
    "/v1/forward-auth",
    name="forwardAuth",
    summary="Whether a gateway may let a request through",
    answers=(Answer(200, "It may; who asks is in the headers", headers=IDENTITY_HEADERS),),
    query=Wanted,
    problems=(CAPABILITY_MISSING,),
)
async def forward_auth(request: HttpRequest) -> ReadyAnswer:
    """For Traefik's ForwardAuth and nginx' auth_request: 200, 401 or 403, and 503 where nobody can say. The gateway
    authenticates so; the service behind it decides by itself, from the token."""
    token, identity = await identified(request)
    wanted = query_of(request.scope, Wanted)
    if wanted.capability is not None and wanted.capability not in await held_of(request, token, wanted.product):
        raise ProblemRaised(CAPABILITY_MISSING)
    domains = ",".join(quote(domain, safe=_PLAIN) for domain in sorted(identity.domains))
    said = (identity.provider, identity.subject, identity.tenant)
    values = [*(quote(value, safe=_PLAIN) for value in said), domains]
    headers = {name.lower(): value for name, value in zip(IDENTITY_HEADERS, values, strict=True)}
    return json_answer(b"", {**headers, "cache-control": "no-store"})


_PLAIN = ":/@.-_~"
"""Printable characters that stay as they are; a comma does not, nor whatever could end a header."""

ROUTES = (me, capabilities, offers, forward_auth)
