"""Entity tags and conditional requests. Our tags are weak: they name a meaning, in whatever encoding it travels."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from journeymesh.services.http.problems import PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.requests import Scope, headers_joined, values_of


@lru_cache(16_384)
def tag_of(*parts: str) -> str:
    """A weak entity tag over these parts."""
    return f'W/"{hashlib.blake2b(chr(0).join(parts).encode(), digest_size=16).hexdigest()}"'


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
