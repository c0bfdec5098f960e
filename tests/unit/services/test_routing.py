"""Which route a request is for, and what a route's function may take."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import pytest

from journeymesh.access.decision import Decision
from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.problems import ProblemRaised
from journeymesh.services.http.requests import HttpRequest
from journeymesh.services.http.routes import HttpRoute
from journeymesh.services.http.routing import Routing


@HttpRoute("GET", "/things/{thing}/parts")
async def parts(request: HttpRequest) -> ReadyAnswer:
    return ReadyAnswer(200, (), f"parts of {request.path_params['thing']}".encode())


@HttpRoute("GET", "/things/mine/parts")
async def mine(request: HttpRequest) -> ReadyAnswer:
    return ReadyAnswer(200, (), b"mine")


@HttpRoute("POST", "/things/{thing}/parts")
async def add(request: HttpRequest) -> ReadyAnswer:
    return ReadyAnswer(200, (), f"added to {request.path_params['thing']}".encode())


@HttpRoute("POST", "/things/{thing}:stop")
async def stop(request: HttpRequest) -> ReadyAnswer:
    return ReadyAnswer(200, (), f"stopped {request.path_params['thing']}".encode())


def _asked(path: str, method: str = "GET", host: bytes = b"example") -> Any:
    scope = {"type": "http", "path": unquote(path), "raw_path": path.encode(), "method": method}
    scope["headers"] = [(b"host", host)]
    return asyncio.run(Routing([parts, mine, add, stop], {}).answer(scope, None))


@pytest.mark.parametrize(
    ("path", "method", "body"),
    [
        ("/things/a/parts", "GET", b"parts of a"),
        ("/things/a/parts", "POST", b"added to a"),
        ("/things/mine/parts", "GET", b"mine"),
        ("//things/a b//parts/", "GET", b"parts of a b"),
        ("/things/a:stop", "POST", b"stopped a"),
        ("/things/KFZ%2F2021%2f7/parts", "GET", b"parts of KFZ/2021/7"),
        ("//things/%2F%2Fa%2F/parts/", "GET", b"parts of //a/"),
        ("/things/%C3%A4%2F1:stop", "POST", "stopped ä/1".encode()),
        ("/things/mine%2Fparts/parts", "GET", b"parts of mine/parts"),
        ("/things/%252F/parts", "GET", b"parts of %2F"),
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
        ("/things%2Fa/parts", "GET", "not-found"),
        ("/things/a%2Fparts", "GET", "not-found"),
        ("/things/a/parts", "PUT", "method-not-allowed"),
        ("/things/a/parts", "HEAD", "method-not-allowed"),
        ("/things/:stop", "POST", "not-found"),
        ("/things/a:start", "POST", "not-found"),
        ("/things/a:b:stop", "POST", "not-found"),
        ("/things/a/b:stop", "POST", "not-found"),
        ("/things/a:stop/x", "POST", "not-found"),
        ("/things/a:stop", "GET", "method-not-allowed"),
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
    assert answer.status == 204
    assert dict(answer.headers) == {b"allow": b"GET, OPTIONS, POST"}


def test_a_guarded_route_that_does_not_take_its_decision_cannot_be_served() -> None:
    @HttpRoute("GET", "/careless", capability="product:read")
    async def careless(request: HttpRequest) -> ReadyAnswer:
        return ReadyAnswer(200, ())

    @HttpRoute("GET", "/curious")
    async def curious(request: HttpRequest, decision: Decision) -> ReadyAnswer:
        return ReadyAnswer(200, ())

    @HttpRoute("GET", "/greedy")
    async def greedy(request: HttpRequest, limit: int) -> ReadyAnswer:
        return ReadyAnswer(200, ())

    @HttpRoute("GET", "/undecided", capability="product:read")
    async def undecided(request: HttpRequest, decision: Decision) -> ReadyAnswer:
        return ReadyAnswer(200, ())

    wrong = ((careless, "takes its decision"), (greedy, "a route takes"), (curious, "takes its decision"),
             (undecided, "nothing decides"))  # fmt: skip
    for route, why in wrong:
        with pytest.raises(TypeError, match=why):
            Routing([route], {})
