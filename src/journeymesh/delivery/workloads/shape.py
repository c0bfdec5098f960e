"""Names, labels and waves that every service of the tree has, so that one gate, one fence and one view fit all."""

from __future__ import annotations

from typing import Any, Final

PART_OF: Final = "journeymesh"
NAME: Final = "app.kubernetes.io/name"
TRACK: Final = "journeymesh.io/track"
ROLE: Final = "journeymesh.io/role"
STABLE: Final = "stable"
CANDIDATE: Final = "candidate"
E2E: Final = "e2e"
"""The role whose pods may ask every service, and are asked by nobody (a NetworkPolicy of the environment)."""

WAVE: Final = "argocd.argoproj.io/sync-wave"
CANDIDATE_WAVE: Final = 0
"""The candidate, which no route leads to, and all that it needs."""
GATE_WAVE: Final = 1
"""Its tests: where they fail, nothing later is applied."""
STABLE_WAVE: Final = 2
"""What users meet."""
ROUTE_WAVE: Final = 3
"""The way to it, and the tests that take this way."""
APPLICATION_WAVE: Final = 4
"""Workloads come after what they stand on: secrets, databases, identity, journeys."""

GATEWAY: Final = "gatewayapi"
"""The Gateway, its listener `https`, and the service behind it."""
GATEWAY_PORT: Final = 8443
"""What its pods listen on."""
RATE_LIMIT: Final = "rate-limit"
AUTHENTICATED: Final = "authenticated"
"""The gateway's Middleware that lets nobody through without a token that holds."""
IDENTITY: Final = "identityapi"
E2E_IMAGE: Final = "journeymesh-e2e"
CLIENT_SECRETS: Final = "keycloak-clients"
CLIENT: Final = "e2e-analyst"
"""The machine client as which the tests come through the gateway, and the key of its secret."""
GATEWAY_TLS: Final = "gateway-tls"


def labels(name: str, **more: str) -> dict[str, str]:
    """The labels of a service's object; ``track`` and ``role`` where it has them."""
    keys = {"track": TRACK, "role": ROLE}
    return {NAME: name, **{keys[key]: value for key, value in more.items()}, "app.kubernetes.io/part-of": PART_OF}


def tracked(name: str, track: str) -> str:
    """The name of a track's Deployment and Service."""
    return name if track == STABLE else f"{name}-{track}"


def metadata(name: str, wave: int, its_labels: dict[str, str], **annotations: str) -> dict[str, Any]:
    """An object's ``metadata``: its name, labels, sync wave and Argo CD annotations.

    ``annotations`` are named without Argo CD's prefix and with ``_`` for ``-``: ``hook_delete_policy`` becomes
    ``argocd.argoproj.io/hook-delete-policy``.
    """
    ours = {f"argocd.argoproj.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return {"name": name, "labels": its_labels, "annotations": {WAVE: str(wave), **ours}}
