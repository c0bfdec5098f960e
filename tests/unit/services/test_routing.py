"""Which route a request is for, and what a route's function may take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from litestar import Litestar, Request, get, post
from litestar.response.base import ASGIResponse

from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.gate import Decided, needs
from journeymesh.services.http.openapi import routes_of
from journeymesh.services.http.problems import ProblemRaised
from journeymesh.services.http.routing import Routing


@get("/things/{thing:str}/parts")
async def parts(request: Request) -> ASGIResponse:
    return ReadyAnswer(200, (), f"parts of {request.path_params['thing']}".encode())


@get("/things/mine/parts")
async def mine() -> ASGIResponse:
    return ReadyAnswer(200, (), b"mine")


@post("/things/{thing:str}/parts")
async def add(request: Request) -> ASGIResponse:
    return ReadyAnswer(200, (), f"added to {request.path_params['thing']}".encode())


def _asked(path: str, method: str = "GET", host: bytes = b"example") -> Any:
    app = Litestar([parts, mine, add], openapi_config=None)
    scope = {"type": "http", "path": path, "method": method, "headers": [(b"host", host)], "litestar_app": app}
    return asyncio.run(Routing(routes_of(app)).answer(scope, None, None))


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("/things/a/parts", "GET", b"parts of a"),
        ("/things/a/parts", "POST", b"added to a"),
        ("/things/mine/parts", "GET", b"mine"),
        ("//things/a b//parts/", "GET", b"parts of a b"),
    ],
)
def test_a_request_comes_to_its_route(path: str, method: str, body: bytes) -> None:
    assert _asked(path, method).body == body


@pytest.mark.parametrize(
    ("path", "method", "kind"),
    [
        ("/", "GET", "not-found"),
        ("/things", "GET", "not-found"),
        ("/things/a", "GET", "not-found"),
        ("/things/a/parts/b", "GET", "not-found"),
        ("/things/a/parts", "PUT", "method-not-allowed"),
        ("/things/a/parts", "HEAD", "method-not-allowed"),
    ],
)
def test_what_is_no_route_is_refused(path: str, method: str, kind: str) -> None:
    with pytest.raises(ProblemRaised, match=kind):
        _asked(path, method)


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ProblemRaised, match="malformed"):
        _asked("/things/a/parts", host=b"a b")


def test_which_methods_a_path_has_is_told() -> None:
    answer = _asked("/things/a/parts", "OPTIONS")
    assert answer.status_code == 204
    assert dict(answer._headers) == {b"allow": b"GET, OPTIONS, POST"}


def test_a_guarded_route_that_does_not_take_its_decision_cannot_be_served() -> None:
    @get("/careless", **needs("product:read"))
    async def careless(request: Request) -> ASGIResponse:
        return ReadyAnswer(200, ())

    @get("/curious")
    async def curious(request: Request, decision: Decided) -> ASGIResponse:
        return ReadyAnswer(200, ())

    @get("/greedy")
    async def greedy(request: Request, limit: int) -> ASGIResponse:
        return ReadyAnswer(200, ())

    for route, why in ((careless, "takes its decision"), (greedy, "a route takes")):
        with pytest.raises(TypeError, match=why):
            Routing([("/x", "get", route)])
    with pytest.raises(TypeError, match="takes its decision"):
        Routing([("/x", "get", curious)])
