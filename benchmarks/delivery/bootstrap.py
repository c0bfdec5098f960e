"""An empty cluster with Argo CD becomes the whole bundle: how long it takes, and by how many commands."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.delivery.stage import Stage, say, until
from journeymesh.delivery.cluster import APPLICATIONS

COMMANDS = ("journeymesh delivery init --repo URL --registry HOST (and its commit)", "journeymesh delivery bootstrap")
EMPTY_S, HEALTHY_S = 600.0, 1200.0


def emptied(stage: Stage) -> None:
    """Delete the roots, what they brought, and the environment's namespace."""
    for name in (f"root-appbundle-app-{stage.environment}", "root-platform-app"):
        if stage.live(f"{APPLICATIONS}/{name}"):
            stage.cluster.ask("DELETE", f"{APPLICATIONS}/{name}")
            until(f"{name} gone", lambda name=name: stage.live(f"{APPLICATIONS}/{name}") is None, EMPTY_S, 1.0)
    namespace = f"/api/v1/namespaces/{stage.environment}"
    if stage.live(namespace):
        stage.cluster.ask("DELETE", namespace)
        until(f"namespace {stage.environment} gone", lambda: stage.live(namespace) is None, EMPTY_S, 1.0)


def bootstrap(stage: Stage) -> dict[str, Any]:
    """Empty the cluster of the bundle, bootstrap it, and say how long that took until every Application was healthy."""
    emptied(stage)
    say("bootstrap: the cluster is empty")
    began = time.monotonic()
    argv = [sys.executable, "-m", "journeymesh", "delivery", "bootstrap", "--env", stage.environment]
    subprocess.run(
        [*argv, "--tree", str(stage.clone.folder), "--wait-s", str(int(HEALTHY_S))],
        check=True,
        cwd=Path(__file__).parents[2],
        stdout=sys.stderr,
    )
    took_s = time.monotonic() - began
    count = sum(1 for each in stage.cluster.applications() if each.environment == stage.environment or not each.service)
    return {"bootstrap_s": took_s, "applications": count, "commands": len(COMMANDS)}
