"""How a record is chained to the one before: the bytes that its digest is taken over. Pure.

The digest is SHA-256 over the previous digest, one line, and the body as it is stored::

    {number} {at_us} {characters of kind} {characters of key, -1: none} {kind}{key}\\n

The lengths are in the line so that nothing can be moved from one column to the next unseen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import msgspec

DIGEST_BYTES: Final = 32
_BEGINNING: Final = b"journeymesh audit 1\n"


def genesis(writer: str) -> bytes:
    """What the first record of this writer's chain comes after."""
    return hashlib.sha256(_BEGINNING + writer.encode()).digest()


def canonical(body: Mapping[str, Any]) -> bytes:
    """The body as JSON with sorted keys and without spaces: equal bodies, equal bytes.

    Raises:
        TypeError, ValueError: something in it has no JSON.
    """
    return msgspec.json.encode(body, order="deterministic")


def link(previous: bytes, number: int, at_us: int, kind: str, key: str | None, body: bytes) -> bytes:
    """The digest of the record that comes after ``previous``."""
    if key is None:
        line = f"{number} {at_us} {len(kind)} -1 {kind}\n"
    else:
        line = f"{number} {at_us} {len(kind)} {len(key)} {kind}{key}\n"
    return hashlib.sha256(previous + line.encode() + body).digest()
