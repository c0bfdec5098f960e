"""What a request says in its headers, read where the ASGI server put them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from journeymesh.identity.tokens import Bearer
from journeymesh.services.http.problems import MALFORMED, ProblemRaised

Scope = Mapping[str, Any]

REQUEST_ID: Final = "journeymesh.request_id"
"""The key of the request's id in its ASGI scope."""
DECISION_IDS: Final = "journeymesh.decision_ids"
"""The key of a list in a request's scope: the ids of the decisions that were made for it, in their order."""
_MAX_HEADER: Final = 16_384
_RANDOM_ID: Final = re.compile(rb"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRACE: Final = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def header(scope: Scope, name: bytes) -> str | None:
    """The header of this lower-case name; None: it is not there.

    Raises:
        ProblemRaised: it is there twice, or too long.
    """
    found: bytes | None = None
    for key, value in scope["headers"]:
        if key == name:
            if found is not None:
                raise ProblemRaised(MALFORMED, f"there is more than one {name.decode()} header")
            found = value
    if found is None:
        return None
    if len(found) > _MAX_HEADER:
        raise ProblemRaised(MALFORMED, f"the {name.decode()} header is too long")
    return found.decode("latin-1")


def headers_joined(scope: Scope, name: bytes) -> str:
    """The values of all headers of this name, as one list."""
    held = [value for key, value in scope["headers"] if key == name]
    return b", ".join(held).decode("latin-1") if held else ""


def bearer_token(scope: Scope) -> Bearer | None:
    """The bearer token; None where there is none.

    Raises:
        ProblemRaised: there is more than one.
    """
    held = header(scope, b"authorization")
    if held is None:
        return None
    scheme, _, token = held.partition(" ")
    token = token.strip()
    return Bearer.of(token) if token and scheme.lower() == "bearer" else None


def given_id(given: bytes | None) -> str | None:
    """The id that a caller gave, where it is random by its form: another could name a policy, and ids are logged."""
    return given.decode() if given is not None and _RANDOM_ID.fullmatch(given) else None


def trace_id(traceparent: bytes | None) -> str | None:
    """The trace's id as W3C trace context has it; None: there is none that can be read."""
    found = None if traceparent is None else _TRACE.fullmatch(traceparent)
    return None if found is None or set(found[1]) == {ord("0")} else found[1].decode()


def client_address(scope: Scope, trusted_proxies: frozenset[str]) -> str:
    """Whose network address asks: the peer's, or where that is a trusted proxy the one that it names last."""
    peer = scope.get("client")
    address = str(peer[0]) if peer else "unknown"
    if address in trusted_proxies:
        named = headers_joined(scope, b"x-forwarded-for").rpartition(",")[2].strip()
        return named[:64] or address
    return address
