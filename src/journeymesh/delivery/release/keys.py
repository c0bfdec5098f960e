"""Key pairs that sign: ECDSA on P-256 with SHA-256, in PEM, as cosign's are.

The private key stays with whoever signs (a build, the delivery controller). Its public half stands in
``release/keys/*.pub`` and is trusted from the commit on that puts it there.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from journeymesh.delivery.programs import ProgramFailed, called
from journeymesh.delivery.tree import Tree
from journeymesh.errors import ExtraMissing, NotFound, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey

PASSWORD_VARIABLE: Final = "JOURNEYMESH_KEY_PASSWORD"  # noqa: S105
PRIVATE_NAME: Final = "release.key"
PUBLIC_NAME: Final = "release.pub"


class KeyUnusable(UsageError):
    """A key file holds no key that signs or verifies here."""


class NoTrustedKeys(NotFound):
    """The tree trusts no key yet."""


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """The public half of a key, by the name of its file."""

    name: str
    key: EllipticCurvePublicKey

    @property
    def keyid(self) -> str:
        """SHA-256 of the key in DER: the same wherever its file is."""
        return _keyid(self.key)

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether this key made the signature (DER) of these bytes."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            self.key.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, read from its file."""

    key: EllipticCurvePrivateKey

    @classmethod
    def read(cls, path: Path) -> SigningKey:
        """From PEM (PKCS#8 or SEC 1), decrypted with ``JOURNEYMESH_KEY_PASSWORD`` where it is encrypted.

        Raises:
            KeyUnusable: there is no such key in the file. NotFound: there is no such file.
        """
        _require_cryptography()
        from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        if not path.is_file():
            raise NotFound(f"no key at {path}", todo="make a pair with `journeymesh delivery keys new FOLDER`")
        pem = path.read_bytes()
        if b"ENCRYPTED SIGSTORE" in pem or b"ENCRYPTED COSIGN" in pem:
            raise KeyUnusable(
                f"{path} is encrypted in cosign's own format", todo="sign with cosign, or with a key in PKCS#8"
            )
        password = os.environ.get(PASSWORD_VARIABLE, "").encode()
        try:
            key = load_pem_private_key(pem, password if b"ENCRYPTED" in pem else None)
        except (ValueError, TypeError) as error:
            raise KeyUnusable(
                f"{path} cannot be read as a private key", todo=f"give PEM, and its password in {PASSWORD_VARIABLE}"
            ) from error
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise KeyUnusable(
                f"{path} is not an ECDSA key on P-256", todo="make one with `journeymesh delivery keys new`"
            )
        return cls(key)

    @property
    def keyid(self) -> str:
        """The public half's."""
        return _keyid(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """The signature in DER; the same one each time (RFC 6979), so that what is signed twice is one file."""
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        return self.key.sign(content, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


def make_key_pair(folder: Path) -> tuple[Path, Path]:
    """Make a pair: the private key readable by its owner alone, and the public one. Returns both files.

    Raises:
        UsageError: there is one already, or git would take the private key in.
    """
    _require_cryptography()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = folder / PRIVATE_NAME, folder / PUBLIC_NAME
    for path in (private, public):
        if path.exists():
            raise UsageError(f"{path} exists", todo="keys are never overwritten: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    if _git_would_take(private):
        raise UsageError(
            f"{private} is inside a git repository", todo="name a folder outside it, or one that .gitignore names"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    password = os.environ.get(PASSWORD_VARIABLE, "").encode()
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    with open(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def public_key(path: Path) -> TrustedKey:
    """The public key of a file in PEM.

    Raises:
        KeyUnusable: it holds none on P-256.
    """
    _require_cryptography()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} is not a public key in PEM", todo="put the .pub half there") from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise KeyUnusable(f"{path} is not an ECDSA key on P-256", todo="put the .pub half of such a key there")
    return TrustedKey(path.name, key)


def trusted_keys(tree: Tree) -> tuple[TrustedKey, ...]:
    """The keys that ``release/keys`` trusts.

    Raises:
        NoTrustedKeys: there is none. KeyUnusable: a file there is no key.
    """
    folder = tree.root / "release" / "keys"
    found = tuple(public_key(path) for path in sorted(folder.glob("*.pub")))
    if not found:
        raise NoTrustedKeys(
            f"{tree.relative(folder)} holds no *.pub",
            todo="make a pair with `journeymesh delivery keys new` and commit it",
        )
    return found


def require_trusted(tree: Tree, key: SigningKey) -> None:
    """Refuse to sign what nobody would believe.

    Raises:
        KeyUnusable: the key's public half is not in ``release/keys``.
    """
    if key.keyid not in {each.keyid for each in trusted_keys(tree)}:
        raise KeyUnusable(
            "release/keys does not trust this key", todo="commit its public half there, or sign with one that is there"
        )


def signer(trusted: Iterable[TrustedKey], signature: bytes, signed: bytes) -> TrustedKey | None:
    """Whose signature of these bytes it is; None: nobody's who is trusted."""
    return next((key for key in trusted if key.verifies(signature, signed)), None)


def _git_would_take(path: Path) -> bool:
    """Whether the path is in a git repository that does not ignore it."""
    try:
        if called(["git", "rev-parse", "--is-inside-work-tree"], folder=path.parent).strip() != "true":
            return False
    except ProgramFailed:
        return False
    try:
        called(["git", "check-ignore", "--quiet", path.name], folder=path.parent)
    except ProgramFailed:
        return True
    return False


def _keyid(key: EllipticCurvePublicKey) -> str:
    from cryptography.hazmat.primitives import serialization

    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return sha256(der).hexdigest()


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ExtraMissing("cryptography", "delivery") from error
