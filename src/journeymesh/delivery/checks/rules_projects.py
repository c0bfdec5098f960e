"""Rules on projects: what each part of the tree may write, and that it writes no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.applications import SERVER
from journeymesh.delivery.checks.findings import Fault, rule
from journeymesh.delivery.checks.places import place_in
from journeymesh.delivery.checks.subject import Rendered, Subject, entries, mapping

CLUSTER_KINDS: Final = frozenset(
    {
        "APIService",
        "CSIDriver",
        "CertificateSigningRequest",
        "ClusterExternalSecret",
        "ClusterIssuer",
        "ClusterRole",
        "ClusterRoleBinding",
        "ClusterSecretStore",
        "CustomResourceDefinition",
        "FlowSchema",
        "GatewayClass",
        "IngressClass",
        "MutatingAdmissionPolicy",
        "MutatingAdmissionPolicyBinding",
        "MutatingWebhookConfiguration",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PriorityClass",
        "PriorityLevelConfiguration",
        "RuntimeClass",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "VolumeAttachment",
    }
)
_RIGHTS: Final = {"Role", "RoleBinding", "Application", "ApplicationSet", "AppProject", "ResourceQuota", "LimitRange"}
"""Namespaced kinds by which a service would widen its own fences."""


def _projects(subject: Subject) -> dict[str, Rendered]:
    return {held.name: held for held in subject.every("AppProject", part="bootstrap")}


@rule(
    "project-there",
    "Each environment has its appbundle-project-<env> and workloads-project-<env>, the cluster its platform-project.",
    fix="add it to customization/bootstrap",
)
def project_there(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.bootstrap.is_dir():
        return
    held = _projects(subject)
    wanted = ["platform-project"]
    for environment in subject.environments:
        wanted += [f"appbundle-project-{environment}", f"workloads-project-{environment}"]
    for name in wanted:
        if name not in held:
            yield Fault(subject.tree.bootstrap, f"there is no {name}")


@rule(
    "project-sources",
    "Every project reads the tree's repository only.",
    fix="name the repository in spec.sourceRepos, nothing else",
)
def project_sources(subject: Subject) -> Iterator[Fault]:
    for held in _projects(subject).values():
        sources = held.spec.get("sourceRepos") or []
        if not sources or any("*" in str(url) for url in sources):
            yield Fault(held, f"{held.name} reads {', '.join(map(str, sources)) or 'nothing'}", ("spec", "sourceRepos"))


@rule(
    "project-destinations",
    "workloads-project-<env> writes to namespace <env> of this cluster, appbundle-project-<env> to argocd besides.",
    fix="name server and namespace in spec.destinations",
)
def project_destinations(subject: Subject) -> Iterator[Fault]:
    held = _projects(subject)
    for environment in subject.environments:
        for name, allowed in (
            (f"workloads-project-{environment}", {environment}),
            (f"appbundle-project-{environment}", {environment, "argocd"}),
        ):
            for index, place in enumerate(entries(held[name].spec.get("destinations")) if name in held else ()):
                if place.get("namespace") not in allowed:
                    what = f"{name} may write to namespace {place.get('namespace')}"
                    yield Fault(held[name], what, ("spec", "destinations", index, "namespace"))
                if place.get("server") != SERVER:
                    what = f"{name} may write to server {place.get('server') or place.get('name')}"
                    yield Fault(held[name], what, ("spec", "destinations", index, "server"))


@rule(
    "project-no-cluster-kinds",
    "Only platform-project may write cluster kinds; the list of an environment's projects is empty.",
    fix="set spec.clusterResourceWhitelist: []",
)
def project_no_cluster_kinds(subject: Subject) -> Iterator[Fault]:
    for name, held in _projects(subject).items():
        allowed = held.spec.get("clusterResourceWhitelist")
        if name != "platform-project" and allowed:
            kinds = ", ".join(str(each.get("kind")) for each in entries(allowed))
            yield Fault(held, f"{name} may write {kinds}", ("spec", "clusterResourceWhitelist"))


@rule(
    "project-kinds-listed",
    "Every project lists the kinds that it may write: none by pattern, a service's none that widens its rights.",
    fix="name group and kind of each in spec.namespaceResourceWhitelist",
)
def project_kinds_listed(subject: Subject) -> Iterator[Fault]:
    for name, held in _projects(subject).items():
        listed = entries(held.spec.get("namespaceResourceWhitelist"))
        at = ("spec", "namespaceResourceWhitelist")
        if not listed:
            yield Fault(held, f"{name} may write every kind", at)
        for key in ("namespaceResourceWhitelist", "clusterResourceWhitelist"):
            for index, each in enumerate(entries(held.spec.get(key))):
                kind = str(each.get("kind"))
                if "*" in kind or "*" in str(each.get("group")):
                    yield Fault(held, f"{name} may write {each.get('group')}/{kind}", ("spec", key, index))
                elif name.startswith("workloads-project-") and kind in _RIGHTS:
                    yield Fault(held, f"{name} may write {kind}", ("spec", key, index))
                elif name.startswith("appbundle-project-") and kind != "Application":
                    yield Fault(held, f"{name} may write {kind}, not Applications only", ("spec", key, index))


@rule(
    "project-allows",
    "A project allows what its part of the tree renders, or Argo CD refuses the sync.",
    fix="add the kind to the project's list, if it is meant to be there",
)
def project_allows(subject: Subject) -> Iterator[Fault]:
    projects = _projects(subject)
    for held in subject.every():
        name = f"workloads-project-{held.unit.environment}" if held.unit.service else "platform-project"
        project = projects.get(name)
        if held.unit.part not in ("service", "platform") or project is None:
            continue
        key = "clusterResourceWhitelist" if held.kind in CLUSTER_KINDS else "namespaceResourceWhitelist"
        allowed = [(each.get("group"), each.get("kind")) for each in entries(project.spec.get(key))]
        of_service_and_cluster = held.unit.service and held.kind in CLUSTER_KINDS
        if (held.group, held.kind) not in allowed and not of_service_and_cluster:
            yield Fault(held, f"{name} does not allow {held.group or 'core'}/{held.kind}", ("kind",))


@rule(
    "service-no-cluster-kinds",
    "No service renders a cluster kind: customization/platform owns them all.",
    fix="move it to customization/platform",
)
def service_no_cluster_kinds(subject: Subject) -> Iterator[Fault]:
    for held in subject.every(part="service"):
        if held.kind in CLUSTER_KINDS:
            yield Fault(held, f"{held} is of a cluster-scoped kind", ("kind",))


@rule(
    "service-own-namespace",
    "What a service renders in an environment is in that environment's namespace.",
    fix="set namespace: <env> in the overlay's kustomization.yaml, and none elsewhere",
)
def service_own_namespace(subject: Subject) -> Iterator[Fault]:
    for unit in subject.units:
        if not unit.service:
            continue
        wrong = [
            each
            for each in subject.objects(unit)
            if each.kind not in CLUSTER_KINDS and each.namespace != unit.environment
        ]
        for kustomization in subject.sources(unit).kustomizations if wrong else ():
            given = kustomization.content.get("namespace")
            if given not in (None, unit.environment) and place_in(kustomization, ("namespace",)).depth:
                yield Fault(kustomization, f"{unit.application} is put into namespace {given}", ("namespace",))
                break
        else:
            for each in wrong:
                what = f"{each} is in namespace {each.namespace or '(none)'}, not {unit.environment}"
                yield Fault(each, what, ("metadata", "namespace"))


@rule(
    "platform-namespaces",
    "What the platform renders in a namespace is in one that it made, or in argocd.",
    fix="set the namespace in the environment's kustomization",
)
def platform_namespaces(subject: Subject) -> Iterator[Fault]:
    made = {held.name for held in subject.every("Namespace", part="platform")} | {"argocd", "kube-system"}
    for held in subject.every(part="platform"):
        if held.kind not in CLUSTER_KINDS and held.namespace not in made:
            yield Fault(held, f"{held} is in namespace {held.namespace or '(none)'}", ("metadata", "namespace"))


def verbs_of(held: Rendered) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rules of a Role or ClusterRole with their places."""
    yield from enumerate(mapping(each) for each in held.content.get("rules") or ())


@rule(
    "rights-named",
    "No Role gives rights on everything, and nothing in the tree is bound to cluster-admin.",
    fix="name groups, resources and verbs; bind a ClusterRole of the tree",
)
def rights_named(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Role", "ClusterRole"):
        for index, each in verbs_of(held):
            for key in ("apiGroups", "resources", "verbs"):
                if "*" in (each.get(key) or ()):
                    yield Fault(held, f"{held} gives {key} *", ("rules", index, key))
    for held in subject.every("RoleBinding", "ClusterRoleBinding"):
        role = mapping(held.content.get("roleRef")).get("name")
        if role in ("cluster-admin", "admin", "edit"):
            yield Fault(held, f"{held} binds {role}", ("roleRef", "name"))
        for index, who in enumerate(entries(held.content.get("subjects"))):
            if who.get("kind") == "Group" or who.get("name") == "default":
                yield Fault(held, f"{held} binds {who.get('kind')} {who.get('name')}", ("subjects", index, "name"))
