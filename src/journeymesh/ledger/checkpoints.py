"""Signed heads of all chains, kept elsewhere: what shows a cut tail and a whole rewrite, which a chain alone cannot."""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from journeymesh.errors import ExtraMissing, StoreUnavailable, UsageError
from journeymesh.instants import from_us
from journeymesh.ledger.port import Head

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PAYLOAD_TYPE: Final = "application/vnd.journeymesh.audit-checkpoint.v1+json"
_SUFFIX: Final = ".checkpoint.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The heads of all chains at one instant.

    ``previous`` is the digest of the checkpoint file before it, so that one taken away is missed; empty: the first.
    """

    name: str
    at_us: int
    heads: tuple[Head, ...]
    previous: bytes


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    at_us: int
    previous: str
    heads: dict[str, tuple[int, str]]


class _Signature(msgspec.Struct, frozen=True):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, frozen=True):
    """DSSE 1.0, https://github.com/secure-systems-lab/dsse: signed is what the bytes are and what they say."""

    payloadType: str
    payload: str
    signatures: tuple[_Signature, ...]


class CheckpointRefused(UsageError):
    """A checkpoint's signature does not hold, or the file is none."""


class CheckpointSigner:
    """Signs checkpoints with the private key in the PEM; ``keys`` are that one and any others in it.

    After a change of keys, the former public key is put behind the private one: older checkpoints still count.

    Raises:
        UsageError: the PEM holds no private Ed25519 key, or two. ExtraMissing: cryptography is not installed.
    """

    def __init__(self, pem: bytes) -> None:
        private = [key for key in _load(pem) if hasattr(key, "sign")]
        if len(private) != 1:
            raise UsageError(f"the key of checkpoints has {len(private)} private keys, one is needed", todo=_MAKE)
        self._key: Ed25519PrivateKey = private[0]
        self.keys = CheckpointKeys([pem])

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """The checkpoint as a file's content."""
        heads = {head.writer: (head.number, head.digest.hex()) for head in checkpoint.heads}
        payload = msgspec.json.encode(
            _Payload(checkpoint.name, checkpoint.at_us, checkpoint.previous.hex(), heads), order="sorted"
        )
        signature = self._key.sign(_signed_bytes(payload))
        return _written(payload, [(_key_id(self._key.public_key()), signature)])


class CheckpointKeys:
    """The public keys that checkpoints are checked with: the present one, and former ones after a change of keys.

    Each PEM may hold several keys, public or private.

    Raises:
        UsageError: a PEM holds no Ed25519 key. ExtraMissing: cryptography is not installed.
    """

    def __init__(self, pems: Iterable[bytes]) -> None:
        self._keys: dict[str, Ed25519PublicKey] = {}
        for key in (key for pem in pems for key in _load(pem)):
            public = key.public_key() if hasattr(key, "public_key") else key
            self._keys[_key_id(public)] = public

    def opened(self, name: str, content: bytes) -> Checkpoint:
        """The checkpoint in a file of this name.

        Raises:
            CheckpointRefused: the content is not a checkpoint of this name that one of the keys signed.
        """
        from cryptography.exceptions import InvalidSignature

        try:
            envelope = msgspec.json.decode(content, type=_Envelope)
            payload = base64.b64decode(envelope.payload, validate=True)
            signatures = [(each.keyid, base64.b64decode(each.sig, validate=True)) for each in envelope.signatures]
        except (msgspec.MsgspecError, ValueError) as error:
            raise _refused(name, "it is not a checkpoint") from error
        if envelope.payloadType != PAYLOAD_TYPE or content != _written(payload, signatures):
            raise _refused(name, "it is not a checkpoint")
        for key_id, signature in signatures:
            if (key := self._keys.get(key_id)) is None:
                continue
            try:
                key.verify(signature, _signed_bytes(payload))
            except InvalidSignature as error:
                raise _refused(name, "its signature does not hold") from error
            break
        else:
            raise _refused(name, "none of the keys given signed it")
        try:
            held = msgspec.json.decode(payload, type=_Payload)
            heads = tuple(Head(writer, number, bytes.fromhex(at)) for writer, (number, at) in held.heads.items())
            previous = bytes.fromhex(held.previous)
        except (msgspec.MsgspecError, ValueError) as error:
            raise _refused(name, "what it says cannot be read") from error
        if held.name != name:
            raise _refused(name, f"it was signed as {held.name}")
        return Checkpoint(name, held.at_us, heads, previous)


