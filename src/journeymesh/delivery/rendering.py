"""What Kustomize makes of a folder: the bytes that Argo CD applies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from journeymesh.delivery.programs import ProgramMissing, called, first_installed
from journeymesh.yaml_files import MANIFESTS, load_all_yaml


def rendered(folder: Path) -> str:
    """The folder's manifests as Kustomize renders them, the same bytes each time.

    Raises:
        ProgramMissing: neither kustomize nor kubectl is on PATH. ProgramFailed: Kustomize refuses the folder.
    """
    match first_installed(("kustomize", "kubectl")):
        case "kustomize":
            return called(["kustomize", "build", str(folder)])
        case "kubectl":
            return called(["kubectl", "kustomize", str(folder)])
        case _:
            raise ProgramMissing("kustomize is not installed", todo="install kustomize or kubectl and have it on PATH")


def rendered_objects(folder: Path) -> list[dict[str, Any]]:
    """The folder's manifests, parsed, in Kustomize's order."""
    return [document for document in load_all_yaml(rendered(folder), bounds=MANIFESTS) if document]
