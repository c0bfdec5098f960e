"""What is derived from a secret: keys, handles, pseudonyms, ids and seals. Without the secret none is made again.

Derivation is HKDF-SHA256 (RFC 5869), the step that expands: secrets are uniformly random, so nothing is extracted.
Sealing is AES-256-GCM under a random nonce of 96 bits.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING, Final

from journeymesh.errors import ExtraMissing, StoreCorrupt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SECRET_BYTES: Final = 32
SEAL_VERSION: Final = 1
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
SEAL_OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + TAG_BYTES
"""What a sealed value is longer by than its content."""
_NAME_BYTES: Final = 16


class SealBroken(StoreCorrupt):
    """A sealed value was sealed by another key, for another place, or was changed."""


def derived(secret: bytes, label: bytes) -> bytes:
    """32 bytes for this label: HKDF-Expand of one block."""
    return hmac.digest(secret, label + b"\x01", "sha256")


def joined(*parts: str) -> bytes:
    """Parts as bytes, told apart: ``("a", "bc")`` is another than ``("ab", "c")``."""
    texts = [part.encode() for part in parts]
    return b"".join(b"%d:%b" % (len(text), text) for text in texts)


def aead(key: bytes) -> AESGCM:
    """AES-GCM under this key.

    Raises:
        ExtraMissing: ``cryptography`` is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise ExtraMissing("cryptography", "keys") from error
    return AESGCM(key)


def seal(cipher: AESGCM, content: bytes, place: bytes) -> bytes:
    """The content sealed for this place: version, nonce, ciphertext with tag."""
    nonce = os.urandom(NONCE_BYTES)
    return b"%c%b%b" % (SEAL_VERSION, nonce, cipher.encrypt(nonce, content, b"%c%b" % (SEAL_VERSION, place)))


def unseal(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    """What was sealed for this place.

    Raises:
        SealBroken: it was not, or not by this key.
    """
    from cryptography.exceptions import InvalidTag

    if len(sealed) < SEAL_OVERHEAD_BYTES or sealed[0] != SEAL_VERSION:
        raise SealBroken("a sealed value has no form that is known", todo="restore the store from a backup")
    try:
        return cipher.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], sealed[:1] + place)
    except InvalidTag as error:
        raise SealBroken(
            "a sealed value does not open: another key or place, or it was changed",
            todo="use the key store that belongs to this store, or restore the store from a backup",
        ) from error


class CommonKey:
    """A key that is one for all subjects of a key store: of tokens, or of the pseudonyms of tenants and products."""

    __slots__ = ("_cipher", "_secret", "version")

    def __init__(self, secret: bytes, version: int) -> None:
        self._secret, self.version = secret, version
        self._cipher = aead(derived(secret, b"journeymesh data"))

    def token(self, kind: str, *parts: str) -> str:
        """The token of what these parts name: 32 hexadecimal digits, the same for the same."""
        return hmac.digest(self._secret, joined(kind, *parts), "sha256")[:_NAME_BYTES].hex()

    def wrapped_by(self, cipher: AESGCM, place: bytes) -> bytes:
        """This key, sealed for this place."""
        return seal(cipher, self._secret, place)

    def seal(self, content: bytes, *, kind: str, stored_id: str) -> bytes:
        """The content, sealed for this row: what no subject owns, such as where a number is found."""
        return seal(self._cipher, content, joined(kind, stored_id))

    def unseal(self, sealed: bytes, *, kind: str, stored_id: str) -> bytes:
        """What was sealed for this row.

        Raises:
            SealBroken: it was not, or by another key, or was changed.
        """
        return unseal(self._cipher, sealed, joined(kind, stored_id))


class SubjectKeys:
    """All that is derived from the secret of one subject. ``secret_id`` is its random name in the key store; rows of
    the data carry handles, which change by month. Not shown by ``repr``."""

    __slots__ = ("_cipher", "_handles", "_ids", "_names", "_vehicles", "secret_id")

    def __init__(self, secret_id: str, secret: bytes) -> None:
        self.secret_id = secret_id
        self._cipher = aead(derived(secret, b"journeymesh data"))
        self._names = derived(secret, b"journeymesh handles and pseudonyms")
        self._ids = derived(secret, b"journeymesh stored ids")
        self._handles: dict[int | None, str] = {}
        self._vehicles: dict[tuple[str, int], str] = {}

    def handle(self, month: int | None) -> str:
        """What leads rows of this month back to the subject, and is the pseudonym of its policy: 32 hexadecimal
        digits. Months cannot be linked without the secret. None: rows without a month."""
        known = self._handles.get(month)
        if known is None:
            known = self._handles[month] = self._named("handle", "" if month is None else str(month))
        return known

    def vehicle_pseudonym(self, vehicle: str, month: int) -> str:
        """The pseudonym of this vehicle in this month, another under every subject: 32 hexadecimal digits."""
        known = self._vehicles.get((vehicle, month))
        if known is None:
            known = self._vehicles[vehicle, month] = self._named("vehicle", vehicle, str(month))
        return known

    def audit_pseudonym(self) -> str:
        """What the audit calls the subject, which no row carries: 32 hexadecimal digits."""
        return self._named("audit")

    def stored_id(self, kind: str, public_id: str) -> str:
        """The id under which the row of this public id is kept: 32 hexadecimal digits."""
        return hmac.digest(self._ids, joined(kind, public_id), "sha256")[:_NAME_BYTES].hex()

    def seal(self, content: bytes, *, kind: str, stored_id: str) -> bytes:
        """The content, sealed for this kind of value of this row: ``SEAL_OVERHEAD_BYTES`` longer."""
        return seal(self._cipher, content, joined(kind, stored_id))

    def unseal(self, sealed: bytes, *, kind: str, stored_id: str) -> bytes:
        """What was sealed for this kind of value of this row.

        Raises:
            SealBroken: it was not, or was changed.
        """
        return unseal(self._cipher, sealed, joined(kind, stored_id))

    def _named(self, *parts: str) -> str:
        return hmac.digest(self._names, joined(*parts), "sha256")[:_NAME_BYTES].hex()
