"""Namespaces of a real cluster in which the tree's admission policies hold, under names of their own for one run."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.support.kubernetes_cluster import Cluster

ADMISSION: Final = Path(__file__).resolve().parents[2] / "customization" / "platform" / "admission"
APPROVED, SECOND, WITHDRAWN, STRANGE = (f"registry.example/app@sha256:{digit * 64}" for digit in "abcd")
"""Images that the first namespace's ledger has (``WITHDRAWN`` until the world is set up), and one that it never had."""
ELSEWHERE: Final = f"registry.example/app@sha256:{'e' * 64}"
"""An image that only the other namespace's ledger has."""
COMMENTED: Final = f"registry.example/app@sha256:{'f' * 64}"
"""An image that a comment of the ledger mentions."""
KEPT: Final = "ledger-reader"
"""The policy that stays in the cluster as it is: without it, the end of a run would blind the API server."""
ARGO_CD: Final = "system:serviceaccount:argocd:argocd-application-controller"
_LABEL: Final = "journeymesh.io/admission-test"
_POLICIES: Final = "/apis/admissionregistration.k8s.io/v1"
_READY_S: Final = 60.0

PLACES: Final = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "PodTemplate": "/api/v1/namespaces/{}/podtemplates",
    "ReplicationController": "/api/v1/namespaces/{}/replicationcontrollers",
    "Service": "/api/v1/namespaces/{}/services",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request to the API server. ``kind`` is how a patch is written; ``user`` is whom it is from, else the test."""

    method: str
    path: str
    body: dict[str, Any]
    kind: str = "application/json"
    user: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Something that is tried: what it is, the request, and, where it must be denied, what the denial says."""

    what: str
    make: Callable[[AdmissionWorld], HttpRequest]
    says: str = ""


