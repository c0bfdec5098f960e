"""A tree of one workload behind its gate, in one environment, in which nothing is wrong."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.findings import Finding
from journeymesh.delivery.checks.subject import Subject
from journeymesh.delivery.tree import Tree

needs_kustomize = pytest.mark.skipif(
    shutil.which("kustomize") is None and shutil.which("kubectl") is None,
    reason="neither kustomize nor kubectl is on PATH",
)
DIGEST = f"sha256:{'a' * 64}"
NAME, PART_OF, TRACK = "app.kubernetes.io/name", "app.kubernetes.io/part-of", "journeymesh.io/track"
WAVE, HOOK = "argocd.argoproj.io/sync-wave", "argocd.argoproj.io/hook"
Objects = dict[str, dict[str, Any]]


def _meta(name: str, wave: str, labels: dict[str, str] | None = None, **annotations: str) -> dict[str, Any]:
    return {
        "name": name,
        "annotations": {WAVE: wave, **annotations},
        "labels": {PART_OF: "journeymesh", **(labels or {})},
    }


def _pod(name: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": name,
        "image": name,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
    }
    if name == "greeter":
        probe = {"httpGet": {"path": "/healthz", "port": "http"}}
        container |= {
            "ports": [{"name": "http", "containerPort": 8080}],
            "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        }
        container |= {"startupProbe": probe, "readinessProbe": dict(probe), "livenessProbe": dict(probe)}
    return {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": "greeter",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 30,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            **spec,
        },
    }


def _track(track: str, wave: str) -> Objects:
    name = "greeter" if track == "stable" else "greeter-candidate"
    labels = {NAME: "greeter", TRACK: track}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(name, wave, labels),
        "spec": {
            "replicas": 1,
            "progressDeadlineSeconds": 30,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "selector": {"matchLabels": dict(labels)},
            "template": _pod("greeter", dict(labels)),
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name, wave, labels),
        "spec": {"selector": dict(labels), "ports": [{"name": "http", "port": 8080, "targetPort": "http"}]},
    }
    return {f"{track}": deployment, f"{track}-service": service}


def objects() -> Objects:
    """The service's manifests, by names that tests change them by."""
    gate = _pod("e2e", {NAME: "greeter-e2e"}, restartPolicy="Never")
    gate["spec"]["containers"][0]["env"] = [{"name": "BASE_URL", "value": "http://greeter-candidate:8080"}]
    inside = [{"podSelector": {"matchLabels": {NAME: "greeter-e2e"}}}]
    outside = [{"podSelector": {"matchLabels": {NAME: "greeter"}}}]
    port = [{"protocol": "TCP", "port": 8080}]
    return copy.deepcopy(
        {
            "account": {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("greeter", "-2")},
            "network": {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": _meta("greeter", "-2"),
                "spec": {
                    "podSelector": {"matchLabels": {NAME: "greeter"}},
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": [{"from": inside, "ports": port}],
                },
            },
            "network-e2e": {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": _meta("greeter-e2e", "-2"),
                "spec": {
                    "podSelector": {"matchLabels": {NAME: "greeter-e2e"}},
                    "policyTypes": ["Ingress", "Egress"],
                    "egress": [{"to": outside, "ports": port}],
                },
            },
            **_track("candidate", "0"),
            "gate": {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": _meta(
                    "greeter-e2e-candidate",
                    "1",
                    {NAME: "greeter-e2e"},
                    **{HOOK: "Sync", f"{HOOK}-delete-policy": "BeforeHookCreation"},
                ),
                "spec": {"backoffLimit": 0, "activeDeadlineSeconds": 60, "template": gate},
            },
            **_track("stable", "2"),
            "budget": {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": _meta("greeter", "2"),
                "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {NAME: "greeter", TRACK: "stable"}}},
            },
        }
    )


def application() -> dict[str, Any]:
    """The service's child Application."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "greeter-app-dev", "namespace": "argocd", "annotations": {WAVE: "4"}},
        "spec": {
            "project": "workloads-project-dev",
            "source": {
                "repoURL": "https://git.invalid/journeymesh.git",
                "targetRevision": "HEAD",
                "path": "customization/services/greeter/overlays/dev",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "dev"},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "retry": {
                    "limit": 2,
                    "refresh": True,
                    "backoff": {"duration": "5s", "factor": 2, "maxDuration": "30s"},
                },
            },
        },
    }


def written(root: Path, held: Objects | None = None, overlay: dict[str, Any] | None = None) -> Tree:
    """The tree on disk: each object a file of base, the images pinned by the overlay."""
    held = objects() if held is None else held
    base = root / "customization/services/greeter/base"
    for name, content in held.items():
        write(base / f"{name}.yaml", content)
    write(base / "kustomization.yaml", {"kind": "Kustomization", "resources": [f"{name}.yaml" for name in held]})
    images = [
        {"name": name, "newName": f"registry.example/team/{name}", "digest": DIGEST} for name in ("greeter", "e2e")
    ]
    kustomization = {"kind": "Kustomization", "namespace": "dev", "resources": ["../../base"], "images": images}
    write(base.parent / "overlays/dev/kustomization.yaml", {**kustomization, **(overlay or {})})
    write(root / "customization/apps-children/dev/greeter-app-dev.yaml", application())
    release = root / "release/dev/approved-digests"
    release.parent.mkdir(parents=True, exist_ok=True)
    release.write_text(f"{DIGEST}  greeter\n", "utf-8")
    return Tree(root)


def write(path: Path, content: dict[str, Any]) -> None:
    """One manifest as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")


def found(tree: Tree, *rules: str) -> list[Finding]:
    """What these rules find, all where none is named."""
    return findings(Subject(tree, ("dev",)), rules)


def found_after(root: Path, change: Callable[[Objects], None], *rules: str) -> list[Finding]:
    """What these rules find after a change of the service's manifests."""
    held = objects()
    change(held)
    return found(written(root, held), *rules)
