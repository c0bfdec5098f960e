"""An empty cluster with Argo CD becomes what the tree says: the roots are applied, everything else follows from git.

The platform first: until its namespaces and kinds are there, services could only fail, and a failed sync of a revision
switches Argo CD's healing off for that revision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from journeymesh.delivery.addresses import PLACEHOLDER_REPOSITORY, addresses
from journeymesh.delivery.applications import Application, Json
from journeymesh.delivery.cluster import ARGOCD, Cluster, ClusterUnavailable, opened_cluster
from journeymesh.delivery.pods import not_ready, unwell
from journeymesh.delivery.programs import applied, called
from journeymesh.delivery.rendering import rendered
from journeymesh.delivery.restoring import PLATFORM, Restoring, waves_of
from journeymesh.delivery.sops_sidecar import is_wanted, sidecar
from journeymesh.delivery.tree import Tree
from journeymesh.errors import JourneymeshError, NotFound, UsageError


class ArgoCdMissing(NotFound):
    """The cluster has no Argo CD to bootstrap with."""


class NotHealthyInTime(JourneymeshError):
    """Applications did not become healthy within the time given."""

    exit_code = 7


def bootstrap(
    tree: Tree,
    environments: Sequence[str],
    *,
    wait_s: float = 900.0,
    told: Callable[[list[Application]], None] = lambda _: None,
    again: Callable[[str], None] | None = None,
) -> list[Application]:
    """Apply the roots of the platform and of these environments, and wait until all they bring is healthy.

    Again on a cluster that has them it changes nothing. ``wait_s`` 0 does not wait for the environments. ``told`` is
    called with every change. ``again``: also sync everything anew, with hooks, and hear each step of that.

    Raises:
        UsageError: the tree was not told its repository. ArgoCdMissing: there is no Argo CD.
        NotHealthyInTime: naming what is not.
    """
    if addresses(tree).repository == PLACEHOLDER_REPOSITORY:
        raise UsageError(
            "the tree has no repository URL",
            todo="journeymesh delivery init --repo URL --registry HOST, then commit and push",
        )
    if not called(["kubectl", "get", "crd", "applications.argoproj.io", "--ignore-not-found", "-o", "name"]):
        raise ArgoCdMissing("the cluster has no Argo CD", todo="install it first: docs/how-to/bootstrap-a-cluster")
    end = time.monotonic() + (wait_s or 300.0)
    applied(rendered(tree.bootstrap / "argocd"))
    if is_wanted(tree):
        applied(rendered(sidecar(tree)))
        called(
            ["kubectl", "-n", ARGOCD, "rollout", "status", "deploy/argocd-repo-server", "--timeout=300s"], timeout_s=310
        )
    with opened_cluster() as cluster:
        if again is None:
            _wait(cluster, {PLATFORM}, end, told)
        for environment in environments:
            applied(rendered(tree.bootstrap / environment))
            if again is not None:
                left = max(0.0, end - time.monotonic())
                Restoring(cluster, environment, left, again).run(waves_of(tree, environment))
        if not wait_s:
            return sorted(cluster.applications(), key=lambda each: each.name)
        wanted = {f"root-appbundle-app-{environment}" for environment in environments}
        wanted |= {path.stem for environment in environments for path in tree.applications(environment).glob("*.yaml")}
        return _wait(cluster, wanted, end, told)


def _wait(
    cluster: Cluster, wanted: set[str], end: float, told: Callable[[list[Application]], None]
) -> list[Application]:
    """The Applications of these names, by name, once all of them are settled."""
    states: list[Application] = []
    for states in _changes(cluster, wanted, end):
        told(states)
        if len(states) == len(wanted) and all(state.is_settled for state in states):
            return states
    missing = "; ".join(f"{s.name} {s.sync}/{s.health} {s.trouble}".strip() for s in states if not s.is_settled)
    pods = [
        told
        for place in sorted({s.environment for s in states if s.service})
        for told in not_ready(_those(cluster.pods, place))
    ]
    nodes = unwell(_those(cluster.items, "/api/v1/nodes"))
    raise NotHealthyInTime(
        "; ".join([f"not healthy in time: {missing or 'no Application appeared'}", *nodes, *pods]),
        todo="journeymesh delivery status says more; run bootstrap again to continue waiting",
    )


def _those(asked: Callable[[str], Sequence[Json]], what: str) -> Sequence[Json]:
    """What the cluster answers; nothing, where it does not tell: what is not healthy is said anyway."""
    try:
        return asked(what)
    except ClusterUnavailable:
        return []


def _changes(cluster: Cluster, wanted: set[str], end: float) -> Iterator[list[Application]]:
    """The states whenever they differ from before, until the end; the last ones once more."""
    before: list[Application] | None = None
    while time.monotonic() < end:
        try:
            found = cluster.applications()
        except ClusterUnavailable:
            if before is None:
                raise
            found = before  # an API server that does not answer once is asked again
        states = sorted((each for each in found if each.name in wanted), key=lambda each: each.name)
        if states != before:
            yield states
            before = states
        time.sleep(1.0)
    yield before or []
