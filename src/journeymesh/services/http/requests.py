"""What a request says in its headers, read where the ASGI server put them."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, MutableMapping
from typing import Any, Final, cast

from journeymesh.identity.tokens import Bearer
from journeymesh.services.http.answers import Receive
from journeymesh.services.http.problems import HEADERS_TOO_LARGE, MALFORMED, TARGET_TOO_LONG, ProblemRaised

Scope = Mapping[str, Any]
Header = bytes | tuple[bytes, ...]
"""A header's value; where the name is there several times, the values."""

REQUEST_ID: Final = "journeymesh.request_id"
"""The key of the request's id in its ASGI scope."""
DECISION_IDS: Final = "journeymesh.decision_ids"
"""The key of a list in a request's scope: the ids of the decisions that were made for it, in their order."""
_HEADERS: Final = "journeymesh.headers"
_BEARER: Final = "journeymesh.bearer"
_TOO_LARGE: Final = "journeymesh.headers_too_large"
MOST_HEADERS: Final = 100
MOST_HEADERS_BYTES: Final = 32_768
"""Names and values of all headers: a token may have 16 KiB."""
LONGEST_TARGET: Final = 8_192
"""Bytes of a path, and of a query string."""
_MAX_HEADER: Final = 16_384
_RANDOM_ID: Final = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class HttpRequest:
    """A request as its route's function sees it. ``state``: what the application was given, ``path_params``: the
    variable parts of the path, by name."""

    __slots__ = ("path_params", "receive", "scope", "state")

    def __init__(
        self, scope: MutableMapping[str, Any], receive: Receive, state: dict[str, Any], path_params: Mapping[str, str]
    ) -> None:
        self.scope, self.receive, self.state, self.path_params = scope, receive, state, path_params


def headers_of(scope: Scope) -> Mapping[bytes, Header]:
    """The request's headers by their lower-case names, put in order once and kept in its scope. None are kept where
    they are more than may be: ``refuse_too_large`` says so."""
    held: dict[bytes, Header] | None = scope.get(_HEADERS)
    if held is None:
        held = {}
        cast("MutableMapping[str, Any]", scope)[_HEADERS] = held
        size, given = 0, scope["headers"]
        for name, value in given if len(given) <= MOST_HEADERS else ():
            size += len(name) + len(value)
            before = held.get(name)
            held[name] = value if before is None else (*_all(before), value)
        if size > MOST_HEADERS_BYTES or len(given) > MOST_HEADERS:
            held.clear()
            cast("MutableMapping[str, Any]", scope)[_TOO_LARGE] = True
    return held


def refuse_too_large(scope: Scope) -> None:
    """Refuse a request whose headers or target are larger than any honest one's: before anything of it is looked at,
    and so before anything is remembered by it.

    Raises:
        ProblemRaised: they are.
    """
    headers_of(scope)
    if _TOO_LARGE in scope:
        told = f"at most {MOST_HEADERS} headers of {MOST_HEADERS_BYTES} bytes together are taken"
        raise ProblemRaised(HEADERS_TOO_LARGE, told)
    if len(scope["path"]) > LONGEST_TARGET or len(scope.get("query_string", b"")) > LONGEST_TARGET:
        raise ProblemRaised(TARGET_TOO_LONG, f"at most {LONGEST_TARGET} bytes of a path, and of a query, are taken")


def values_of(scope: Scope, name: bytes) -> tuple[bytes, ...]:
    """The values of all headers of this name, in their order."""
    return _all(headers_of(scope).get(name))


def _all(held: Header | None) -> tuple[bytes, ...]:
    return () if held is None else (held,) if isinstance(held, bytes) else held


def header(scope: Scope, name: bytes) -> str | None:
    """The header of this lower-case name; None: it is not there.

    Raises:
        ProblemRaised: it is there twice, or too long.
    """
    found = headers_of(scope).get(name)
    if found is None:
        return None
    if not isinstance(found, bytes):
        raise ProblemRaised(MALFORMED, f"there is more than one {name.decode()} header")
    if len(found) > _MAX_HEADER:
        raise ProblemRaised(MALFORMED, f"the {name.decode()} header is too long")
    return found.decode("latin-1")


def headers_joined(scope: Scope, name: bytes) -> str:
    """The values of all headers of this name, as one list."""
    held = headers_of(scope).get(name)
    return "" if held is None else b", ".join(_all(held)).decode("latin-1")


def bearer_token(scope: Scope) -> Bearer | None:
    """The bearer token; None where there is none.

    Raises:
        ProblemRaised: there is more than one.
    """
    if _BEARER in scope:
        known: Bearer | None = scope[_BEARER]
        return known
    held = header(scope, b"authorization")
    scheme, _, token = (held or "").partition(" ")
    token = token.strip()
    found = Bearer.of(token) if token and scheme.lower() == "bearer" else None
    cast("MutableMapping[str, Any]", scope)[_BEARER] = found
    return found


def given_id(given: Header | None) -> str | None:
    """The id that a caller gave, where it is random by its form: another could name a policy, and ids are logged."""
    return given.decode() if isinstance(given, bytes) and _RANDOM_ID.fullmatch(given) else None


def trace_id(traceparent: Header | None) -> str | None:
    """The trace's id as W3C trace context has it; None: there is none that can be read."""
    found = _TRACE.fullmatch(traceparent) if isinstance(traceparent, bytes) else None
    return None if found is None or set(found[1]) == {ord("0")} else found[1].decode()


def client_address(scope: Scope, trusted_proxies: Container[str]) -> str:
    """Whose network address asks: the peer's, or where that is a trusted proxy the one that it names last."""
    peer = scope.get("client")
    address = str(peer[0]) if peer else "unknown"
    if address in trusted_proxies:
        named = headers_joined(scope, b"x-forwarded-for").rpartition(",")[2].strip()
        return named[:64] or address
    return address
