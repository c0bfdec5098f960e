"""The Score file of a workload (https://score.dev, v1b1): what it may say, and what is read of it.

Score says what a workload is, not how it is run: what it leaves open (security, budget, fences, drain) has one answer
here for all. What Score can say and this platform does not do is refused: files, volumes, resources to provision, a
second container or port, UDP. Ignored are annotations that are not ours, other metadata (placeholders can refer to it),
and ``exec`` in a probe that has ``httpGet`` too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from journeymesh.delivery.documents import Document, documents
from journeymesh.delivery.tree import ENVIRONMENTS
from journeymesh.errors import ExtraMissing, NotFound, UsageError
from journeymesh.yaml_files import FILES

if TYPE_CHECKING:
    from jsonschema import ValidationError

SCORE_FILE: Final = "score.yaml"
COMPONENTS: Final = ("hpa", "service-monitor")
"""What a workload gets only where it asks for it: the cluster may lack what reads them."""
NO_IMAGE: Final = "."
"""What Score writes where the image is known at deployment only: the overlay pins it under the tree's registry."""
LONGEST_NAME: Final = 40
"""Its Jobs and their pods carry the name with something added, and 63 characters is all a label holds."""
PORT: Final = 8080
LONGEST_TEXT: Final = 131_072
"""What the placeholders of one text stand for together: no process is given a longer argument or variable."""
_LONGEST_TOLD: Final = 300

SOURCE: Final = "journeymesh.io/source"
ANSWERS: Final = "journeymesh.io/answers"
PUBLIC: Final = "journeymesh.io/public"
ASKED_COMPONENTS: Final = "journeymesh.io/components"
ASKED_ENVIRONMENTS: Final = "journeymesh.io/environments"
_OURS: Final = (SOURCE, ANSWERS, PUBLIC, ASKED_COMPONENTS, ASKED_ENVIRONMENTS)

_SCHEMA: Final = Path(__file__).parent / "schema" / "score-v1b1.json"
_PLACEHOLDER: Final = re.compile(r"\$(\$|\{([^}]*)\})")
_NAME: Final = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")

SEE: Final = "docs/how-to/add-a-workload.md"
REQUESTS: Final = {"cpu": "50m", "memory": "64Mi"}
LIMITS: Final = {"cpu": "500m", "memory": "256Mi"}


class ScoreInvalid(UsageError):
    """A Score file cannot be rendered."""


class WorkloadMissing(NotFound):
    """The tree has no workload of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a Score file says, with this platform's defaults.

    - ``image``: the repository without digest, or ``NO_IMAGE``
    - ``port``: of its Service; ``container_port``: what the process listens on
    - ``liveness``, ``readiness``: probes as Kubernetes has them
    - ``source``: the folder it is built from, relative to the repository; empty: built elsewhere
    - ``answers``: the path that a working release answers with 200
    - ``public``: the gateway lets everybody through
    """

    name: str
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    variables: Mapping[str, str]
    port: int
    container_port: int
    liveness: Mapping[str, Any]
    readiness: Mapping[str, Any]
    requests: Mapping[str, str]
    limits: Mapping[str, str]
    source: str = ""
    answers: str = "/"
    public: bool = False
    environments: tuple[str, ...] = ENVIRONMENTS
    components: tuple[str, ...] = ()

    @property
    def image_name(self) -> str:
        """What manifests call the image; overlays pin it by this name."""
        return self.name if self.image == NO_IMAGE else self.image


def checked_name(name: str) -> str:
    """The name, where a workload may be called so.

    Raises:
        ScoreInvalid: it is no label of Kubernetes, or too long for what is added to it.
    """
    if not _NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise ScoreInvalid(
            f"{name!r} is not a valid workload name",
            todo=f"use a–z, 0–9 and -, a letter first, no - at the end, at most {LONGEST_NAME} characters",
        )
    return name