class AdmissionWorld:
    """The policies, bound to three namespaces of this run: ``env``, ``other``, and ``bare`` without a ledger."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.env, self.other, self.bare = (f"jm-{name}-{cluster.run}" for name in ("env", "other", "bare"))
        self._made: list[str] = []
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def tries(self, attempt: Attempt) -> httpx.Response:
        """The API server's answer, as if it were done."""
        request = attempt.make(self)
        return self.send(request, dry=True)

    def send(self, request: HttpRequest, *, dry: bool = False) -> httpx.Response:
        """Send it, for real or as a dry run."""
        parameters: dict[str, str] = {"dryRun": "All"} if dry else {}
        if request.kind == "application/apply-patch+yaml":
            parameters |= {"fieldManager": "journeymesh-test", "force": "true"}
        return self.cluster.tell(
            request.method,
            request.path,
            request.body,
            parameters=parameters,
            content_type=request.kind,
            impersonating=request.user,
        )

    def create(self, document: dict[str, Any], namespace: str | None = None, user: str = "") -> HttpRequest:
        """The request that creates it."""
        return HttpRequest("POST", PLACES[document["kind"]].format(namespace or self.env), document, user=user)

    def replace_ledger(self, ledger: dict[str, Any], user: str = "") -> HttpRequest:
        """The request that replaces the ledger of ``env``."""
        return HttpRequest("PUT", PLACES["ConfigMap"].format(self.env) + "/approved-digests", ledger, user=user)

    def ledger(self, *images: str, owner: str = "root-platform-app:/ConfigMap:env/approved-digests") -> dict[str, Any]:
        """A ledger of these images, as Argo CD would apply it for this owner."""
        lines = [f"{image.partition('@')[2]}  app\n" for image in images]
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "approved-digests", "annotations": {"argocd.argoproj.io/tracking-id": owner}},
            "data": {"approved-digests": f"# withdrawn: {COMMENTED.partition('@')[2]}  app\n{''.join(lines)}"},
        }

    def rewrite_ledger(self, *images: str) -> None:
        """Let the ledger of ``env`` have these images and no others, from now on."""
        answer = self.send(self.replace_ledger(self.ledger(*images), ARGO_CD))
        assert answer.status_code == 200, answer.text

    def heal_binding(self, absent_s: float) -> None:
        """Take the ledger's binding away for this long and bring it back."""
        binding = next(
            each
            for each in self._policies()
            if each["metadata"]["name"] == f"approved-digests-{self.cluster.run}" and each["kind"].endswith("Binding")
        )
        place = f"{_POLICIES}/validatingadmissionpolicybindings"
        self.cluster.tell("DELETE", f"{place}/{binding['metadata']['name']}")
        time.sleep(absent_s)
        assert self.cluster.tell("POST", place, binding).status_code == 201

    def becomes(self, request: HttpRequest, status: int) -> bool:
        """Whether the answer to this dry run has the status, now or soon."""
        until = time.monotonic() + _READY_S
        while self.send(request, dry=True).status_code != status:
            if time.monotonic() > until:
                return False
            time.sleep(0.2)
        return True

    def close(self) -> None:
        """Delete what was made."""
        for path in reversed(self._made):
            self.cluster.tell("DELETE", path)

    def _set_up(self) -> None:
        for name in (self.env, self.other, self.bare):
            labels = {_LABEL: self.cluster.run, "pod-security.kubernetes.io/enforce": "restricted"}
            self._make("/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name, "labels": labels}})
            account = {"kind": "ServiceAccount", "metadata": {"name": "default"}}  # a controller makes it, in its time
            answer = self.cluster.tell("POST", PLACES["ServiceAccount"].format(name), account)
            assert answer.status_code in (201, 409), answer.text
        self._real(self.ledger(APPROVED, SECOND, WITHDRAWN))
        self._real(self.ledger(ELSEWHERE), self.other)
        self._real({"kind": "ServiceAccount", "metadata": {"name": "asks"}})
        self._real(
            {"kind": "ServiceAccount", "metadata": {"name": "testkube-e2e"}, "automountServiceAccountToken": False}
        )
        for document in held_objects():
            self._real(document)
        for document in self._policies():
            plural = "validatingadmissionpolicies"
            if document["kind"].endswith("Binding"):
                plural = "validatingadmissionpolicybindings"
            if document["metadata"]["name"] == KEPT:
                answer = self.cluster.tell("POST", f"{_POLICIES}/{plural}", document)
                assert answer.status_code in (201, 409), answer.text
            else:
                self._make(f"{_POLICIES}/{plural}", document)
        self._await_policies()
        self.rewrite_ledger(APPROVED, SECOND)
        self._await(self.create(pod("late", WITHDRAWN)), "not approved")

    def _policies(self) -> list[dict[str, Any]]:
        """The tree's own, renamed and bound to this run's namespaces."""
        found: list[dict[str, Any]] = []
        for path in sorted(ADMISSION.glob("*.yaml")):
            for document in yaml.safe_load_all(path.read_text("utf-8")):
                if document["kind"] == "Kustomization":
                    continue
                if document["metadata"]["name"] == KEPT:
                    found.insert(0, document)
                    continue
                document["metadata"]["name"] += f"-{self.cluster.run}"
                if document["kind"].endswith("Binding"):
                    document["spec"]["policyName"] += f"-{self.cluster.run}"
                    selector = {"matchLabels": {_LABEL: self.cluster.run}}
                    document["spec"]["matchResources"]["namespaceSelector"] = selector
                found.append(document)
        return found

    def _await_policies(self) -> None:
        """The API server learns of policies a moment after they are made."""
        self._await(self.create(pod("early", STRANGE)), "not approved")
        self._await(self.create(self.ledger(owner="")), "belongs to root-platform-app")
        service = {
            "kind": "Service",
            "metadata": {"name": "early"},
            "spec": {"type": "NodePort", "ports": [{"port": 1}]},
        }
        self._await(self.create(service), "only Service gatewayapi")
        self._await(self.create(pod("early", APPROVED, automountServiceAccountToken=None)), "automount")
        self._await(self.create(fence(ingress=[{}])), "comes from git")

    def _await(self, request: HttpRequest, says: str) -> None:
        until = time.monotonic() + _READY_S
        while says not in (answer := self.send(request, dry=True)).text:
            assert time.monotonic() < until, (
                f"the policy does not take hold: {answer.status_code} {answer.text}"
                " (no params found: the API server reads no ConfigMaps any more, kubernetes#130887; restart it)"
            )
            time.sleep(0.2)

    def _real(self, document: dict[str, Any], namespace: str | None = None) -> None:
        self._make(PLACES[document["kind"]].format(namespace or self.env), document)

    def _make(self, place: str, document: dict[str, Any]) -> None:
        answer = self.cluster.tell("POST", place, document)
        assert answer.status_code == 201, f"{document['kind']}: {answer.text}"
        self._made.append(f"{place}/{document['metadata']['name']}")


def pod(name: str, image: str, **spec: Any) -> dict[str, Any]:
    """A Pod that Pod Security would let in and that is never scheduled. A field that is None is left out."""
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod_spec(image, **spec)}


