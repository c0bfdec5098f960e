"""Where the experiments happen: a cluster with Argo CD and the tree, its repository, and how to wait for either."""

from __future__ import annotations

import base64
import copy
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from journeymesh.delivery.applications import Application, application
from journeymesh.delivery.cluster import APPLICATIONS, Cluster, ClusterUnavailable, opened_cluster
from journeymesh.delivery.git import Clone, Signing, cloned

POLL_S = 0.05
UNSTEADY = ("resourceVersion", "uid", "generation", "creationTimestamp", "managedFields", "selfLink", "ownerReferences")
GIVEN = ("clusterIP", "clusterIPs", "healthCheckNodePort")
"""What the API server gives a Service: another one when it was deleted and made again."""


class TookTooLong(RuntimeError):
    """What an experiment waited for did not come."""


def say(words: str) -> None:
    """Progress, for whoever looks on."""
    print(f"{time.strftime('%H:%M:%S')} {words}", file=sys.stderr, flush=True)


def until(what: str, holds: Callable[[], Any], seconds: float, poll_s: float = POLL_S) -> Any:
    """The first true answer.

    Raises:
        TookTooLong: there was none in time.
    """
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise TookTooLong(f"{what}: not within {seconds:g} s")
        time.sleep(poll_s)


@dataclass(slots=True)
class Stage:
    """One environment of a cluster, and a clone of the tree that it follows."""

    cluster: Cluster
    clone: Clone
    environment: str
    gateway: str
    sign: str = ""

    # --- the cluster ---------------------------------------------------------------------------------------------

    def live(self, path: str) -> dict[str, Any] | None:
        """An object as it is now; None: it is not there."""
        try:
            found: dict[str, Any] = self.cluster.ask("GET", path)
        except ClusterUnavailable:
            return None
        return found

    def wanted(self, path: str) -> dict[str, Any] | None:
        """What of an object a tree can want: no status, nothing that the API server counts or gives."""
        return steady(self.live(path))

    def application(self, name: str) -> Application:
        return application(self.cluster.ask("GET", f"{APPLICATIONS}/{name}"))

    def secret(self, name: str, key: str) -> str:
        """A value of a Secret of the environment."""
        held = self.cluster.ask("GET", f"/api/v1/namespaces/{self.environment}/secrets/{name}")["data"]
        return base64.b64decode(held[key]).decode()

    def settled(self, name: str, revision: str = "", seconds: float = 300) -> Application:
        """An Application that is synced and healthy, at this revision where one is given."""

        def is_settled() -> Application | None:
            found = self.application(name)
            failed = found.operation is not None and found.operation.failed
            right = not revision or found.revision == revision
            return found if found.is_settled and right and not failed else None

        found: Application = until(f"{name} settled", is_settled, seconds, 0.5)
        return found

    def caught_up(self, name: str) -> None:
        """Wait until Argo CD has looked at the newest commit: what it has not seen yet would fail with what follows."""
        before = self.cluster.ask("GET", f"{APPLICATIONS}/{name}").get("status", {}).get("reconciledAt", "")
        self.cluster.refresh(name)

        def looked() -> bool:
            status = self.cluster.ask("GET", f"{APPLICATIONS}/{name}").get("status", {})
            return bool(status.get("reconciledAt", "") != before)

        until(f"{name} looked at again", looked, 60, 0.25)
        time.sleep(1.0)

    def quiet(self, name: str) -> None:
        """Wait until Argo CD's backoff between two heals of one Application would not be seen: 2 s, then threefold."""
        last = self.application(name).operation
        if last is None or not last.heals or not last.finished_at:
            return
        waited = time.time() - _epoch(last.finished_at)
        needed = min(2.0 * 3 ** (last.heals - 1), 300.0) + 1.0
        if waited < min(needed, 331.0):
            say(f"  {name} was healed {last.heals} times: waiting {needed - waited:.0f} s")
            time.sleep(needed - waited)

    # --- the repository ------------------------------------------------------------------------------------------

    def overlay(self, service: str) -> Path:
        return self.clone.folder / "customization" / "services" / service / "overlays" / self.environment

    def edit(self, service: str, change: Callable[[dict[str, Any]], None], subject: str) -> str:
        """Commit and push a change of an overlay's kustomization. Returns the commit."""
        self.clone.freshen()
        path = self.overlay(service) / "kustomization.yaml"
        content = yaml.safe_load(path.read_text("utf-8"))
        change(content)
        path.write_text(yaml.safe_dump(content, sort_keys=False, width=120), "utf-8")
        return self.push(subject)

    def push(self, subject: str) -> str:
        """Commit whatever changed in the clone, and push it."""
        self.clone.git("add", "--all")
        self.clone.git("commit", "--quiet", "--message", subject)
        return self.clone.push()

    def take_back(self, to: str, service: str, subject: str) -> str:
        """Let a service's folder be what it was in a commit."""
        self.clone.freshen()
        self.clone.git("checkout", "--quiet", to, "--", f"customization/services/{service}")
        if self.clone.asked("diff", "--cached", "--quiet"):
            return self.clone.head()
        return self.push(subject)


@contextmanager
def staged(
    repository: str, environment: str, gateway: str, *, kubeconfig: Path | None = None, sign: str = "", branch: str = ""
) -> Iterator[Stage]:
    """A stage for as long as the block takes."""
    signing = Signing("Journeymesh benchmarks", "benchmarks@journeymesh.invalid", sign)
    with opened_cluster(kubeconfig) as cluster, cloned(repository, branch, signing) as clone:
        yield Stage(cluster, clone, environment, gateway, sign)


@contextmanager
def guarded(stage: Stage, log: Path, *options: str) -> Iterator[None]:
    """The guard at its work, as a process of its own."""
    log.parent.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "journeymesh", "delivery", "guard", "--repo", stage.clone.url, "--env"]
    signed = ["--sign", stage.sign] if stage.sign else ["--unsigned"]
    argv += [stage.environment, "--push", "--interval", "1", *signed, *options]
    with log.open("a") as file:
        process = subprocess.Popen(argv, stdout=file, stderr=file)
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def steady(document: dict[str, Any] | None) -> dict[str, Any] | None:
    """An object without what nobody can want."""
    if document is None or document.get("metadata", {}).get("deletionTimestamp"):
        return None
    found = copy.deepcopy(document)
    found.pop("status", None)
    metadata = found["metadata"]
    for name in UNSTEADY:
        metadata.pop(name, None)
    notes = metadata.get("annotations") or {}
    for name in ("deployment.kubernetes.io/revision", "argocd.argoproj.io/refresh"):
        notes.pop(name, None)
    metadata["annotations"] = notes
    if found.get("kind") == "Service":
        for name in GIVEN:
            found["spec"].pop(name, None)
    if found.get("kind") == "Application":
        found.pop("operation", None)
    return found


def _epoch(at: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(at).timestamp()
