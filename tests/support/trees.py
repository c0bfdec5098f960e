"""A delivery tree in a temporary folder, with the components of this repository."""

from __future__ import annotations

import shutil
from pathlib import Path

from journeymesh.delivery.images import PinnedImage
from journeymesh.delivery.tree import Tree
from journeymesh.delivery.workloads.begin import Beginning, begin

REPOSITORY = Path(__file__).parents[2]
DIGEST = f"sha256:{'ab' * 32}"
OTHER_DIGEST = f"sha256:{'cd' * 32}"


def a_tree(folder: Path) -> Tree:
    shutil.copytree(REPOSITORY / "customization" / "components", folder / "customization" / "components")
    return Tree.at(folder)


def an_image(name: str = "hello", digest: str = DIGEST) -> PinnedImage:
    return PinnedImage(f"registry.example/{name}", digest)


def begun(tree: Tree, name: str = "hello", **asked: object) -> Path:
    """A workload that was begun from an image; its folder."""
    begin(tree, Beginning(**{"name": name, "image": an_image(name), **asked}))  # type: ignore[arg-type]
    return tree.service(name)
