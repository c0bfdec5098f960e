"""Rules that say "this path has this value", as one table: a row names the rule, the manifests, the path and the value.

``rules_*.py`` give each rule its meaning and its fix. A rule may have rows here, a function there, or both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.checks.applications import SERVER, applications, children, root
from journeymesh.delivery.checks.findings import Fault
from journeymesh.delivery.checks.gates import gate_of, gated, is_candidate
from journeymesh.delivery.checks.places import Step, value_at
from journeymesh.delivery.checks.pods import CONTAINERS, Pod, pod_of, pods
from journeymesh.delivery.checks.subject import Rendered, Subject, entries, mapping
from journeymesh.delivery.checks.waves import AT_HOOK, hooks
from journeymesh.delivery.documents import Document

NOT_SET: Final[tuple[Any, ...]] = (None, "", 0, "0", False, [], {})
"""Values that stand for none."""
ENFORCE: Final = "pod-security.kubernetes.io/enforce"
OF_ENVIRONMENT: Final = "journeymesh.io/environment"
NAME_LABEL: Final = "app.kubernetes.io/name"
PART_OF_LABEL: Final = "app.kubernetes.io/part-of"


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """What rows look into: a manifest, or a part of it to which ``at`` leads."""

    of: Document | Rendered
    name: str
    content: Any
    at: tuple[Step, ...] = ()
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Expect:
    """One row: the value at a path of these manifests is one of those ``allowed``, or none of those ``forbidden``.

    ``{env}`` in an allowed text stands for the manifest's environment. ``fault`` is the finding's text, with ``{name}``
    of the manifest and the value ``{found}``; where it is left out, it says what was found and what is expected.
    """

    rule: str
    targets: Callable[[Subject], Iterator[ManifestPart]]
    at: tuple[Step, ...]
    allowed: tuple[Any, ...] = ()
    fault: str = "{name}: {path} is {found}, not {expected}"
    forbidden: tuple[Any, ...] = ()

    def faults(self, subject: Subject) -> Iterator[Fault]:
        """The manifests with another value."""
        for target in self.targets(subject):
            allowed = [_of_environment(value, target.environment) for value in self.allowed]
            found = value_at(target.content, self.at)
            wrong = _is_among(found, self.forbidden) if self.forbidden else not _is_among(found, allowed)
            if wrong:
                shown = "not set" if found is None else found
                path, expected = ".".join(map(str, self.at)), " or ".join(str(value) for value in allowed)
                what = self.fault.format(name=target.name, path=path, found=shown, expected=expected)
                yield Fault(target.of, what, (*target.at, *self.at))


def value_faults(subject: Subject, rule: str) -> Iterator[Fault]:
    """What the rows of a rule find."""
    for value in VALUES:
        if value.rule == rule:
            yield from value.faults(subject)


def _of_environment(value: Any, environment: str) -> Any:
    return value.replace("{env}", environment) if isinstance(value, str) else value


def _is_among(found: Any, values: Any) -> bool:
    """Whether it is one of these; 1 is not ``true`` here, nor 0 ``false``."""
    return any(type(found) is type(value) and found == value for value in values)


# --- which manifests rows look into --------------------------------------------------------------------------------


def _children(subject: Subject) -> Iterator[ManifestPart]:
    for environment, held in children(subject):
        yield ManifestPart(held, held.name, held.content, (), environment)


def _children_from_git(subject: Subject) -> Iterator[ManifestPart]:
    charts = ("spec", "source", "chart")
    yield from (each for each in _children(subject) if not value_at(each.content, charts))


def _applications(subject: Subject) -> Iterator[ManifestPart]:
    yield from (ManifestPart(held, held.name, held.content) for held in applications(subject))


def _bundle_roots(subject: Subject) -> Iterator[ManifestPart]:
    for environment in subject.environments:
        held = root(subject, f"root-appbundle-app-{environment}")
        if held is not None:
            yield ManifestPart(held, held.name, held.content, (), environment)


def _platform_root(subject: Subject) -> Iterator[ManifestPart]:
    held = root(subject, "root-platform-app")
    if held is not None:
        yield ManifestPart(held, held.name, held.content)


def _rendered(held: Rendered) -> ManifestPart:
    return ManifestPart(held, str(held), held.content)


def _namespaces(subject: Subject) -> Iterator[ManifestPart]:
    for held in subject.every("Namespace", part="platform"):
        if held.name in subject.environments:
            yield ManifestPart(held, str(held), held.content, (), held.name)


def decides(policy: Rendered) -> bool:
    """Whether a policy refuses anything: one whose every expression is ``true`` is there for its parameter's sake."""
    held = entries(policy.spec.get("validations"))
    return not held or any(str(each.get("expression")).strip() != "true" for each in held)


