"""Rules on Applications: each child in its place, its project and its namespace, synced and healed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, Step, rule
from journeymesh.delivery.checks.places import KUSTOMIZATIONS, kustomization_of
from journeymesh.delivery.checks.subject import Rendered, Subject, mapping
from journeymesh.delivery.checks.waves import AT_WAVE, WAVE
from journeymesh.delivery.documents import Document
from journeymesh.delivery.tree import ENVIRONMENTS

SERVER: Final = "https://kubernetes.default.svc"
MOST_RETRIES: Final = 3
MOST_ROOT_RETRIES: Final = 5
_SYNC: Final[tuple[Step, ...]] = ("spec", "syncPolicy")
_RANKS: Final = {"secrets": 0, "keycloak": 1, "postgres": 1, "identityapi": 2, "journeyapi": 3}
_LAST_RANK: Final = 4
_ORDER: Final = "secrets, then keycloak and postgres, identityapi, journeyapi, and then gatewayapi and the workloads"

Held = Document | Rendered
"""An Application: as a file, under apps-children, or as rendered, of what is applied once."""


def _at(held: Held, *at: str) -> Any:
    value: Any = held.content
    for step in at:
        value = mapping(value).get(step)
    return value


def _children(subject: Subject) -> Iterator[tuple[str, Document]]:
    for environment, held in subject.children.items():
        yield from ((environment, each) for each in held if each.kind == "Application")


def _roots(subject: Subject) -> Iterator[Rendered]:
    yield from (each for each in subject.every("Application", part="bootstrap"))


def service_of(name: str, environment: str) -> str:
    """Whose Application this is, ``""`` where the name does not say."""
    return name.removesuffix(f"-app-{environment}") if name.endswith(f"-app-{environment}") else ""


@rule(
    "children-plain",
    "apps-children holds Applications only: its source renders neither Kustomize nor Helm, and applies all it finds.",
    fix="move it to the service's folder, or to customization/platform",
)
def children_plain(subject: Subject) -> Iterator[Fault]:
    for environment in subject.environments:
        folder = subject.tree.applications(environment)
        for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
            if path.is_file() and (path.name in KUSTOMIZATIONS or path.suffix not in (".yaml", ".yml")):
                yield Fault(path, f"{path.name} is no Application")
    for held in subject.children.values():
        for each in held:
            if each.kind not in ("Application", "Kustomization"):
                yield Fault(each, f"{each.kind or 'a document'} {each.name} is no Application", ("kind",))


@rule(
    "child-name",
    "A child's file, its name and its environment agree: <service>-app-<env>.yaml, one Application a file.",
    fix="call both <service>-app-<env>",
)
def child_name(subject: Subject) -> Iterator[Fault]:
    seen: set[Any] = set()
    for environment, held in _children(subject):
        if held.name != held.path.stem:
            yield Fault(held, f"Application {held.name} stands in {held.path.name}", ("metadata", "name"))
        if not service_of(held.name, environment):
            yield Fault(
                held, f"Application {held.name} is not called <service>-app-{environment}", ("metadata", "name")
            )
        if held.path in seen:
            yield Fault(held, f"{held.path.name} holds more than one Application", ("metadata", "name"))
        seen.add(held.path)


@rule(
    "child-namespace",
    "A child says metadata.namespace: argocd, or its parent puts it where Argo CD never looks.",
    fix="set metadata.namespace: argocd",
)
def child_namespace(subject: Subject) -> Iterator[Fault]:
    for _, held in _children(subject):
        if _at(held, "metadata", "namespace") != "argocd":
            yield Fault(
                held, f"{held.name} is put into {_at(held, 'metadata', 'namespace')}", ("metadata", "namespace")
            )


@rule(
    "child-project",
    "A child belongs to its environment's narrow project, workloads-project-<env>.",
    fix="set spec.project: workloads-project-<env>",
)
def child_project(subject: Subject) -> Iterator[Fault]:
    for environment, held in _children(subject):
        if _at(held, "spec", "project") != f"workloads-project-{environment}":
            yield Fault(held, f"{held.name} belongs to project {_at(held, 'spec', 'project')}", ("spec", "project"))


@rule(
    "child-destination",
    "A child deploys to this cluster and its environment's namespace.",
    fix=f"set spec.destination to server: {SERVER} and namespace: <env>",
)
def child_destination(subject: Subject) -> Iterator[Fault]:
    for environment, held in _children(subject):
        wanted = {"server": SERVER, "namespace": environment}
        found = mapping(_at(held, "spec", "destination"))
        for key in sorted(set(wanted) | set(found)):
            if found.get(key) != wanted.get(key):
                yield Fault(held, f"{held.name} deploys to {key} {found.get(key)}", ("spec", "destination", key))


@rule(
    "child-source",
    "A child reads its own service's overlay of its environment, at HEAD: environments are folders, never branches.",
    fix="set spec.source.path: customization/services/<service>/overlays/<env> and targetRevision: HEAD",
)
def child_source(subject: Subject) -> Iterator[Fault]:
    for environment, held in _children(subject):
        name = service_of(held.name, environment)
        wanted = f"customization/services/{name}/overlays/{environment}"
        if name == "secrets":
            wanted = f"customization/secrets/{environment}"
        source = mapping(_at(held, "spec", "source"))
        if source.get("chart"):
            continue
        if source.get("path") != wanted:
            yield Fault(held, f"{held.name} reads {source.get('path')}, not {wanted}", ("spec", "source", "path"))
        elif not (subject.tree.root / wanted).is_dir():
            yield Fault(held, f"{held.name} reads {wanted}, which is not there", ("spec", "source", "path"))
        if source.get("targetRevision") != "HEAD":
            what = f"{held.name} reads revision {source.get('targetRevision')}"
            yield Fault(held, what, ("spec", "source", "targetRevision"))


@rule(
    "app-syncs",
    "Every Application syncs by itself, removes what git no longer has, and heals what was changed by hand.",
    fix="set syncPolicy.automated: {prune: true, selfHeal: true}",
)
def app_syncs(subject: Subject) -> Iterator[Fault]:
    for held in _all(subject):
        automated = _at(held, "spec", "syncPolicy", "automated")
        for key, what in (("prune", "removes nothing"), ("selfHeal", "does not heal itself")):
            if mapping(automated).get(key) is not True:
                yield Fault(held, f"{held.name} {what}", (*_SYNC, "automated", key))
        if mapping(automated).get("enabled") is False:
            yield Fault(held, f"{held.name} does not sync by itself", (*_SYNC, "automated", "enabled"))


@rule(
    "app-retries",
    "A failed sync is tried again a few times, with a newer revision as soon as there is one: it must not keep it out.",
    fix=f"set syncPolicy.retry: limit 1 to {MOST_RETRIES} (a root: {MOST_ROOT_RETRIES}), refresh: true, and a backoff",
)
def app_retries(subject: Subject) -> Iterator[Fault]:
    for held in _all(subject):
        retry = mapping(_at(held, "spec", "syncPolicy", "retry"))
        most = MOST_ROOT_RETRIES if isinstance(held, Rendered) else MOST_RETRIES
        limit = retry.get("limit")
        if not isinstance(limit, int) or not 1 <= limit <= most:
            what = f"{held.name} tries a failed sync {limit if limit is not None else 'an unsaid number of'} times"
            yield Fault(held, what, (*_SYNC, "retry", "limit"))
        if retry.get("refresh") is not True:
            what = f"{held.name} goes on with the old revision when it tries again"
            yield Fault(held, what, (*_SYNC, "retry", "refresh"))
        if not mapping(retry.get("backoff")).get("maxDuration"):
            yield Fault(held, f"{held.name} has no longest pause between tries", (*_SYNC, "retry", "backoff"))


def _all(subject: Subject) -> Iterator[Held]:
    yield from _roots(subject)
    for _, held in _children(subject):
        yield held


@rule(
    "app-ignores-nothing",
    "No Application looks away: what it ignores is drift that nobody sees.",
    fix="take out ignoreDifferences; a field that a controller owns is left out of the manifest instead",
)
def app_ignores_nothing(subject: Subject) -> Iterator[Fault]:
    for held in _all(subject):
        if _at(held, "spec", "ignoreDifferences"):
            yield Fault(held, f"{held.name} ignores differences", ("spec", "ignoreDifferences"))
        for option in _at(held, "spec", "syncPolicy", "syncOptions") or ():
            if str(option).replace(" ", "").lower() in (
                "validate=false",
                "prune=false",
                "respectignoredifferences=true",
            ):
                yield Fault(held, f"{held.name} has the option {option}", (*_SYNC, "syncOptions"))


@rule(
    "wave-order",
    f"Children come up in order: {_ORDER}.",
    fix=f"annotate {WAVE}: secrets 0, keycloak and postgres 1, identityapi 2, journeyapi 3, others 4",
)
def wave_order(subject: Subject) -> Iterator[Fault]:
    for environment, held in _children(subject):
        name = service_of(held.name, environment)
        number = _number(held)
        if number is None:
            yield Fault(held, f"{held.name} has no sync wave", AT_WAVE)
            continue
        for other_environment, other in _children(subject):
            rank, other_rank = _rank(name), _rank(service_of(other.name, environment))
            theirs = _number(other)
            before = other_environment == environment and rank > other_rank
            if before and theirs is not None and number <= theirs:
                what = f"{held.name} is in wave {number}, {other.name}, which it needs, in wave {theirs}"
                yield Fault(held, what, AT_WAVE)


def _number(held: Document) -> int | None:
    given = str(mapping(_at(held, "metadata", "annotations")).get(WAVE))
    return int(given) if given.lstrip("-").isdigit() else None


def _rank(service: str) -> int:
    return _RANKS.get(service, _LAST_RANK)


@rule(
    "service-application",
    "A service has an Application where it has an overlay, and an overlay where it has an Application.",
    fix="add what is missing, or take the other away too",
)
def service_application(subject: Subject) -> Iterator[Fault]:
    for service in subject.services:
        folder = subject.tree.service(service)
        overlays = {each for each in ENVIRONMENTS if kustomization_of(folder / "overlays" / each)}
        if not overlays:
            yield Fault(folder, f"{service} has no overlay of any environment")
        for environment in subject.environments:
            named = {service_of(held.name, environment) for held in subject.children[environment]}
            if environment in overlays and service not in named:
                where = subject.tree.applications(environment)
                yield Fault(where, f"{service} has an overlay and no Application in {environment}")
            elif service in named and environment not in overlays:
                yield Fault(folder, f"{service} has an Application and no overlay in {environment}")


@rule(
    "root-bundle",
    "root-appbundle-app-<env> applies customization/apps-children/<env> at HEAD, with all folders in it, and no more.",
    fix="write the root as docs/explanation/delivery describes it",
)
def root_bundle(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.bootstrap.is_dir():
        return
    roots = {held.name: held for held in _roots(subject)}
    for environment in subject.environments:
        held = roots.get(f"root-appbundle-app-{environment}")
        if held is None:
            yield Fault(subject.tree.bootstrap, f"there is no root-appbundle-app-{environment}")
            continue
        wanted: tuple[tuple[tuple[str, ...], Any], ...] = (
            (("metadata", "namespace"), "argocd"),
            (("spec", "project"), f"appbundle-project-{environment}"),
            (("spec", "source", "path"), f"customization/apps-children/{environment}"),
            (("spec", "source", "targetRevision"), "HEAD"),
            (("spec", "source", "directory", "recurse"), True),
            (("spec", "destination", "server"), SERVER),
            (("spec", "destination", "namespace"), environment),
        )
        yield from _differs(held, wanted)


@rule(
    "root-platform",
    "root-platform-app applies customization/platform at HEAD, in a project of its own, on the server's side.",
    fix="write the root as docs/explanation/delivery describes it",
)
def root_platform(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.bootstrap.is_dir():
        return
    held = next((each for each in _roots(subject) if each.name == "root-platform-app"), None)
    if held is None:
        yield Fault(subject.tree.bootstrap, "there is no root-platform-app")
        return
    wanted: tuple[tuple[tuple[str, ...], Any], ...] = (
        (("metadata", "namespace"), "argocd"),
        (("spec", "project"), "platform-project"),
        (("spec", "source", "path"), "customization/platform"),
        (("spec", "source", "targetRevision"), "HEAD"),
        (("spec", "destination", "server"), SERVER),
    )
    yield from _differs(held, wanted)
    if "ServerSideApply=true" not in (_at(held, "spec", "syncPolicy", "syncOptions") or ()):
        what = f"{held.name} applies large definitions on the client's side, which fails"
        yield Fault(held, what, (*_SYNC, "syncOptions"))


def _differs(held: Rendered, wanted: tuple[tuple[tuple[str, ...], Any], ...]) -> Iterator[Fault]:
    for at, value in wanted:
        if _at(held, *at) != value:
            yield Fault(held, f"{held.name}: {'.'.join(at)} is {_at(held, *at)}, not {value}", at)


@rule(
    "one-repository",
    "Every Application reads the same repository, and no project another.",
    fix="run `journeymesh delivery init --repo URL`",
)
def one_repository(subject: Subject) -> Iterator[Fault]:
    named: list[tuple[Held, tuple[Step, ...], str]] = [
        (held, ("spec", "source", "repoURL"), str(_at(held, "spec", "source", "repoURL")))
        for held in _all(subject)
        if not _at(held, "spec", "source", "chart")
    ]
    for project in subject.every("AppProject", part="bootstrap"):
        for index, url in enumerate(project.spec.get("sourceRepos") or ()):
            named.append((project, ("spec", "sourceRepos", index), str(url)))
    urls = [url for _, _, url in named]
    ours = max(sorted(set(urls)), key=urls.count, default="")
    for held, at, url in named:
        if url != ours:
            yield Fault(held, f"{held.name} reads {url}, the tree's repository is {ours}", at)