def read_score(path: Path) -> Workload:
    """The workload of this Score file.

    Raises:
        ScoreInvalid: naming the file, the line and what to do. WorkloadMissing: there is no such file.
    """
    if not path.is_file():
        raise WorkloadMissing(f"{path} does not exist", todo="see `journeymesh workload list`, or begin it with `new`")
    held = list(documents(path, FILES))
    if len(held) != 1:
        raise ScoreInvalid(f"{path}: {len(held)} documents", todo="write one Score document")
    document = held[0]
    _check_names(document, document.content, ())
    _by_schema(document)
    return _Reading(document).workload()


def _check_names(document: Document, content: Any, at: tuple[str | int, ...]) -> None:
    """Raise where a value has another name than a text, as YAML lets it: nothing behind this reads such."""
    if isinstance(content, dict):
        for name, value in content.items():
            if not isinstance(name, str):
                what = f"{str(name)[:_LONGEST_TOLD]!r} is not a name"
                raise _invalid(document, at, what, "put it in quotes")
            _check_names(document, value, (*at, name))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            _check_names(document, value, (*at, number))


def _by_schema(document: Document) -> None:
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError as error:
        raise ExtraMissing("jsonschema", "delivery") from error
    schema = json.loads(_SCHEMA.read_text("utf-8"))
    fault: ValidationError | None = best_match(Draft202012Validator(schema).iter_errors(document.content))
    if fault is not None:
        place = ".".join(str(step) for step in fault.absolute_path) or "the document"
        what = f"{place[:_LONGEST_TOLD]}: {fault.message[:_LONGEST_TOLD]}"
        raise _invalid(document, fault.absolute_path, what, "see https://docs.score.dev")


