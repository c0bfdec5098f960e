"""Strong random values, each in the form in which its reader wants it."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from journeymesh.errors import ExtraMissing, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_LETTERS: Final = string.ascii_letters + string.digits
_PASSWORD_LETTERS: Final = 43
"""So many of 62 are 256 bits."""
CERTIFICATE_HOLDS: Final = timedelta(days=397)
"""As long as browsers take a server's certificate to hold at most."""
_CLOCKS_DIFFER: Final = timedelta(minutes=5)


def password() -> str:
    """256 bits, in letters that need no quoting in a URL, a shell or YAML. No other ones: a password that begins with
    ``-`` is an option to the program that it is given to."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_PASSWORD_LETTERS))


def hexadecimal_key() -> str:
    """256 bits as 64 hexadecimal digits, with the line end that `openssl rand -hex 32` writes."""
    return f"{secrets.token_hex(32)}\n"


def signing_key() -> str:
    """A private Ed25519 key as PEM (PKCS #8)."""
    return _private_pem(_ed25519().generate())


def signing_key_after(former: str) -> str:
    """A private Ed25519 key as PEM, behind it the public keys of the former PEM: what those signed still counts.

    Raises:
        UsageError: the former PEM holds no key.
    """
    try:
        from cryptography.hazmat.primitives import serialization
    except ImportError as error:
        raise ExtraMissing("cryptography", "delivery") from error
    publics = []
    for block in _pem_blocks(former):
        try:
            if "PRIVATE KEY" in block:
                public: Any = serialization.load_pem_private_key(block.encode(), None).public_key()
            else:
                public = serialization.load_pem_public_key(block.encode())
        except ValueError:  # not chained: what could not be read is the key
            raise UsageError("the previous key is not PEM", todo="fix it with `sops edit`, then rotate") from None
        publics.append(
            public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
        )
    return signing_key() + "".join(publics)


def self_signed(hosts: Sequence[str]) -> dict[str, str]:
    """A certificate for these names and its key, under the keys of a Secret of type ``kubernetes.io/tls``."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    except ImportError as error:
        raise ExtraMissing("cryptography", "delivery") from error
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0][:64])])
    begins = datetime.now(UTC) - _CLOCKS_DIFFER
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + CERTIFICATE_HOLDS)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return {
        "tls.crt": certificate.public_bytes(pem).decode(),
        "tls.key": key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode(),
    }


def _general_name(host: str) -> Any:
    import ipaddress

    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _ed25519() -> type[Ed25519PrivateKey]:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError as error:
        raise ExtraMissing("cryptography", "delivery") from error
    return Ed25519PrivateKey


def _private_pem(key: Ed25519PrivateKey) -> str:
    from cryptography.hazmat.primitives import serialization

    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()


def _pem_blocks(text: str) -> list[str]:
    begun = text.split("-----BEGIN ")[1:]
    return [f"-----BEGIN {block}" for block in begun]
