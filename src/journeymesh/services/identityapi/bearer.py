"""Routes that tell a token's bearer about themselves: they need a token that holds, and no capability."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse

from journeymesh.identity.capabilities import JOURNEYS, of_product
from journeymesh.identity.identity import PLATFORM, Identity
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.openapi import JSON, Answer
from journeymesh.services.http.problems import (
    CAPABILITY_MISSING,
    NOT_FOUND,
    TOKEN_MISSING,
    TOO_MANY_REQUESTS,
    ProblemRaised,
)
from journeymesh.services.http.queries import query_of
from journeymesh.services.http.requests import bearer_token, client_address
from journeymesh.services.identityapi.answers import Capabilities, Me, Name
from journeymesh.services.identityapi.parts import answered, for_bearer, parts_of

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


async def identified(request: Request[Any, Any, Any]) -> tuple[str, Identity]:
    """The request's token and who bears it.

    Raises:
        ProblemRaised: there is no token, or its sender asks too much. TokenRefused, ProviderUnavailable.
    """
    gate: Gate = request.app.state["gate"]
    parts = parts_of(request)
    token = bearer_token(request.scope)
    address = client_address(request.scope, gate.config.trusted_proxies)
    wait_s = gate.strangers.take(address)
    if wait_s is not None:
        raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
    if token is None:
        raise ProblemRaised(TOKEN_MISSING, headers={"www-authenticate": 'Bearer realm="journeymesh"'})
    if parts.providers.would_block(token, PLATFORM):
        identity = await parts.in_thread(parts.providers.identify, token)
    else:
        identity = parts.providers.identify(token)
    wait_s = gate.clients.take((identity.provider, identity.subject))
    if wait_s is not None:
        raise ProblemRaised(TOO_MANY_REQUESTS, retry_after_s=wait_s)
    gate.strangers.give_back(address)
    return token, identity


async def held_of(request: Request[Any, Any, Any], token: str, product: str) -> frozenset[str]:
    """The names of the product's capabilities that the token's bearer has."""
    parts = parts_of(request)
    return await parts.in_thread(parts.providers.capabilities, token, product)


@get(
    "/v1/me",
    operation_id="me",
    summary="Who the token's bearer is",
    tags=["bearer"],
    **for_bearer(answers=(Answer(200, "The bearer", {JSON: Me}),)),
)
async def me(request: Request[Any, Any, Any]) -> ASGIResponse:
    """What the token says, as the provider vouches that issued it."""
    _, identity = await identified(request)
    return answered(Me.of(identity))


@get(
    "/v1/me/capabilities",
    operation_id="capabilities",
    summary="What the token's bearer is capable of with a product",
    tags=["bearer"],
    **for_bearer(
        answers=(Answer(200, "The capabilities held", {JSON: Capabilities}),), query=OfProduct, problems=(NOT_FOUND,)
    ),
)
async def capabilities(request: Request[Any, Any, Any]) -> ASGIResponse:
    """What a page renders from: which of the product's capabilities the bearer has. At most 30 seconds old. Each use
    of a personal one needs its approved purpose besides."""
    token, _ = await identified(request)
    product = query_of(request.scope, OfProduct).product
    known = of_product(product)
    if not known:
        raise ProblemRaised(NOT_FOUND)
    return answered(Capabilities.of(product, known, await held_of(request, token, product)))


@get(
    "/v1/forward-auth",
    operation_id="forwardAuth",
    summary="Whether a gateway may let a request through",
    tags=["bearer"],
    **for_bearer(
        answers=(Answer(200, "It may; who asks is in the headers", headers=IDENTITY_HEADERS),),
        query=Wanted,
        problems=(CAPABILITY_MISSING,),
    ),
)
async def forward_auth(request: Request[Any, Any, Any]) -> ASGIResponse:
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
    return ASGIResponse(body=b"", headers={**headers, "cache-control": "no-store"})


_PLAIN = ":/@.-_~"
"""Printable characters that stay as they are; a comma does not, nor whatever could end a header."""

ROUTES = (me, capabilities, forward_auth)