def _invalid(document: Document, at: Any, what: str, todo: str) -> ScoreInvalid:
    return ScoreInvalid(f"{document.path}:{document.line(*at)}: {what}", todo=todo)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What the schema allows and this platform means by it."""

    document: Document

    def workload(self) -> Workload:
        content = self.document.content
        name = self._name(content)
        container_name, container = self._container(content)
        port, container_port = self._ports(content)
        at = ("containers", container_name)
        notes = self._annotations(content)
        return Workload(
            name=name,
            image=self._image(container["image"], at),
            command=tuple(self._resolved(part, (*at, "command")) for part in container.get("command", ())),
            args=tuple(self._resolved(part, (*at, "args")) for part in container.get("args", ())),
            variables={
                key: self._resolved(value, (*at, "variables", key))
                for key, value in container.get("variables", {}).items()
            },
            port=port,
            container_port=container_port,
            liveness=_probe(container.get("livenessProbe"), "/livez"),
            readiness=_probe(container.get("readinessProbe"), "/readyz"),
            requests=_quantities(container, "requests", "limits", REQUESTS),
            limits=_quantities(container, "limits", "requests", LIMITS),
            source=notes.get(SOURCE, ""),
            answers=self._path(notes.get(ANSWERS, "/")),
            public=self._yes(notes.get(PUBLIC, "false")),
            environments=self._chosen(notes, ASKED_ENVIRONMENTS, ENVIRONMENTS, ENVIRONMENTS),
            components=self._chosen(notes, ASKED_COMPONENTS, COMPONENTS, ()),
        )

    def _name(self, content: Any) -> str:
        try:
            return checked_name(content["metadata"]["name"])
        except ScoreInvalid as error:
            raise _invalid(self.document, ("metadata", "name"), error.what, error.todo) from error

    def _container(self, content: Any) -> tuple[str, Any]:
        held = content["containers"]
        if len(held) != 1:
            raise _invalid(
                self.document,
                ("containers",),
                f"{len(held)} containers",
                "a workload is one container: make the others workloads of their own, or add them by a patch",
            )
        name, container = next(iter(held.items()))
        for key in ("files", "volumes"):
            if container.get(key):
                raise _invalid(
                    self.document,
                    ("containers", name, key),
                    f"{key} are not rendered",
                    f"add them by a patch under overlays/<environment>/patches; see {SEE}",
                )
        if content.get("resources"):
            raise _invalid(
                self.document,
                ("resources",),
                "resources are not provisioned here",
                f"name what the workload needs in variables, its secrets by a patch; see {SEE}",
            )
        return name, container

    def _ports(self, content: Any) -> tuple[int, int]:
        held = content.get("service", {}).get("ports") or {"http": {"port": PORT}}
        if len(held) != 1:
            raise _invalid(
                self.document, ("service", "ports"), f"{len(held)} ports", "publish one, which the gateway routes to"
            )
        name, port = next(iter(held.items()))
        if port.get("protocol", "TCP") != "TCP":
            raise _invalid(self.document, ("service", "ports", name, "protocol"), "not TCP", "the gateway speaks HTTP")
        container_port = port.get("targetPort", port["port"])
        if container_port < 1024:
            raise _invalid(
                self.document,
                ("service", "ports", name),
                f"a process without privileges cannot listen on {container_port}",
                f"let it listen above 1023 and write that as targetPort; it gets PORT={PORT} in its environment",
            )
        return port["port"], container_port

    def _annotations(self, content: Any) -> dict[str, str]:
        notes: dict[str, str] = content["metadata"].get("annotations", {})
        for key in notes:
            if key.startswith("journeymesh.io/") and key not in _OURS:
                raise _invalid(
                    self.document, ("metadata", "annotations", key), f"unknown {key}", f"known are {', '.join(_OURS)}"
                )
        return notes

    def _image(self, image: str, at: tuple[str, ...]) -> str:
        repository = image.partition("@")[0]
        if "@" in image or ":" in repository.rpartition("/")[2]:
            raise _invalid(
                self.document,
                (*at, "image"),
                f"{image} names a version",
                "write the repository alone, or `.`: overlays/<environment>/kustomization.yaml pins the digest",
            )
        return image

    def _path(self, path: str) -> str:
        if not _PATH.fullmatch(path):
            raise _invalid(
                self.document, ("metadata", "annotations", ANSWERS), f"{path!r} is not a path", "begin it with /"
            )
        return path

    def _yes(self, text: str) -> bool:
        if text not in ("true", "false"):
            raise _invalid(self.document, ("metadata", "annotations", PUBLIC), f"{text!r}", 'write "true" or "false"')
        return text == "true"

    def _chosen(
        self, notes: Mapping[str, str], key: str, known: tuple[str, ...], otherwise: tuple[str, ...]
    ) -> tuple[str, ...]:
        if key not in notes:
            return otherwise
        wanted = notes[key].split()
        unknown = sorted(set(wanted) - set(known))
        if unknown or not wanted:
            what = f"unknown {unknown[0]}" if unknown else "empty"
            raise _invalid(
                self.document,
                ("metadata", "annotations", key),
                what,
                f"choose from {', '.join(known)}, separated by spaces",
            )
        return tuple(each for each in known if each in wanted)

    def _resolved(self, text: str, at: tuple[str | int, ...]) -> str:
        """The text with ``${metadata.…}`` replaced and ``$$`` as ``$``."""

        def value(found: re.Match[str]) -> str:
            if found.group(1) == "$":
                return "$"
            inner = self.document.content
            for step in found.group(2).split("."):
                inner = inner.get(step) if isinstance(inner, dict) else None
            if not found.group(2).startswith("metadata.") or not isinstance(inner, str):
                raise _invalid(
                    self.document, at, f"{found.group(0)} refers to nothing", "use ${metadata.…}, or $$ for a dollar"
                )
            left[0] -= len(inner)
            if left[0] < 0:
                raise _invalid(
                    self.document,
                    at,
                    f"it expands to more than {LONGEST_TEXT:,} characters",
                    "name fewer, or shorter ones",
                )
            return inner

        left = [LONGEST_TEXT]
        return _PLACEHOLDER.sub(value, text)


def _probe(given: Mapping[str, Any] | None, path: str) -> dict[str, Any]:
    """A Score probe as Kubernetes has it: where it has none, HTTP at ``path``."""
    if not given:
        return {"httpGet": {"path": path, "port": "http"}}
    kind = "httpGet" if "httpGet" in given else "exec"
    return {kind: dict(given[kind])}


def _quantities(container: Any, side: str, other: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """Requests or limits; where the file gives only one side of a resource, the other is the same."""
    given = container.get("resources", {})
    return {
        resource: given.get(side, {}).get(resource) or given.get(other, {}).get(resource) or default
        for resource, default in defaults.items()
    }
