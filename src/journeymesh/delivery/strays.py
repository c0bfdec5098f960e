"""What was added by hand in an environment, which Argo CD does not take for drift: objects that no Application brings,
and fields that somebody else put into objects of an Application. Each with the command that removes it.

Argo CD compares what git says, and nothing beyond: an object that is not in git, a finalizer or a further key of a
Secret stays. Who wrote a field, the API server notes on each object (``metadata.managedFields``).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from journeymesh.delivery.applications import Json
from journeymesh.delivery.served_certificates import tracked_by
from journeymesh.errors import JourneymeshError

_KUBERNETES: Final = ("kube-", "kubelet", "cloud-controller-manager", "argocd", "journeymesh")
"""How the names of writers begin that are no person's: Kubernetes' own controllers, Argo CD, and our bootstrap."""
_NOT_WANTED: Final = frozenset(
    {"events", "endpoints", "endpointslices", "leases", "podmetrics", "pods.metrics.k8s.io", "controllerrevisions"}
)
"""Resources that only controllers write."""
_EVERYWHERE: Final = frozenset({("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")})
"""What Kubernetes puts into every namespace."""
_HARMLESS: Final = frozenset({"kubectl.kubernetes.io/restartedAt", "argocd.argoproj.io/refresh"})
"""Annotations that a runbook's own commands leave behind."""
_LOOKED_AT: Final = ("metadata", "spec", "data", "stringData", "rules", "subjects", "roleRef", "webhooks")
_OF_METADATA: Final = ("finalizers", "labels", "annotations", "ownerReferences")
_HOOK: Final = "argocd.argoproj.io/hook"

Steps = tuple[str | int, ...]


class ApiServer(Protocol):
    """What answers for the API server."""

    def ask(self, method: str, path: str) -> Any:
        """The API server's answer."""


@dataclass(frozen=True, slots=True)
class Stray:
    """Something that was added by hand. ``application``: of whose object it is a part; empty: of none."""

    application: str
    what: str
    command: str

    def __str__(self) -> str:
        return f"{self.what}; remove it: {self.command}"


@dataclass(frozen=True, slots=True)
class Listed:
    """The objects of one kind in a namespace. ``resource`` is what kubectl calls it."""

    resource: str
    kind: str
    objects: tuple[Json, ...]


def strays(cluster: ApiServer, environment: str) -> list[Stray]:
    """All that was added by hand in an environment's namespace, sorted; which kinds cannot be listed is told as well.

    Raises:
        ClusterUnavailable: not even its kinds can be asked for.
    """
    found: list[Stray] = []
    unread: list[str] = []
    for resource, kind, path in _resources(cluster, environment):
        try:
            objects = tuple(cluster.ask("GET", path)["items"])
        except JourneymeshError:
            unread.append(resource)
            continue
        found += of_listing(Listed(resource, kind, objects), environment)
    if unread:
        what = f"what was added by hand is unknown for {', '.join(sorted(unread))}: no right to list them"
        found.append(Stray("", what, "grant the right to list them"))
    return sorted(found, key=lambda each: (each.application, each.what))


def of_listing(listed: Listed, environment: str) -> Iterator[Stray]:
    """What was added by hand among the objects of one kind."""
    for each in listed.objects:
        metadata = each["metadata"]
        if metadata.get("deletionTimestamp") or (listed.kind, metadata["name"]) in _EVERYWHERE:
            continue
        name = f"{listed.kind}/{metadata['name']}"
        if tracked_by(each):
            added = added_fields(each)
            if added:
                writers = ", ".join(sorted({writer for _, writer in added}))
                fields = ", ".join(_shown(steps) for steps, _ in added)
                command = _patch(environment, listed.resource, each, [steps for steps, _ in added])
                yield Stray(tracked_by(each), f"added by hand ({writers}) to {name}: {fields}", command)
        elif not metadata.get("ownerReferences") and _HOOK not in (metadata.get("annotations") or {}):
            command = f"kubectl -n {environment} delete {listed.resource} {shlex.quote(metadata['name'])}"
            yield Stray("", f"added by hand{_by(each)}: {name}, which belongs to no Application", command)


