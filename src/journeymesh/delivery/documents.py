"""Manifests read with their places, so that a finding can name file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from journeymesh.errors import UsageError
from journeymesh.yaml_files import MANIFESTS, YamlBounds, compose_all_yaml, no_value_but_yaml


class ManifestUnreadable(UsageError):
    """A file of the tree is not YAML, or not what Kustomize or Argo CD would take."""


class _Image(msgspec.Struct):
    name: str
    newName: str | None = None
    digest: str | None = None


class _Kustomization(msgspec.Struct):
    resources: list[str] | None = None
    components: list[str] | None = None
    images: list[_Image] | None = None
    patches: list[dict[str, Any]] | None = None


class _Source(msgspec.Struct):
    repoURL: str = ""


class _ApplicationSpec(msgspec.Struct):
    source: _Source | None = None
    sources: list[_Source] | None = None


class _Application(msgspec.Struct):
    spec: _ApplicationSpec | None = None


class _ProjectSpec(msgspec.Struct):
    sourceRepos: list[str] | None = None


class _Project(msgspec.Struct):
    spec: _ProjectSpec | None = None


_SHAPES: Final[dict[str, type[msgspec.Struct]]] = {
    "Kustomization": _Kustomization, "Component": _Kustomization, "Application": _Application, "AppProject": _Project,
}  # fmt: skip
"""What is read of these kinds, and of what type it is."""


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML document of a file: its content, and where each of its values stands."""

    path: Path
    content: Any
    node: yaml.Node

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", "")) if isinstance(self.content, dict) else ""

    @property
    def name(self) -> str:
        metadata = self.content.get("metadata") if isinstance(self.content, dict) else None
        return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""

    def line(self, *at: str | int) -> int:
        """The line, from 1, of the value at this path; of the nearest ancestor that is there, where it is absent."""
        node = self.node
        found = node.start_mark.line + 1
        for step in at:
            inner = _inner(node, step)
            if inner is None:
                break
            key, node = inner
            found = (key or node).start_mark.line + 1
        return found


def text_of(path: Path) -> str:
    """What stands in a file of the tree.

    Raises:
        ManifestUnreadable: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(f"{path} is not UTF-8: {error.reason}", todo="write it in UTF-8") from error
    except OSError as error:
        raise ManifestUnreadable(f"{path} cannot be read: {error.strerror}", todo="give a file") from error


def documents(path: Path, bounds: YamlBounds = MANIFESTS) -> Iterator[Document]:
    """The file's documents, empty ones left out.

    Raises:
        ManifestUnreadable: naming the file and the line.
    """
    return documents_in(text_of(path), path, bounds)


def documents_in(text: str, path: Path, bounds: YamlBounds = MANIFESTS) -> Iterator[Document]:
    """The same of a text, as a commit has it, that stands at ``path``."""
    try:
        for node in compose_all_yaml(text, bounds=bounds):
            loader = yaml.SafeLoader("")
            with no_value_but_yaml():
                content = loader.construct_document(node)
            if content:
                _require_shape(path, content)
                yield Document(path, content, node)
    except yaml.YAMLError as error:
        raise ManifestUnreadable(
            f"{path}: not YAML: {' '.join(str(error).split())}", todo="correct the file"
        ) from error


def _require_shape(path: Path, content: Any) -> None:
    """Refuse a file whose parts are not what Kustomize or Argo CD would take: what reads them need not ask again."""
    kind = content.get("kind") if isinstance(content, dict) else None
    name = "Kustomization" if path.name == "kustomization.yaml" and kind != "Component" else kind
    shape = _SHAPES.get(name) if isinstance(name, str) else None
    if shape is None:
        return
    try:
        msgspec.convert(content, shape)
    except msgspec.ValidationError as error:
        raise ManifestUnreadable(f"{path}: not a valid {name}: {error}", todo="correct the file") from error


def _inner(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return None, node.value[step]
    return None
