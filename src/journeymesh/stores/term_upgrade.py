"""What the stores' upgrades to policy terms (schema 0004) share. Before it a number stood for one term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

SCHEMA: Final = "0004"
_COLUMNS_BEFORE: Final = 32
_POLICY: Final = 2
_TERM: Final = 5
"""Where the number stands in a former content of a journey, and where the beginning of the policy's term goes."""


def content_with_term(content: str, begins: Mapping[str, int]) -> str:
    """A former content of a journey (as history keeps it) that says the beginning of its policy's term.

    ``begins`` has the beginning (µs) of each number's term. A content that says it already stays as it is.
    """
    values: list[Any] = msgspec.json.decode(content)
    if len(values) > _COLUMNS_BEFORE:
        return content
    values.insert(_TERM, begins.get(values[_POLICY]))
    return msgspec.json.encode(values).decode()
