"""Keyed pseudonyms: the same for the same, and nobody without the key can tell whose."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from pathlib import Path
from typing import Final

from journeymesh.errors import UsageError

LEAST_KEY_BYTES: Final = 32
PSEUDONYM_BYTES: Final = 16
KEPT: Final = 16_384
"""Pseudonyms remembered at most, the latest used."""
_MAKE: Final = "make one with: openssl rand -hex 32"


def derived_key(secret: bytes, *, purpose: bytes) -> bytes:
    """A key of 32 bytes for another purpose, the same wherever the secret is."""
    return hashlib.blake2b(purpose, key=hashlib.sha256(secret).digest(), digest_size=32).digest()


class Pseudonyms:
    """Pseudonyms under one key: HMAC-SHA-256 (RFC 2104), cut to 128 bits.

    Raises:
        UsageError: the key is shorter than 32 bytes.
    """

    __slots__ = ("_kept", "_keyed")

    def __init__(self, key: bytes) -> None:
        if len(key) < LEAST_KEY_BYTES:
            raise UsageError(f"the key of pseudonyms has {len(key)} bytes, {LEAST_KEY_BYTES} are needed", todo=_MAKE)
        self._keyed = hmac.new(key, digestmod=hashlib.sha256)
        self._kept = lru_cache(KEPT)(self._made)

    @classmethod
    def from_file(cls, path: str | Path) -> Pseudonyms:
        """With the key in this file: 64 hexadecimal digits or more.

        Raises:
            UsageError: the file cannot be read, or holds no such key.
        """
        try:
            key = bytes.fromhex(Path(path).read_text("ascii").strip())
        except OSError as error:
            raise UsageError(f"the key of pseudonyms {path}: {error.strerror}", todo=_MAKE) from error
        except ValueError:  # not chained: what could not be decoded is the key
            raise UsageError(f"the key of pseudonyms {path} is not hexadecimal", todo=_MAKE) from None
        return cls(key)

    def of(self, kind: str, *parts: str) -> str:
        """The pseudonym of what these parts name, ``of("subject", provider, subject)``: 32 hexadecimal digits.

        Parts are told apart: ``("a", "bc")`` is another than ``("ab", "c")``.
        """
        return self._kept(kind, *parts)

    def _made(self, kind: str, *parts: str) -> str:
        keyed = self._keyed.copy()
        for part in (kind, *parts):
            held = part.encode()
            keyed.update(b"%d:" % len(held) + held)
        return keyed.digest()[:PSEUDONYM_BYTES].hex()
