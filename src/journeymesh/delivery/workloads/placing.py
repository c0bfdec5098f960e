"""A workload in one environment: its overlay with the images pinned there, and the Application that Argo CD reads.

What people and promotions decided is read from the tree and kept: the digests that are pinned now, patches, the
repository's address and the registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from journeymesh.delivery.documents import documents
from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PLACEHOLDER_REGISTRY, PinnedImage, pinned
from journeymesh.delivery.tree import Tree
from journeymesh.delivery.workloads.score import NO_IMAGE, Workload
from journeymesh.delivery.workloads.shape import APPLICATION_WAVE, E2E_IMAGE, WAVE, labels
from journeymesh.delivery.workloads.yaml_text import Manifest

PLACEHOLDER_REPOSITORY: Final = "https://git.invalid/journeymesh.git"
"""The address of a tree that was not told its own."""
REPLICAS: Final = {"dev": 1, "test": 1, "prod": 2}
PATCHES: Final = "patches"


@dataclass(frozen=True, slots=True)
class Addresses:
    """The two addresses that the tree needs, as its other files say them."""

    repository: str
    registry: str

    @classmethod
    def of(cls, tree: Tree) -> Addresses:
        """The address most Applications have; the registry most services' images are pulled from."""
        return cls(
            repository=_most(_repositories(tree), PLACEHOLDER_REPOSITORY),
            registry=_most(_registries(tree), PLACEHOLDER_REGISTRY),
        )


def overlay_kustomization(tree: Tree, workload: Workload, environment: str, addresses: Addresses) -> Manifest:
    """The overlay: what is pinned there stays pinned, and every file under ``patches/`` is applied."""
    name = workload.name
    folder = tree.service(name) / "overlays" / environment
    held = pins(folder)
    images = {name: _own_image(workload, addresses, held.get(name)), E2E_IMAGE: held.get(E2E_IMAGE)}
    patches = sorted(path.name for path in (folder / PATCHES).glob("*.yaml"))
    replicas = [] if "hpa" in workload.components else [{"name": name, "count": REPLICAS[environment]}]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": environment,
        "resources": ["../../base"],
        **(
            {"components": [f"../../../../components/{each}" for each in workload.components]}
            if workload.components
            else {}
        ),
        **({"replicas": replicas} if replicas else {}),
        "images": [
            {"name": each, "newName": image.repository, "digest": image.digest}
            for each, image in (
                (each, image or _tests_image(tree, environment, addresses)) for each, image in images.items()
            )
        ],
        **({"patches": [{"path": f"{PATCHES}/{patch}"} for patch in patches]} if patches else {}),
    }


def application(workload: Workload, environment: str, addresses: Addresses) -> Manifest:
    """The child Application. Its finalizer takes the workload away when its file is deleted."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": f"{workload.name}-app-{environment}",
            "namespace": "argocd",
            "labels": {**labels(workload.name), "journeymesh.io/environment": environment},
            "annotations": {WAVE: str(APPLICATION_WAVE)},
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
            "revisionHistoryLimit": 10,
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


def pins(overlay: Path) -> dict[str, PinnedImage]:
    """What the overlay pins now; nothing, where it is not there yet."""
    return pinned(overlay) if (overlay / "kustomization.yaml").is_file() else {}


def _own_image(workload: Workload, addresses: Addresses, now: PinnedImage | None) -> PinnedImage:
    digest = now.digest if now else PLACEHOLDER_DIGEST
    if workload.image != NO_IMAGE:
        return PinnedImage(workload.image, digest)
    return PinnedImage(now.repository if now else f"{addresses.registry}/{workload.name}", digest)


def _tests_image(tree: Tree, environment: str, addresses: Addresses) -> PinnedImage:
    """The image of the tests as the tree's other services in this environment pin it."""
    found = [held[E2E_IMAGE] for held in _overlays(tree, environment) if E2E_IMAGE in held]
    named = Counter(str(image) for image in found if image.digest != PLACEHOLDER_DIGEST)
    if named:
        return PinnedImage.parse(_most(named.elements(), ""))
    return PinnedImage(f"{addresses.registry}/{E2E_IMAGE}", PLACEHOLDER_DIGEST)


def _repositories(tree: Tree) -> Iterator[str]:
    for path in sorted((tree.customization / "apps-children").glob("*/*.yaml")):
        for document in documents(path):
            if document.kind == "Application":
                address = document.content.get("spec", {}).get("source", {}).get("repoURL")
                if address:
                    yield address


def _registries(tree: Tree) -> Iterator[str]:
    for held in _overlays(tree, "*"):
        for name, image in held.items():
            registry, _, last = image.repository.rpartition("/")
            if registry and last == name:
                yield registry


def _overlays(tree: Tree, environment: str) -> Iterator[dict[str, PinnedImage]]:
    for path in sorted((tree.customization / "services").glob(f"*/overlays/{environment}/kustomization.yaml")):
        yield pins(path.parent)


def _most(found: Iterable[str], otherwise: str) -> str:
    """The value found most often, the first by alphabet of several; a placeholder only where there is nothing else."""
    counted = Counter(found)
    real = {value: count for value, count in counted.items() if ".invalid" not in value} or counted
    return min(real, key=lambda value: (-real[value], value), default=otherwise)
