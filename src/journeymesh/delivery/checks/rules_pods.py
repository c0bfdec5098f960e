"""Rules on pods: the restricted security context, resources, probes, service accounts, an end in good order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from journeymesh.delivery.checks.findings import Fault, rule, value_rule
from journeymesh.delivery.checks.pods import CONTAINERS, SERVING, Container, Pod, pods
from journeymesh.delivery.checks.subject import Subject, entries, mapping

_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
_PROBES: Final = ("startupProbe", "readinessProbe", "livenessProbe")


@rule(
    "restricted",
    "Every container meets the Pod Security standard `restricted`: it runs as a user other than root, cannot gain "
    "privileges, has no capabilities and the runtime's seccomp profile.",
    fix="set it in the pod's or the container's securityContext",
)
def restricted(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject):
        whole = mapping(pod.spec.get("securityContext"))
        for container in pod.containers(*CONTAINERS):
            own = mapping(container.content.get("securityContext"))
            for what, key in _unrestricted(own, whole):
                of_pod = key in whole and key not in own
                at = (*pod.at, "spec") if of_pod else container.at
                yield Fault(pod.owner, f"{container}: {what}", (*at, "securityContext", key))


def _unrestricted(own: dict[str, Any], whole: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True:
        yield "runAsNonRoot is not true", "runAsNonRoot"
    if own.get("runAsUser", whole.get("runAsUser")) == 0:
        yield "runAsUser is root", "runAsUser"
    capabilities = mapping(own.get("capabilities"))
    if "ALL" not in (capabilities.get("drop") or []):
        yield "capabilities.drop is not [ALL]", "capabilities"
    added = set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}
    if added:
        yield f"capabilities adds {', '.join(sorted(added))}", "capabilities"
    profile = mapping(own.get("seccompProfile", whole.get("seccompProfile"))).get("type")
    if profile not in ("RuntimeDefault", "Localhost"):
        yield "seccompProfile is not RuntimeDefault", "seccompProfile"


@rule(
    "host-untouched",
    "No pod has access to its node: no host namespaces, ports, paths or volumes outside `restricted`, no privileges.",
    fix="remove it; what needs access to the node belongs to the platform team, outside this tree",
)
def host_untouched(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject):
        for volume in entries(pod.spec.get("volumes")):
            for kind in sorted(set(volume) - {"name"} - _VOLUMES):
                name = str(volume.get("name"))
                yield Fault(pod.owner, f"{pod.owner}, volume {name} is a {kind}", (*pod.at, "spec", "volumes", name))
        for container in pod.containers(*CONTAINERS):
            for index, port in enumerate(entries(container.content.get("ports"))):
                if port.get("hostPort"):
                    at = (*container.at, "ports", index, "hostPort")
                    yield Fault(pod.owner, f"{container} uses port {port['hostPort']} of the node", at)


value_rule(
    "pods",
    "root-read-only",
    "Every container's root file system is read-only; what it writes goes to a volume.",
    fix="set securityContext.readOnlyRootFilesystem: true and mount an emptyDir where it writes",
)

value_rule(
    "pods",
    "resources",
    "Every container requests cpu and memory and has a memory limit, so that no neighbour starves.",
    fix="set resources.requests.cpu, resources.requests.memory and resources.limits.memory",
)


@rule(
    "probes",
    "Every long-running container has startup, readiness and liveness probes.",
    fix="give it startupProbe, readinessProbe and livenessProbe",
)
def probes(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject, *SERVING):
        for container in pod.containers("containers"):
            for probe in _PROBES:
                held = mapping(container.content.get(probe))
                if not set(held) & {"httpGet", "tcpSocket", "grpc", "exec"}:
                    yield Fault(pod.owner, f"{container} has no {probe}", (*container.at, probe))


@rule(
    "probe-port",
    "A probe uses a port that its container has.",
    fix="name one of the container's ports",
)
def probe_port(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject):
        for container in pod.containers("containers"):
            for probe in _PROBES:
                for asked in ("httpGet", "tcpSocket", "grpc"):
                    port = mapping(mapping(container.content.get(probe)).get(asked)).get("port")
                    if port is not None and port not in ports_of(container):
                        what = f"{container}: {probe} uses port {port}, which the container does not have"
                        yield Fault(pod.owner, what, (*container.at, probe, asked, "port"))


def ports_of(container: Container) -> set[Any]:
    """A container's ports, by number and by name."""
    held = entries(container.content.get("ports"))
    return {port.get("containerPort") for port in held} | {port["name"] for port in held if "name" in port}


@rule(
    "service-account",
    "Every pod runs as a service account of its own, not as `default`, and its service renders that account.",
    fix="name a ServiceAccount in serviceAccountName and render it beside the workload",
)
def service_account(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject):
        name = pod.spec.get("serviceAccountName")
        at = (*pod.at, "spec", "serviceAccountName")
        if name in (None, "", "default"):
            yield Fault(pod.owner, f"{pod.owner} runs as the service account default", at)
        elif name not in {held.name for held in subject.beside(pod.owner, "ServiceAccount")}:
            yield Fault(pod.owner, f"{pod.owner} runs as {name}, which its service does not render", at)


@rule(
    "token-unmounted",
    "No pod mounts a token for the API server, unless it asks for one and a binding gives its service account rights.",
    fix="set automountServiceAccountToken: false in the pod's spec",
)
def token_unmounted(subject: Subject) -> Iterator[Fault]:
    bound = {
        (str(who.get("namespace") or held.namespace), str(who.get("name")))
        for held in subject.every("RoleBinding", "ClusterRoleBinding")
        for who in entries(held.content.get("subjects"))
        if who.get("kind") == "ServiceAccount"
    }
    for pod in pods(subject):
        says = pod.spec.get("automountServiceAccountToken")
        account = (pod.owner.namespace, str(pod.spec.get("serviceAccountName")))
        if says is not False and not (says is True and account in bound):
            why = (
                "mounts the token of an account without rights"
                if says
                else "does not set automountServiceAccountToken: false"
            )
            yield Fault(pod.owner, f"{pod.owner} {why}", (*pod.at, "spec", "automountServiceAccountToken"))


@rule(
    "drain",
    "Serving pods drain before they end: a preStop pause, within the grace period, in which routes drop them.",
    fix="set lifecycle.preStop.sleep.seconds and a longer terminationGracePeriodSeconds",
)
def drain(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject, "Deployment"):
        for container in pod.containers("containers"):
            if container.content.get("ports"):
                yield from _undrained(pod, container)


def _undrained(pod: Pod, container: Container) -> Iterator[Fault]:
    grace = pod.spec.get("terminationGracePeriodSeconds")
    pause = mapping(mapping(container.content.get("lifecycle")).get("preStop"))
    if not pause:
        yield Fault(pod.owner, f"{container} has no preStop", (*container.at, "lifecycle", "preStop"))
    if not isinstance(grace, int):
        at = (*pod.at, "spec", "terminationGracePeriodSeconds")
        yield Fault(pod.owner, f"{pod.owner} has no terminationGracePeriodSeconds", at)
    elif mapping(pause.get("sleep")).get("seconds", 0) >= grace:
        at = (*pod.at, "spec", "terminationGracePeriodSeconds")
        yield Fault(pod.owner, f"{pod.owner} is killed after {grace} s, before its preStop ends", at)
