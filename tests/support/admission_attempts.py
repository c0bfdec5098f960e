"""What is tried against the admission policies: attacks that must be denied, and everyday work that must not be.

``python -m tests.support.admission_attempts`` tries it all on the cluster that KUBECONFIG names, and
prints the counts as JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.support.admission_world import (
    APPROVED,
    ARGO_CD,
    COMMENTED,
    ELSEWHERE,
    EVERYBODY,
    PLACES,
    READERS,
    SECOND,
    STRANGE,
    WITHDRAWN,
    AdmissionWorld,
    Attempt,
    HttpRequest,
    binding,
    container,
    fence,
    job_of_testkube,
    pod,
    pod_of,
    with_images,
    workload,
)

KINDS: Final = (
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "PodTemplate",
)
MERGE: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
UNPINNED, UNAPPROVED = "not pinned by digest", "not approved for"


def _creates(document: dict[str, Any]) -> Callable[[AdmissionWorld], HttpRequest]:
    return lambda world: world.create(document)


def _created_by_argo_cd(document: dict[str, Any]) -> Callable[[AdmissionWorld], HttpRequest]:
    return lambda world: world.create(document, user=ARGO_CD)


def _patches(place: str, body: dict[str, Any], kind: str = MERGE) -> Callable[[AdmissionWorld], HttpRequest]:
    """Of an object in ``env``; ``place`` as ``Deployment/held`` or ``Pod/held/ephemeralcontainers``."""
    object_kind, _, rest = place.partition("/")
    return lambda world: HttpRequest("PATCH", f"{PLACES[object_kind].format(world.env)}/{rest}", body, kind)


def _template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


def _service(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"ports": [{"port": 80}], "selector": {"app": name}} | spec,
    }


def _token(**token: Any) -> list[dict[str, Any]]:
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 600} | token}
    return [{"name": "token", "projected": {"sources": [source]}}]


def _ephemeral(image: str) -> Callable[[AdmissionWorld], HttpRequest]:
    added = {"spec": {"ephemeralContainers": [container("debug", image)]}}
    return _patches("Pod/held/ephemeralcontainers", added, STRATEGIC)


def _test_pods(image: str, **spec: Any) -> dict[str, Any]:
    return pod_of(job_of_testkube(image, **spec))


_ROLE: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "Role",
    "metadata": {"name": "it"},
    "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
}
_MOUNTS: dict[str, Any] = {"automountServiceAccountToken": True}
_POD = pod("it", APPROVED)
_PRIVILEGED = {"privileged": True, "allowPrivilegeEscalation": True}
_INGRESS = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "it"},
    "spec": {"defaultBackend": {"service": {"name": "held", "port": {"number": 80}}}},
}

ATTACKS: Final = (
    Attempt("a Pod by tag", _creates(pod("it", "registry.example/app:1.0")), UNPINNED),
    Attempt("a Pod without tag", _creates(pod("it", "registry.example/app")), UNPINNED),
    Attempt("a Pod of latest", _creates(pod("it", "app:latest")), UNPINNED),
    Attempt("a digest cut short", _creates(pod("it", APPROVED[:-1])), UNPINNED),
    Attempt("a digest in capitals", _creates(pod("it", APPROVED.replace("a" * 64, "A" * 64))), UNPINNED),
    Attempt("a digest of another algorithm", _creates(pod("it", f"registry.example/app@sha512:{'a' * 128}")), UNPINNED),
    Attempt("a digest that is not approved", _creates(pod("it", STRANGE)), UNAPPROVED),
    Attempt("a digest not approved, beside a tag", _creates(pod("it", STRANGE.replace("@", ":1.0@"))), UNAPPROVED),
    Attempt("a digest that a comment of the ledger mentions", _creates(pod("it", COMMENTED)), UNAPPROVED),
    Attempt("a digest that is approved elsewhere only", _creates(pod("it", ELSEWHERE)), UNAPPROVED),
    Attempt("a digest that was withdrawn", _creates(pod("it", WITHDRAWN)), UNAPPROVED),
    Attempt(
        "anything where the ledger is missing", lambda world: world.create(pod("it", APPROVED), world.bare), "no params"
    ),
    Attempt(
        "a second container",
        _creates(with_images(_POD, containers=[container("app", APPROVED), container("b", STRANGE)])),
        UNAPPROVED,
    ),
    Attempt("an init container", _creates(with_images(_POD, initContainers=[container("i", STRANGE)])), UNAPPROVED),
    Attempt(
        "a sidecar",
        _creates(with_images(_POD, initContainers=[container("s", STRANGE, restartPolicy="Always")])),
        UNAPPROVED,
    ),
    Attempt("an init container by tag", _creates(with_images(_POD, initContainers=[container("i", "a:1")])), UNPINNED),
    Attempt("an ephemeral container", _ephemeral(STRANGE), UNAPPROVED),
    Attempt("an ephemeral container by tag", _ephemeral("busybox:latest"), UNPINNED),
    *(Attempt(f"a {kind}", _creates(workload(kind, STRANGE)), UNAPPROVED) for kind in KINDS),
    *(
        Attempt(
            f"a {kind} with an init container by tag",
            _creates(workload(kind, APPROVED, initContainers=[container("i", "a:1")])),
            UNPINNED,
        )
        for kind in ("Deployment", "CronJob")
    ),
    Attempt(
        "an approved Deployment replaced by another image",
        lambda world: HttpRequest(
            "PUT", PLACES["Deployment"].format(world.env) + "/held", workload("Deployment", STRANGE, "held")
        ),
        UNAPPROVED,
    ),
    Attempt(
        "an approved Deployment patched to another image",
        _patches("Deployment/held", _template(containers=[container("app", STRANGE)]), STRATEGIC),
        UNAPPROVED,
    ),
    Attempt(
        "a container merged into an approved Deployment",
        _patches("Deployment/held", _template(initContainers=[container("i", STRANGE)])),
        UNAPPROVED,
    ),
    Attempt(
        "an approved Deployment applied with a tag",
        _patches(
            "Deployment/held",
            {"apiVersion": "apps/v1", "kind": "Deployment"} | _template(containers=[container("app", "app:1.0")]),
            APPLY,
        ),
        UNPINNED,
    ),
    Attempt(
        "a running Pod's image exchanged",
        _patches("Pod/held", {"spec": {"containers": [{"name": "app", "image": STRANGE}]}}, STRATEGIC),
        UNAPPROVED,
    ),
    Attempt(
        "a withdrawn Deployment moved to an image that was never approved",
        _patches("Deployment/withdrawn", _template(containers=[container("app", STRANGE)]), STRATEGIC),
        UNAPPROVED,
    ),
    Attempt(
        "the ledger, changed by hand",
        lambda world: world.replace_ledger(world.ledger(APPROVED, STRANGE)),
        "belongs to root-platform-app",
    ),
    Attempt(
        "the ledger, disowned",
        lambda world: world.replace_ledger(world.ledger(STRANGE, owner=""), ARGO_CD),
        "belongs to root-platform-app",
    ),
    Attempt(
        "a ledger that a service's Application brings",
        lambda world: world.create(
            world.ledger(STRANGE, owner="app-dev:/ConfigMap:env/approved-digests"), world.bare, ARGO_CD
        ),
        "belongs to root-platform-app",
    ),
    Attempt(
        "a privileged container",
        _creates(with_images(_POD, containers=[container("app", APPROVED, securityContext=_PRIVILEGED)])),
        "privileged",
    ),
    Attempt("the node's network", _creates(pod("it", APPROVED, hostNetwork=True)), "violates PodSecurity"),
    Attempt("the node's processes", _creates(pod("it", APPROVED, hostPID=True)), "violates PodSecurity"),
    Attempt(
        "the node's files",
        _creates(pod("it", APPROVED, volumes=[{"name": "host", "hostPath": {"path": "/"}}])),
        "violates PodSecurity",
    ),
    Attempt("a Pod as root", _creates(pod("it", APPROVED, securityContext={})), "violates PodSecurity"),
    Attempt(
        "a port of the node",
        _creates(
            with_images(_POD, containers=[container("app", APPROVED, ports=[{"containerPort": 80, "hostPort": 80}])])
        ),
        "violates PodSecurity",
    ),
    Attempt("a NodePort beside the gateway", _creates(_service("it", type="NodePort")), "only Service gatewayapi"),
    Attempt("a load balancer", _creates(_service("it", type="LoadBalancer")), "only Service gatewayapi"),
    Attempt(
        "a Service for a name outside",
        _creates(_service("it", type="ExternalName", externalName="example.org")),
        "none ExternalName",
    ),
    Attempt("an address that is somebody else's", _creates(_service("it", externalIPs=["192.0.2.1"])), "externalIPs"),
    Attempt("an Ingress", _creates(_INGRESS), "a second door"),
    Attempt(
        "a token by default", _creates(workload("Deployment", APPROVED, automountServiceAccountToken=None)), "automount"
    ),
    Attempt(
        "a token of the API server by the back door",
        _creates(pod("it", APPROVED, volumes=_token())),
        "an audience on the list",
    ),
    *(
        Attempt(
            f"a token of the API server as {audience}",
            _creates(pod("it", APPROVED, volumes=_token(audience=audience))),
            "an audience on the list",
        )
        for audience in ("https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local", "vault")
    ),
    Attempt(
        "a token of account default",
        _creates(workload("Job", APPROVED, automountServiceAccountToken=True)),
        "a ServiceAccount of its own",
    ),
    *(
        Attempt(f"a NetworkPolicy that {what}", _creates(fence(**spec)), "comes from git")
        for what, spec in (
            ("lets everything in", {"ingress": [{}]}),
            ("lets everything out", {"egress": [{}]}),
            ("lets every namespace in", {"ingress": [{"from": [{"namespaceSelector": {}}]}]}),
            ("lets every address in", {"ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]}),
            ("lets halves of all addresses in", {"ingress": [{"from": [{"ipBlock": {"cidr": "128.0.0.0/1"}}]}]}),
        )
    ),
    Attempt("a NetworkPolicy opened", _patches("NetworkPolicy/held", {"spec": {"ingress": [{}]}}), "comes from git"),
    Attempt(
        "a NetworkPolicy moved to other pods",
        _patches("NetworkPolicy/held", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        "comes from git",
    ),
    Attempt("a RoleBinding", _creates(binding("it", EVERYBODY)), "comes from git"),
    Attempt(
        "one more in a RoleBinding",
        _patches("RoleBinding/held", {"subjects": [READERS, EVERYBODY]}),
        "comes from git",
    ),
    Attempt("a Role", _creates(_ROLE), "comes from git"),
    Attempt(
        "a Pod with its account's token", _creates(pod("it", APPROVED, automountServiceAccountToken=None)), "automount"
    ),
    *(
        Attempt(f"a test of Testkube's {what}", _creates(make(APPROVED, **spec)), says)
        for what, make, spec, says in (
            ("with a token of the API server", job_of_testkube, {"volumes": _token()}, "without audience"),
            ("that mounts its account's token", job_of_testkube, _MOUNTS, "an end-to-end test"),
            ("as another that mounts", job_of_testkube, {"account": "asks"} | _MOUNTS, "an end-to-end test"),
            ("without its label", job_of_testkube, {"labels": {}} | _MOUNTS, "an end-to-end test"),
            ("in a Pod as account default", _test_pods, {"account": "default"}, "automount"),
            ("in a Pod as one whose account mounts", _test_pods, {"account": "asks"}, "automount"),
            ("in a Pod with a token", _test_pods, {"volumes": _token()}, "without audience"),
        )
    ),
)
"""Each must be denied, by the rule whose words stand beside it."""

EVERYDAY: Final = (
    Attempt("a Pod", _creates(_POD)),
    Attempt("a tag beside an approved digest", _creates(pod("it", APPROVED.replace("@", ":1.0@")))),
    Attempt(
        "the same bytes under another name",
        _creates(pod("it", APPROVED.replace("registry.example", "mirror.example:5000"))),
    ),
    Attempt(
        "several containers",
        _creates(
            with_images(
                _POD,
                containers=[container("app", APPROVED), container("b", SECOND)],
                initContainers=[container("i", SECOND), container("s", APPROVED, restartPolicy="Always")],
            )
        ),
    ),
    *(Attempt(f"a {kind}", _creates(workload(kind, SECOND))) for kind in KINDS),
    Attempt("an ephemeral container of an approved image", _ephemeral(SECOND)),
    Attempt(
        "a Deployment moved to another approved image",
        _patches("Deployment/held", _template(containers=[container("app", SECOND)]), STRATEGIC),
    ),
    Attempt("a Deployment scaled", _patches("Deployment/held/scale", {"spec": {"replicas": 2}})),
    Attempt("a Pod labelled", _patches("Pod/held", {"metadata": {"labels": {"seen": "yes"}}})),
    Attempt(
        "a Deployment of a withdrawn image scaled down", _patches("Deployment/withdrawn", {"spec": {"replicas": 0}})
    ),
    Attempt(
        "a Deployment moved off a withdrawn image",
        _patches("Deployment/withdrawn", _template(containers=[container("app", APPROVED)]), STRATEGIC),
    ),
    Attempt(
        "a Pod of a withdrawn image let go",
        _patches("Pod/withdrawn", {"metadata": {"annotations": {"drained": "yes"}}}),
    ),
    Attempt("a Pod elsewhere", lambda world: world.create(pod("it", ELSEWHERE), world.other)),
    Attempt("a Service", _creates(_service("it"))),
    Attempt("a headless Service", _creates(_service("it", clusterIP="None"))),
    Attempt("the gateway's NodePort", _creates(_service("gatewayapi", type="NodePort"))),
    Attempt(
        "a ConfigMap of a service",
        _creates({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {"a": "b"}}),
    ),
    Attempt(
        "the ledger from its owner",
        lambda world: world.replace_ledger(world.ledger(APPROVED, SECOND), ARGO_CD),
    ),
    Attempt("a NetworkPolicy that closes", _creates(fence())),
    Attempt("a NetworkPolicy closed", _patches("NetworkPolicy/held", {"spec": {"ingress": []}})),
    Attempt("a NetworkPolicy labelled", _patches("NetworkPolicy/held", {"metadata": {"labels": {"seen": "yes"}}})),
    Attempt("somebody taken out of a RoleBinding", _patches("RoleBinding/held", {"subjects": []})),
    *(
        Attempt(f"{held['kind']} by Argo CD", _created_by_argo_cd(held))
        for held in (fence(ingress=[{}]), _ROLE, binding("it", EVERYBODY))
    ),
    Attempt("a test of Testkube's", _creates(job_of_testkube(APPROVED))),
    Attempt("a test of Testkube's in its Pod", _creates(_test_pods(APPROVED))),
    Attempt("a token for somebody named", _creates(pod("it", APPROVED, volumes=_token(audience="journeymesh")))),
    Attempt(
        "a token of an account of its own",
        _creates(pod("it", APPROVED, automountServiceAccountToken=True, serviceAccountName="asks")),
    ),
)
"""None of these may be denied."""


def denied(world: AdmissionWorld, attempt: Attempt) -> bool:
    """Whether it is denied, by the rule that is meant for it."""
    answer = world.tries(attempt)
    return answer.status_code in (403, 422) and attempt.says in answer.text


def main() -> None:
    import json
    import tempfile
    from contextlib import closing
    from pathlib import Path

    from tests.support.kubernetes_cluster import cluster_for_tests

    with (
        tempfile.TemporaryDirectory() as folder,
        closing(cluster_for_tests(Path(folder))) as cluster,
        closing(AdmissionWorld(cluster)) as world,
    ):
        counts = {
            "admission_attacks": len(ATTACKS),
            "admission_attacks_denied": sum(denied(world, each) for each in ATTACKS),
            "admission_everyday": len(EVERYDAY),
            "admission_false_denials": sum(world.tries(each).is_error for each in EVERYDAY),
        }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