def _admission_policies(subject: Subject) -> Iterator[ManifestPart]:
    yield from (_rendered(held) for held in subject.every("ValidatingAdmissionPolicy") if decides(held))


def _pod(pod: Pod) -> ManifestPart:
    return ManifestPart(pod.owner, str(pod.owner), pod.template, pod.at)


def _pods(subject: Subject) -> Iterator[ManifestPart]:
    yield from map(_pod, pods(subject))


def _containers(subject: Subject) -> Iterator[ManifestPart]:
    for pod in pods(subject):
        for each in pod.containers(*CONTAINERS):
            yield ManifestPart(pod.owner, str(each), each.content, each.at)


def _lasting_containers(subject: Subject) -> Iterator[ManifestPart]:
    """Those that a manifest may give resources: ephemeral ones have none."""
    for pod in pods(subject):
        for each in pod.containers("initContainers", "containers"):
            yield ManifestPart(pod.owner, str(each), each.content, each.at)


def _hook_pods(subject: Subject) -> Iterator[ManifestPart]:
    for held in subject.every("Job", part="service"):
        pod = pod_of(held)
        if hooks(held) and pod is not None:
            yield _pod(pod)


def _gates(subject: Subject) -> Iterator[ManifestPart]:
    for unit in subject.units:
        gate = gate_of(subject, unit)
        if gate is not None:
            yield _rendered(gate)


def _rolling(subject: Subject) -> Iterator[ManifestPart]:
    for held in subject.every("Deployment"):
        if mapping(held.spec.get("strategy")).get("type") != "Recreate":
            yield _rendered(held)


def _stable_behind_gates(subject: Subject) -> Iterator[ManifestPart]:
    for held in subject.every("Deployment"):
        if gated(held.unit.service) and not is_candidate(held):
            yield _rendered(held)


def _workloads(subject: Subject) -> Iterator[Rendered]:
    yield from subject.every("Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", part="service")


def _service_workloads(subject: Subject) -> Iterator[ManifestPart]:
    yield from map(_rendered, _workloads(subject))


def _service_pods(subject: Subject) -> Iterator[ManifestPart]:
    yield from (_pod(pod) for held in _workloads(subject) if (pod := pod_of(held)) is not None)


def _listeners(subject: Subject) -> Iterator[ManifestPart]:
    for held in subject.every("Gateway", part="service"):
        for listener in entries(held.spec.get("listeners")):
            name = str(listener.get("name"))
            yield ManifestPart(held, f"{held}, listener {name}", listener, ("spec", "listeners", name))


# --- the table -----------------------------------------------------------------------------------------------------

_SOURCE: Final[tuple[Step, ...]] = ("spec", "source")
_DESTINATION: Final[tuple[Step, ...]] = ("spec", "destination")
_AUTOMATED: Final[tuple[Step, ...]] = ("spec", "syncPolicy", "automated")
_RETRY: Final[tuple[Step, ...]] = ("spec", "syncPolicy", "retry")
_LABELS: Final[tuple[Step, ...]] = ("metadata", "labels")
_SECURITY: Final = "securityContext"
_NO: Final = (None, False)

