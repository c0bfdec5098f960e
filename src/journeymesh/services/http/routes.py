"""A route is declared once: routing, the gate and the OpenAPI document read the same value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, Final

import msgspec

from journeymesh.identity.capabilities import JOURNEYS, capability
from journeymesh.journeys.policies import Policy
from journeymesh.services.http.answers import JSON, Sendable
from journeymesh.services.http.problems import Kind
from journeymesh.services.http.requests import HttpRequest

Handler = Callable[..., Awaitable[Sendable]]
"""A route's function: of the request and, where the route needs a capability, of the decision that allowed it."""

OPEN_ROUTES: Final = frozenset({"/livez", "/readyz", "/metrics", "/openapi.json"})
"""The paths of routes that need no decision. They tell nothing of a policy."""
ENTITY_TAG: Final = {"ETag": "names what the caller sees"}
"""The header of an answer that a caller may have already."""
IF_NONE_MATCH: Final = {"If-None-Match": ("entity tags of what the caller has", False)}
"""The header of a request for an answer that a caller may have already."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a route: a status, and the type of its body by media type; None: bytes, as the media type has
    them."""

    status: int
    description: str
    bodies: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A method and a path (``/v1/policies/{policy}/summary``), with all that is known of them. Called with a function,
    as a decorator calls it, it is the same route with that function.

    - ``name``, ``summary``, ``tag``: as the OpenAPI document has them; its description is the function's docstring
    - ``capability``: what of ``product`` a request needs. None: the route is one of ``OPEN_ROUTES``, or ``bearer``: it
      needs a token that holds and tells only of its bearer
    - ``about``: the insurance policies whose terms a request is about, every tenant's of one number, of which the
      caller means their own tenant's. Where there is none that the caller may know of, ``in_vain`` is called, and the
      function is not
    - ``instead``: another capability that some requests need, and what says which one a request needs
    - ``query``: the struct of its query string; ``path_told``: what its path's variable parts are, by name
    - ``takes``: the type of its body by media type; None: bytes
    - ``headers``: request headers by name: (what it is, whether it has to be there[, more of its schema])
    - ``problems``: its kinds of problem besides those that every route has

    Raises:
        ValueError: there is no such capability, so nobody could ever use the route.
    """

    method: str
    path: str
    _: KW_ONLY
    name: str = ""
    summary: str = ""
    tag: str = ""
    capability: str | None = None
    product: str = JOURNEYS
    bearer: bool = False
    about: Callable[[HttpRequest], Awaitable[Sequence[Policy]]] | None = None
    in_vain: Callable[[HttpRequest], Awaitable[None]] | None = None
    instead: tuple[str, Callable[[HttpRequest], str]] | None = None
    answers: tuple[Answer, ...] = (Answer(200, "It is so", {JSON: None}),)
    query: type[msgspec.Struct] | None = None
    path_told: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, tuple[str, bool] | tuple[str, bool, Mapping[str, Any]]] = field(default_factory=dict)
    problems: tuple[Kind, ...] = ()
    handler: Handler | None = None

    def __post_init__(self) -> None:
        for each in (self.capability, *(self.instead or ())[:1]):
            if each is not None and capability(self.product, str(each)) is None:
                raise ValueError(f"{self.product} has no capability {each!r}")

    def __call__(self, handler: Handler) -> HttpRoute:
        """The route with this function, and of its name where it has none."""
        return replace(self, handler=handler, name=self.name or handler.__name__)
