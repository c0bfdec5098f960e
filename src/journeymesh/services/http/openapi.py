"""The OpenAPI 3.1 document of a service, from its routes and the types they give and take."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

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
    Problem,
)
from journeymesh.services.http.routes import HttpRoute

_REF: Final = "#/components/schemas/{name}"
_BEARER: Final = "bearer"
_OF_EVERY_ROUTE: Final = (MALFORMED, METHOD_NOT_ALLOWED, FAULT, UNAVAILABLE)
_OF_GUARDED: Final = (TOKEN_MISSING, POLICY_FORBIDS, TOO_MANY_REQUESTS)
_OF_BEARER: Final = (TOKEN_MISSING, TOO_MANY_REQUESTS)
_BINARY: Final[Mapping[str, Any]] = {"type": "string", "format": "binary"}
_DECISION_ID: Final = "Decision-Id"
_NAMES: Final = re.compile(r"\{(\w+)\}")


def documented(routes: Sequence[HttpRoute], title: str, version: str, about: str) -> dict[str, Any]:
    """The document of these routes."""
    routes = sorted(routes, key=lambda route: (route.path, route.method))
    components = _Components([Problem, *(kind for route in routes for kind in _types(route))])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": about},
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


class _Components:
    """The schemas of all types, each once."""

    def __init__(self, types: list[Any]) -> None:
        schemas, self.schemas = msgspec.json.schema_components(types, ref_template=_REF)
        self._of = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}

    def of(self, kind: Any) -> Mapping[str, Any]:
        return _BINARY if kind is None else self._of[id(kind)]


def _types(route: HttpRoute) -> Iterator[Any]:
    for bodies in (*(answer.bodies for answer in route.answers), route.takes):
        yield from (kind for kind in bodies.values() if kind is not None)


def _operation(route: HttpRoute, components: _Components) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": inspect.cleandoc(inspect.getdoc(route.handler) or ""),
        "tags": [route.tag] if route.tag else [],
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_header_parameters(route)],
        "responses": _responses(route, components),
    }
    if route.capability is not None:
        operation["security"] = [{_BEARER: []}]
        operation["x-capability"] = {"product": route.product, "name": route.capability}
        if route.instead is not None:
            operation["x-capability"]["or"] = route.instead[0]
        operation["parameters"].append(
            {
                "name": "Data-Purpose", "in": "header", "required": False, "schema": {"type": "string"},
                "description": "why the data is used; personal data needs a purpose that is approved",
            }
        )  # fmt: skip
    elif route.bearer:
        operation["security"] = [{_BEARER: []}]
    if route.takes:
        operation["requestBody"] = {
            "required": True,
            "content": {media: {"schema": components.of(kind)} for media, kind in route.takes.items()},
        }
    return operation


def _path_parameters(route: HttpRoute) -> Iterator[dict[str, Any]]:
    for name in _NAMES.findall(route.path):
        yield {
            "name": name, "in": "path", "required": True, "schema": {"type": "string"},
            "description": route.path_told.get(name, ""),
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


def _header_parameters(route: HttpRoute) -> Iterator[dict[str, Any]]:
    for name, (what, required, *more) in route.headers.items():
        schema = {"type": "string", **(more[0] if more else {})}
        yield {"name": name, "in": "header", "required": required, "schema": schema, "description": what}


def _responses(route: HttpRoute, components: _Components) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for answer in route.answers:
        responses[str(answer.status)] = {"description": answer.description}
        if answer.bodies:
            responses[str(answer.status)]["content"] = {
                media: {"schema": components.of(kind)} for media, kind in answer.bodies.items()
            }
        if answer.headers:
            responses[str(answer.status)]["headers"] = {
                name: {"description": what, "schema": {"type": "string"}} for name, what in answer.headers.items()
            }
    guarded = route.capability is not None
    more = _OF_GUARDED if guarded else _OF_BEARER if route.bearer else ()
    kinds = [*_OF_EVERY_ROUTE, *more, *route.problems]
    if route.about is not None:
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
    if guarded:
        for status, held in responses.items():
            if status != str(METHOD_NOT_ALLOWED.status):  # nobody decides about those
                held.setdefault("headers", {})[_DECISION_ID] = {"$ref": f"#/components/headers/{_DECISION_ID}"}
    return dict(sorted(responses.items()))
