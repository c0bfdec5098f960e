"""Keyset cursors: where a listing goes on. Sealed, so that they tell nothing and cannot be made up."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from journeymesh.errors import ExtraMissing, SettingsInvalid
from journeymesh.instants import from_us, to_us
from journeymesh.services.http.problems import CURSOR_REFUSED, ProblemRaised

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE: Final = 12
_INSTANT: Final = 8
_LONGEST: Final = 512


@dataclass(frozen=True)
class Cursors:
    """Seals and opens cursors with a 32 byte key (AES-256-GCM). A cursor holds for the listing that gave it.

    Raises:
        SettingsInvalid: the key has another length.
    """

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) != 32:
            raise SettingsInvalid(f"the cursors' key has {len(self.key)} bytes", todo="give 32 random bytes")

    @cached_property
    def _cipher(self) -> AESGCM:
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        except ImportError as error:
            raise ExtraMissing("cryptography", "services") from error
        return AESGCM(self.key)

    def seal(self, listing: str, at: datetime, text: str) -> str:
        """The cursor of this place in this listing: an instant and what tells it from others of that instant."""
        nonce = os.urandom(_NONCE)
        content = to_us(at).to_bytes(_INSTANT, "big", signed=True) + text.encode()
        sealed = nonce + self._cipher.encrypt(nonce, content, listing.encode())
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def open(self, listing: str, cursor: str) -> tuple[datetime, str]:
        """The place behind which the listing goes on.

        Raises:
            ProblemRaised: this listing did not give it.
        """
        from cryptography.exceptions import InvalidTag

        try:
            if len(cursor) > _LONGEST:
                raise ValueError(cursor)
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            content = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], listing.encode())
        except (ValueError, binascii.Error, InvalidTag) as error:
            raise ProblemRaised(CURSOR_REFUSED) from error
        return from_us(int.from_bytes(content[:_INSTANT], "big", signed=True)), content[_INSTANT:].decode()
