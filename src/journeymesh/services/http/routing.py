"""From a request to its route: a table made once of what the routes declare to Litestar.

Litestar holds the declarations: paths, methods, what a route needs and documents. Which route a request is for, and
calling it with the request and the decision that it takes, is done here: Litestar's own way to a route, by signature
models, keyword models and exit stacks, takes more CPU than the decision and its record together.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.response.base import ASGIResponse

from journeymesh.services.http.answers import ReadyAnswer
from journeymesh.services.http.problems import MALFORMED, METHOD_NOT_ALLOWED, NOT_FOUND, ProblemRaised
from journeymesh.services.http.requests import Header, headers_of, refuse_too_large

PATH_TEMPLATE: Final = "path_template"
"""The key in a request's scope of its route's path, with the names of its parts."""
DECISION: Final = "decision"
"""The parameter of a guarded route's function: what ``gate.needs`` declares makes its value."""
_SLASHES: Final = re.compile("//+")
_LONGEST_HOST: Final = 262
"""A name of 255 bytes, which is the longest in the DNS, and a port."""
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:@\[\]-]*")
_NONE: Final[dict[str, str]] = {}

Answering = Callable[[Request[Any, Any, Any]], Awaitable[ASGIResponse]]


@dataclass(slots=True)
class _Place:
    """Where a beginning of a path leads: on by a part's text, or by any part; and the routes that end here."""

    on: dict[str, _Place] = field(default_factory=dict)
    on_by_any: _Place | None = None
    template: str = ""
    names: tuple[str, ...] = ()
    routes: dict[str, tuple[HTTPRouteHandler, Answering]] = field(default_factory=dict)
    allowed: str = ""


class Routing:
    """The routes, by path and method. The text of a part goes before a part that may be anything.

    Raises:
        TypeError: a route's function takes something besides the request and the decision.
    """

    def __init__(self, routes: Iterable[tuple[str, str, HTTPRouteHandler]]) -> None:
        self._root = _Place()
        for path, method, route in routes:
            self._add(path, method.upper(), route)

    async def answer(self, scope: Any, receive: Any, send: Any) -> ASGIResponse:
        """The answer of the route that the request is for.

        Raises:
            ProblemRaised: there is no such route, or not with this method. And what the route raises.
        """
        refuse_too_large(scope)
        host = headers_of(scope).get(b"host")
        if host is not None and not _is_host(host):
            raise ProblemRaised(MALFORMED, "Invalid host header")
        place, values = self._found(scope["path"])
        if place is None or not place.routes:
            raise ProblemRaised(NOT_FOUND)
        held = place.routes.get(scope["method"])
        if held is None:
            if scope["method"] == "OPTIONS":
                return ReadyAnswer(204, ((b"allow", place.allowed.encode()),))
            raise ProblemRaised(METHOD_NOT_ALLOWED, headers={"allow": place.allowed})
        scope["route_handler"], answering = held
        scope[PATH_TEMPLATE] = place.template
        scope["path_params"] = dict(zip(place.names, values, strict=True)) if values else _NONE
        return await answering(_Asked(scope, receive, send))

    def _found(self, path: str) -> tuple[_Place | None, list[str]]:
        """(where the path leads, the parts of it that may be anything). Slashes count once, and not at its end."""
        if "//" in path:
            path = _SLASHES.sub("/", path)
        place = self._root
        values: list[str] = []
        for part in path.strip("/").split("/"):
            following = place.on.get(part)
            if following is None:
                following = place.on_by_any
                if following is None or not part:
                    return None, values
                values.append(part)
            place = following
        return place, values

    def _add(self, path: str, method: str, route: HTTPRouteHandler) -> None:
        place, names = self._root, []
        for part in path.strip("/").split("/"):
            if part.startswith("{"):
                names.append(part.strip("{}"))
                place.on_by_any = place.on_by_any or _Place()
                place = place.on_by_any
            else:
                place = place.on.setdefault(part, _Place())
        place.template, place.names = path, tuple(names)
        place.routes[method] = route, _answering(route)
        place.allowed = ", ".join(sorted((*place.routes, "OPTIONS")))


def _answering(route: HTTPRouteHandler) -> Answering:
    """What calls the route's function with what it takes."""
    function: Any = route.fn
    takes = set(inspect.signature(function).parameters)
    if takes not in ({"request", DECISION}, {"request"}, set()):
        raise TypeError(f"{function.__name__}: a route takes the request, or it and the {DECISION}: not {takes}")
    guarded = DECISION in route.resolve_dependencies()
    if guarded is not (DECISION in takes):
        raise TypeError(f"{function.__name__}: a guarded route, and it alone, takes its {DECISION}")
    if not guarded:
        return function if "request" in takes else lambda _: function()
    decided: Any = route.resolve_dependencies()[DECISION].dependency

    async def answering(request: Request[Any, Any, Any]) -> ASGIResponse:
        answer: ASGIResponse = await function(request=request, decision=await decided(request))
        return answer

    return answering


class _Asked(Request[Any, Any, Any]):
    """A request whose route may use no more of it than its scope: the rest of it is made where it is asked for."""

    __slots__ = ()

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.receive, self.send = scope, receive, send

    def __getattr__(self, name: str) -> Any:
        """What was not made yet."""
        super().__init__(self.scope, self.receive, self.send)
        return object.__getattribute__(self, name)


def _is_host(value: Header) -> bool:
    return isinstance(value, bytes) and len(value) <= _LONGEST_HOST and _known_host(value)


@lru_cache(1024)
def _known_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None
