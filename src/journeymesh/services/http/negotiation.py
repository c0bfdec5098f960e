"""What a client accepts, as RFC 9110 has it: media types and encodings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from journeymesh.services.http.problems import NOT_ACCEPTABLE, ProblemRaised

_LONGEST: Final = 1_000
"""Characters that are looked at, and remembered."""


def chosen(accept: str, offered: Sequence[str]) -> str:
    """The offered media type that the ``Accept`` header likes best; the first where it does not care.

    Raises:
        ProblemRaised: it likes none of them.
    """
    if not accept:
        return offered[0]
    found = _chosen(accept[:_LONGEST], tuple(offered))
    if found is None:
        raise ProblemRaised(NOT_ACCEPTABLE, f"on offer: {', '.join(offered)}")
    return found


@lru_cache(256)
def _chosen(accept: str, offered: tuple[str, ...]) -> str | None:
    if not accept.strip():
        return offered[0]
    wanted = list(_weighted(accept))
    best, best_weight = None, 0.0
    for media in offered:
        kind = media.partition("/")[0]
        for pattern in (media, f"{kind}/*", "*/*"):  # the closest pattern counts
            weights = [weight for name, weight in wanted if name == pattern]
            if weights:
                if max(weights) > best_weight:
                    best, best_weight = media, max(weights)
                break
    return best


def accepted_encodings(accept_encoding: str) -> frozenset[str]:
    """The encodings that an ``Accept-Encoding`` header names and does not refuse."""
    return _accepted(accept_encoding[:_LONGEST])


@lru_cache(256)
def _accepted(accept_encoding: str) -> frozenset[str]:
    return frozenset(name for name, weight in _weighted(accept_encoding) if weight > 0)


def _weighted(header: str) -> list[tuple[str, float]]:
    """(name, weight) of each entry; an unreadable weight is none."""
    found = []
    for entry in header.split(","):
        name, *parameters = (part.strip().lower() for part in entry.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = min(max(float(parameter[2:]), 0.0), 1.0)
                except ValueError:
                    weight = 0.0
        if name:
            found.append((name, weight))
    return found
