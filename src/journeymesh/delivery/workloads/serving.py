"""What leads to a workload and what fences it: Services, route, disruption budget, account, NetworkPolicies."""

from __future__ import annotations

from journeymesh.delivery.workloads.score import Workload
from journeymesh.delivery.workloads.shape import (
    AUTHENTICATED,
    CANDIDATE,
    CANDIDATE_WAVE,
    COMPONENT,
    E2E,
    GATEWAY,
    IDENTITY,
    KEYCLOAK,
    NAME,
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
    filters: list[Manifest] = [
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
    ]
    if not workload.public:
        middleware = {"group": "traefik.io", "kind": "Middleware", "name": AUTHENTICATED}
        filters.insert(0, {"type": "ExtensionRef", "extensionRef": middleware})
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(workload.name, ROUTE_WAVE, labels(workload.name)),
        "spec": {
            "parentRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY}],
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


def network_policies(workload: Workload) -> tuple[Manifest, Manifest]:
    """Who may speak to its pods and whom they may call; the same for the pods that test it."""
    its_port = [{"protocol": "TCP", "port": "http"}]
    own = {"matchLabels": {NAME: workload.name}, "matchExpressions": [_either(TRACK, STABLE, CANDIDATE)]}
    tests = {"matchLabels": {NAME: workload.name, COMPONENT: E2E}}
    serving = {
        "podSelector": own,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [
            {
                "from": [{"podSelector": {"matchLabels": {NAME: GATEWAY}}}, {"podSelector": tests}],
                "ports": its_port,
            }
        ],
        "egress": [_name_lookup(), {"to": [{"podSelector": {"matchExpressions": [_either(NAME, GATEWAY, IDENTITY)]}}]}],
    }
    testing = {
        "podSelector": tests,
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [
            _name_lookup(),
            {"to": [{"podSelector": own}, {"podSelector": {"matchExpressions": [_either(NAME, GATEWAY, KEYCLOAK)]}}]},
        ],
    }
    return (
        _network_policy(workload.name, labels(workload.name), serving),
        _network_policy(f"{workload.name}-e2e", labels(workload.name, component=E2E), testing),
    )


def _network_policy(name: str, its_labels: dict[str, str], spec: Manifest) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(name, CANDIDATE_WAVE, its_labels),
        "spec": spec,
    }


def _either(key: str, *values: str) -> Manifest:
    return {"key": key, "operator": "In", "values": list(values)}


def _name_lookup() -> Manifest:
    return {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
    }
