"""Which Secrets an environment needs, which keys they have and how each comes about."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from journeymesh.delivery.secret_values import (
    hexadecimal_key,
    password,
    self_signed,
    signing_key,
    signing_key_after,
)
from journeymesh.errors import UsageError

Values = Mapping[str, str]
LEAST_PASSWORD_CHARS: Final = 16
"""As many as Keycloak's realm wants of a machine's secret."""


@dataclass(frozen=True, slots=True)
class NeededSecret:
    """A Secret that services of an environment read.

    ``make`` gives all its values, for the gateway's names. ``renew`` gives new ones after the former; what ``lasting``
    names is never renewed, and it says why. ``faults`` says what is wrong with values, never the values themselves.
    """

    name: str
    keys: tuple[str, ...]
    make: Callable[[Sequence[str]], Values]
    faults: Callable[[Values], list[str]]
    renew: Callable[[Values, Sequence[str]], Values] | None = None
    type: str = "Opaque"
    lasting: Mapping[str, str] = field(default_factory=dict)

    def renewed(self, former: Values, keys: Sequence[str], hosts: Sequence[str]) -> dict[str, str]:
        """The former values with new ones under these keys; under all that may change, where none is named.

        Raises:
            UsageError: there is no such key, or it must stay.
        """
        for key in keys:
            if key not in self.keys:
                raise UsageError(f"{self.name} has no key {key}", todo=f"it has {', '.join(self.keys)}")
            if key in self.lasting:
                raise UsageError(f"{key} of {self.name} must stay", todo=self.lasting[key])
        fresh = self.renew(former, hosts) if self.renew else self.make(hosts)
        chosen = [key for key in keys or self.keys if key not in self.lasting]
        if self.type == "kubernetes.io/tls":
            chosen = list(self.keys)  # a certificate and its key are one
        return {**former, **{key: fresh[key] for key in chosen}}


def _passwords(name: str, keys: tuple[str, ...]) -> NeededSecret:
    return NeededSecret(
        name,
        keys,
        make=lambda _: {key: password() for key in keys},
        faults=lambda values: [f"{key} {fault}" for key in keys for fault in _weakness(values.get(key, ""))],
    )


def _weakness(value: str) -> list[str]:
    if len(value) < LEAST_PASSWORD_CHARS:
        return [f"has {len(value)} characters, {LEAST_PASSWORD_CHARS} are needed"]
    return ["has a line end"] if value != value.strip() else []


def _key_faults(values: Values) -> list[str]:
    faults = []
    if not re.fullmatch(r"[0-9a-fA-F]{64,}", values.get("pseudonyms.key", "").strip()):
        faults.append("pseudonyms.key is not 64 hexadecimal digits")
    if values.get("checkpoints.pem", "").count("-----BEGIN PRIVATE KEY-----") != 1:
        faults.append("checkpoints.pem has not one private key in PEM")
    return faults


def _tls_faults(values: Values) -> list[str]:
    """Whether both are there; what they are worth, ``certificates`` says of every Secret."""
    return [f"{key} is missing" for key in ("tls.crt", "tls.key") if not values.get(key)]


ADMIN_CLIENT: Final = "journeymesh-admin"
_OF_TESTS: Final = ("e2e-analyst", "e2e-officer", "e2e-reader", "e2e-newcomer")
"""Machines and people of the end-to-end tests."""

NEEDED: Final = (
    _passwords("postgres-passwords", ("postgres", "journeyapi", "identityapi", "keycloak", "console")),
    NeededSecret(
        "journeymesh-keys",
        ("pseudonyms.key", "checkpoints.pem"),
        make=lambda _: {"pseudonyms.key": hexadecimal_key(), "checkpoints.pem": signing_key()},
        renew=lambda former, _: {"checkpoints.pem": signing_key_after(former.get("checkpoints.pem", ""))},
        faults=_key_faults,
        lasting={
            "pseudonyms.key": "with another key, earlier pseudonyms cannot be matched; see docs/how-to/keep-secrets.md"
        },
    ),
    NeededSecret(
        "keycloak-admin",
        ("client-id", "client-secret"),
        make=lambda _: {"client-id": ADMIN_CLIENT, "client-secret": password()},
        faults=lambda values: [f"client-secret {fault}" for fault in _weakness(values.get("client-secret", ""))],
    ),
    _passwords("keycloak-clients", ("console", "ingest", "gateway", *_OF_TESTS)),
    NeededSecret("gateway-tls", ("tls.crt", "tls.key"), make=self_signed, faults=_tls_faults, type="kubernetes.io/tls"),
)
"""What the services of the tree read; names and keys as their manifests have them."""

BY_NAME: Final = {needed.name: needed for needed in NEEDED}


def gateway_hosts(environment: str) -> tuple[str, ...]:
    """By which names the gateway is reached from inside, and on a laptop."""
    inside = ("gatewayapi", f"gatewayapi.{environment}", f"gatewayapi.{environment}.svc")
    return (*inside, f"gatewayapi.{environment}.svc.cluster.local", "localhost", "127.0.0.1")
