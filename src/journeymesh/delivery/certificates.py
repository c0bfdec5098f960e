"""Certificates in a Secret's values: whether they hold now and for how long, with their key, for their names.

Every value that is a certificate in PEM is judged, whatever its key is called, and every certificate of its chain.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from journeymesh.errors import ExtraMissing

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Values = Mapping[str, str]
ENDS_SOON: Final = timedelta(days=30)
_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_PRIVATE: Final = "PRIVATE KEY-----"
_SUFFIX: Final = ".crt"


@dataclass(frozen=True, slots=True)
class CertificateFault:
    """What is wrong, in words that show nothing of a key. ``keys``: the Secret's keys that it is about.

    ``grave``: clients refuse the certificate, or the server cannot serve it. Otherwise it ends within 30 days, or its
    chain has a gap that some clients bridge.
    """

    keys: tuple[str, ...]
    what: str
    grave: bool = True


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when all certificates of some values hold, and the names that the first of each is for."""

    begins: datetime
    ends: datetime
    names: tuple[str, ...]


def certificate_keys(values: Values) -> tuple[str, ...]:
    """Under which keys certificates stand, by their content or by a name such as ``tls.crt``; sorted."""
    return tuple(sorted(key for key, value in values.items() if key.endswith(_SUFFIX) or _BEGIN in value))


def certificate_faults(
    values: Values, hosts: Sequence[str] = (), now: datetime | None = None
) -> list[CertificateFault]:
    """All that is wrong with the certificates in a Secret's values. ``hosts``: names that a server's must be for.

    Raises:
        ExtraMissing: the package that reads certificates is not installed.
    """
    at = now or datetime.now(UTC)
    return [fault for key in certificate_keys(values) for fault in _faults(values, key, hosts, at)]


def validity(values: Values) -> Validity | None:
    """When all certificates among the values hold, and for which names; None where none can be read."""
    chains = [chain for key in certificate_keys(values) if (chain := _chain(values[key]))]
    every = [each for chain in chains for each in chain]
    if not every:
        return None
    names = dict.fromkeys(name for chain in chains for name in _names(chain[0]))
    begins = max(each.not_valid_before_utc for each in every)
    return Validity(begins, min(each.not_valid_after_utc for each in every), tuple(names))


def period_fault(begins: datetime, ends: datetime, now: datetime) -> tuple[str, bool] | None:
    """What to say of this period, and whether it is grave; None where it holds for more than 30 days."""
    if now >= ends:
        return f"ended on {_day(ends)}, {_days(now - ends)} ago", True
    if now < begins:
        return f"is valid only from {_day(begins)} on", True
    if ends - now < ENDS_SOON:
        return f"ends on {_day(ends)}, in {_days(ends - now)}", False
    return None


def is_for(names: Sequence[str], host: str) -> bool:
    """Whether a certificate of these names is for the host. ``*.`` stands for one label, as clients take it."""
    wanted = host.rstrip(".").lower()
    _, _, domain = wanted.partition(".")
    return any(name == wanted or (bool(domain) and name == f"*.{domain}") for name in map(str.lower, names))


def _faults(values: Values, key: str, hosts: Sequence[str], now: datetime) -> Iterator[CertificateFault]:
    chain = _chain(values[key])
    if not chain:
        yield CertificateFault((key,), f"{key} is not a certificate in PEM")
        return
    for place, each in enumerate(chain, 1):
        which = key if len(chain) == 1 else f"certificate {place} of {key}"
        if said := period_fault(each.not_valid_before_utc, each.not_valid_after_utc, now):
            yield CertificateFault((key,), f"{which} {said[0]}", said[1])
    private = _key_beside(values, key)
    if private is None:
        return
    yield from _pair_faults(values, key, private, chain)
    yield from _server_faults(tuple(dict.fromkeys((key, private))), chain[0], hosts)
    for place, (each, above) in enumerate(pairwise(chain), 2):
        if not _issued(each, above):
            yield CertificateFault((key,), f"certificate {place} of {key} did not issue the one before it", grave=False)


def _pair_faults(values: Values, key: str, private: str, chain: Sequence[Certificate]) -> Iterator[CertificateFault]:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    both = tuple(dict.fromkeys((key, private)))
    try:
        public = load_pem_private_key(_private_block(values[private]).encode(), None).public_key()
    except TypeError:
        yield CertificateFault((private,), f"{private} is encrypted with a passphrase, which the server cannot enter")
        return
    except ValueError:
        yield CertificateFault((private,), f"{private} is not a private key in PEM")
        return
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    owned = [each.public_key().public_bytes(*form) == public.public_bytes(*form) for each in chain]
    if any(owned[1:]) and not owned[0]:
        yield CertificateFault(both, f"the certificate of {private} is not the first in {key}; a server's comes first")
    elif not owned[0]:
        yield CertificateFault(both, f"{private} does not belong to {key}")


def _server_faults(keys: tuple[str, ...], leaf: Certificate, hosts: Sequence[str]) -> Iterator[CertificateFault]:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    names = _names(leaf)
    for host in hosts:
        if not is_for(names, host):
            yield CertificateFault(
                keys, f"{keys[0]} is not for {host}, only for {', '.join(names) or 'no name at all'}"
            )
    try:
        uses = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    serves = {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(uses)
    if not serves and (hosts or keys[0] == "tls.crt"):
        yield CertificateFault(keys, f"{keys[0]} may not be used by a server (extended key usage)")


def _key_beside(values: Values, key: str) -> str | None:
    """The key of the Secret that holds the private key to a certificate; None where it holds none."""
    if _PRIVATE in values[key]:
        return key
    beside = f"{key.rpartition('.')[0] or key}.key"
    return beside if beside in values else None


def _private_block(text: str) -> str:
    """The private key of a PEM that may hold certificates, too."""
    for block in text.split("-----BEGIN ")[1:]:
        if _PRIVATE in block:
            return f"-----BEGIN {block}"
    return text


def _chain(pem: str) -> list[Certificate]:
    """The certificates of a PEM; none where it cannot be read as such."""
    try:
        from cryptography import x509
    except ImportError as error:
        raise ExtraMissing("cryptography", "delivery") from error
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []


def _names(certificate: Certificate) -> tuple[str, ...]:
    from cryptography import x509

    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = list(held.get_values_for_type(x509.IPAddress))  # type: ignore[arg-type]
    return (*held.get_values_for_type(x509.DNSName), *(str(each) for each in addresses))


def _issued(certificate: Certificate, above: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _day(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _days(span: timedelta) -> str:
    return f"{span.days} {'day' if span.days == 1 else 'days'}"
