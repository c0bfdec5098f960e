"""Rules on reading: every file is YAML, every folder renders."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.subject import Subject


@rule(
    "file-is-yaml",
    "Every manifest is YAML, and the fields of each Kustomization, Application and AppProject have the right types.",
    fix="correct the file",
)
def file_is_yaml(subject: Subject) -> Iterator[Fault]:
    for path in subject.files:
        subject.read(path)
        if path in subject.unreadable:
            yield Fault(path, subject.unreadable[path].removeprefix(f"{path}: ").removeprefix("not YAML: "))


@rule(
    "keys-once",
    "No mapping has the same key twice: one of the two would be ignored silently.",
    fix="keep one of them",
)
def keys_once(subject: Subject) -> Iterator[Fault]:
    for path in subject.files:
        for document in subject.read(path):
            for line, key in _repeated(document.node):
                yield Fault(path, f"key {key} occurs twice", (line,))


def _repeated(node: yaml.Node) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key.value, str):
                if key.value in seen:
                    yield key.start_mark.line + 1, key.value
                seen.add(key.value)
            yield from _repeated(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value)


@rule("renders", "Kustomize renders every folder that an Application names.", fix="run `kustomize build` on the folder")
def renders(subject: Subject) -> Iterator[Fault]:
    for unit in subject.units:
        subject.objects(unit)
        if unit in subject.refused:
            yield Fault(subject.sources(unit).top().path, subject.refused[unit])


@rule(
    "objects-once",
    "No two objects of a rendering have the same kind, name and namespace, and no two services render the same one.",
    fix="rename one of them, or let one service own it",
)
def objects_once(subject: Subject) -> Iterator[Fault]:
    seen: dict[tuple[str, str, str, str], str] = {}
    for held in subject.every():
        key = (held.group, held.kind, held.namespace, held.name)
        if held.unit.part != "bootstrap" and key in seen:
            yield Fault(held, f"{held} is also rendered by {seen[key]}", ("metadata", "name"))
        seen[key] = held.unit.application
