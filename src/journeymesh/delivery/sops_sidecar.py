"""The sidecar of Argo CD's repo-server that decrypts: which image it is, and by which keys it reads."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

import yaml

from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PinnedImage, pin, pinned
from journeymesh.delivery.programs import applied
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError

IMAGE: Final = "argocd-sops"
SECRET: Final = "sops-age"  # noqa: S105 - its name
KEYS: Final = "keys.txt"
_PRIVATE: Final = "AGE-SECRET-KEY-"


def sidecar(tree: Tree) -> Path:
    """The folder of its Kustomize manifests."""
    return tree.bootstrap / "argocd" / "sops"


def is_wanted(tree: Tree) -> bool:
    """Whether the tree was told an image for it; without one Secrets come from elsewhere."""
    folder = sidecar(tree)
    held = pinned(folder).get(IMAGE) if (folder / "kustomization.yaml").is_file() else None
    return held is not None and held.digest != PLACEHOLDER_DIGEST


def pin_sidecar(tree: Tree, image: PinnedImage) -> Path:
    """Let the tree use this image. Returns the file that says so."""
    pin(sidecar(tree), IMAGE, image)
    return sidecar(tree) / "kustomization.yaml"


def give_keys(files: list[Path], namespace: str = "argocd") -> int:
    """Let the cluster's sidecar read by the private keys in these files, and by no others. How many keys.

    Raises:
        UsageError: a file cannot be read, or holds no key.
    """
    lines: list[str] = []
    for path in files:
        try:
            found = [line for line in path.read_text("utf-8").splitlines() if line.startswith(_PRIVATE)]
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read", todo="name a file that age-keygen made") from error
        if not found:
            raise UsageError(f"{path} holds no private age key", todo="name a file that age-keygen made")
        lines += found
    keys = list(dict.fromkeys(lines))
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "journeymesh"}},
        "data": {KEYS: base64.b64encode(("\n".join(keys) + "\n").encode()).decode()},
    }
    applied(yaml.safe_dump(secret))
    return len(keys)
