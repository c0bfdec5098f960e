"""A tree that a real API server is asked about: what it would refuse is told by file and line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.kubernetes_cluster import Cluster, cluster_for_tests
from tests.support.one_service import Objects, needs_kustomize, objects, written

from journeymesh.delivery.checks.checking import findings
from journeymesh.delivery.checks.findings import Finding
from journeymesh.delivery.checks.subject import Subject

pytestmark = [needs_kustomize, pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")]
RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
Asked = Callable[[Callable[[Objects], None]], list[Finding]]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    held = cluster_for_tests(tmp_path_factory.mktemp("cluster"))
    labels = {"name": f"jm-check-{held.run}", "labels": RESTRICTED}
    held.make({"apiVersion": "v1", "kind": "Namespace", "metadata": labels})
    yield held
    held.close()


@pytest.fixture
def asked(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the server says of the small tree after a change, in a namespace of this run that restricts pods."""
    if "JOURNEYMESH_TEST_KUBECONFIG" in os.environ:
        monkeypatch.setenv("KUBECONFIG", os.environ["JOURNEYMESH_TEST_KUBECONFIG"])

    def told(change: Callable[[Objects], None]) -> list[Finding]:
        held = objects()
        change(held)
        tree = written(tmp_path, held, {"namespace": f"jm-check-{cluster.run}"})
        shutil.rmtree(tree.customization / "apps-children")  # a cluster for tests need not have Argo CD
        return findings(Subject(tree, ("dev",), asks_server=True), ["server-accepts"])

    return told


def test_a_tree_without_faults_is_taken(asked: Asked):
    assert asked(lambda held: None) == []


def test_what_no_schema_says_the_server_refuses_by_its_line(asked: Asked, tmp_path: Path):
    def change(held: Objects) -> None:
        held["stable"]["spec"]["selector"]["matchLabels"]["app.kubernetes.io/name"] = "greeting"

    [fault] = asked(change)
    assert fault.path == "customization/services/greeter/base/stable.yaml"
    assert "`selector` does not match template `labels`" in fault.what
    assert (tmp_path / fault.path).read_text("utf-8").splitlines()[fault.line - 1].strip().startswith("labels")


def test_pods_that_could_never_start_are_told(asked: Asked):
    def change(held: Objects) -> None:
        held["stable"]["spec"]["template"]["spec"]["hostNetwork"] = True

    assert any("would violate PodSecurity" in fault.what and "hostNetwork" in fault.what for fault in asked(change))
