"""Structured logs: one JSON object a line on standard error, without anything that names a policy or a person."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, BinaryIO, Final, Protocol

import msgspec

from journeymesh.errors import ExtraMissing
from journeymesh.safe_text import json_on_terminal, urls_shown

_ENCODE: Final = msgspec.json.Encoder().encode


class Log(Protocol):
    """What services write to: an event in fixed words, with values."""

    def info(self, event: str, **values: Any) -> None:
        """As it goes."""

    def warning(self, event: str, **values: Any) -> None:
        """Somebody may want to look."""

    def error(self, event: str, **values: Any) -> None:
        """Somebody has to look."""


def structured_log(service: str, to: BinaryIO | None = None) -> Log:
    """A structlog logger that writes JSON lines; ``to`` None: standard error.

    Raises:
        ExtraMissing: structlog is not installed.
    """
    try:
        import structlog
    except ImportError as error:
        raise ExtraMissing("structlog", "services") from error
    bound: Log = structlog.wrap_logger(
        structlog.BytesLogger(to or sys.stderr.buffer),
        processors=[structlog.processors.add_log_level, _timed, _rendered],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        context_class=dict,
        cache_logger_on_first_use=True,
        service=service,
    )
    return bound


def _timed(_: Any, __: str, event: Any) -> Any:
    event["at_s"] = round(time.time(), 6)
    return event


def _rendered(_: Any, __: str, event: Any) -> bytes:
    return json_on_terminal(urls_shown(_ENCODE(event).decode())).encode()
