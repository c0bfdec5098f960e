"""Where a client's token comes from, and when another one is asked for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

EARLY_S: Final = 30.0
"""A token is renewed this long before it expires, so that it still counts when it arrives."""

_OF_ONE_TOKEN: Final = frozenset({"exp", "iat", "nbf", "jti", "auth_time", "sid", "session_state"})
"""Claims that differ from one token to the next of the same person."""

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
    try:
        return float(_claims(token)["exp"])
    except (KeyError, TypeError, ValueError):
        return float("inf")


def asker_of(token: str | None) -> str:
    """Names whoever the token is of, and tells nothing of them: the same for a renewed JWT, another one where anything
    else that it claims (issuer, subject, tenant, roles) is different. Of a token that is no JWT it is its own name."""
    claims = {name: value for name, value in _claims(token or "").items() if name not in _OF_ONE_TOKEN}
    said = msgspec.json.encode(claims, order="deterministic") if claims else (token or "").encode()
    return hashlib.blake2b(said, digest_size=16).hexdigest()


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says, unjudged; nothing where it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), type=dict[str, Any])
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        return {}
