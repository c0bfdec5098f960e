"""Who talks to whom by the tree's own words, and whether its NetworkPolicies let them: reasoned, not tried.

A pod talks to a Service of its environment where a variable, an argument or a file that it mounts holds that Service's
address; the gateway's pods talk to what routes lead to and to who is asked whether a request may pass. Of settings that
a Job shares with its service only databases count: it does not serve, so it asks nobody who a caller is. Many networks
accept NetworkPolicies and enforce none, so a cluster where all works proves nothing about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.pods import CONTAINERS, SERVING, Container, Pod, pod_of, selects
from journeymesh.delivery.checks.subject import Rendered, Subject, entries, mapping

_ADDRESS: Final = re.compile(r"//(?:[^/@\s\"']*@)?([a-z][a-z0-9-]*)(?:\.([a-z0-9-]+)(?:\.svc[a-z.]*)?)?:(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """A pod talks to a port of a Service; ``told_by`` and ``at`` say where that is said."""

    source: Pod
    service: Rendered
    port: int
    told_by: Rendered
    at: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why a flow does not come through: ``out`` of its source, or ``in`` at a pod behind the Service."""

    direction: str
    target: Pod


class EnvironmentNetwork:
    """The workloads, Services and NetworkPolicies of one environment."""

    def __init__(self, subject: Subject, name: str) -> None:
        self.name = name
        self._held = list(subject.of_environment(name))
        self.pods = [pod for pod in map(pod_of, self._held) if pod is not None]
        self.services = {each.name: each for each in self._held if each.kind == "Service"}
        self._settings = {
            each.name: mapping(each.content.get("data")) for each in self._held if each.kind == "ConfigMap"
        }
        self._policies = [each for each in subject.every("NetworkPolicy") if each.namespace == name]

    def flows(self) -> Iterator[Flow]:
        """Every flow that the tree's own words tell of."""
        for pod in self.pods:
            for at, text in self._told(pod):
                yield from self._flows_of(pod, pod.owner, at, text)
        for gateway in self._gateways():
            for held in self._held:
                if held.kind == "HTTPRoute":
                    yield from self._routed(gateway, held)
                elif held.kind == "Middleware":
                    address = str(mapping(held.spec.get("forwardAuth")).get("address", ""))
                    yield from self._flows_of(gateway, held, ("spec", "forwardAuth", "address"), address)

    def obstacles(self, flow: Flow) -> Iterator[Obstacle]:
        """What keeps a flow from each pod behind its Service; a pod that is no target keeps nothing."""
        for target in self._behind(flow.service):
            port = _target_port(flow, target)
            if port is None or target.owner is flow.source.owner:
                continue
            if not self._lets("Egress", "egress", "to", flow.source, target, port):
                yield Obstacle("out", target)
            if not self._lets("Ingress", "ingress", "from", target, flow.source, port):
                yield Obstacle("in", target)

    def _gateways(self) -> Iterator[Pod]:
        for held in self._held:
            if held.kind == "Gateway" and held.name in self.services:
                yield from self._behind(self.services[held.name])

    def _behind(self, service: Rendered) -> list[Pod]:
        selector = mapping(service.spec.get("selector"))
        held = [pod for pod in self.pods if pod.owner.kind in SERVING]
        return [pod for pod in held if selector and selects({"matchLabels": selector}, pod.labels)]

    def _routed(self, gateway: Pod, route: Rendered) -> Iterator[Flow]:
        for index, each in enumerate(entries(route.spec.get("rules"))):
            for inner, backend in enumerate(entries(each.get("backendRefs"))):
                service = self.services.get(str(backend.get("name")))
                if service is not None and isinstance(backend.get("port"), int):
                    yield Flow(gateway, service, backend["port"], route, ("spec", "rules", index, "backendRefs", inner))

    def _flows_of(self, pod: Pod, told_by: Rendered, at: tuple[Step, ...], text: str) -> Iterator[Flow]:
        for name, namespace, port in _ADDRESS.findall(text):
            if name in self.services and namespace in ("", self.name):
                yield Flow(pod, self.services[name], int(port), told_by, at)

    def _told(self, pod: Pod) -> Iterator[tuple[tuple[Step, ...], str]]:
        serves = pod.owner.kind in SERVING
        for container in pod.containers(*CONTAINERS):
            yield from self._told_to(container)
            for variable in entries(container.content.get("env")):
                reference = mapping(mapping(variable.get("valueFrom")).get("configMapKeyRef"))
                given = self._settings.get(str(reference.get("name")), {}).get(str(reference.get("key")), "")
                yield (*container.at, "env", str(variable.get("name"))), _shared(str(given), serves)
        for volume in entries(pod.spec.get("volumes")):
            for text in self._settings.get(str(mapping(volume.get("configMap")).get("name")), {}).values():
                yield (*pod.at, "spec", "volumes", str(volume.get("name"))), _shared(str(text), serves)

    def _told_to(self, container: Container) -> Iterator[tuple[tuple[Step, ...], str]]:
        for variable in entries(container.content.get("env")):
            yield (*container.at, "env", str(variable.get("name"))), str(variable.get("value") or "")
        for key in ("args", "command"):
            for index, text in enumerate(container.content.get(key) or ()):
                yield (*container.at, key, index), str(text)

    def _lets(self, kind: str, key: str, whom: str, own: Pod, other: Pod, port: dict[str, Any]) -> bool:
        """Whether the NetworkPolicies of ``own`` let it talk with ``other`` in this direction."""
        held = [each for each in self._policies if selects(each.spec.get("podSelector"), own.labels)]
        held = [each for each in held if kind in _types(each)]
        if not held:
            return True
        rules = [mapping(each) for policy in held for each in policy.spec.get(key) or ()]
        return any(_names(each.get(whom), other) and _has_port(each.get("ports"), port) for each in rules)


def _shared(text: str, serves: bool) -> str:
    return text if serves else text.replace("http://", "").replace("https://", "")


def _types(held: Rendered) -> list[str]:
    return held.spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in held.spec else [])]


def _names(peers: Any, pod: Pod) -> bool:
    """Whether a rule is about this pod; one that names nobody is about everybody."""
    if not peers:
        return True
    own = {"kubernetes.io/metadata.name": pod.owner.namespace}
    for peer in entries(peers):
        spaces = mapping(peer.get("namespaceSelector"))
        if "ipBlock" not in peer and selects(spaces, own) and selects(peer.get("podSelector"), pod.labels):
            return True
    return False


def _has_port(ports: Any, port: dict[str, Any]) -> bool:
    if not ports:
        return True
    wanted = (port.get("containerPort"), port.get("name"), None)
    protocol = port.get("protocol", "TCP")
    return any(each.get("port") in wanted and each.get("protocol", "TCP") == protocol for each in entries(ports))


def _target_port(flow: Flow, target: Pod) -> dict[str, Any] | None:
    """The port of the pod that a port of the Service leads to."""
    held = (each for each in entries(flow.service.spec.get("ports")) if each.get("port") == flow.port)
    wanted = next((each.get("targetPort", each.get("port")) for each in held), None)
    for container in target.containers("containers"):
        for port in entries(container.content.get("ports")):
            if wanted is not None and wanted in (port.get("containerPort"), port.get("name")):
                return port
    return None
