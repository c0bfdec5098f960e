"""What rules look at: the tree's files as they are, and what Kustomize makes of its folders, each read once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from journeymesh.delivery.checks.places import KUSTOMIZATIONS, Sources, kustomization_of
from journeymesh.delivery.documents import Document, ManifestUnreadable, documents
from journeymesh.delivery.programs import ProgramFailed
from journeymesh.delivery.rendering import rendered
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.yaml_files import MANIFESTS, load_all_yaml

AT_ONCE: Final = 2
"""How many folders are rendered at the same time."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A folder that is rendered as one: a service in an environment, the platform, a part of what is applied once."""

    part: str
    """``service``, ``platform``, ``bootstrap`` or ``testkube``."""
    application: str
    folder: Path
    environment: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """An object as the cluster would get it."""

    content: dict[str, Any]
    unit: Unit

    @property
    def kind(self) -> str:
        return str(self.content.get("kind", ""))

    @property
    def group(self) -> str:
        return str(self.content.get("apiVersion", "")).rpartition("/")[0]

    @property
    def name(self) -> str:
        return str(self.metadata.get("name", ""))

    @property
    def namespace(self) -> str:
        return str(self.metadata.get("namespace", ""))

    @property
    def metadata(self) -> dict[str, Any]:
        return mapping(self.content.get("metadata"))

    @property
    def spec(self) -> dict[str, Any]:
        return mapping(self.content.get("spec"))

    @property
    def labels(self) -> dict[str, str]:
        return mapping(self.metadata.get("labels"))

    @property
    def annotations(self) -> dict[str, str]:
        return mapping(self.metadata.get("annotations"))

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping, else an empty one: rules look into manifests that may be wrong anywhere."""
    return value if isinstance(value, dict) else {}


def entries(value: Any) -> list[dict[str, Any]]:
    """The mappings of a list, nothing where it is none."""
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


@dataclass(slots=True)
class Memory:
    """What was rendered and read before, by content: a second run over a changed copy renders only what changed."""

    renderings: dict[str, tuple[list[dict[str, Any]], str]] = field(default_factory=dict)
    documents: dict[str, tuple[Document, ...]] = field(default_factory=dict)
    verdicts: dict[str, list[Any]] = field(default_factory=dict)


class Subject:
    """One tree, read and rendered for one run.

    ``environments`` narrows it to some; ``asks_server``: a cluster is there to be asked; ``memory`` is another run's.
    """

    def __init__(
        self,
        tree: Tree,
        environments: Iterable[str] = ENVIRONMENTS,
        *,
        asks_server: bool = False,
        memory: Memory | None = None,
    ) -> None:
        self.tree = tree
        self.asks_server = asks_server
        self.environments = tuple(environments)
        self.memory = memory or Memory()
        self._sources: dict[Path, Sources] = {}
        self._documents: dict[Path, tuple[Document, ...]] = {}
        self.unreadable: dict[Path, str] = {}
        self.refused: dict[Unit, str] = {}

    # --- files as they are ---------------------------------------------------------------------------------------

    def read(self, path: Path) -> tuple[Document, ...]:
        """A file's documents; none, and the fault noted, where it is no YAML."""
        if path not in self._documents:
            key = f"{path}\0{hashlib.sha256(path.read_bytes()).hexdigest()}"
            try:
                if key not in self.memory.documents:
                    self.memory.documents[key] = tuple(documents(path))
                self._documents[path] = self.memory.documents[key]
            except ManifestUnreadable as error:
                self.unreadable[path] = error.what
                self._documents[path] = ()
        return self._documents[path]

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Every YAML file of the tree, sorted."""
        places = (self.tree.customization, self.tree.root / "release")
        return tuple(
            sorted(
                path
                for place in places
                if place.is_dir()
                for path in place.rglob("*")
                if path.is_file() and (path.suffix in (".yaml", ".yml") or path.name in KUSTOMIZATIONS)
            )
        )

    @cached_property
    def children(self) -> dict[str, tuple[Document, ...]]:
        """The documents under apps-children, by environment."""
        return {
            environment: tuple(
                document
                for path in self.files
                if path.is_relative_to(self.tree.applications(environment))
                for document in self.read(path)
            )
            for environment in self.environments
        }

    @cached_property
    def services(self) -> tuple[str, ...]:
        """The services that the tree has folders of."""
        return self.tree.services() if (self.tree.customization / "services").is_dir() else ()

    @cached_property
    def unrendered(self) -> tuple[Document, ...]:
        """The objects that no folder renders as yet: what is optional, and what components would bring."""
        optional = self.tree.customization / "optional"
        found = [path for path in self.files if path.is_relative_to(optional)]
        for path in self.files:
            for document in self.read(path):
                if document.kind == "Component":
                    found += [path.parent / name for name in document.content.get("resources") or ()]
        return tuple(document for path in found if path.is_file() for document in self.read(path) if document.kind)

    # --- what Kustomize makes of them ----------------------------------------------------------------------------

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """Every folder that is rendered: what is applied once, the platform, each service in each environment."""
        found = []
        bootstrap = self.tree.bootstrap
        for name in ("argocd", *self.environments):
            if kustomization_of(bootstrap / name):
                found.append(Unit("bootstrap", f"bootstrap/{name}", bootstrap / name, "" if name == "argocd" else name))
        if kustomization_of(self.tree.platform):
            found.append(Unit("platform", "root-platform-app", self.tree.platform))
        for environment in self.environments:
            for service in self.services:
                folder = self.tree.service(service) / "overlays" / environment
                if kustomization_of(folder):
                    found.append(Unit("service", f"{service}-app-{environment}", folder, environment, service))
            folder = self.tree.customization / "testkube" / environment
            if kustomization_of(folder):
                found.append(Unit("testkube", f"testkube-app-{environment}", folder, environment))
        return tuple(found)

    @cached_property
    def _rendered(self) -> dict[Unit, tuple[Rendered, ...]]:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            made = list(threads.map(self._render, self.units))
        held = {}
        for unit, (objects, fault) in zip(self.units, made, strict=True):
            if fault:
                self.refused[unit] = fault
            held[unit] = tuple(Rendered(content, unit) for content in objects)
        return held

    def _render(self, unit: Unit) -> tuple[list[dict[str, Any]], str]:
        key = self._content_of(unit)
        if key not in self.memory.renderings:
            try:
                text = rendered(unit.folder)
                objects = [each for each in load_all_yaml(text, bounds=MANIFESTS) if isinstance(each, dict)]
                self.memory.renderings[key] = objects, ""
            except (ProgramFailed, yaml.YAMLError) as error:
                words = str(error).replace(f"{unit.folder}", self.tree.relative(unit.folder))
                self.memory.renderings[key] = [], " ".join(words.replace(f"{self.tree.root}/", "").split())
        return self.memory.renderings[key]

    def _content_of(self, unit: Unit) -> str:
        held = hashlib.sha256(self.tree.relative(unit.folder).encode())
        for path in self.sources(unit).files:
            held.update(path.relative_to(self.tree.root.resolve()).as_posix().encode() + b"\0" + path.read_bytes())
        return held.hexdigest()

    def sources(self, unit: Unit) -> Sources:
        """The files that a unit comes from."""
        if unit.folder not in self._sources:
            self._sources[unit.folder] = Sources(unit.folder, self.read)
        return self._sources[unit.folder]

    def objects(self, unit: Unit) -> tuple[Rendered, ...]:
        """What a unit renders; nothing where Kustomize refuses it."""
        return self._rendered[unit]

    def every(self, *kinds: str, part: str = "") -> Iterator[Rendered]:
        """Every rendered object, of these kinds, of this part of the tree."""
        for unit in self.units:
            if not part or unit.part == part:
                yield from (each for each in self.objects(unit) if not kinds or each.kind in kinds)

    def of_environment(self, environment: str, *kinds: str) -> Iterator[Rendered]:
        """What the services of an environment render: objects of these kinds, or of every kind where none is named."""
        yield from (each for each in self.every(*kinds, part="service") if each.unit.environment == environment)

    def beside(self, held: Rendered, *kinds: str) -> list[Rendered]:
        """The objects of these kinds that the same unit renders."""
        return [each for each in self.objects(held.unit) if each.kind in kinds]
