"""What is kept of a session, closed with a key that nothing but the session's id gives."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import msgspec

from journeymesh.errors import ExtraMissing
from journeymesh.identity.session_rows import SessionRow

SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""256 bits of chance, as base64url writes them."""
CONTENT_BYTES: Final = 64 << 10
_NONCE: Final = 12


class NotOpened(Exception):
    """A row's content was not sealed for this session, or was changed."""


class Content(msgspec.Struct, frozen=True, array_like=True):
    """What a session is, as it is sealed: who (of ``wire.identity.Me``), their tokens, and what its forms carry."""

    token: str
    form_token: str
    provider: str
    subject: str
    tenant: str
    domains: list[str]
    expires_at: datetime
    refresh_token: str | None = None
    id_token: str | None = None
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class SessionKey:
    """What a session's id gives: the name that its row is found by, and the key of its content (HKDF, RFC 5869, of
    256 random bits). Neither gives the other, or the id."""

    name: bytes
    _key: bytes = field(repr=False)

    @classmethod
    def of(cls, session_id: str) -> SessionKey:
        """The key of an id that ``SESSION_ID`` matches.

        Raises:
            ExtraMissing: cryptography is not installed.
        """
        try:
            from cryptography.hazmat.primitives.hashes import SHA256
            from cryptography.hazmat.primitives.kdf.hkdf import HKDF
        except ImportError as error:
            raise ExtraMissing("cryptography", "services") from error
        both = HKDF(SHA256(), 64, None, b"journeymesh console session").derive(session_id.encode())
        return cls(both[:32], both[32:])

    def seal(self, content: Content, row: SessionRow, generation: int) -> bytes:
        """The content, closed (AES-256-GCM) together with what the row says of whose it is and when it ends.

        Raises:
            ValueError: it is too large to be kept.
        """
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        plain = msgspec.msgpack.encode(content)
        if len(plain) > CONTENT_BYTES:
            raise ValueError(len(plain))
        nonce = os.urandom(_NONCE)
        return nonce + AESGCM(self._key).encrypt(nonce, plain, _beside(row, generation))

    def open(self, row: SessionRow) -> Content:
        """What was sealed.

        Raises:
            NotOpened: by another id, beside other values of the row, or it is damaged.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            nonce, sealed = row.content[:_NONCE], row.content[_NONCE:]
            plain = AESGCM(self._key).decrypt(nonce, sealed, _beside(row, row.generation))
            return msgspec.msgpack.decode(plain, type=Content)
        except (InvalidTag, ValueError, msgspec.MsgspecError) as error:
            raise NotOpened from error


def random_session_id() -> str:
    """An id that nobody guesses."""
    return secrets.token_urlsafe(32)


def keyed_digest(secret: bytes, kind: str, *values: str) -> bytes:
    """What rows are found by besides their name. Without the secret nobody can try which value it is of."""
    joined = b"".join(len(part).to_bytes(4, "big") + part for part in (text.encode() for text in (kind, *values)))
    return hmac.new(secret, joined, hashlib.sha256).digest()


def _beside(row: SessionRow, generation: int) -> bytes:
    """What is not sealed and must not be changed: all columns but the last use and whose turn it is to renew."""
    return msgspec.msgpack.encode((row.name, row.person, row.subject, row.sid, row.ends_us, generation))
