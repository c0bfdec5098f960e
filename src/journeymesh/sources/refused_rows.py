"""Refusals of rows that cannot be read, with the row itself as JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from journeymesh.journeys.journey import Refusal
from journeymesh.sources.tabular import Faults


def refusals_of(faults: Faults, origins: Sequence[str], row_content: Callable[[int], object]) -> list[Refusal]:
    """One refusal per faulty row. ``origins`` are by row; ``row_content`` gives what stands in the input."""
    return [
        Refusal(reason.code, origins[row], detail, content=as_json(row_content(row)))
        for row, (reason, detail) in sorted(faults.reasons.items())
    ]


def as_json(content: object) -> str:
    """The content as JSON text; what JSON does not have, as text."""
    return msgspec.json.encode(content, enc_hook=_text).decode()


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
