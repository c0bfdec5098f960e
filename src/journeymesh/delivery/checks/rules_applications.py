"""Rules on Applications: each child in its place, its project and its namespace, synced and healed by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.applications import SERVER, Held, applications, children, root, service_of
from journeymesh.delivery.checks.findings import Fault, rule, value_rule
from journeymesh.delivery.checks.places import KUSTOMIZATIONS, Step, kustomization_of
from journeymesh.delivery.checks.subject import Rendered, Subject, mapping
from journeymesh.delivery.checks.waves import AT_WAVE, WAVE
from journeymesh.delivery.documents import Document
from journeymesh.delivery.tree import ENVIRONMENTS

MOST_RETRIES: Final = 3
MOST_ROOT_RETRIES: Final = 5
_SYNC: Final[tuple[Step, ...]] = ("spec", "syncPolicy")
_RANKS: Final = {"secrets": 0, "keycloak": 1, "postgres": 1, "identityapi": 2, "journeyapi": 3}
_LAST_RANK: Final = 4
_ORDER: Final = (
    "secrets, then keycloak and postgres, identityapi, journeyapi, and then console, gatewayapi and the workloads"
)


def _at(held: Held, *at: str) -> Any:
    value: Any = held.content
    for step in at:
        value = mapping(value).get(step)
    return value


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
                yield Fault(path, f"{path.name} is not an Application")
    for held in subject.children.values():
        for each in held:
            if each.kind not in ("Application", "Kustomization"):
                yield Fault(each, f"{each.kind or 'a document'} {each.name} is not an Application", ("kind",))


@rule(
    "child-name",
    "A child's file, its name and its environment agree: <service>-app-<env>.yaml, one Application a file.",
    fix="call both <service>-app-<env>",
)
def child_name(subject: Subject) -> Iterator[Fault]:
    seen: set[Any] = set()
    for environment, held in children(subject):
        if held.name != held.path.stem:
            yield Fault(held, f"Application {held.name} is in file {held.path.name}", ("metadata", "name"))
        if not service_of(held.name, environment):
            yield Fault(
                held, f"Application {held.name} is not called <service>-app-{environment}", ("metadata", "name")
            )
        if held.path in seen:
            yield Fault(held, f"{held.path.name} holds more than one Application", ("metadata", "name"))
        seen.add(held.path)


value_rule(
    "applications",
    "child-namespace",
    "A child sets metadata.namespace: argocd: Argo CD ignores Applications in other namespaces.",
    fix="set metadata.namespace: argocd",
)

value_rule(
    "applications",
    "child-project",
    "A child belongs to its environment's narrow project, workloads-project-<env>.",
    fix="set spec.project: workloads-project-<env>",
)

value_rule(
    "applications",
    "child-destination",
    "A child deploys to this cluster and its environment's namespace.",
    fix=f"set spec.destination to server: {SERVER} and namespace: <env>",
)


@rule(
    "child-source",
    "A child reads its own service's overlay of its environment, at HEAD: environments are folders, never branches.",
    fix="set spec.source.path: customization/services/<service>/overlays/<env> and targetRevision: HEAD",
)
def child_source(subject: Subject) -> Iterator[Fault]:
    for environment, held in children(subject):
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
            yield Fault(held, f"{held.name} reads {wanted}, which does not exist", ("spec", "source", "path"))


value_rule(
    "applications",
    "app-syncs",
    "Every Application syncs automatically, prunes what git no longer has, and heals what was changed by hand.",
    fix="set syncPolicy.automated: {prune: true, selfHeal: true}",
)


@rule(
    "app-retries",
    "A failed sync is retried a few times, with a newer revision as soon as there is one.",
    fix=f"set syncPolicy.retry: limit 1 to {MOST_RETRIES} (a root: {MOST_ROOT_RETRIES}), refresh: true, and a backoff",
)
def app_retries(subject: Subject) -> Iterator[Fault]:
    for held in applications(subject):
        retry = mapping(_at(held, "spec", "syncPolicy", "retry"))
        most = MOST_ROOT_RETRIES if isinstance(held, Rendered) else MOST_RETRIES
        limit = retry.get("limit")
        if not isinstance(limit, int) or not 1 <= limit <= most:
            what = f"{held.name} " + ("has no retry limit" if limit is None else f"retries a failed sync {limit} times")
            yield Fault(held, what, (*_SYNC, "retry", "limit"))


@rule(
    "app-ignores-nothing",
    "No Application has ignoreDifferences: what it ignores is drift that is never reported.",
    fix="remove ignoreDifferences; leave a field that a controller owns out of the manifest instead",
)
def app_ignores_nothing(subject: Subject) -> Iterator[Fault]:
    for held in applications(subject):
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
    for environment, held in children(subject):
        name = service_of(held.name, environment)
        number = _number(held)
        if number is None:
            yield Fault(held, f"{held.name} has no sync wave", AT_WAVE)
            continue
        for other_environment, other in children(subject):
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
    fix="add the missing one, or remove the other",
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
    for environment in subject.environments:
        name = f"root-appbundle-app-{environment}"
        if root(subject, name) is None:
            yield Fault(subject.tree.bootstrap, f"there is no {name}")


@rule(
    "root-platform",
    "root-platform-app applies customization/platform at HEAD, in a project of its own, on the server's side.",
    fix="write the root as docs/explanation/delivery describes it",
)
def root_platform(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.bootstrap.is_dir():
        return
    held = root(subject, "root-platform-app")
    if held is None:
        yield Fault(subject.tree.bootstrap, "there is no root-platform-app")
    elif "ServerSideApply=true" not in (_at(held, "spec", "syncPolicy", "syncOptions") or ()):
        what = f"{held.name} applies large definitions on the client's side, which fails"
        yield Fault(held, what, (*_SYNC, "syncOptions"))


@rule(
    "one-repository",
    "Every Application reads the same repository, and no project another.",
    fix="run `journeymesh delivery init --repo URL`",
)
def one_repository(subject: Subject) -> Iterator[Fault]:
    named: list[tuple[Held, tuple[Step, ...], str]] = [
        (held, ("spec", "source", "repoURL"), str(_at(held, "spec", "source", "repoURL")))
        for held in applications(subject)
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
