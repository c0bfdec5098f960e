"""From a rendered object back to the file and line that it comes from.

Kustomize does not say where a value came from, so the place is searched the way Kustomize reads: every file that the
folder's kustomization reaches, the nearest first. Of the documents and patches that are about the object, the one in
which most of the path exists is where the value is set, or where it should be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from journeymesh.delivery.documents import Document, documents
from journeymesh.yaml_files import compose_all_yaml, load_yaml

Step = str | int
"""One step into a manifest: a key, an index into a list, or the ``name`` of one of a list's entries."""
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def kustomization_of(folder: Path) -> Path | None:
    """The folder's kustomization file, where it has one."""
    return next((folder / name for name in KUSTOMIZATIONS if (folder / name).is_file()), None)


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, and how many steps of the path that was looked for are there."""

    path: Path
    line: int
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Reached:
    """A kustomization on the way to an object, and what the way puts before and behind names below it."""

    document: Document
    prefix: str
    suffix: str


def place_in(document: Document, at: tuple[Step, ...]) -> Place:
    """The line of the value at this path, or of its nearest ancestor that is there."""
    line, depth = _deepest(document.node, at)
    return Place(document.path, line, depth)


def value_at(content: Any, at: tuple[Step, ...]) -> Any:
    """The value at this path of a manifest, None where there is none."""
    for step in at:
        if isinstance(content, dict):
            content = content.get(step)
        elif isinstance(content, list) and isinstance(step, int):
            content = content[step] if step < len(content) else None
        elif isinstance(content, list):
            content = next((each for each in content if isinstance(each, dict) and each.get("name") == step), None)
        else:
            return None
    return content


def _deepest(node: yaml.Node, at: tuple[Step, ...]) -> tuple[int, int]:
    line = node.start_mark.line + 1
    for depth, step in enumerate(at):
        found = _stepped(node, step)
        if found is None:
            return line, depth
        key, node = found
        line = (key or node).start_mark.line + 1
    return line, len(at)


def _stepped(node: yaml.Node, step: Step) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if str(key.value) == str(step)), None)
    if isinstance(node, yaml.SequenceNode):
        if isinstance(step, int):
            return (None, node.value[step]) if 0 <= step < len(node.value) else None
        return next(((None, entry) for entry in node.value if _names(entry, step)), None)
    return None


def _names(node: yaml.Node, name: str) -> bool:
    if not isinstance(node, yaml.MappingNode):
        return False
    return any(key.value == "name" and getattr(value, "value", None) == name for key, value in node.value)


class Sources:
    """The files that a folder's kustomization reaches, the nearest first. ``read`` gives a file's documents."""

    def __init__(self, folder: Path, read: Any = None) -> None:
        self._folder = folder
        self._read = read or (lambda path: tuple(documents(path)))

    @cached_property
    def reached(self) -> tuple[Reached, ...]:
        """The kustomizations, the folder's own first; one that is reached by two names is there twice."""
        found: list[Reached] = []
        queue, seen = [(self._folder.resolve(), "", "")], set[tuple[Path, str, str]]()
        while queue:
            folder, prefix, suffix = queue.pop(0)
            path = kustomization_of(folder)
            if (folder, prefix, suffix) in seen or path is None:
                continue
            seen.add((folder, prefix, suffix))
            for document in self._read(path):
                if not isinstance(document.content, dict):
                    continue
                prefix, suffix = (
                    prefix + str(document.content.get("namePrefix") or ""),
                    str(document.content.get("nameSuffix") or "") + suffix,
                )
                found.append(Reached(document, prefix, suffix))
                named = [*_texts(document, "resources"), *_texts(document, "components"), *_texts(document, "bases")]
                queue += [((folder / name).resolve(), prefix, suffix) for name in named if (folder / name).is_dir()]
        return tuple(found)

    @property
    def kustomizations(self) -> tuple[Document, ...]:
        """The kustomizations that are reached, the folder's own first."""
        return tuple({each.document.path: each.document for each in self.reached}.values())

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every file that the rendering depends on, kustomizations included."""
        found: dict[Path, None] = {}
        for document in self.kustomizations:
            found[document.path] = None
            folder = document.path.parent
            for name in _file_names(document.content):
                if (folder / name).is_file():
                    found[(folder / name).resolve()] = None
        return tuple(found)

    def place(self, kind: str, name: str, at: tuple[Step, ...]) -> Place | None:
        """The place that sets this path of this object, or the deepest part of it; None where no file is about it."""
        candidates = list(self._candidates(kind, name, at))
        return max(candidates, key=lambda place: place.depth, default=None)

    def _candidates(self, kind: str, name: str, at: tuple[Step, ...]) -> Iterator[Place]:
        for each in self.reached:
            kustomization, folder = each.document, each.document.path.parent
            bare = name.removeprefix(each.prefix).removesuffix(each.suffix)
            if f"{each.prefix}{bare}{each.suffix}" != name:
                continue
            yield from _patched(kustomization, self._read, kind, bare, at)
            yield from _generated(kustomization, kind, bare, at)
            for place in _set(kustomization, kind, bare, at):
                below = Sources(folder, self._read)
                if any(True for _ in below._defined(kind, bare)):
                    yield place
            for document in self._resources(each):
                if document.kind == kind and document.name == bare:
                    yield place_in(document, at)

    def _defined(self, kind: str, name: str) -> Iterator[Document]:
        for each in self.reached:
            bare = name.removeprefix(each.prefix).removesuffix(each.suffix)
            if f"{each.prefix}{bare}{each.suffix}" == name:
                held = self._resources(each)
                yield from (document for document in held if document.kind == kind and document.name == bare)

    def _resources(self, each: Reached) -> Iterator[Document]:
        folder = each.document.path.parent
        for entry in _texts(each.document, "resources"):
            if (folder / entry).is_file():
                yield from self._read((folder / entry).resolve())

    def pin(self, image: str) -> Place | None:
        """The line that pins this image, if a kustomization does."""
        repository = image.partition("@")[0]
        if ":" in repository.rpartition("/")[2]:
            repository = repository.rpartition(":")[0]
        for kustomization in self.kustomizations:
            for index, entry in enumerate(kustomization.content.get("images") or ()):
                if repository in (entry.get("newName"), entry.get("name")):
                    key = "digest" if "digest" in entry else "newTag" if "newTag" in entry else "name"
                    return place_in(kustomization, ("images", index, key))
        return None

    def top(self) -> Place:
        """The folder's own kustomization, for what no line is about."""
        return Place(kustomization_of(self._folder) or self._folder, 1)


