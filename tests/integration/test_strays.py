"""What was added by hand to a real namespace is told, and the commands that are told remove it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.support.kubernetes_cluster import cluster_for_tests

from journeymesh.delivery.cluster import opened_cluster
from journeymesh.delivery.strays import Stray, strays

SCALER = {
    "apiVersion": "autoscaling/v2",
    "kind": "HorizontalPodAutoscaler",
    "metadata": {"name": "greeter"},
    "spec": {"maxReplicas": 9, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "greeter"}},
}


@pytest.fixture
def namespace(tmp_path: Path) -> Iterator[str]:
    cluster = cluster_for_tests(tmp_path)
    with closing(cluster):
        name = f"jm-strays-{cluster.run}"
        cluster.ask("POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": name}})
        yield name
        cluster.tell("DELETE", f"/api/v1/namespaces/{name}")


def kubeconfig() -> Path:
    return Path(os.environ.get("JOURNEYMESH_TEST_KUBECONFIG") or os.environ["KUBECONFIG"])


def kubectl(*argv: str, given: str = "") -> None:
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig())}
    done = subprocess.run(["kubectl", *argv], input=given, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr


def found(namespace: str) -> list[Stray]:
    with opened_cluster(kubeconfig()) as cluster:
        return strays(cluster, namespace)


def test_objects_and_fields_are_told_and_their_commands_remove_them(namespace: str) -> None:
    notes = {"argocd.argoproj.io/tracking-id": f"greeter-app-dev:/Secret:{namespace}/greeter"}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "greeter", "annotations": notes},
        "stringData": {"password": "one"},
    }
    kubectl("-n", namespace, "apply", "--server-side", "--field-manager", "argocd-controller", "-f", "-",
            given=yaml.safe_dump(secret))  # fmt: skip
    assert found(namespace) == []

    added = '{"data": {"extra": "eA=="}, "metadata": {"finalizers": ["example.com/stuck"], "labels": {"a/b": "c"}}}'
    kubectl("-n", namespace, "patch", "secret", "greeter", "--type", "merge", "--patch", added)
    kubectl("-n", namespace, "create", "-f", "-", given=yaml.safe_dump(SCALER))
    kubectl("-n", namespace, "create", "configmap", "it", "--from-literal", "a=b")
    told = found(namespace)
    print(*told, sep="\n")
    assert [each.application for each in told] == ["", "", "greeter-app-dev"]
    assert "ConfigMap/it" in told[0].what
    assert "HorizontalPodAutoscaler/greeter" in told[1].what
    assert all(place in told[2].what for place in ("data.extra", "metadata.finalizers[0]", "metadata.labels.a/b"))

    environment = {**os.environ, "KUBECONFIG": str(kubeconfig())}
    for each in told:
        done = subprocess.run(each.command, shell=True, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
    assert found(namespace) == []
