"""The OpenAPI 3.1 document of an application, from what its routes declare and the types they give and take."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from journeymesh.services.http.gate import BEARER_ONLY, DECLARES, OPEN_ROUTES, Declared
from journeymesh.services.http.problems import (
    FAULT,
    KINDS,
    MALFORMED,
    MEDIA_TYPE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    POLICY_FORBIDS,
    TOKEN_MISSING,
    TOO_MANY_REQUESTS,
    UNAVAILABLE,
    Kind,
    Problem,
)

DOCUMENTS: Final = "documents"
"""The key under which a route's options say what its answers are."""
JSON: Final = "application/json"
_REF: Final = "#/components/schemas/{name}"
_BEARER: Final = "bearer"
_OF_EVERY_ROUTE: Final = (MALFORMED, METHOD_NOT_ALLOWED, FAULT, UNAVAILABLE)
_OF_GUARDED: Final = (TOKEN_MISSING, POLICY_FORBIDS, TOO_MANY_REQUESTS)
_BINARY: Final[Mapping[str, Any]] = {"type": "string", "format": "binary"}
_DECISION_ID: Final = "Decision-Id"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a route: a status, and the type of its body by media type; None: bytes, as the media type has
    them."""

    status: int
    told: str
    bodies: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """What a route gives and takes.

    - ``query``: the struct of its query string; ``path``: what its path's parts are, by name
    - ``takes``: the type of its body by media type; None: bytes
    - ``headers``: request headers by name: (what it is, whether it has to be there[, more of its schema])
    - ``problems``: its kinds of problem besides those that every route has
    """

    answers: tuple[Answer, ...]
    query: type[msgspec.Struct] | None = None
    path: Mapping[str, str] = field(default_factory=dict)
    takes: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, tuple[str, bool] | tuple[str, bool, Mapping[str, Any]]] = field(default_factory=dict)
    problems: tuple[Kind, ...] = ()


def documents(**told: Any) -> dict[str, Any]:
    """``Documented``, for a route's ``opt``."""
    return {DOCUMENTS: Documented(**told)}


