"""The routes that need no decision: whether the service lives, is ready, and its metrics."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request, get
from litestar.response.base import ASGIResponse
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from journeymesh.services.http.life import Life
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.openapi import JSON, Answer, documents
from journeymesh.services.http.problems import UNAVAILABLE, ProblemRaised

_NO_STORE = {"cache-control": "no-store"}


class Live(msgspec.Struct):
    """The process lives."""

    live: bool


class Ready(msgspec.Struct):
    """Requests can be answered."""

    ready: bool


@get(
    "/livez",
    operation_id="livez",
    summary="Whether the process lives",
    tags=["health"],
    opt=documents(answers=(Answer(200, "It lives", {JSON: Live}),)),
)
async def livez() -> ASGIResponse:
    """Answers as long as the process does."""
    return ASGIResponse(body=b'{"live":true}', headers=_NO_STORE)


@get(
    "/readyz",
    operation_id="readyz",
    summary="Whether requests can be answered",
    tags=["health"],
    opt=documents(answers=(Answer(200, "They can", {JSON: Ready}),)),
)
async def readyz(request: Request[Any, Any, Any]) -> ASGIResponse:
    """503 with what is missing while something is, and while the service is stopping."""
    life: Life = request.app.state["life"]
    faults = life.faults()
    if faults:
        raise ProblemRaised(UNAVAILABLE, f"not ready: {', '.join(faults)}")
    return ASGIResponse(body=b'{"ready":true}', headers=_NO_STORE)


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics in Prometheus' text format",
    tags=["health"],
    opt=documents(answers=(Answer(200, "The metrics", {"text/plain": str}),)),
)
async def metrics(request: Request[Any, Any, Any]) -> ASGIResponse:
    """Requests, their time, and decisions; labels name routes by their template."""
    held: HttpMetrics = request.app.state["metrics"]
    return ASGIResponse(body=generate_latest(held.registry), headers={"content-type": CONTENT_TYPE_LATEST, **_NO_STORE})


@get(
    "/openapi.json",
    operation_id="openapi",
    summary="This document",
    tags=["health"],
    opt=documents(answers=(Answer(200, "The document", {JSON: dict[str, Any]}),)),
)
async def openapi(request: Request[Any, Any, Any]) -> ASGIResponse:
    """The OpenAPI 3.1 document of the service."""
    body: bytes = request.app.state["openapi"]()
    return ASGIResponse(body=body, headers={"cache-control": "public, max-age=300"})


def encoded_document(document: dict[str, Any]) -> bytes:
    """An OpenAPI document as it is served and kept in the documentation."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"
