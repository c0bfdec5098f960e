"""Candidate and stable: one pod, twice, as restricted as Kubernetes' own profile `restricted` and then some."""

from __future__ import annotations

from typing import Any, Final

from journeymesh.delivery.workloads.score import Workload
from journeymesh.delivery.workloads.shape import CANDIDATE, NAME, STABLE, TRACK, labels, metadata, tracked
from journeymesh.delivery.workloads.yaml_text import Manifest

NOBODY: Final = 10001
"""The user of every pod, whatever its image says: a number, for ``runAsNonRoot`` cannot judge a name."""
DRAIN_S: Final = 5
"""How long a pod still answers after it is no longer an endpoint, while proxies and the gateway learn of it."""
GRACE_S: Final = 30
"""From the beginning of the drain until the process is killed."""
STARTS_WITHIN_S: Final = 50
PROGRESS_S: Final = 60
"""A release that is not ready by then has failed: a sync that waits longer keeps the next revision out."""

CONTAINER_SECURITY: Final[Manifest] = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
POD_SECURITY: Final[Manifest] = {
    "runAsNonRoot": True,
    "runAsUser": NOBODY,
    "runAsGroup": NOBODY,
    "fsGroup": NOBODY,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def deployment(workload: Workload, track: str, wave: int) -> Manifest:
    """A track's Deployment, without ``replicas`` for the stable one: the overlay or its HPA says how many."""
    name = tracked(workload.name, track)
    its_labels = labels(workload.name, track=track)
    selector = {NAME: workload.name, TRACK: track}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, wave, its_labels),
        "spec": {
            **({"replicas": 1} if track == CANDIDATE else {}),
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": PROGRESS_S,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": its_labels},
                "spec": {
                    "serviceAccountName": workload.name,
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": GRACE_S,
                    "securityContext": POD_SECURITY,
                    **({"topologySpreadConstraints": _spread(selector)} if track == STABLE else {}),
                    "containers": [_container(workload)],
                    "volumes": [scratch()],
                },
            },
        },
    }


def scratch() -> Manifest:
    """The one place a process can write to, for as long as its pod lives."""
    return {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}


def _container(workload: Workload) -> Manifest:
    variables = {"PORT": str(workload.container_port), **workload.variables}
    return {
        "name": workload.name,
        "image": workload.image_name,
        **({"command": list(workload.command)} if workload.command else {}),
        **({"args": list(workload.args)} if workload.args else {}),
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "ports": [{"name": "http", "containerPort": workload.container_port, "protocol": "TCP"}],
        "startupProbe": _timed(workload.liveness, period_s=1, failures=STARTS_WITHIN_S),
        "readinessProbe": _timed(workload.readiness, period_s=2, failures=2),
        "livenessProbe": _timed(workload.liveness, period_s=10, failures=3),
        "lifecycle": {"preStop": {"sleep": {"seconds": DRAIN_S}}},
        "resources": {"requests": dict(workload.requests), "limits": dict(workload.limits)},
        "securityContext": CONTAINER_SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108
    }


def _timed(probe: Any, *, period_s: int, failures: int) -> Manifest:
    return {**probe, "periodSeconds": period_s, "timeoutSeconds": 2, "failureThreshold": failures}


def _spread(selector: dict[str, str]) -> list[Manifest]:
    """Not all on one node or in one zone, as far as there are several."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
