"""What really runs in the cluster beside what the ledger allows."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.cluster import Cluster, ClusterUnavailable, opened_cluster
from journeymesh.delivery.release.approved import FILE, ApprovedDigests, entries_of
from journeymesh.delivery.release.refusal import ReleaseRefused, refuse_if
from journeymesh.delivery.tree import Tree

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_POLL_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class RunningContainer:
    """A container that has started. ``image`` is what was asked for, ``image_id`` what the runtime says it runs."""

    pod: str
    container: str
    image: str
    image_id: str

    @property
    def digest(self) -> str:
        """The digest of what runs."""
        found = _DIGEST.search(self.image_id)
        return found[0] if found else ""


def running_containers(environment: str) -> list[RunningContainer]:
    """The containers that have started in an environment's namespace, init and ephemeral ones included.

    Raises:
        ClusterUnavailable: there is no answer.
    """
    with opened_cluster() as cluster:
        return containers_of(cluster.pods(environment))


def containers_of(pods: Iterable[dict[str, Any]]) -> list[RunningContainer]:
    """The containers of these Pod objects that have started. Pods that ended are history, not what runs."""
    found = []
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("phase") in ("Succeeded", "Failed"):
            continue
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
            for each in status.get(kind) or ():
                if each.get("imageID"):
                    found.append(
                        RunningContainer(pod["metadata"]["name"], each["name"], each.get("image", ""), each["imageID"])
                    )
    return found


def require_approved(tree: Tree, environment: str, containers: Iterable[RunningContainer]) -> None:
    """Refuse what the ledger in git does not allow.

    Raises:
        ReleaseRefused: naming every container that runs something else.
    """
    approved = ApprovedDigests(tree, environment).digests()
    strangers = [
        f"pod {each.pod}, container {each.container}: {each.image_id}"
        for each in containers
        if each.digest not in approved
    ]
    refuse_if(
        strangers,
        f"{environment} runs what is not approved",
        "delete these pods; release their images if they are meant to run",
    )


def await_approval(environment: str, digests: set[str], seconds: float) -> None:
    """Wait until the cluster's ledger has these digests.

    Raises:
        ReleaseRefused: it does not in that time; the approval is pushed, the pin is not.
    """
    until = time.monotonic() + seconds
    with opened_cluster() as cluster:
        while missing := digests - _approved_in_cluster(cluster, environment):
            if time.monotonic() > until:
                told = ", ".join(sorted(missing))
                raise ReleaseRefused(
                    f"the cluster's ledger in {environment} does not have {told} after {seconds:g} s",
                    todo="check that root-platform-app syncs, then pull and try again",
                )
            time.sleep(_POLL_S)


def _approved_in_cluster(cluster: Cluster, environment: str) -> frozenset[str]:
    try:
        held = cluster.ask("GET", f"/api/v1/namespaces/{environment}/configmaps/{FILE}")
    except ClusterUnavailable:
        return frozenset()
    text = str((held.get("data") or {}).get(FILE, ""))
    return frozenset(digest for digest, _ in entries_of(text, f"ConfigMap {FILE} in {environment}"))
