"""Entity tags and conditional requests. Our tags are weak: they name a meaning, in whatever encoding it travels."""

from __future__ import annotations

from journeymesh.services.http.problems import PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.requests import Scope, headers_joined, values_of


def is_unchanged(scope: Scope, tag: str) -> bool:
    """Whether ``If-None-Match`` says that the caller has this already.

    Raises:
        ProblemRaised: ``If-Match`` asks for another state of it; a weak tag never satisfies that (RFC 9110).
    """
    if any(value.strip() != b"*" for value in values_of(scope, b"if-match")):
        raise ProblemRaised(PRECONDITION_FAILED, "its entity tags are weak and match none")
    held = headers_joined(scope, b"if-none-match")
    return held == tag or (held != "" and _names(held, tag))


def _names(header: str, tag: str) -> bool:
    opaque = tag.removeprefix("W/")
    return any(part.strip() == "*" or part.strip().removeprefix("W/") == opaque for part in header.split(","))
