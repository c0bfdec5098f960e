"""Names of vehicles that differ in nothing that people would call a difference: capitals, blanks, dashes, zeros."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from journeymesh.safe_text import on_terminal

_SHOWN: Final = 3


def like_names(names: Iterable[str]) -> list[tuple[str, ...]]:
    """The names of which two or more are alike, in groups: ``B-XY 12`` and ``bxy12 ``, ``0042`` and ``42``."""
    groups: dict[str, dict[str, None]] = {}
    for name in names:
        groups.setdefault(_plain(name), {})[name] = None
    return [tuple(group) for group in groups.values() if len(group) > 1]


def name_doubts(names: Sequence[str]) -> list[str]:
    """What looks wrong with the names of vehicles, in words: one that is written in several ways is as many."""
    like = like_names(names)
    if not like:
        return []
    shown = "; ".join(" and ".join(map(repr, group)) for group in like[:_SHOWN])
    more = f" and {len(like) - _SHOWN:,} more" if len(like) > _SHOWN else ""
    said = f"vehicles whose names are alike are different ones to us: {shown}{more}"
    return [f"{on_terminal(said)}. If they are the same, write them alike in the source"]


def _plain(name: str) -> str:
    """What remains of a name without capitals, signs between its letters, and zeros before it."""
    plain = re.sub(r"[\W_]+", "", name.casefold())
    return plain.lstrip("0") or plain[:1] or name
