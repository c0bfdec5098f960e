"""The routes that need no decision: whether the service lives, is ready, and its metrics."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from journeymesh.services.http.answers import JSON, ReadyAnswer, json_answer, raw_headers
from journeymesh.services.http.life import Life
from journeymesh.services.http.metrics import HttpMetrics
from journeymesh.services.http.problems import UNAVAILABLE, ProblemRaised
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import Answer, HttpRoute

_route = functools.partial(HttpRoute, tag="health")
_NO_STORE = {"cache-control": "no-store"}


class Live(msgspec.Struct):
    """The process lives."""

    live: bool


class Ready(msgspec.Struct):
    """Requests can be answered."""

    ready: bool


@_route("GET", "/livez", summary="Whether the process lives", answers=(Answer(200, "It lives", {JSON: Live}),))
async def livez(request: HttpRequest) -> ReadyAnswer:  # noqa: ARG001 - a route's function takes it
    """Answers as long as the process does."""
    return json_answer(b'{"live":true}', _NO_STORE)


@_route("GET", "/readyz", summary="Whether requests can be answered", answers=(Answer(200, "They can", {JSON: Ready}),))
async def readyz(request: HttpRequest) -> ReadyAnswer:
    """503 with what is missing while something is, and while the service is stopping."""
    life: Life = request.state["life"]
    faults = life.faults()
    if faults:
        raise ProblemRaised(UNAVAILABLE, f"not ready: {', '.join(faults)}")
    return json_answer(b'{"ready":true}', _NO_STORE)


@_route(
    "GET",
    "/metrics",
    summary="Metrics in Prometheus' text format",
    answers=(Answer(200, "The metrics", {"text/plain": str}),),
)
async def metrics(request: HttpRequest) -> ReadyAnswer:
    """Requests, their time, and decisions; labels name routes by their template."""
    measured: HttpMetrics = request.state["metrics"]
    headers = raw_headers({"content-type": CONTENT_TYPE_LATEST, **_NO_STORE}.items())
    return ReadyAnswer(200, headers, generate_latest(measured.registry))


@_route("GET", "/openapi.json", summary="This document", answers=(Answer(200, "The document", {JSON: dict[str, Any]}),))
async def openapi(request: HttpRequest) -> ReadyAnswer:
    """The OpenAPI 3.1 document of the service."""
    return json_answer(request.state["openapi"](), {"cache-control": "public, max-age=300"})


ROUTES = (livez, readyz, metrics, openapi)


def encoded_document(document: dict[str, Any]) -> bytes:
    """An OpenAPI document as it is served and kept in the documentation."""
    return msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2) + b"\n"
