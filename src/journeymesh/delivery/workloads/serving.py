"""What leads to a workload and what fences it: Services, route, disruption budget, account, NetworkPolicies."""

from __future__ import annotations

from journeymesh.delivery.workloads.score import PORT, Workload
from journeymesh.delivery.workloads.shape import (
    AUTHENTICATED,
    CANDIDATE_WAVE,
    E2E,
    GATEWAY,
    GATEWAY_PORT,
    IDENTITY,
    NAME,
    RATE_LIMIT,
    ROLE,
    ROUTE_WAVE,
    STABLE,
    STABLE_WAVE,
    TRACK,
    labels,
    metadata,
    tracked,
)
from journeymesh.delivery.workloads.yaml_text import Manifest


def account(workload: Workload) -> Manifest:
    """An account of its own, whose token no pod gets."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(workload.name, CANDIDATE_WAVE, labels(workload.name)),
        "automountServiceAccountToken": False,
    }


def service(workload: Workload, track: str, wave: int) -> Manifest:
    """A track's Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(tracked(workload.name, track), wave, labels(workload.name, track=track)),
        "spec": {
            "type": "ClusterIP",
            "selector": {NAME: workload.name, TRACK: track},
            "ports": [{"name": "http", "port": workload.port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def budget(workload: Workload) -> Manifest:
    """At most one stable pod leaves at a time when a node is drained; never none, where it is the only one."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(workload.name, STABLE_WAVE, labels(workload.name)),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {NAME: workload.name, TRACK: STABLE}}},
    }


def route(workload: Workload) -> Manifest:
    """``/w/<name>/`` of the gateway. Every default is spelled out: what the API server adds in lists shows as drift."""
    rewrite = {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    filters: list[Manifest] = [
        *(_middleware(name) for name in (RATE_LIMIT, *(() if workload.public else (AUTHENTICATED,)))),
        {"type": "URLRewrite", "urlRewrite": rewrite},
    ]
    gateway = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY, "sectionName": "https"}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(workload.name, ROUTE_WAVE, labels(workload.name)),
        "spec": {
            "parentRefs": [gateway],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": f"/w/{workload.name}"}}],
                    "filters": filters,
                    "backendRefs": [
                        {"group": "", "kind": "Service", "name": workload.name, "port": workload.port, "weight": 1}
                    ],
                }
            ],
        },
    }


def _middleware(name: str) -> Manifest:
    return {"type": "ExtensionRef", "extensionRef": {"group": "traefik.io", "kind": "Middleware", "name": name}}


def network_policies(workload: Workload) -> tuple[Manifest, ...]:
    """Who may speak to its pods and whom they may call.

    The environment's own NetworkPolicies let the gateway and tests call port 8080; another one is opened to them here.
    """
    port = workload.container_port
    gateway, tests = {NAME: GATEWAY}, {ROLE: E2E}
    own = {"matchLabels": {NAME: workload.name}}
    callers = [{"podSelector": {"matchLabels": caller}} for caller in (gateway, tests)]
    calls = [_call(GATEWAY, GATEWAY_PORT), _call(IDENTITY, PORT)]
    serving = {
        "podSelector": own,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": callers, "ports": [{"protocol": "TCP", "port": port}]}],
        "egress": [_name_lookup(), *calls],
    }
    held = [_network_policy(workload, workload.name, serving)]
    if port != PORT:
        for caller in (gateway, tests):
            calling = {
                "podSelector": {"matchLabels": caller},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"podSelector": own}], "ports": [{"protocol": "TCP", "port": port}]}],
            }
            held.append(_network_policy(workload, f"{workload.name}-from-{next(iter(caller.values()))}", calling))
    return tuple(held)


def _network_policy(workload: Workload, name: str, spec: Manifest) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, CANDIDATE_WAVE, labels(workload.name)),
        "spec": spec,
    }


def _call(name: str, port: int) -> Manifest:
    return {"to": [{"podSelector": {"matchLabels": {NAME: name}}}], "ports": [{"protocol": "TCP", "port": port}]}


def _name_lookup() -> Manifest:
    return {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