VALUES: Final = (
    # Applications
    Expect("child-namespace", _children, ("metadata", "namespace"), ("argocd",), "{name} is in namespace {found}"),
    Expect(
        "child-project", _children, ("spec", "project"), ("workloads-project-{env}",), "{name} is of project {found}"
    ),
    Expect("child-destination", _children, (*_DESTINATION, "server"), (SERVER,), "{name} deploys to server {found}"),
    Expect("child-destination", _children, (*_DESTINATION, "name"), (None,), "{name} deploys to cluster {found}"),
    Expect(
        "child-destination", _children, (*_DESTINATION, "namespace"), ("{env}",), "{name} deploys to namespace {found}"
    ),
    Expect(
        "child-source", _children_from_git, (*_SOURCE, "targetRevision"), ("HEAD",), "{name} reads revision {found}"
    ),
    Expect("app-syncs", _applications, (*_AUTOMATED, "prune"), (True,), "{name} does not prune"),
    Expect("app-syncs", _applications, (*_AUTOMATED, "selfHeal"), (True,), "{name} does not heal itself"),
    Expect("app-syncs", _applications, (*_AUTOMATED, "enabled"), (None, True), "{name} has no automated sync"),
    Expect(
        "app-retries",
        _applications,
        (*_RETRY, "refresh"),
        (True,),
        "{name} retries the old revision where there is a newer one",
    ),
    Expect(
        "app-retries",
        _applications,
        (*_RETRY, "backoff", "maxDuration"),
        fault="{name} has no maximum pause between retries",
        forbidden=NOT_SET,
    ),
    Expect(
        "app-ignores-nothing", _applications, ("spec", "ignoreDifferences"), (None, []), "{name} has ignoreDifferences"
    ),
    Expect("root-bundle", _bundle_roots, ("metadata", "namespace"), ("argocd",)),
    Expect("root-bundle", _bundle_roots, ("spec", "project"), ("appbundle-project-{env}",)),
    Expect("root-bundle", _bundle_roots, (*_SOURCE, "path"), ("customization/apps-children/{env}",)),
    Expect("root-bundle", _bundle_roots, (*_SOURCE, "targetRevision"), ("HEAD",)),
    Expect("root-bundle", _bundle_roots, (*_SOURCE, "directory", "recurse"), (True,)),
    Expect("root-bundle", _bundle_roots, (*_DESTINATION, "server"), (SERVER,)),
    Expect("root-bundle", _bundle_roots, (*_DESTINATION, "namespace"), ("{env}",)),
    Expect("root-platform", _platform_root, ("metadata", "namespace"), ("argocd",)),
    Expect("root-platform", _platform_root, ("spec", "project"), ("platform-project",)),
    Expect("root-platform", _platform_root, (*_SOURCE, "path"), ("customization/platform",)),
    Expect("root-platform", _platform_root, (*_SOURCE, "targetRevision"), ("HEAD",)),
    Expect("root-platform", _platform_root, (*_DESTINATION, "server"), (SERVER,)),
    # the platform
    Expect("namespace-restricted", _namespaces, (*_LABELS, ENFORCE), ("restricted",)),
    Expect("namespace-restricted", _namespaces, (*_LABELS, OF_ENVIRONMENT), ("{env}",)),
    Expect("admission-fails-closed", _admission_policies, ("spec", "failurePolicy"), ("Fail",)),
    # pods
    Expect("restricted", _containers, (_SECURITY, "allowPrivilegeEscalation"), (False,)),
    Expect("restricted", _containers, (_SECURITY, "procMount"), (None, "Default")),
    Expect("host-untouched", _pods, ("spec", "hostNetwork"), _NO, "{name} has hostNetwork"),
    Expect("host-untouched", _pods, ("spec", "hostPID"), _NO, "{name} has hostPID"),
    Expect("host-untouched", _pods, ("spec", "hostIPC"), _NO, "{name} has hostIPC"),
    Expect("host-untouched", _pods, ("spec", _SECURITY, "sysctls"), (None, []), "{name} sets sysctls"),
    Expect("host-untouched", _containers, (_SECURITY, "privileged"), _NO, "{name} is privileged"),
    Expect(
        "root-read-only",
        _containers,
        (_SECURITY, "readOnlyRootFilesystem"),
        (True,),
        "{name} may write to its root file system",
    ),
    *(
        Expect("resources", _lasting_containers, ("resources", *of), fault="{name} has no {path}", forbidden=NOT_SET)
        for of in (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
    ),
    # availability
    Expect(
        "rollout-keeps-serving",
        _stable_behind_gates,
        ("spec", "strategy", "type"),
        (None, "RollingUpdate"),
        "{name} removes its pods before it starts new ones",
    ),
    Expect(
        "rollout-keeps-serving",
        _rolling,
        ("spec", "strategy", "rollingUpdate", "maxUnavailable"),
        (0, "0", "0%"),
        "{name} may lose a pod during a rolling update",
    ),
    Expect(
        "labels",
        _service_workloads,
        (*_LABELS, NAME_LABEL),
        fault="{name} has no label " + NAME_LABEL,
        forbidden=(None,),
    ),
    Expect(
        "labels",
        _service_workloads,
        (*_LABELS, PART_OF_LABEL),
        fault="{name} has no label " + PART_OF_LABEL,
        forbidden=(None,),
    ),
    Expect(
        "labels",
        _service_pods,
        (*_LABELS, NAME_LABEL),
        fault="the pods of {name} have no label " + NAME_LABEL,
        forbidden=(None,),
    ),
    # the gate
    Expect("gate-blocks", _gates, AT_HOOK, ("Sync",), "{name} has the hook {found}, not Sync"),
    Expect("gate-ends", _hook_pods, ("spec", "restartPolicy"), ("Never",), "{name} restarts its pod"),
    # the network
    Expect("gateway-tls", _listeners, ("protocol",), ("HTTPS", "TLS"), "{name} speaks {found}"),
    Expect("gateway-tls", _listeners, ("tls", "certificateRefs"), fault="{name} has no certificate", forbidden=NOT_SET),
)
"""Every row, by what the manifests are."""
