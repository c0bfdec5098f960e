"""Spans of OpenTelemetry. Without an SDK in the process they cost next to nothing and go nowhere.

Attributes name slices, stores and counts, never policies, vehicles or positions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace

_TRACER: Final = trace.get_tracer("journeymesh.strangler")


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[trace.Span]:
    """A span ``journeymesh.strangler.NAME`` around what is done; a fault is recorded in it and goes on."""
    attributes = {f"journeymesh.{key}": value for key, value in attributes.items()}
    with _TRACER.start_as_current_span(f"journeymesh.strangler.{name}", attributes=attributes) as current:
        yield current
