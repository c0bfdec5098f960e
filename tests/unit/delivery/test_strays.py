"""What somebody added by hand, beyond what git says: each thing is told, with the command that removes it."""

from __future__ import annotations

import copy
import json
import shlex
from typing import Any

import pytest

from journeymesh.delivery.applications import application
from journeymesh.delivery.cluster import ClusterUnavailable
from journeymesh.delivery.status import Seen, rows
from journeymesh.delivery.strays import Listed, Stray, of_listing, strays

TRACKED = {"argocd.argoproj.io/tracking-id": "greeter-app-dev:apps/Deployment:dev/greeter"}


def wrote(manager: str, fields: dict[str, Any], subresource: str = "") -> dict[str, Any]:
    entry = {"manager": manager, "operation": "Update", "fieldsV1": fields}
    return entry | ({"subresource": subresource} if subresource else {})


ARGO_CD = wrote(
    "argocd-controller",
    {
        "f:metadata": {"f:annotations": {"f:argocd.argoproj.io/tracking-id": {}}, "f:labels": {"f:app": {}}},
        "f:spec": {
            "f:replicas": {},
            "f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:name": {}, "f:image": {}}}}},
        },
        "f:data": {"f:password": {}},
    },
)


def shown(**metadata: Any) -> dict[str, Any]:
    """An object that Argo CD brings, as the cluster has it."""
    held = {"name": "greeter", "namespace": "dev", "annotations": dict(TRACKED), "labels": {"app": "greeter"}}
    pod = {"spec": {"containers": [{"name": "app", "image": "one"}]}}
    return {
        "metadata": {**held, "managedFields": [ARGO_CD], **metadata},
        "spec": {"replicas": 1, "template": pod},
        "data": {"password": "c2VjcmV0"},
    }


def told(each: dict[str, Any], kind: str = "Deployment", resource: str = "deployments.apps") -> list[Stray]:
    return list(of_listing(Listed(resource, kind, (each,)), "dev"))


def removed(each: dict[str, Any], stray: Stray) -> dict[str, Any]:
    """The object after the command's patch."""
    argv = shlex.split(stray.command)
    assert argv[:5] == ["kubectl", "-n", "dev", "patch", "deployments.apps"]
    result = copy.deepcopy(each)
    for operation in json.loads(argv[argv.index("--patch") + 1]):
        assert operation["op"] == "remove"
        *above, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        place: Any = result
        for step in above:
            place = place[int(step)] if isinstance(place, list) else place[step]
        del place[int(last) if isinstance(place, list) else last]
    return result


def test_nothing_is_said_of_what_argo_cd_and_kubernetes_wrote() -> None:
    kubernetes = wrote(
        "kube-controller-manager", {"f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}
    )
    scaled = wrote("somebody", {"f:spec": {"f:replicas": {}}}, subresource="scale")
    each = shown(managedFields=[ARGO_CD, kubernetes, scaled])
    each["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    assert told(each) == []


@pytest.mark.parametrize("itself", [{}, {".": {}}], ids=["map of another", "map of its own"])
def test_a_restart_by_kubectl_is_no_addition(itself: dict[str, Any]) -> None:
    annotations = {**itself, "f:kubectl.kubernetes.io/restartedAt": {}}
    fields = {"f:template": {"f:metadata": {"f:annotations": annotations}}}
    each = shown(managedFields=[ARGO_CD, wrote("kubectl-rollout", {"f:spec": fields})])
    each["spec"]["template"]["metadata"] = {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}
    assert told(each) == []


ADDED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a finalizer": (
        {"f:metadata": {"f:finalizers": {".": {}, 'v:"example.com/stuck"': {}}}},
        {"metadata": {"finalizers": ["example.com/stuck"]}},
        "metadata.finalizers[0]",
    ),
    "a further key": ({"f:data": {"f:extra": {}}}, {"data": {"extra": "eA=="}}, "data.extra"),
    "a label with a slash": (
        {"f:metadata": {"f:labels": {"f:example.com/~seen": {}}}},
        {"metadata": {"labels": {"example.com/~seen": "yes"}}},
        "metadata.labels.example.com/~seen",
    ),
    "a sidecar": (
        {
            "f:spec": {
                "f:template": {"f:spec": {"f:containers": {'k:{"name":"spy"}': {".": {}, "f:name": {}, "f:image": {}}}}}
            }
        },
        {"spec": {"template": {"spec": {"containers": [{"name": "spy", "image": "two"}]}}}},
        "spec.template.spec.containers[1]",
    ),
    "a field of a container": (
        {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"app"}': {"f:workingDir": {}}}}}}},
        {"spec": {"template": {"spec": {"containers": [{"workingDir": "/"}]}}}},
        "spec.template.spec.containers[0].workingDir",
    ),
    "a field that Argo CD has no part of": (
        {"f:spec": {"f:strategy": {"f:type": {}}}},
        {"spec": {"strategy": {"type": "Recreate"}}},
        "spec.strategy",
    ),
}


def _merge(into: Any, what: Any, named: bool = False) -> None:
    for key, value in what.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, list) and isinstance(into.get(key), list):
            for item in value:
                if "name" in item:
                    into[key].append(item)
                else:
                    into[key][0].update(item)
        else:
            into[key] = value


