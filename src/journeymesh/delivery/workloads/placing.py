"""A workload in one environment: its overlay with the images pinned there, and the Application that Argo CD reads.

What people and promotions decided is read from the tree and kept: the digests that are pinned now, and patches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from journeymesh.delivery.addresses import Addresses
from journeymesh.delivery.applications import WATCHED_PATHS
from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PinnedImage, pinned
from journeymesh.delivery.tree import Tree
from journeymesh.delivery.workloads.score import NO_IMAGE, Workload
from journeymesh.delivery.workloads.shape import APPLICATION_WAVE, E2E_IMAGE, WAVE, labels
from journeymesh.delivery.workloads.yaml_text import Manifest

REPLICAS: Final = {"dev": 1, "test": 1, "prod": 2}
PATCHES: Final = "patches"


def overlay_kustomization(tree: Tree, workload: Workload, environment: str, addresses: Addresses) -> Manifest:
    """The overlay: what is pinned there stays pinned, and every file under ``patches/`` is applied."""
    folder = tree.service(workload.name) / "overlays" / environment
    held = pins(folder)
    patches = sorted(path.name for path in (folder / PATCHES).glob("*.yaml"))
    optional = {
        "components": [f"../../../../components/{each}" for each in workload.components],
        "replicas": [] if "hpa" in workload.components else [{"name": workload.name, "count": REPLICAS[environment]}],
        "images": [
            _own_image(workload, held, addresses),
            _ours(E2E_IMAGE, held.get(E2E_IMAGE) or _tests_image(tree, environment, addresses)),
        ],
        "patches": [{"path": f"{PATCHES}/{patch}"} for patch in patches],
    }
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": environment,
        "resources": ["../../base"],
        **{key: value for key, value in optional.items() if value},
    }


def _watched(name: str) -> str:
    """Folders whose commits concern it: after any other's, Argo CD would heal by a whole sync instead of a part."""
    return f"/customization/services/{name};/customization/components"


def application(workload: Workload, environment: str, addresses: Addresses) -> Manifest:
    """The child Application. Its finalizer takes the workload away when its file is deleted."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": f"{workload.name}-app-{environment}",
            "namespace": "argocd",
            "labels": {**labels(workload.name), "journeymesh.io/environment": environment},
            "annotations": {WAVE: str(APPLICATION_WAVE), WATCHED_PATHS: _watched(workload.name)},
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": f"workloads-project-{environment}",
            "source": {
                "repoURL": addresses.repository,
                "targetRevision": "HEAD",
                "path": f"customization/services/{workload.name}/overlays/{environment}",
            },
            "destination": {"server": "https://kubernetes.default.svc", "namespace": environment},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": ["ServerSideApply=true", "PruneLast=true"],
                "retry": {
                    "limit": 2,
                    "refresh": True,
                    "backoff": {"duration": "5s", "factor": 2, "maxDuration": "30s"},
                },
            },
        },
    }


def pins(overlay: Path) -> dict[str, PinnedImage]:
    """What the overlay pins now; nothing, where it is not there yet."""
    return pinned(overlay) if (overlay / "kustomization.yaml").is_file() else {}


def _own_image(workload: Workload, held: Mapping[str, PinnedImage], addresses: Addresses) -> Manifest:
    """Its entry under ``images``. An image built elsewhere keeps its own registry, whichever the tree's is."""
    name = workload.image_name
    now = held.get(name)
    digest = now.digest if now else PLACEHOLDER_DIGEST
    if workload.image != NO_IMAGE:
        return {"name": name, "digest": digest}
    return _ours(name, now or PinnedImage(f"{addresses.registry}/{name}", digest))


def _ours(name: str, image: PinnedImage) -> Manifest:
    return {"name": name, "newName": image.repository, "digest": image.digest}


def _tests_image(tree: Tree, environment: str, addresses: Addresses) -> PinnedImage:
    """The image of the tests as the tree's other services in this environment pin it."""
    found = [held[E2E_IMAGE] for held in _overlays(tree, environment) if E2E_IMAGE in held]
    counted = Counter(image for image in found if image.digest != PLACEHOLDER_DIGEST)
    fallback = PinnedImage(f"{addresses.registry}/{E2E_IMAGE}", PLACEHOLDER_DIGEST)
    return min(counted, key=lambda image: (-counted[image], str(image)), default=fallback)


def _overlays(tree: Tree, environment: str) -> Iterator[dict[str, PinnedImage]]:
    for path in sorted((tree.customization / "services").glob(f"*/overlays/{environment}/kustomization.yaml")):
        yield pins(path.parent)
