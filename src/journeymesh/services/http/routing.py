"""From a request to its route: a table made once of the routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote

from journeymesh.services.http.answers import ReadyAnswer, Sendable
from journeymesh.services.http.gate import Gate
from journeymesh.services.http.problems import MALFORMED, METHOD_NOT_ALLOWED, NOT_FOUND, ProblemRaised
from journeymesh.services.http.requests import Header, HttpRequest, headers_of, refuse_too_large
from journeymesh.services.http.routes import HttpRoute

PATH_TEMPLATE: Final = "path_template"
"""The key in a request's scope of its route's path, with the names of its parts."""
_SLASHES: Final = re.compile("//+")
_LONGEST_HOST: Final = 262
"""A name of 255 bytes, which is the longest in the DNS, and a port."""
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:@\[\]-]*")
_NONE: Final[dict[str, str]] = {}

Answering = Callable[[HttpRequest], Awaitable[Sendable]]


@dataclass(slots=True)
class _Node:
    """Where a beginning of a path leads: on by a segment's text, or by any; by any with a step behind it
    (``{approval_id}:approve``); and the routes that end here."""

    by_text: dict[str, _Node] = field(default_factory=dict)
    by_any: _Node | None = None
    by_step: dict[str, _Node] = field(default_factory=dict)
    template: str = ""
    names: tuple[str, ...] = ()
    routes: dict[str, Answering] = field(default_factory=dict)
    allowed: str = ""


class Routing:
    """The routes, by path and method. The text of a segment goes before one that may be anything. ``state``: of the
    application, for its requests; ``gate``: what decides before guarded routes.

    Raises:
        TypeError: a route's function takes something besides the request and the decision.
    """

    def __init__(self, routes: Iterable[HttpRoute], state: dict[str, Any], gate: Gate | None = None) -> None:
        self._root, self._state = _Node(), state
        for route in routes:
            self._add(route, _answering(route, gate))

    async def answer(self, scope: Any, receive: Any) -> Sendable:
        """The answer of the route that the request is for.

        Raises:
            ProblemRaised: there is no such route, or not with this method. And what the route raises.
        """
        refuse_too_large(scope)
        host = headers_of(scope).get(b"host")
        if host is not None and not _is_host(host):
            raise ProblemRaised(MALFORMED, "Invalid host header")
        node, values = self._found(_segments(scope))
        if node is None or not node.routes:
            raise ProblemRaised(NOT_FOUND)
        answering = node.routes.get(scope["method"])
        if answering is None:
            if scope["method"] == "OPTIONS":
                return ReadyAnswer(204, ((b"allow", node.allowed.encode()),))
            raise ProblemRaised(METHOD_NOT_ALLOWED, headers={"allow": node.allowed})
        scope[PATH_TEMPLATE] = node.template
        path_params = dict(zip(node.names, values, strict=True)) if values else _NONE
        return await answering(HttpRequest(scope, receive, self._state, path_params))

    def _found(self, segments: Iterable[str]) -> tuple[_Node | None, list[str]]:
        """(where the path leads, the segments of it that may be anything)."""
        node = self._root
        values: list[str] = []
        for segment in segments:
            following = node.by_text.get(segment)
            if following is None:
                value, following = segment, node.by_any
                if node.by_step and ":" in segment:
                    before, _, step = segment.partition(":")
                    if before and step in node.by_step:
                        value, following = before, node.by_step[step]
                if following is None or not value:
                    return None, values
                values.append(value)
            node = following
        return node, values

    def _add(self, route: HttpRoute, answering: Answering) -> None:
        node, names = self._root, []
        for segment in route.path.strip("/").split("/"):
            if segment.startswith("{"):
                name, _, step = segment[1:].partition("}")
                names.append(name)
                if step:
                    node = node.by_step.setdefault(step[1:], _Node())
                else:
                    node.by_any = node.by_any or _Node()
                    node = node.by_any
            else:
                node = node.by_text.setdefault(segment, _Node())
        node.template, node.names = route.path, tuple(names)
        node.routes[route.method] = answering
        node.allowed = ", ".join(sorted((*node.routes, "OPTIONS")))


def _segments(scope: Any) -> list[str]:
    """The segments of the path. Slashes count once, and not at its end; one that is encoded belongs to a value, such
    as a policy's number, which the decoded path does not tell."""
    path: str = scope["path"]
    sent: bytes = scope.get("raw_path") or b""
    if b"%2F" in sent or b"%2f" in sent:
        return [unquote(segment) for segment in _once(sent.partition(b"?")[0].decode("latin-1"))]
    return _once(path)


def _once(path: str) -> list[str]:
    return (_SLASHES.sub("/", path) if "//" in path else path).strip("/").split("/")


def _answering(route: HttpRoute, gate: Gate | None) -> Answering:
    """What calls the route's function with what it takes."""
    function: Any = route.handler
    takes = set(inspect.signature(function).parameters)
    if takes not in ({"request", "decision"}, {"request"}):
        raise TypeError(f"{function.__name__}: a route takes the request, or it and the decision: not {takes}")
    guarded = route.capability is not None
    if guarded is not ("decision" in takes):
        raise TypeError(f"{function.__name__}: a guarded route, and it alone, takes its decision")
    if not guarded:
        unguarded: Answering = function
        return unguarded
    if gate is None:
        raise TypeError(f"{function.__name__}: nothing decides before it")
    decide = gate.before(route)

    async def answering(request: HttpRequest) -> Sendable:
        answer: Sendable = await function(request, await decide(request))
        return answer

    return answering


def _is_host(value: Header) -> bool:
    return isinstance(value, bytes) and len(value) <= _LONGEST_HOST and _known_host(value)


@lru_cache(1024)
def _known_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None
