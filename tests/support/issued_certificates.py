"""Certificates of every kind that goes wrong, made for a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier


@dataclass(frozen=True)
class Issued:
    """A certificate with its key. Days count from now."""

    common_name: str
    from_days: float = -1.0
    to_days: float = 90.0
    hosts: Sequence[str] = ("journeys.example",)
    use: ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH
    by: Issued | None = None
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @cached_property
    def pem(self) -> str:
        def name(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        issuer = self.by or self
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name(self.common_name))
            .issuer_name(name(issuer.common_name))
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=self.from_days))
            .not_valid_after(now + timedelta(days=self.to_days))
            .add_extension(x509.ExtendedKeyUsage([self.use]), critical=False)
        )
        if self.hosts:
            names = [x509.DNSName(host) for host in self.hosts]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return built.sign(issuer.key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()

    def key_pem(self, passphrase: bytes = b"") -> str:
        sealed: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed).decode()


GOOD = Issued("good")
OTHER = Issued("other")
AUTHORITY = Issued("authority", hosts=())
ENDED_AUTHORITY = Issued("ended authority", from_days=-400, to_days=-2, hosts=())
CHAINED = Issued("chained", by=AUTHORITY)

GRAVE: dict[str, tuple[dict[str, str], tuple[str, ...], str]] = {
    "ended": (
        {"tls.crt": Issued("ended", from_days=-100, to_days=-12.5).pem},
        (),
        r"tls\.crt ended on \S+ \S+ UTC, 12 days ago",
    ),
    "ended a moment ago": ({"tls.crt": Issued("moment", to_days=-1e-4).pem}, (), "tls.crt ended on .* 0 days ago"),
    "not valid yet": ({"tls.crt": Issued("early", from_days=2).pem}, (), r"tls\.crt is valid only from"),
    "ended in its chain": (
        {"tls.crt": Issued("leaf", by=ENDED_AUTHORITY).pem + ENDED_AUTHORITY.pem},
        (),
        r"certificate 2 of tls\.crt ended on",
    ),
    "ended under another key": (
        {"client.pem": Issued("client", from_days=-9, to_days=-3).pem},
        (),
        r"client\.pem ended on .* 3 days ago",
    ),
    "an authority that ended": ({"ca.crt": ENDED_AUTHORITY.pem}, (), r"ca\.crt ended on"),
    "no certificate": ({"tls.crt": "hunter2"}, (), r"tls\.crt is not a certificate in PEM"),
    "a key in its place": ({"tls.crt": GOOD.key_pem()}, (), r"tls\.crt is not a certificate in PEM"),
    "another's key": ({"tls.crt": GOOD.pem, "tls.key": OTHER.key_pem()}, (), r"tls\.key does not belong to tls\.crt"),
    "another's key in one file": (
        {"server.pem": GOOD.pem + OTHER.key_pem()},
        (),
        r"server\.pem does not belong to server\.pem",
    ),
    "no key": ({"tls.crt": GOOD.pem, "tls.key": "hunter2"}, (), r"tls\.key is not a private key in PEM"),
    "a sealed key": (
        {"tls.crt": GOOD.pem, "tls.key": GOOD.key_pem(b"hunter2")},
        (),
        r"tls\.key is encrypted with a passphrase",
    ),
    "the authority's first": (
        {"tls.crt": AUTHORITY.pem + CHAINED.pem, "tls.key": CHAINED.key_pem()},
        (),
        r"the certificate of tls\.key is not the first in tls\.crt",
    ),
    "for another host": (
        {"tls.crt": GOOD.pem, "tls.key": GOOD.key_pem()},
        ("drives.example",),
        r"tls\.crt is not for drives\.example, only for journeys\.example",
    ),
    "without any name": (
        {"tls.crt": AUTHORITY.pem, "tls.key": AUTHORITY.key_pem()},
        ("drives.example",),
        "only for no name at all",
    ),
    "for clients only": (  # type: ignore[dict-item]
        (client := Issued("client", use=ExtendedKeyUsageOID.CLIENT_AUTH))
        and {"tls.crt": client.pem, "tls.key": client.key_pem()},
        (),
        r"tls\.crt may not be used by a server",
    ),
}
"""Values of a Secret that no client or server would take, the hosts that are wanted, and what is said of them."""
