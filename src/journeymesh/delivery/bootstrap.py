"""An empty cluster with Argo CD becomes what the tree says: the roots are applied, everything else follows from git.

The platform first: until its namespaces and kinds are there, services could only fail, and a failed sync of a revision
switches Argo CD's healing off for that revision.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.addresses import PLACEHOLDER_REPOSITORY, addresses
from journeymesh.delivery.programs import called
from journeymesh.delivery.rendering import rendered
from journeymesh.delivery.sops_sidecar import is_wanted, sidecar
from journeymesh.delivery.tree import Tree
from journeymesh.errors import JourneymeshError, NotFound, UsageError

PLATFORM: Final = "root-platform-app"
ARGOCD: Final = "argocd"


class ArgoCdMissing(NotFound):
    """The cluster has no Argo CD to bootstrap with."""


class NotHealthyInTime(JourneymeshError):
    """Applications did not become healthy within the time given."""

    exit_code = 7


@dataclass(frozen=True, slots=True)
class ApplicationState:
    """One Application as Argo CD sees it now. ``message``: why it is not settled, in Argo CD's own words."""

    name: str
    sync: str
    health: str
    message: str
    is_syncing: bool

    @property
    def is_settled(self) -> bool:
        """As it should be, and its gates are through: Argo CD calls it healthy while its last hooks still run."""
        return self.sync == "Synced" and self.health == "Healthy" and not self.is_syncing


def bootstrap(
    tree: Tree,
    environments: Sequence[str],
    *,
    wait_s: float = 900.0,
    told: Callable[[list[ApplicationState]], None] = lambda _: None,
) -> list[ApplicationState]:
    """Apply the roots of the platform and of these environments, and wait until all they bring is healthy.

    Again on a cluster that has them it changes nothing. ``wait_s`` 0 does not wait for the environments. ``told`` is
    called with every change.

    Raises:
        UsageError: the tree was not told its repository. ArgoCdMissing: there is no Argo CD.
        NotHealthyInTime: naming what is not.
    """
    if addresses(tree).repository == PLACEHOLDER_REPOSITORY:
        raise UsageError(
            "the tree does not know its own address",
            todo="journeymesh delivery init --repo URL --registry HOST, then commit and push",
        )
    if not called(["kubectl", "get", "crd", "applications.argoproj.io", "--ignore-not-found", "-o", "name"]):
        raise ArgoCdMissing("the cluster has no Argo CD", todo="install it first: docs/how-to/bootstrap-a-cluster")
    end = time.monotonic() + (wait_s or 300.0)
    _apply(rendered(tree.bootstrap / "argocd"))
    if is_wanted(tree):
        _apply(rendered(sidecar(tree)))
        called(
            ["kubectl", "-n", ARGOCD, "rollout", "status", "deploy/argocd-repo-server", "--timeout=300s"], timeout_s=310
        )
    _wait(lambda state: state.name == PLATFORM, 1, end, told)
    for environment in environments:
        _apply(rendered(tree.bootstrap / environment))
    if not wait_s:
        return application_states()
    wanted = {f"root-appbundle-app-{environment}" for environment in environments}
    wanted |= {path.stem for environment in environments for path in tree.applications(environment).glob("*.yaml")}
    return _wait(lambda state: state.name in wanted, len(wanted), end, told)


def application_states() -> list[ApplicationState]:
    """Every Application of the cluster, by name."""
    found = json.loads(called(["kubectl", "-n", ARGOCD, "get", "applications.argoproj.io", "-o", "json"]))
    return sorted((_state(item) for item in found["items"]), key=lambda state: state.name)


def _state(item: dict[str, Any]) -> ApplicationState:
    status = item.get("status") or {}
    operation = status.get("operationState") or {}
    told = [condition["message"] for condition in status.get("conditions") or [] if "Error" in condition["type"]]
    if operation.get("phase") not in (None, "Succeeded") and operation.get("message"):
        told.append(operation["message"])
    return ApplicationState(
        name=item["metadata"]["name"],
        sync=(status.get("sync") or {}).get("status", "Unknown"),
        health=(status.get("health") or {}).get("status", "Missing"),
        message="; ".join(told),
        is_syncing=operation.get("phase") in ("Running", "Terminating"),
    )


def _apply(manifests: str) -> None:
    """A manager of our own: under kubectl's name we would take back what the installation of Argo CD applied."""
    argv = ["kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager", "journeymesh", "-f", "-"]
    called(argv, given=manifests)


def _wait(
    concerns: Callable[[ApplicationState], bool],
    expected: int,
    end: float,
    told: Callable[[list[ApplicationState]], None],
) -> list[ApplicationState]:
    """The Applications concerned, once all of them are settled."""
    states: list[ApplicationState] = []
    for states in _changes(concerns, end):
        told(states)
        if len(states) >= expected and all(state.is_settled for state in states):
            return states
    missing = "; ".join(f"{s.name} {s.sync}/{s.health} {s.message}".strip() for s in states if not s.is_settled)
    raise NotHealthyInTime(
        f"not healthy in time: {missing or 'no Application appeared'}",
        todo="journeymesh delivery status says more; call bootstrap again to go on waiting",
    )


def _changes(concerns: Callable[[ApplicationState], bool], end: float) -> Iterator[list[ApplicationState]]:
    """The states whenever they differ from before, until the end; the last ones once more."""
    before: list[ApplicationState] | None = None
    while time.monotonic() < end:
        states = [state for state in application_states() if concerns(state)]
        if states != before:
            yield states
            before = states
        time.sleep(1.0)
    yield before or []