def pod_spec(image: str, **spec: Any) -> dict[str, Any]:
    """What a Pod is made of."""
    whole = {
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": "journeymesh.io/never"}],
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container("app", image)],
    } | spec
    return {key: value for key, value in whole.items() if value is not None}


def container(name: str, image: str, **fields: Any) -> dict[str, Any]:
    """A container that Pod Security would let in."""
    fenced = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {"name": name, "image": image, "securityContext": fenced} | fields


def workload(kind: str, image: str, name: str = "it", **spec: Any) -> dict[str, Any]:
    """An object of this kind with one Pod template; as few Pods as the kind allows."""
    labels = {"app": name}
    inner = pod_spec(image, **spec)
    template = {"metadata": {"labels": labels}, "spec": inner}
    selector: dict[str, Any] = {"matchLabels": labels}
    match kind:
        case "Pod":
            return pod(name, image, **spec)
        case "PodTemplate":
            return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, "template": template}
        case "ReplicationController":
            held: dict[str, Any] = {"replicas": 0, "selector": labels, "template": template}
        case "Deployment" | "ReplicaSet":
            held = {"replicas": 0, "selector": selector, "template": template}
        case "StatefulSet":
            held = {"replicas": 0, "selector": selector, "serviceName": name, "template": template}
        case "DaemonSet":
            held = {"selector": selector, "template": template}
        case "Job":
            inner["restartPolicy"] = "Never"
            held = {"suspend": True, "template": {"spec": inner}}
        case "CronJob":
            inner["restartPolicy"] = "Never"
            held = {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": {"spec": inner}}}}
        case _:
            raise ValueError(kind)
    version = {"Job": "batch/v1", "CronJob": "batch/v1", "ReplicationController": "v1"}.get(kind, "apps/v1")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": held}


def job_of_testkube(
    image: str, account: str = "testkube-e2e", labels: dict[str, str] | None = None, **spec: Any
) -> Any:
    """A Job as Testkube's standalone agent makes it: of a token it says nothing. A field that is None is left out."""
    inner = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "serviceAccountName": account,
        "securityContext": {"runAsNonRoot": True, "fsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [{**container("init", image), "command": ["/bin/sh", "-c", "true"]}],
        "containers": [{**container("1", image), "command": ["/.tktw/init", "0"]}],
    } | spec
    said = {"app.kubernetes.io/name": "journeyapi-e2e-candidate", "journeymesh.io/role": "e2e"}
    template = {
        "metadata": {"labels": said if labels is None else labels},
        "spec": {key: value for key, value in inner.items() if value is not None},
    }
    held = {"backoffLimit": 0, "activeDeadlineSeconds": 120, "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "it"}, "spec": held}


def pod_of(job: dict[str, Any]) -> dict[str, Any]:
    """The Pod that the Job's controller makes, never scheduled."""
    template = copy.deepcopy(job["spec"]["template"])
    template["spec"]["schedulingGates"] = [{"name": "journeymesh.io/never"}]
    template["metadata"]["name"] = "it"
    return {"apiVersion": "v1", "kind": "Pod", **template}


READERS: Final = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "readers"}
EVERYBODY: Final = {"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "system:authenticated"}


def fence(name: str = "it", **spec: Any) -> dict[str, Any]:
    """A NetworkPolicy for every pod."""
    held = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} | spec
    version = "networking.k8s.io/v1"
    return {"apiVersion": version, "kind": "NetworkPolicy", "metadata": {"name": name}, "spec": held}


def binding(name: str, *subjects: dict[str, str], role: str = "view") -> dict[str, Any]:
    """A RoleBinding of a ClusterRole."""
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    version = "rbac.authorization.k8s.io/v1"
    held = {"metadata": {"name": name}, "roleRef": reference, "subjects": list(subjects)}
    return {"apiVersion": version, "kind": "RoleBinding"} | held


def held_objects() -> list[dict[str, Any]]:
    """What is in ``env`` before the policies come: approved, and one whose image is withdrawn afterwards."""
    return [
        pod("held", APPROVED),
        workload("Deployment", APPROVED, "held"),
        workload("Deployment", WITHDRAWN, "withdrawn"),
        pod("withdrawn", WITHDRAWN),
        fence("held", ingress=[{"from": [{"podSelector": {}}]}], egress=[{"ports": [{"port": 53}]}]),
        binding("held", READERS),
    ]


def with_images(document: dict[str, Any], **lists: list[dict[str, Any]]) -> dict[str, Any]:
    """A copy of a Pod with these lists of containers."""
    changed = copy.deepcopy(document)
    changed["spec"] |= lists
    return changed
