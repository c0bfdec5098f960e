"""The certificates that an environment's gateways serve, as the cluster has them, whoever put them there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from journeymesh.delivery.applications import Json
from journeymesh.delivery.certificates import certificate_faults
from journeymesh.delivery.secrets import TLS, decoded
from journeymesh.errors import JourneymeshError

TRACKING: Final = "argocd.argoproj.io/tracking-id"
_GATEWAYS: Final = "/apis/gateway.networking.k8s.io/v1/namespaces/{}/gateways"
_SECRETS: Final = "/api/v1/namespaces/{}/secrets"


class ObjectListing(Protocol):
    """What answers for the API server."""

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a listing."""


@dataclass(frozen=True, slots=True)
class ServedCertificate:
    """A Secret with a certificate. ``application``: the one that serves it; ``words``: what is wrong, if anything."""

    application: str
    secret: str
    words: tuple[str, ...]


def served_certificates(
    cluster: ObjectListing, environment: str, now: datetime | None = None
) -> list[ServedCertificate]:
    """Every certificate that a Gateway of the environment names, and every other Secret of type ``kubernetes.io/tls``.

    What cannot be read, for lack of rights or because it is not there, is told in ``words`` and does not fail.
    """
    try:
        gateways = cluster.items(_GATEWAYS.format(environment))
    except JourneymeshError:  # no Gateway API here: nothing serves by it
        gateways = []
    wanted = _wanted(gateways)
    owner = next((served for served, _ in wanted.values()), f"secrets-app-{environment}")
    try:
        held = {each["metadata"]["name"]: each for each in cluster.items(_SECRETS.format(environment))}
    except JourneymeshError as error:
        words = f"the expiry of certificates cannot be read: {error.what}"
        return [ServedCertificate(owner, "", (words,))] if wanted else []
    names = {*wanted, *(name for name, each in held.items() if each.get("type") == TLS)}
    return [_served(name, wanted.get(name, (owner, ())), held.get(name), now) for name in sorted(names)]


def _served(
    name: str, wanted: tuple[str, tuple[str, ...]], secret: Json | None, now: datetime | None
) -> ServedCertificate:
    application, hosts = wanted
    if secret is None:
        return ServedCertificate(application, name, (f"certificate {name}: there is no such Secret",))
    values = decoded(secret)
    words = [f"certificate {name}: {each.what}" for each in certificate_faults(values, hosts, now)]
    words += [f"certificate {name}: {key} is missing" for key in ("tls.crt", "tls.key") if key not in values]
    return ServedCertificate(application, name, tuple(words))


def _wanted(gateways: list[dict[str, Any]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The Secrets that listeners name: by which Application, and for which hosts."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for gateway in gateways:
        for name, host in _references(gateway.get("spec") or {}):
            _, hosts = found.get(name, ("", ()))
            found[name] = (tracked_by(gateway), (*hosts, host) if host and not host.startswith("*.") else hosts)
    return found


def _references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for listener in spec.get("listeners") or ():
        for reference in (listener.get("tls") or {}).get("certificateRefs") or ():
            yield str(reference.get("name")), str(listener.get("hostname") or "")


def tracked_by(content: Json) -> str:
    """The Application that Argo CD notes on an object; empty where it notes none."""
    notes = (content.get("metadata") or {}).get("annotations") or {}
    return str(notes.get(TRACKING, "")).partition(":")[0]