def added_fields(each: Json) -> list[tuple[Steps, str]]:
    """The outermost fields that only somebody else than Argo CD and Kubernetes wrote, with the writer's name."""
    entries = [entry for entry in each["metadata"].get("managedFields") or () if not entry.get("subresource")]
    ours: list[Json] = [entry.get("fieldsV1") or {} for entry in entries if _is_ours(entry)]
    found: dict[Steps, str] = {}
    for entry in entries:
        if not _is_ours(entry):
            for steps in _added(_without_harmless(entry.get("fieldsV1") or {}), ours, each, ()):
                if _counts(steps):
                    found.setdefault(steps, str(entry.get("manager") or "somebody"))
    return sorted(found.items(), key=lambda item: [str(step) for step in item[0]])


def _without_harmless(fields: Json) -> dict[str, Any]:
    """The fields but those that our own runbooks leave behind, and what holds nothing else."""
    kept = {key: _without_harmless(inner) for key, inner in fields.items() if key.removeprefix("f:") not in _HARMLESS}
    return {key: inner for key, inner in kept.items() if inner == fields[key] or inner.keys() - {"."}}


def _added(fields: Json, ours: Sequence[Json], value: Any, at: Steps) -> Iterator[Steps]:
    """Below this place: the outermost fields that ours do not have and that are still there."""
    for key, inner in fields.items():
        if key == ".":
            continue
        step = _step(key, value)
        if step is None:
            continue  # it is not there any more
        below = value[step]
        known = [own[key] for own in ours if key in own]
        if known or (inner and at in ((), ("metadata",)) and isinstance(below, (Mapping, list))):
            yield from _added(inner, known, below, (*at, step))
        else:
            yield (*at, step)


def _step(key: str, value: Any) -> str | int | None:
    """The step into a value that a key of ``fieldsV1`` means; None where nothing is there."""
    form, _, rest = key.partition(":")
    if form == "f" and isinstance(value, Mapping):
        return rest if rest in value else None
    if form in ("v", "k") and isinstance(value, list):
        wanted = json.loads(rest)
        for index, item in enumerate(value):
            same = item == wanted if form == "v" else isinstance(item, Mapping) and wanted.items() <= item.items()
            if same:
                return index
    if form == "i" and isinstance(value, list):
        return int(rest) if int(rest) < len(value) else None
    return None


def _counts(steps: Steps) -> bool:
    if steps[0] == "metadata":
        return len(steps) > 1 and steps[1] in _OF_METADATA
    return steps[0] in _LOOKED_AT


def _is_ours(entry: Json) -> bool:
    return str(entry.get("manager", "")).startswith(_KUBERNETES)


def _by(each: Json) -> str:
    """Who made it, as far as it is noted."""
    writers = {
        str(entry.get("manager")) for entry in each["metadata"].get("managedFields") or () if entry.get("manager")
    }
    return f" ({', '.join(sorted(writers))})" if writers else ""


def _shown(steps: Steps) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _patch(environment: str, resource: str, each: Json, places: Iterable[Steps]) -> str:
    """The command that takes these fields away, those of a list from its end on."""
    ordered = sorted(places, key=lambda steps: [(isinstance(step, int), step) for step in steps], reverse=True)
    operations = [{"op": "remove", "path": "".join(f"/{_escaped(step)}" for step in steps)} for steps in ordered]
    body = json.dumps(operations, separators=(",", ":"))
    name = shlex.quote(each["metadata"]["name"])
    return f"kubectl -n {environment} patch {resource} {name} --type json --patch {shlex.quote(body)}"


def _escaped(step: str | int) -> str:
    return str(step).replace("~", "~0").replace("/", "~1")


def _resources(cluster: ApiServer, environment: str) -> Iterator[tuple[str, str, str]]:
    """Every namespaced kind that can be listed: kubectl's name of it, the kind, and where its objects are."""
    groups = [("", "v1", "/api/v1")]
    for group in cluster.ask("GET", "/apis")["groups"]:
        version = group["preferredVersion"]["version"]
        groups.append((group["name"], version, f"/apis/{group['name']}/{version}"))
    for group, _, place in groups:
        for each in _kinds(cluster, place):
            name = f"{each['name']}.{group}" if group else each["name"]
            wanted = each.get("namespaced") and "list" in each.get("verbs", ()) and "/" not in each["name"]
            if wanted and not {each["name"], name} & _NOT_WANTED and not group.startswith("metrics.k8s.io"):
                yield name, each["kind"], f"{place}/namespaces/{environment}/{each['name']}"


def _kinds(cluster: ApiServer, place: str) -> list[Any]:
    """The kinds of a group; none, where an API is registered whose server is away."""
    try:
        found: list[Any] = cluster.ask("GET", place)["resources"]
    except JourneymeshError:
        return []
    return found