@pytest.mark.parametrize(("fields", "value", "place"), ADDED.values(), ids=ADDED)
def test_each_kind_of_field_that_was_added_is_told_and_its_command_removes_it(
    fields: dict[str, Any], value: dict[str, Any], place: str
) -> None:
    before = shown()
    each = copy.deepcopy(before)
    each["metadata"]["managedFields"].append(wrote("kubectl-edit", fields))
    _merge(each, copy.deepcopy(value))
    (stray,) = told(each)
    assert stray.application == "greeter-app-dev"
    assert stray.what == f"added by hand (kubectl-edit) to Deployment/greeter: {place}"
    after = removed(each, stray)
    assert (after["spec"], after["data"]) == (before["spec"], before["data"])
    assert after["metadata"]["labels"] == before["metadata"]["labels"]
    assert not after["metadata"].get("finalizers")


def test_all_of_them_at_once_are_removed_by_one_command() -> None:
    each = shown()
    for fields, value, _ in ADDED.values():
        each["metadata"]["managedFields"].append(wrote("kubectl-edit", fields))
        _merge(each, copy.deepcopy(value))
    (stray,) = told(each)
    after = removed(each, stray)
    assert (after["spec"], after["data"]) == (shown()["spec"], shown()["data"])


def test_what_is_not_there_any_more_is_not_told() -> None:
    each = shown(managedFields=[ARGO_CD, wrote("kubectl-edit", {"f:data": {"f:extra": {}}})])
    assert told(each) == []


def test_an_object_that_no_application_brings_is_told_with_who_made_it() -> None:
    each = {"metadata": {"name": "it", "managedFields": [wrote("kubectl-autoscale", {})]}}
    (stray,) = told(each, "HorizontalPodAutoscaler", "horizontalpodautoscalers.autoscaling")
    assert str(stray) == (
        "added by hand (kubectl-autoscale): HorizontalPodAutoscaler/it, which belongs to no Application; "
        "remove it: kubectl -n dev delete horizontalpodautoscalers.autoscaling it"
    )


@pytest.mark.parametrize(
    ("kind", "metadata"),
    [
        ("Pod", {"name": "it", "ownerReferences": [{"kind": "ReplicaSet"}]}),
        ("Job", {"name": "it", "annotations": {"argocd.argoproj.io/hook": "Sync"}}),
        ("ConfigMap", {"name": "kube-root-ca.crt"}),
        ("ServiceAccount", {"name": "default"}),
        ("Service", {"name": "it", "deletionTimestamp": "2026-05-01T08:00:00Z"}),
    ],
)
def test_what_a_controller_makes_is_no_addition(kind: str, metadata: dict[str, Any]) -> None:
    assert told({"metadata": metadata}, kind) == []


class Cluster:
    """Answers for an API server with one group beside the core's, some of it out of reach."""

    def ask(self, method: str, path: str) -> Any:
        listable = {"namespaced": True, "verbs": ["list"]}
        answers: dict[str, Any] = {
            "/apis": {
                "groups": [
                    {"name": "autoscaling", "preferredVersion": {"version": "v2"}},
                    {"name": "away.example", "preferredVersion": {"version": "v1"}},
                ]
            },
            "/api/v1": {
                "resources": [
                    {"name": "secrets", "kind": "Secret", **listable},
                    {"name": "services", "kind": "Service", **listable},
                    {"name": "events", "kind": "Event", **listable},
                    {"name": "pods/log", "kind": "Pod", **listable},
                    {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["list"]},
                ]
            },
            "/apis/autoscaling/v2": {
                "resources": [{"name": "horizontalpodautoscalers", "kind": "HorizontalPodAutoscaler", **listable}]
            },
            "/api/v1/namespaces/dev/services": {"items": [shown()]},
            "/apis/autoscaling/v2/namespaces/dev/horizontalpodautoscalers": {"items": [{"metadata": {"name": "it"}}]},
        }
        if path not in answers:
            raise ClusterUnavailable(f"{method} {path}: forbidden", todo="check the cluster and its RBAC")
        return answers[path]


def test_every_kind_that_can_be_listed_is_looked_at_and_the_others_are_named() -> None:
    words = [str(each) for each in strays(Cluster(), "dev")]
    assert len(words) == 2
    assert "HorizontalPodAutoscaler/it" in words[0]
    assert "what was added by hand is unknown for secrets: no right to list them" in words[1]


def test_the_status_tells_it_with_the_application_that_it_belongs_to_or_with_the_root() -> None:
    def an_application(name: str) -> dict[str, Any]:
        automated = {"automated": {"selfHeal": True}}
        spec = {"destination": {"namespace": "dev"}, "syncPolicy": automated}
        return {"metadata": {"name": name}, "spec": spec, "status": {"sync": {"status": "Synced"}}}

    names = ("greeter-app-dev", "root-appbundle-app-dev")
    found = {"dev": [Stray("greeter-app-dev", "a field", "one"), Stray("", "an object", "two")]}
    seen = Seen([application(an_application(name)) for name in names], strays=found)
    words = {row.application: row.words for row in rows(seen)}
    assert "a field; remove it: one" in words["greeter-app-dev"]
    assert "an object; remove it: two" in words["root-appbundle-app-dev"]
