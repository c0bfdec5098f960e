"""The two absolute addresses that the tree needs: where it lies in git, and which registry images come from.

Argo CD knows no relative repository, and a digest needs a registry. Everything else in the tree is relative, so these
two are written into it once, by ``journeymesh delivery init``, and again where they change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from journeymesh.delivery.documents import Document, documents
from journeymesh.delivery.images import PLACEHOLDER_REGISTRY
from journeymesh.delivery.tree import Tree
from journeymesh.errors import UsageError

PLACEHOLDER_REPOSITORY: Final = "https://git.invalid/journeymesh.git"
"""The repository of a tree that was not told its own."""
_REPOSITORY: Final = re.compile(r"(https?|ssh|git)://[^\s/]+/\S+|[\w.-]+@[\w.-]+:\S+")
_REGISTRY: Final = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)*")


class AddressInvalid(UsageError):
    """An address that neither git nor a registry could have."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """``repository`` as git clones it; ``registry`` as HOST[:PORT][/PATH], without a scheme."""

    repository: str
    registry: str

    def __post_init__(self) -> None:
        if not _REPOSITORY.fullmatch(self.repository):
            raise AddressInvalid(
                f"{self.repository} is not the URL of a git repository",
                todo="give https://HOST/PATH.git, ssh://… or git@HOST:PATH",
            )
        if not _REGISTRY.fullmatch(self.registry):
            raise AddressInvalid(f"{self.registry} is not a registry", todo="give HOST[:PORT][/PATH], without a scheme")


@dataclass(frozen=True, slots=True)
class _Place:
    """One value of the tree that is an address, by its line."""

    document: Document
    at: tuple[str | int, ...]
    value: str
    is_image: bool


def addresses(tree: Tree) -> Addresses:
    """The addresses that stand in the tree now; the placeholders where nobody has written any."""
    repositories = {place.value for place in _places(tree) if not place.is_image}
    registries = {place.value.rpartition("/")[0] for place in _places(tree) if place.is_image}
    if len(repositories) > 1 or len(registries) > 1:
        told = ", ".join(sorted(repositories if len(repositories) > 1 else registries))
        raise AddressInvalid(f"the tree names more than one: {told}", todo="journeymesh delivery init writes one")
    return Addresses(next(iter(repositories), PLACEHOLDER_REPOSITORY), next(iter(registries), PLACEHOLDER_REGISTRY))


def write_addresses(tree: Tree, wanted: Addresses) -> list[Path]:
    """Write these addresses wherever the tree needs them. Returns the files that changed; again, none."""
    changed: dict[Path, list[str]] = {}
    for place in _places(tree):
        path = place.document.path
        after = f"{wanted.registry}/{place.value.rpartition('/')[2]}" if place.is_image else wanted.repository
        if after != place.value:
            lines = changed.setdefault(path, path.read_text("utf-8").splitlines(keepends=True))
            line = place.document.line(*place.at) - 1
            lines[line] = lines[line].replace(place.value, after, 1)
    for path, lines in changed.items():
        path.write_text("".join(lines), "utf-8")
    return sorted(changed)


def _places(tree: Tree) -> list[_Place]:
    """Every address of ours; repositories of charts are others', also where a project allows them."""
    found = list(_documents(tree))
    charts = {
        source.get("repoURL")
        for document in found
        for source in (document.content.get("spec") or {}).get("sources") or []
        if document.kind == "Application" and "chart" in source
    }
    return [
        place for document in found for place in _in_document(document, document.content) if place.value not in charts
    ]


def _documents(tree: Tree) -> Iterator[Document]:
    for path in sorted(tree.customization.rglob("*.yaml")):
        if "definitions" in path.parts or "gateway-api" in path.parts:
            continue  # others' custom resource definitions: large, and without an address of ours
        for document in documents(path):
            if isinstance(document.content, dict):
                yield document


def _in_document(document: Document, content: dict[str, Any]) -> Iterator[_Place]:
    spec = content.get("spec") or {}
    match content.get("kind"):
        case "Application":
            if "chart" not in (spec.get("source") or {}) and (url := (spec.get("source") or {}).get("repoURL")):
                yield _Place(document, ("spec", "source", "repoURL"), url, False)
            for index, source in enumerate(spec.get("sources") or []):
                if "chart" not in source:
                    yield _Place(document, ("spec", "sources", index, "repoURL"), source["repoURL"], False)
        case "AppProject":
            for index, url in enumerate(spec.get("sourceRepos") or []):
                yield _Place(document, ("spec", "sourceRepos", index), url, False)
        case "Kustomization" | "Component":
            for index, image in enumerate(content.get("images") or []):
                if name := image.get("newName"):
                    yield _Place(document, ("images", index, "newName"), name, True)
        case _:
            return
