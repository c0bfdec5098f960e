"""Entity tags and conditional requests. Our tags are weak: they name a meaning, in whatever encoding it travels."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from journeymesh.services.http.problems import PRECONDITION_FAILED, ProblemRaised
from journeymesh.services.http.requests import Scope, headers_joined, values_of

_REMEMBERED: Final = 600
"""Characters of the parts of a tag that is remembered."""


def tag_of(*parts: str) -> str:
    """A weak entity tag over these parts."""
    return (_known if sum(map(len, parts)) <= _REMEMBERED else _tag)(*parts)


@lru_cache(16_384)
def _known(*parts: str) -> str:
    return _tag(*parts)


def _tag(*parts: str) -> str:
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
