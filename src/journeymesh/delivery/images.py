"""An image by its digest, and the lines of an overlay that pin it.

An overlay pins images by Kustomize's own ``images`` entries: base manifests say ``image: journeymesh``, the overlay
says which repository of which registry and which digest that is. So a promotion is one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from journeymesh.delivery.documents import Document, ManifestUnreadable, documents, documents_in, text_of
from journeymesh.delivery.tree import Tree
from journeymesh.errors import NotFound, UsageError

PLACEHOLDER_REGISTRY: Final = "registry.invalid"
"""The registry of a tree that was not told its own: it pulls from nowhere."""
PLACEHOLDER_DIGEST: Final = f"sha256:{'0' * 64}"
"""The digest of an image that was never released."""
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class ImageInvalid(UsageError):
    """What was given names no image by its digest."""


class ImageNotPinned(NotFound):
    """An overlay pins no image of this name."""


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """An image that cannot change: ``repository`` with registry, ``digest`` as ``sha256:…``."""

    repository: str
    digest: str

    @classmethod
    def parse(cls, reference: str) -> PinnedImage:
        """From ``HOST/NAME@sha256:…``, a tag between them left out of account.

        Raises:
            ImageInvalid: it has no digest.
        """
        repository, at, digest = reference.partition("@")
        if not at or not _DIGEST.fullmatch(digest):
            raise ImageInvalid(f"{reference} has no digest", todo="give HOST/NAME@sha256:… with 64 digits")
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        return cls(repository, digest)

    def __str__(self) -> str:
        return f"{self.repository}@{self.digest}"


def pinned(overlay: Path) -> dict[str, PinnedImage]:
    """The images that an overlay pins, by the name that base manifests use."""
    return _pins(_kustomization(overlay).content)


def pins_in(kustomization: str) -> dict[str, PinnedImage]:
    """The same of a kustomization's text, as a commit has it; none where it cannot be read."""
    try:
        found = next(documents_in(kustomization, Path("kustomization.yaml")), None)
    except ManifestUnreadable:
        return {}
    return {} if found is None else _pins(found.content)


def _pins(content: Any) -> dict[str, PinnedImage]:
    return {
        entry["name"]: PinnedImage(entry.get("newName", entry["name"]), entry["digest"])
        for entry in content.get("images") or []
        if entry.get("digest")
    }


def pin(overlay: Path, name: str, image: PinnedImage) -> bool:
    """Let the overlay pin this image under this name; nothing else in the file changes. False: it did already.

    Raises:
        ImageNotPinned: the overlay has no entry of this name.
    """
    document = _kustomization(overlay)
    entries = document.content.get("images") or []
    at = next((index for index, entry in enumerate(entries) if entry.get("name") == name), None)
    if at is None or not entries[at].get("digest"):
        raise ImageNotPinned(f"{document.path} pins no image {name}", todo="add it under images, with a digest")
    lines = document.path.read_text("utf-8").splitlines(keepends=True)
    before = list(lines)
    for key, value in (("newName", image.repository), ("digest", image.digest)):
        if key in entries[at]:
            line = document.line("images", at, key) - 1
            lines[line] = lines[line].replace(str(entries[at][key]), value, 1)
    if lines == before:
        return False
    document.path.write_text("".join(lines), "utf-8")
    return True


def pin_everywhere(tree: Tree, environment: str, images: Mapping[str, PinnedImage]) -> list[Path]:
    """Pin these images in every overlay of the environment that names them, and for Testkube. Returns what changed.

    Raises:
        ImageNotPinned: no overlay names one of them.
    """
    changed, found = pin_testkube(tree, environment, images)
    overlays = [tree.service(service) / "overlays" / environment for service in tree.services()]
    for overlay in (*overlays, tree.customization / "testkube" / environment):
        if not (overlay / "kustomization.yaml").is_file():
            continue  # it does not run there
        for name in sorted(set(pinned(overlay)) & set(images)):
            found.add(name)
            if pin(overlay, name, images[name]):
                changed.append(overlay / "kustomization.yaml")
    if missing := sorted(set(images) - found):
        raise ImageNotPinned(
            f"no overlay of {environment} pins {', '.join(missing)}", todo="see the images of overlays"
        )
    return sorted(set(changed))


_TESTKUBE: Final = {"testkube-tw-init": "imageTwInit", "testkube-tw-toolkit": "imageTwToolkit"}
"""The images that Testkube puts into test pods, by the values of its chart that name them."""


def pin_testkube(tree: Tree, environment: str, images: Mapping[str, PinnedImage]) -> tuple[list[Path], set[str]]:
    """Pin those of these images that Testkube puts into test pods, in the values of its Application.

    Returns the files that changed, and the names of the images that it has.
    """
    path = tree.customization / "optional" / f"testkube-app-{environment}.yaml"
    before = text_of(path) if path.is_file() else ""
    text, found = before, set()
    for name in sorted(set(_TESTKUBE) & set(images)):
        host, _, repository = images[name].repository.partition("/")
        value = f"{{registry: {host}, repository: {repository}, digest: {images[name].digest}}}"
        text, count = re.subn(rf"(?m)^( +{_TESTKUBE[name]}: )\{{.*\}}$", rf"\g<1>{value}", text)
        if count:
            found.add(name)
    if text != before:
        path.write_text(text, "utf-8")
    return ([path] if text != before else []), found


def _kustomization(overlay: Path) -> Document:
    path = overlay / "kustomization.yaml"
    found = next(documents(path), None)
    if found is None:
        raise ManifestUnreadable(f"{path} is empty", todo="correct the file")
    return found
