"""A real API server takes what a workload renders to, in a namespace that enforces `restricted`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.support.kubernetes_cluster import Cluster, cluster_for_tests
from tests.support.trees import REPOSITORY, a_tree, begun

from journeymesh.delivery.rendering import rendered_objects

LANGUAGES = ("python", "node", "java", "go", "dotnet")
WITHOUT_DEFINITION = ("HTTPRoute", "ServiceMonitor")
"""Kinds that a bare cluster does not know; their own schemas check them."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    with closing(cluster_for_tests(tmp_path_factory.mktemp("cluster"))) as held:
        yield held


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> str:
    name = f"jm-workloads-{cluster.run}"
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.make({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": modes}})
    return name


def dry_run(namespace: str, objects: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", "apply", "--dry-run=server", "--server-side", "--namespace", namespace, "-f", "-"],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_object_is_accepted_without_a_warning(language: str, namespace: str, tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    components = ("hpa",) if language == "go" else ()
    begun(tree, language, image=None, source=REPOSITORY / "examples" / "workloads" / language, components=components)
    held = [each for each in rendered_objects(tree.overlay(language, "prod")) if each["kind"] not in WITHOUT_DEFINITION]
    for each in held:
        each["metadata"]["namespace"] = namespace
    done = dry_run(namespace, held)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) == len(held)


def test_the_namespace_would_have_warned_of_a_pod_that_is_not_restricted(namespace: str, tmp_path: Path) -> None:
    tree = a_tree(tmp_path)
    begun(tree)
    held = [each for each in rendered_objects(tree.overlay("hello", "dev")) if each["kind"] == "Deployment"]
    for each in held:
        each["metadata"]["namespace"] = namespace
        each["spec"]["template"]["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    done = dry_run(namespace, held)
    assert "would violate PodSecurity" in done.stderr
