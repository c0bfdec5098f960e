"""Rules on certificates: those that are in the tree hold today, for a while yet, and for the names that routes use.

An encrypted Secret is opened where a key is at hand. Elsewhere its annotations tell, which its MAC seals.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from journeymesh.delivery.certificates import (
    CertificateFault,
    certificate_faults,
    certificate_keys,
    is_for,
    period_fault,
)
from journeymesh.delivery.checks.findings import Fault, Severity, rule
from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.subject import Subject, entries, mapping
from journeymesh.delivery.documents import Document
from journeymesh.delivery.secrets import HOLDS, NAMES, SUFFIX, TLS, EnvironmentSecrets
from journeymesh.errors import JourneymeshError

_CERTIFICATE = "journeymesh delivery secrets certificate NAME --env ENV --certificate FILE --key FILE"


@rule(
    "certificate-holds",
    "Every certificate in the tree is valid today, matches its key and covers the hosts of its listeners.",
    fix=f"renew it: `journeymesh delivery secrets rotate`, or `{_CERTIFICATE}`",
)
def certificate_holds(subject: Subject) -> Iterator[Fault]:
    yield from _told(subject, grave=True)


@rule(
    "certificate-ends-soon",
    "Every certificate in the tree is valid for another 30 days, and its expiry can be read without its key.",
    fix=f"renew it in time: `journeymesh delivery secrets rotate`, or `{_CERTIFICATE}`",
    severity=Severity.warning,
)
def certificate_ends_soon(subject: Subject) -> Iterator[Fault]:
    yield from _told(subject, grave=False)


def _told(subject: Subject, *, grave: bool) -> Iterator[Fault]:
    now = datetime.now(UTC)
    for environment in subject.environments:
        hosts = _hosts(subject, environment)
        folder = subject.tree.customization / "secrets" / environment
        for path in subject.files:
            if path.parent == folder and path.name.endswith(SUFFIX):
                for document in subject.read(path):
                    for fault in _sealed_faults(subject, environment, document, hosts, now):
                        if fault.grave is grave:
                            yield Fault(document, f"Secret {document.name}: {fault.what}", _at(document))
    for held in subject.every("ConfigMap"):
        values = {str(key): str(value) for key, value in mapping(held.content.get("data")).items()}
        values = {key: value for key, value in values.items() if "-----BEGIN CERTIFICATE-----" in value}
        for fault in certificate_faults(values, now=now):
            if fault.grave is grave:
                yield Fault(held, f"{held}: {fault.what}", ("data", fault.keys[0]))


def _sealed_faults(
    subject: Subject, environment: str, document: Document, hosts: dict[str, list[str]], now: datetime
) -> list[CertificateFault]:
    metadata = mapping(mapping(document.content).get("metadata"))
    keys = {key: "" for part in ("data", "stringData") for key in mapping(document.content.get(part))}
    notes = mapping(metadata.get("annotations"))
    if not (HOLDS in notes or document.content.get("type") == TLS or certificate_keys(keys)):
        return []
    wanted = hosts.get(document.name, [])
    values = _opened(subject, environment, document.name)
    if values is not None:
        return certificate_faults(values, wanted, now)
    begins, _, ends = str(notes.get(HOLDS, "")).partition("/")
    try:
        said = period_fault(datetime.fromisoformat(begins), datetime.fromisoformat(ends), now)
    except (ValueError, TypeError):
        what = "its certificate's expiry is not recorded, and no available key decrypts it; set it again"
        return [CertificateFault((), what, grave=False)]
    found = [CertificateFault((), f"its certificate {said[0]}", said[1])] if said else []
    names = str(notes.get(NAMES, "")).split(",")
    return found + [
        CertificateFault((), f"its certificate is not for {host}, only for {', '.join(names)}")
        for host in wanted
        if not is_for(names, host)
    ]


def _opened(subject: Subject, environment: str, name: str) -> dict[str, str] | None:
    """A Secret's values; None where no key at hand opens it, which other rules and `secrets check` tell of."""
    try:
        return EnvironmentSecrets(subject.tree, environment).values(name)
    except JourneymeshError:
        return None


def _hosts(subject: Subject, environment: str) -> dict[str, list[str]]:
    """For which hosts listeners of the environment serve a Secret, by its name; those without a host want none."""
    found: dict[str, list[str]] = {}
    for gateway in subject.of_environment(environment, "Gateway"):
        for listener in entries(gateway.spec.get("listeners")):
            host = str(listener.get("hostname") or "")
            for reference in entries(mapping(listener.get("tls")).get("certificateRefs")):
                if host and not host.startswith("*."):
                    found.setdefault(str(reference.get("name")), []).append(host)
    return found


def _at(document: Document) -> tuple[Step, ...]:
    held: Any = mapping(mapping(document.content).get("metadata")).get("annotations")
    return ("metadata", "annotations", HOLDS) if mapping(held).get(HOLDS) else ("metadata", "name")
