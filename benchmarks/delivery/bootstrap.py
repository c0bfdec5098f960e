"""An empty cluster with Argo CD becomes the whole bundle: how long it takes, and by how many commands."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.cluster.bring_up import brought_up, missing

from benchmarks.delivery.stage import say
from journeymesh.delivery.cluster import opened_cluster

COMMANDS = ("journeymesh delivery init --repo URL --registry HOST (and its commit)", "journeymesh delivery bootstrap")


def bootstrap(kubeconfig: Path | None) -> dict[str, Any]:
    """Bootstrap the bundle of this checkout on a cluster that has none, and say how long that took until every
    Application was healthy. Building and pushing images is before the clock runs.

    Raises:
        SystemExit: something is missing, or the cluster is not empty.
    """
    if told := missing():
        raise SystemExit(f"the bundle cannot be brought up: {told}")
    with opened_cluster(kubeconfig) as cluster:
        if held := [each.name for each in cluster.applications()]:
            raise SystemExit(f"the cluster is not empty: {', '.join(held)}")
        bundle = brought_up(Path(tempfile.mkdtemp(prefix="journeymesh-e2e-")))
        say(f"bootstrap: {bundle.bootstrap_s:.0f} s; its tree is {bundle.tree}")
        count = len(cluster.applications())
    return {"bootstrap_s": bundle.bootstrap_s, "applications": count, "commands": len(COMMANDS)}