def documented(app: Litestar, title: str, version: str, told: str) -> dict[str, Any]:
    """The document of this application."""
    routes = sorted(_routes(app), key=lambda each: (each[0], each[1]))
    components = _Components([Problem])
    paths: dict[str, dict[str, Any]] = {}
    for _, _, route in routes:
        components.collect(_types(route.opt.get(DOCUMENTS)))
    components.close()
    for path, method, route in routes:
        # A step such as ``:approve`` is a part of the path to the router alone.
        paths.setdefault(path.replace("/:", ":"), {})[method] = _operation(path, route, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": told},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components.schemas,
            "headers": {
                _DECISION_ID: {
                    "description": "the decision that let the answer out or kept it in, where one was made; "
                    "identityapi explains it",
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {
                _BEARER: {"type": "http", "scheme": "bearer", "description": "a token of an identity provider"}
            },
        },
        "x-problems": {kind.type: {"status": kind.status, "title": kind.title} for kind in KINDS},
    }


def routes_of(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """(path template, method in lower case, route handler) of every route."""
    yield from _routes(app)


def _routes(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for held in route.route_handlers:
                for method in held.http_methods:
                    if method != "OPTIONS":
                        yield route.path_format, str(method).lower(), held


class _Components:
    """The schemas of all types, each once."""

    def __init__(self, types: list[Any]) -> None:
        self._types: list[Any] = types
        self._of: dict[int, dict[str, Any]] = {}
        self.schemas: dict[str, Any] = {}

    def collect(self, types: Iterator[Any]) -> None:
        self._types += [each for each in types if each is not None]

    def close(self) -> None:
        schemas, self.schemas = msgspec.json.schema_components(self._types, ref_template=_REF)
        self._of = {id(kind): schema for kind, schema in zip(self._types, schemas, strict=True)}

    def of(self, kind: Any) -> Mapping[str, Any]:
        return _BINARY if kind is None else self._of[id(kind)]


def _types(told: Documented | None) -> Iterator[Any]:
    if told is not None:
        for answer in told.answers:
            yield from answer.bodies.values()
        yield from told.takes.values()


def _operation(path: str, route: HTTPRouteHandler, components: _Components) -> dict[str, Any]:
    told: Documented = route.opt.get(DOCUMENTS) or Documented(answers=(Answer(200, "It is so", {JSON: None}),))
    declared: Declared | None = route.opt.get(DECLARES)
    operation: dict[str, Any] = {
        "operationId": route.operation_id,
        "summary": route.summary,
        "description": inspect.cleandoc(inspect.getdoc(route.fn) or ""),
        "tags": list(route.tags or ()),
        "parameters": [*_path_parameters(path, told), *_query_parameters(told.query), *_header_parameters(told)],
        "responses": _responses(told, declared, components),
    }
    if declared is not None:
        operation["security"] = [{_BEARER: []}]
        operation["x-capability"] = {"product": declared.product, "name": declared.capability}
        if declared.instead is not None:
            operation["x-capability"]["or"] = declared.instead[0]
        operation["parameters"].append(
            {
                "name": "Data-Purpose", "in": "header", "required": False, "schema": {"type": "string"},
                "description": "why the data is used; personal data needs a purpose that is approved",
            }
        )  # fmt: skip
    elif route.opt.get(BEARER_ONLY):
        operation["security"] = [{_BEARER: []}]
    elif path not in OPEN_ROUTES:
        raise ValueError(f"{path} declares no capability and is no open route")
    if told.takes:
        operation["requestBody"] = {
            "required": True,
            "content": {media: {"schema": components.of(kind)} for media, kind in told.takes.items()},
        }
    return operation


def _path_parameters(path: str, told: Documented) -> Iterator[dict[str, Any]]:
    for part in path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            yield {
                "name": name, "in": "path", "required": True, "schema": {"type": "string"},
                "description": told.path.get(name, ""),
            }  # fmt: skip


def _query_parameters(query: type[msgspec.Struct] | None) -> Iterator[dict[str, Any]]:
    if query is None:
        return
    (_,), components = msgspec.json.schema_components([query], ref_template=_REF)
    schema = components[query.__name__]
    for name, held in schema["properties"].items():
        described = {key: value for key, value in held.items() if key not in ("description", "default")}
        if held.get("default") is not None:
            described["default"] = held["default"]
        if options := [each for each in described.get("anyOf", ()) if each != {"type": "null"}]:
            described.pop("anyOf")
            described |= options[0] if len(options) == 1 else {"anyOf": options}
        yield {
            "name": name, "in": "query", "required": name in schema.get("required", ()), "schema": described,
            "description": held.get("description", ""),
        }  # fmt: skip


def _header_parameters(told: Documented) -> Iterator[dict[str, Any]]:
    for name, (what, required, *more) in told.headers.items():
        schema = {"type": "string", **(more[0] if more else {})}
        yield {"name": name, "in": "header", "required": required, "schema": schema, "description": what}


def _responses(told: Documented, declared: Declared | None, components: _Components) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in told.answers:
        responses[str(answer.status)] = {"description": answer.told}
        if answer.bodies:
            responses[str(answer.status)]["content"] = {
                media: {"schema": components.of(kind)} for media, kind in answer.bodies.items()
            }
        if answer.headers:
            responses[str(answer.status)]["headers"] = {
                name: {"description": what, "schema": {"type": "string"}} for name, what in answer.headers.items()
            }
    kinds = [*_OF_EVERY_ROUTE, *(_OF_GUARDED if declared else ()), *told.problems]
    if declared is not None and declared.about is not None:
        kinds.append(NOT_FOUND)
    for kind in sorted(kinds, key=lambda each: each.status):
        held = responses.setdefault(
            str(kind.status),
            {"description": kind.title, "content": {MEDIA_TYPE: {"schema": components.of(Problem)}}},
        )
        if kind.title not in held["description"]:
            held["description"] += f", or: {kind.title[0].lower()}{kind.title[1:]}"
        if kind.retry_after_s is not None:
            held["headers"] = {
                "Retry-After": {"description": "seconds until it is worth trying", "schema": {"type": "integer"}}
            }
    if declared is not None:
        for status, held in responses.items():
            if status != str(METHOD_NOT_ALLOWED.status):  # nobody decides about those
                held.setdefault("headers", {})[_DECISION_ID] = {"$ref": f"#/components/headers/{_DECISION_ID}"}
    return dict(sorted(responses.items()))
