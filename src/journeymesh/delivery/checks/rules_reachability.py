"""Rules on reachability: NetworkPolicies let those talk who have to, by reasoning over what is rendered."""

from __future__ import annotations

from collections.abc import Iterator

from journeymesh.delivery.checks.findings import Fault, Severity, rule
from journeymesh.delivery.checks.reachability import EnvironmentNetwork
from journeymesh.delivery.checks.rules_network import denies_all
from journeymesh.delivery.checks.subject import Subject, entries


@rule(
    "network-policy-reaches",
    "NetworkPolicies let a pod reach each service that it is configured to call: its own egress, the other's ingress.",
    fix="let it out in its NetworkPolicy's egress, and in at the other's ingress, by podSelector and port",
)
def network_policy_reaches(subject: Subject) -> Iterator[Fault]:
    for name in subject.environments:
        environment = EnvironmentNetwork(subject, name)
        for flow in environment.flows():
            for obstacle in environment.obstacles(flow):
                who, whom = flow.source.owner, obstacle.target.owner
                way = "allows its egress" if obstacle.direction == "out" else "allows its ingress"
                what = f"{who} connects to {flow.service} at port {flow.port}, and no NetworkPolicy {way} ({whom})"
                yield Fault(flow.told_by, what, flow.at)


@rule(
    "network-policy-needed",
    "A NetworkPolicy of a service names no client by a label that no pod has.",
    fix="correct the label in ingress.from, or remove it",
    severity=Severity.warning,
)
def network_policy_needed(subject: Subject) -> Iterator[Fault]:
    for name in subject.environments:
        labels = {pod.labels.get("app.kubernetes.io/name") for pod in EnvironmentNetwork(subject, name).pods}
        for held in subject.of_environment(name, "NetworkPolicy"):
            if denies_all(held):
                continue
            for index, each in enumerate(entries(held.spec.get("ingress"))):
                for inner, peer in enumerate(entries(each.get("from"))):
                    for wanted in _names(peer):
                        if wanted not in labels:
                            at = ("spec", "ingress", index, "from", inner)
                            yield Fault(held, f"{held} allows ingress from {wanted}, which does not exist", at)


def _names(peer: dict[str, object]) -> Iterator[str]:
    selector = peer.get("podSelector")
    if isinstance(selector, dict):
        labels = selector.get("matchLabels") or {}
        if "app.kubernetes.io/name" in labels:
            yield str(labels["app.kubernetes.io/name"])
        for each in entries(selector.get("matchExpressions")):
            if each.get("key") == "app.kubernetes.io/name" and each.get("operator") == "In":
                yield from map(str, each.get("values") or ())
