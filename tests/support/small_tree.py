"""A tree of one service in one environment, as little as there can be."""

from __future__ import annotations

from pathlib import Path

from journeymesh.delivery.images import PLACEHOLDER_DIGEST, PLACEHOLDER_REGISTRY
from journeymesh.delivery.tree import Tree

APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: greeter-app-dev
spec:
  source:
    repoURL: https://git.invalid/journeymesh.git  # where it lies
    path: customization/services/greeter/overlays/dev
"""
OVERLAY = f"""\
kind: Kustomization
resources: [../../base]
images:
  - name: greeter  # what base says
    newName: {PLACEHOLDER_REGISTRY}/greeter
    digest: {PLACEHOLDER_DIGEST}
"""


def small_tree(root: Path) -> Tree:
    """The tree in this folder."""
    tree = Tree(root)
    overlay = tree.service("greeter") / "overlays" / "dev"
    overlay.mkdir(parents=True)
    (overlay / "kustomization.yaml").write_text(OVERLAY, "utf-8")
    tree.applications("dev").mkdir(parents=True)
    tree.application("greeter", "dev").write_text(APPLICATION, "utf-8")
    return tree
