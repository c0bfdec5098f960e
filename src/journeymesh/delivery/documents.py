"""Manifests read with their places, so that a finding can name file and line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from journeymesh.errors import UsageError
from journeymesh.yaml_files import MANIFESTS, YamlBounds, compose_all_yaml, no_value_but_yaml


class ManifestUnreadable(UsageError):
    """A file of the tree is not YAML."""


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


def documents(path: Path, bounds: YamlBounds = MANIFESTS) -> Iterator[Document]:
    """The file's documents, empty ones left out.

    Raises:
        ManifestUnreadable: naming the file and the line.
    """
    try:
        text = path.read_text("utf-8")
        for node in compose_all_yaml(text, bounds=bounds):
            loader = yaml.SafeLoader("")
            with no_value_but_yaml():
                content = loader.construct_document(node)
            if content:
                yield Document(path, content, node)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestUnreadable(
            f"{path}: not YAML: {' '.join(str(error).split())}", todo="correct the file"
        ) from error
    except OSError as error:
        raise ManifestUnreadable(f"{path} cannot be read: {error.strerror}", todo="give a file") from error


def _inner(node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == step), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and 0 <= step < len(node.value):
        return None, node.value[step]
    return None