def _patched(kustomization: Document, read: Any, kind: str, name: str, at: tuple[Step, ...]) -> Iterator[Place]:
    for index, entry in enumerate(kustomization.content.get("patches") or ()):
        if not isinstance(entry, dict) or not _targets(entry.get("target"), kind, name):
            continue
        if "path" in entry:
            path = kustomization.path.parent / str(entry["path"])
            if path.is_file():
                for document in read(path.resolve()):
                    patch = _Patch(document.path, document.node, document.content, 0, bool(entry.get("target")))
                    yield from _patch_place(patch, kind, name, at)
        elif isinstance(entry.get("patch"), str):
            begun = place_in(kustomization, ("patches", index, "patch")).line
            content = load_yaml(entry["patch"])
            node = next(compose_all_yaml(entry["patch"]), None)
            if node is not None:
                patch = _Patch(kustomization.path, node, content, begun, bool(entry.get("target")))
                yield from _patch_place(patch, kind, name, at)


@dataclass(frozen=True, slots=True)
class _Patch:
    """A patch as it is written in a file, from the line after ``lines_before`` on. ``has_target``: the kustomization
    says what it is a patch of, so that it need not name it."""

    path: Path
    node: yaml.Node
    content: Any
    lines_before: int
    has_target: bool


def _patch_place(patch: _Patch, kind: str, name: str, at: tuple[Step, ...]) -> Iterator[Place]:
    content = patch.content
    if isinstance(content, list):
        for operation, inner in zip(content, getattr(patch.node, "value", ()), strict=False):
            pointer = [part.replace("~1", "/").replace("~0", "~") for part in str(operation.get("path", "")).split("/")]
            steps = [part for part in pointer[1:] if part]
            depth = _shared(steps, at)
            if depth:
                yield Place(patch.path, patch.lines_before + inner.start_mark.line + 1, depth)
        return
    about = isinstance(content, dict) and content.get("kind") == kind
    if about and ((content.get("metadata") or {}).get("name") == name or patch.has_target):
        line, depth = _deepest(patch.node, at)
        yield Place(patch.path, patch.lines_before + line, depth)


def _shared(steps: list[str], at: tuple[Step, ...]) -> int:
    """How deep a patch's path goes along ``at``: list entries have numbers there and names here."""
    depth = 0
    for one, other in zip(steps, at, strict=False):
        if one != str(other) and not one.isdigit() and one != "-":
            return 0
        depth += 1
    return depth if depth == len(steps) else 0


def _targets(target: Any, kind: str, name: str) -> bool:
    if not isinstance(target, dict):
        return True
    return (not target.get("kind") or re.fullmatch(str(target["kind"]), kind) is not None) and (
        not target.get("name") or re.fullmatch(str(target["name"]), name) is not None
    )


def _generated(kustomization: Document, kind: str, name: str, at: tuple[Step, ...]) -> Iterator[Place]:
    key = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}.get(kind, "")
    for index, entry in enumerate(kustomization.content.get(key) or ()):
        if name == entry.get("name") or name.rpartition("-")[0] == entry.get("name"):
            for inner, literal in enumerate(entry.get("literals") or ()):
                if len(at) > 1 and str(literal).startswith(f"{at[1]}="):
                    yield Place(kustomization.path, place_in(kustomization, (key, index, "literals", inner)).line, 2)
            yield Place(kustomization.path, place_in(kustomization, (key, index, "name")).line, 1)


def _set(kustomization: Document, kind: str, name: str, at: tuple[Step, ...]) -> Iterator[Place]:
    """What a kustomization sets by keys of its own: replicas, annotations, labels, the namespace."""
    content = kustomization.content
    for index, entry in enumerate(content.get("replicas") or ()):
        if at == ("spec", "replicas") and entry.get("name") == name and kind in ("Deployment", "StatefulSet"):
            yield Place(kustomization.path, place_in(kustomization, ("replicas", index, "count")).line, 2)
    for key, part in (("commonAnnotations", "annotations"), ("commonLabels", "labels")):
        if len(at) == 3 and at[1] == part and at[2] in (content.get(key) or {}):
            yield Place(kustomization.path, place_in(kustomization, (key, at[2])).line, 3)
    if at == ("metadata", "namespace") and "namespace" in content:
        yield Place(kustomization.path, place_in(kustomization, ("namespace",)).line, 3)


def _texts(document: Document, key: str) -> list[str]:
    held = document.content.get(key) if isinstance(document.content, dict) else None
    return [entry for entry in held or () if isinstance(entry, str)]


def _file_names(content: Any) -> Iterator[str]:
    """Every text in a kustomization that may be a file's name."""
    if isinstance(content, dict):
        for value in content.values():
            yield from _file_names(value)
    elif isinstance(content, list):
        for value in content:
            yield from _file_names(value)
    elif isinstance(content, str) and "\n" not in content and len(content) < 512:
        yield content.rpartition("=")[2]
