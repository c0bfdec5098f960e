from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from journeymesh.delivery.cluster import ClusterUnavailable
from journeymesh.delivery.release import running
from journeymesh.delivery.release.approved import ApprovedDigests
from journeymesh.delivery.release.refusal import ReleaseRefused
from journeymesh.delivery.release.running import await_approval, containers_of, require_approved
from journeymesh.delivery.tree import Tree
from tests.support.released_trees import ONE, THREE, TWO

NOBODY_LISTENS = """\
apiVersion: v1
kind: Config
current-context: c
clusters: [{name: c, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
"""


def pod(name: str, *image_ids: str, phase: str = "Running", kind: str = "containerStatuses") -> dict[str, Any]:
    statuses = [{"name": f"c{number}", "image": "x", "imageID": each} for number, each in enumerate(image_ids)]
    return {"metadata": {"name": name}, "status": {"phase": phase, kind: statuses}}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    found = Tree(tmp_path.resolve())
    ApprovedDigests(found, "dev").approve(ONE, "journeymesh")
    return found


def test_what_runs_as_approved_passes(tree: Tree) -> None:
    require_approved(tree, "dev", containers_of([pod("a", f"registry.example/journeymesh@{ONE}", ONE)]))


@pytest.mark.parametrize("kind", ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"])
def test_every_container_that_runs_something_else_is_named(tree: Tree, kind: str) -> None:
    pods = [pod("a", f"x@{TWO}", f"x@{ONE}", kind=kind), pod("b", THREE, kind=kind)]
    with pytest.raises(ReleaseRefused) as refused:
        require_approved(tree, "dev", containers_of(pods))
    told = str(refused.value)
    assert f"pod a, container c0: x@{TWO}" in told
    assert f"pod b, container c0: {THREE}" in told
    assert ONE not in told


def test_an_image_id_without_a_digest_is_not_approved(tree: Tree) -> None:
    with pytest.raises(ReleaseRefused):
        require_approved(tree, "dev", containers_of([pod("a", "docker-pullable://x:latest")]))


def test_what_ended_or_did_not_start_does_not_run() -> None:
    pods = [
        pod("a", THREE, phase="Succeeded"),
        pod("b", THREE, phase="Failed"),
        pod("c", ""),
        {"metadata": {"name": "d"}},
    ]
    assert containers_of(pods) == []


def answering(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], dict[str, Any]]) -> None:
    """Let a cluster answer every question so."""

    @contextmanager
    def opened() -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(ask=lambda *_: ask())

    monkeypatch.setattr(running, "opened_cluster", opened)
    monkeypatch.setattr(running, "_POLL_S", 0.0)


def test_a_promotion_waits_until_the_cluster_knows_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["", f"# {ONE}\n", f"{ONE}  journeymesh\n"])
    answering(monkeypatch, lambda: {"data": {"approved-digests": next(answers)}})
    await_approval("dev", {ONE}, 30)
    assert next(answers, None) is None


def test_a_promotion_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, dict)
    with pytest.raises(ReleaseRefused, match="root-platform-app"):
        await_approval("dev", {ONE}, 0.01)


def test_a_cluster_that_is_not_there_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterUnavailable, match="KUBECONFIG"):
        running.running_containers("dev")


def test_a_cluster_that_does_not_answer_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(NOBODY_LISTENS, "utf-8")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    with pytest.raises(ClusterUnavailable, match="KUBECONFIG"):
        running.running_containers("dev")
