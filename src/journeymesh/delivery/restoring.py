"""An environment brought back after something that healing does not bring back: its namespace, a database, Argo CD.

Healing is a partial sync and runs no hooks: no databases, no migrations, no realm. And it is off for a revision whose
sync failed, as it does while a namespace is still going. So whole syncs are begun here, the platform's first, then
those of the environment by their waves, each when the ones before are settled.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from journeymesh.delivery.applications import UNDER_WAY, Application
from journeymesh.delivery.cluster import MERGE, ClusterUnavailable, NoSuchObject
from journeymesh.delivery.documents import documents
from journeymesh.delivery.tree import Tree
from journeymesh.errors import JourneymeshError

PLATFORM: Final = "root-platform-app"
WAVE: Final = "argocd.argoproj.io/sync-wave"
_DEPLOYMENT: Final = "/apis/apps/v1/namespaces/{}/deployments/{}"
_NAMESPACE: Final = "/api/v1/namespaces/{}"
_RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
KEEPS_STATE_OF_DATABASE: Final = ("keycloak",)
"""Deployments that know their database from their start: one that was made anew, they see after a restart only."""


class NotRestoredInTime(JourneymeshError):
    """The environment did not come back within the time given."""

    exit_code = 7


class Restored(Protocol):
    """What is needed of the cluster."""

    def ask(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        """The API server's answer."""

    def applications(self) -> list[Application]:
        """All Applications."""

    def refresh(self, name: str, *, hard: bool = False) -> None:
        """Let Argo CD look now."""

    def sync_again(self, name: str) -> None:
        """Begin a whole sync of what is wanted."""

    def end(self, name: str) -> None:
        """End the operation that is under way."""


@dataclass(slots=True)
class Restoring:
    """One environment's way back. ``told`` hears each step; ``pause_s`` lies between two looks."""

    cluster: Restored
    environment: str
    wait_s: float = 300.0
    told: Callable[[str], None] = lambda _: None
    pause_s: float = 1.0
    _end: float = 0.0

    def run(self, waves: Sequence[Sequence[str]]) -> None:
        """Sync the platform as a whole, then these Applications wave by wave, with their hooks.

        The environment's root is in the last wave: it is healthy when the others are. It makes those that are missing.
        An API server that does not answer for a while, as after a restart of its node, is waited for.

        Raises:
            NotRestoredInTime: naming what is awaited.
        """
        self._end = time.monotonic() + self.wait_s
        self._until(f"namespace {self.environment} is gone", lambda: not self._is_going())
        self._sync([PLATFORM])
        self._until(f"namespace {self.environment} is there", self._is_there)
        for names in waves:
            self._restart(names)
            self._sync(names)

    def _sync(self, names: Sequence[str]) -> None:
        """Begin a whole sync of each, in place of whatever is under way, and wait until all are settled."""
        self._until(f"{', '.join(names)} there", lambda: self._are_there(names))
        for name in names:
            self._until(f"{name}'s former sync ended", partial(self._is_free, name))
            self._until(f"{name}'s sync begun", partial(self._has_begun, name))
            self.told(f"{name}: syncing as a whole")
        for name in names:
            self._until(f"{name} settled", partial(self._is_synced, name))
            self.told(f"{name}: is healthy")

    def _are_there(self, names: Sequence[str]) -> bool:
        missing = set(names) - {each.name for each in self._those(names)}
        root = f"root-appbundle-app-{self.environment}"
        for each in self._those([root]) if missing else ():
            under_way = each.operation is not None and each.operation.phase in UNDER_WAY
            if not under_way:
                self.cluster.sync_again(root)
        return not missing

    def _is_free(self, name: str) -> bool:
        """Whether nothing is under way; what is, is ended: it may be a heal that cannot succeed any more."""
        (each,) = self._those([name])
        if each.operation is None or each.operation.phase not in UNDER_WAY:
            return True
        if each.operation.phase == "Running":
            self.cluster.end(name)
        return False

    def _has_begun(self, name: str) -> bool:
        self.cluster.refresh(name)
        self.cluster.sync_again(name)
        return True

    def _is_synced(self, name: str) -> bool:
        """Whether a whole sync succeeded and all is healthy. One that failed is begun again: what it lacks may come."""
        (each,) = self._those([name])
        last = each.operation
        if last is not None and last.failed:
            self.told(f"{name}: {last.reason or last.message}; once more")
            self.cluster.sync_again(name)
        return each.is_settled and last is not None and last.succeeded and not last.partial

    def _restart(self, names: Sequence[str]) -> None:
        for service in KEEPS_STATE_OF_DATABASE:
            if f"{service}-app-{self.environment}" not in names:
                continue
            self._until(f"{service} restarted", partial(self._is_restarted, service))

    def _is_restarted(self, service: str) -> bool:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        body = {"spec": {"template": {"metadata": {"annotations": {_RESTARTED: now}}}}}
        try:
            self.cluster.ask("PATCH", _DEPLOYMENT.format(self.environment, service), body, form=MERGE)
        except NoSuchObject:
            return True  # its sync makes it
        self.told(f"{service}: restarted")
        return True

    def _those(self, names: Sequence[str]) -> list[Application]:
        return [each for each in self.cluster.applications() if each.name in names]

    def _is_there(self) -> bool:
        try:
            found = self.cluster.ask("GET", _NAMESPACE.format(self.environment))
        except NoSuchObject:
            return False
        return not found["metadata"].get("deletionTimestamp")

    def _is_going(self) -> bool:
        try:
            found = self.cluster.ask("GET", _NAMESPACE.format(self.environment))
        except NoSuchObject:
            return False
        return bool(found["metadata"].get("deletionTimestamp"))

    def _until(self, what: str, holds: Callable[[], bool]) -> None:
        fault = ""
        while True:
            try:
                if holds():
                    return
                fault = ""
            except ClusterUnavailable as unavailable:
                if str(unavailable) != fault:
                    self.told(f"{unavailable}; once more")
                fault = str(unavailable)
            if time.monotonic() > self._end:
                raise NotRestoredInTime(
                    f"waited {self.wait_s:.0f} s until {what}" + (f"; {fault}" if fault else ""),
                    todo="journeymesh delivery status says more; the same command goes on",
                )
            time.sleep(self.pause_s)


def waves_of(tree: Tree, environment: str) -> list[list[str]]:
    """The environment's Applications by their waves, from the lowest on, and its root at last.

    Within one wave PostgreSQL comes before what keeps its data there.
    """
    found: dict[tuple[int, int], list[str]] = {}
    for name, wave in _children(tree, environment):
        later = any(name == f"{service}-app-{environment}" for service in KEEPS_STATE_OF_DATABASE)
        found.setdefault((wave, int(later)), []).append(name)
    return [*(sorted(found[key]) for key in sorted(found)), [f"root-appbundle-app-{environment}"]]


def _children(tree: Tree, environment: str) -> Iterator[tuple[str, int]]:
    for path in sorted(tree.applications(environment).glob("*.yaml")):
        for document in documents(path):
            if document.kind == "Application":
                notes = document.content["metadata"].get("annotations") or {}
                yield document.name, int(notes.get(WAVE, 0))
