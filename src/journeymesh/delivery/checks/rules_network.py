"""Rules on the network: everything is fenced, and everything that is named is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from journeymesh.delivery.checks.findings import Fault, Severity, rule, value_rule
from journeymesh.delivery.checks.gates import is_candidate
from journeymesh.delivery.checks.places import Step
from journeymesh.delivery.checks.pods import SERVING, Pod, pod_of, pods, selects
from journeymesh.delivery.checks.rules_pods import ports_of
from journeymesh.delivery.checks.subject import Rendered, Subject, entries, mapping


@rule(
    "default-deny",
    "Every environment has a NetworkPolicy that selects all pods and allows nothing in or out.",
    fix="render one for the namespace in customization/platform: podSelector {}, both policyTypes, no rules",
)
def default_deny(subject: Subject) -> Iterator[Fault]:
    if not subject.tree.platform.is_dir():
        return
    held = list(subject.every("NetworkPolicy", part="platform"))
    for environment in subject.environments:
        own = [each for each in held if each.namespace == environment]
        if not any(denies_all(each) for each in own):
            near = next((each for each in own if each.spec.get("podSelector") == {}), None)
            what = f"{environment} has no NetworkPolicy that denies by default"
            yield Fault(near or subject.tree.platform / "kustomization.yaml", what, ("spec",) if near else ())


def denies_all(held: Rendered) -> bool:
    everything = not mapping(held.spec.get("podSelector"))
    both = set(held.spec.get("policyTypes") or []) == {"Ingress", "Egress"}
    return everything and both and not held.spec.get("ingress") and not held.spec.get("egress")


@rule(
    "network-policy",
    "Every workload's pods are selected by a NetworkPolicy of their own, one that does not select all.",
    fix="add a NetworkPolicy whose podSelector matches the pod's labels",
)
def network_policy(subject: Subject) -> Iterator[Fault]:
    for pod in pods(subject):
        if not pod.owner.unit.service:
            continue
        held = (each for each in subject.every("NetworkPolicy") if each.namespace == pod.owner.namespace)
        selectors = [mapping(each.spec.get("podSelector")) for each in held]
        if not any(selector and selects(selector, pod.labels) for selector in selectors):
            at = (*pod.at, "metadata", "labels")
            yield Fault(pod.owner, f"no NetworkPolicy selects the pods of {pod.owner}", at)


@rule(
    "network-policy-open",
    "No NetworkPolicy of a service other than the gateway allows ingress from everywhere.",
    fix="name the allowed clients, by podSelector, in ingress.from",
)
def network_policy_open(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("NetworkPolicy", part="service"):
        if held.unit.service == "gatewayapi":
            continue
        for index, each in enumerate(held.spec.get("ingress") or []):
            if not mapping(each).get("from"):
                yield Fault(held, f"{held} allows ingress from everywhere", ("spec", "ingress", index))


@rule(
    "network-policy-selects",
    "Every NetworkPolicy of a service selects pods that exist.",
    fix="correct its podSelector, or delete it",
    severity=Severity.warning,
)
def network_policy_selects(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("NetworkPolicy", part="service"):
        selector = held.spec.get("podSelector")
        if not any(selects(selector, pod.labels) for pod in _pods_of(subject, held.unit.environment)):
            yield Fault(held, f"{held} selects no pod", ("spec", "podSelector"))


def _pods_of(subject: Subject, environment: str, *kinds: str) -> Iterator[Pod]:
    for each in subject.of_environment(environment, *kinds):
        pod = pod_of(each)
        if pod is not None:
            yield pod


@rule(
    "service-selects",
    "Every Service selects pods of its own environment.",
    fix="give the Service the labels of the pods",
)
def service_selects(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Service", part="service"):
        if held.spec.get("type") != "ExternalName" and not _selected(subject, held):
            yield Fault(held, f"{held} selects no pod", ("spec", "selector"))


@rule(
    "service-track",
    "A stable Service never reaches a candidate's pods, nor a candidate's Service the stable ones.",
    fix="add journeymesh.io/track to the Service's selector",
)
def service_track(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Service", part="service"):
        for pod in _selected(subject, held):
            if is_candidate(pod.owner) != is_candidate(held):
                yield Fault(held, f"{held} also selects the pods of {pod.owner}", ("spec", "selector"))


@rule(
    "service-port",
    "Every port of a Service is a port of the pods that it selects.",
    fix="name a containerPort of the pods in targetPort",
)
def service_port(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("Service", part="service"):
        for index, port in enumerate(entries(held.spec.get("ports"))):
            wanted = port.get("targetPort", port.get("port"))
            for pod in _selected(subject, held):
                ports: set[Any] = set()
                for container in pod.containers("containers"):
                    ports |= ports_of(container)
                if wanted not in ports:
                    at: tuple[Step, ...] = ("spec", "ports", index, "targetPort")
                    yield Fault(held, f"{held} sends to port {wanted}, which {pod.owner} does not have", at)


def _selected(subject: Subject, service: Rendered) -> list[Pod]:
    selector = mapping(service.spec.get("selector"))
    if not selector:
        return []
    own = _pods_of(subject, service.unit.environment, *SERVING)
    return [pod for pod in own if selects({"matchLabels": selector}, pod.labels)]


@rule(
    "route-backend",
    "Every HTTPRoute routes to a Service of its environment, and to a port of it.",
    fix="correct name and port in backendRefs",
)
def route_backend(subject: Subject) -> Iterator[Fault]:
    for held, at, name, port in _backends(subject):
        services = subject.of_environment(held.unit.environment, "Service")
        found = next((each for each in services if each.name == name), None)
        if found is None:
            yield Fault(held, f"{held} routes to Service {name}, which does not exist", (*at, "name"))
        elif port not in {each.get("port") for each in entries(found.spec.get("ports"))}:
            yield Fault(
                held, f"{held} routes to port {port} of {name}, which that Service does not have", (*at, "port")
            )


@rule(
    "route-stable",
    "No HTTPRoute routes to a candidate: users do not reach what has not passed.",
    fix="route to the stable Service",
)
def route_stable(subject: Subject) -> Iterator[Fault]:
    for held, at, name, _ in _backends(subject):
        if name.endswith("-candidate"):
            yield Fault(held, f"{held} routes users to {name}", (*at, "name"))


def _backends(subject: Subject) -> Iterator[tuple[Rendered, tuple[Step, ...], str, Any]]:
    for held in subject.every("HTTPRoute", part="service"):
        for index, each in enumerate(entries(held.spec.get("rules"))):
            for inner, backend in enumerate(entries(each.get("backendRefs"))):
                if backend.get("kind", "Service") == "Service":
                    at = ("spec", "rules", index, "backendRefs", inner)
                    yield held, at, str(backend.get("name")), backend.get("port")


@rule(
    "route-gateway",
    "Every HTTPRoute belongs to a Gateway of its environment, and to a listener that it has.",
    fix="correct parentRefs",
)
def route_gateway(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("HTTPRoute", part="service"):
        gateways = {each.name: each for each in subject.of_environment(held.unit.environment, "Gateway")}
        parents = entries(held.spec.get("parentRefs"))
        if not parents:
            yield Fault(held, f"{held} belongs to no Gateway", ("spec", "parentRefs"))
        for index, parent in enumerate(parents):
            gateway = gateways.get(str(parent.get("name")))
            listeners = {each.get("name") for each in entries(gateway.spec.get("listeners"))} if gateway else set()
            if gateway is None:
                at: tuple[Step, ...] = ("spec", "parentRefs", index, "name")
                yield Fault(held, f"{held} refers to Gateway {parent.get('name')}, which does not exist", at)
            elif "sectionName" in parent and parent["sectionName"] not in listeners:
                at = ("spec", "parentRefs", index, "sectionName")
                yield Fault(held, f"{gateway} has no listener {parent['sectionName']}", at)


@rule(
    "route-filter",
    "Every Middleware that an HTTPRoute names exists.",
    fix="correct extensionRef, or render the Middleware in the same environment",
)
def route_filter(subject: Subject) -> Iterator[Fault]:
    for held in subject.every("HTTPRoute", part="service"):
        there = {(each.kind, each.name) for each in subject.of_environment(held.unit.environment)}
        for index, each in enumerate(entries(held.spec.get("rules"))):
            for inner, filter_ in enumerate(entries(each.get("filters"))):
                named = mapping(filter_.get("extensionRef"))
                if named and (named.get("kind"), named.get("name")) not in there:
                    at: tuple[Step, ...] = ("spec", "rules", index, "filters", inner, "extensionRef", "name")
                    what = f"{held} names {named.get('kind')} {named.get('name')}, which does not exist"
                    yield Fault(held, what, at)


value_rule(
    "network",
    "gateway-tls",
    "Every listener of a Gateway speaks TLS.",
    fix="set protocol: HTTPS and tls.certificateRefs",
)
