"""Where a client's token comes from, and when another one is asked for."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

EARLY_S: Final = 30.0
"""A token is renewed this long before it expires, so that it still counts when it arrives."""

Token = str | Callable[[], str] | None
AsyncToken = str | Callable[[], str | Awaitable[str]] | None


class HeldToken:
    """The token in use. It reads a JWT's expiry without judging it; judging is the service's part."""

    def __init__(self) -> None:
        self._token: str | None = None
        self._until_s = 0.0

    def current(self, refused: str | None) -> str | None:
        """The token while it counts; None: ask for another."""
        if self._token is None or self._token == refused or time.time() >= self._until_s:
            return None
        return self._token

    def hold(self, token: str) -> str:
        """Use this one from now on."""
        self._token, self._until_s = token, expires_at_s(token) - EARLY_S
        return token


def expires_at_s(token: str) -> float:
    """Seconds since 1970 UTC at which a JWT says it expires; infinity where it does not say."""
    parts = token.split(".")
    if len(parts) != 3:
        return float("inf")
    try:
        said: Any = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(said["exp"])
    except (binascii.Error, msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError):
        return float("inf")