class CheckpointFolder:
    """Where checkpoints are kept: a folder or an fsspec URL, best on a machine that the audit's writers cannot reach.

    Files are named by time, so that a listing is in order, and never overwritten.

    Raises:
        UsageError: the URL is of no kind that fsspec knows.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UsageError(f"checkpoints {url}: {error}", todo="give a folder, or a URL that fsspec knows") from error

    def names(self) -> list[str]:
        """The names of all checkpoints, oldest first.

        Raises:
            StoreUnavailable: the folder cannot be read.
        """
        try:
            self._files.invalidate_cache()
            if not self._files.exists(self._root):
                return []
            found = self._files.ls(self._root, detail=False)
        except OSError as error:
            raise self._unavailable(error) from error
        return sorted(name for path in found if (name := posixpath.basename(path)).endswith(_SUFFIX))

    def read(self, name: str) -> bytes:
        """The file's content.

        Raises:
            StoreUnavailable: it cannot be read.
        """
        try:
            content: bytes = self._files.cat_file(posixpath.join(self._root, name))
        except OSError as error:
            raise self._unavailable(error) from error
        return content

    def add(self, name: str, content: bytes) -> None:
        """Keep a checkpoint under a name that is not taken.

        Raises:
            StoreUnavailable: it is, or the folder cannot be written to.
        """
        try:
            self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(posixpath.join(self._root, name), content, mode="create")
        except (OSError, NotImplementedError) as error:
            raise self._unavailable(error) from error

    def newest(self) -> tuple[str, bytes] | None:
        """The newest checkpoint's name and content; None: there is none yet."""
        names = self.names()
        return (names[-1], self.read(names[-1])) if names else None

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        said = getattr(error, "strerror", None) or str(error)
        return StoreUnavailable(f"checkpoints {self.url}: {said}", todo="check that the folder exists and is writable")


def name_of(at_us: int) -> str:
    """The file name of a checkpoint taken at this instant."""
    return f"{from_us(at_us):%Y%m%dT%H%M%S.%fZ}{_SUFFIX}"


def digest_of(content: bytes) -> bytes:
    """What the next checkpoint names this file by."""
    return hashlib.sha256(content).digest()


def opened_all(kept: CheckpointFolder, keys: CheckpointKeys) -> tuple[list[Checkpoint], list[str]]:
    """Every checkpoint whose signature holds, oldest first, and what is wrong with the others.

    Raises:
        StoreUnavailable: the folder cannot be read.
    """
    opened: list[Checkpoint] = []
    wrong: list[str] = []
    older: set[bytes] = {b""}
    for name in kept.names():
        content = kept.read(name)
        try:
            checkpoint = keys.opened(name, content)
        except CheckpointRefused as error:
            wrong.append(error.what)
        else:
            if checkpoint.previous not in older:  # any older one: two may have been taken at one time
                wrong.append(f"checkpoint {name}: the one before it was changed or taken away")
            opened.append(checkpoint)
        older.add(digest_of(content))
    return opened, wrong


def _load(pem: bytes) -> list[Any]:
    """The private and public Ed25519 keys in the PEM, one at least."""
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise ExtraMissing("cryptography", "services") from error
    keys: list[Any] = []
    try:
        for block in _BLOCK.findall(pem):
            if b"PRIVATE KEY" in block:
                keys.append(serialization.load_pem_private_key(block, password=None))
            else:
                keys.append(serialization.load_pem_public_key(block))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UsageError("the key of checkpoints is not PEM without a password", todo=_MAKE) from error
    if not keys:
        raise UsageError("the key of checkpoints is not PEM", todo=_MAKE)
    if not all(isinstance(key, ed25519.Ed25519PrivateKey | ed25519.Ed25519PublicKey) for key in keys):
        raise UsageError("the key of checkpoints is of another kind than Ed25519", todo=_MAKE)
    return keys


_BLOCK: Final = re.compile(rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.S)
_MAKE: Final = "make one with: openssl genpkey -algorithm ed25519"


def _key_id(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _written(payload: bytes, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    """The file of this payload; there is one way to write it, so that no byte can be changed unseen."""
    held = tuple(_Signature(key_id, base64.b64encode(signature).decode()) for key_id, signature in signatures)
    return msgspec.json.encode(_Envelope(PAYLOAD_TYPE, base64.b64encode(payload).decode(), held))


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _refused(name: str, what: str) -> CheckpointRefused:
    return CheckpointRefused(f"checkpoint {name}: {what}", todo="compare it with another copy; do not delete it")
