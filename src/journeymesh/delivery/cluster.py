"""The cluster that Argo CD runs in: its Applications and other objects, read, and the few wishes told to Argo CD."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol

from journeymesh.delivery.applications import Application, Json, application
from journeymesh.errors import ExtraMissing, JourneymeshError, NotFound

ARGOCD: Final = "argocd"
APPLICATIONS: Final = f"/apis/argoproj.io/v1alpha1/namespaces/{ARGOCD}/applications"
MERGE: Final = "application/merge-patch+json"
GUARD: Final = "journeymesh-guard"


class ClusterUnavailable(JourneymeshError):
    """The cluster cannot be reached, or refuses what was asked."""

    exit_code = 5


class NoSuchObject(ClusterUnavailable):
    """The API server answers, and has no such object."""


class Deliveries(Protocol):
    """What the guard needs of Argo CD."""

    def applications(self) -> list[Application]:
        """All Applications."""

    def refresh(self, name: str, *, hard: bool = False) -> None:
        """Let Argo CD look at the repository now instead of at its next poll; ``hard``: and forget what it rendered."""

    def sync_again(self, name: str) -> None:
        """Begin another operation on the revision that is wanted: after a failed one Argo CD begins none itself."""

    def end(self, name: str) -> None:
        """End the operation that is under way; its state is then ``Failed``."""


class Cluster:
    """A cluster's API server, as the kubeconfig's current user or as the pod's service account."""

    def __init__(self, kubeconfig: Path | None = None) -> None:
        try:
            import httpx
            import kr8s
            from kr8s.asyncio import api
        except ImportError as error:
            raise ExtraMissing("kr8s", "delivery") from error
        self._runner = asyncio.Runner()
        try:
            self._api = self._runner.run(api(kubeconfig=str(kubeconfig) if kubeconfig else None))
        except (ValueError, OSError, httpx.HTTPError, kr8s.ServerError, kr8s.APITimeoutError) as error:
            self._runner.close()
            raise ClusterUnavailable(
                f"no cluster: {error}", todo="point KUBECONFIG at a cluster that answers, or run in a pod of one"
            ) from error

    def ask(self, method: str, path: str, body: Any = None, *, form: str = "application/json") -> Any:
        """The API server's answer.

        Raises:
            ClusterUnavailable: it cannot be reached or refuses. NoSuchObject: it has none of this name.
        """
        return self._runner.run(self._ask(method, path, body, form))

    async def _ask(self, method: str, path: str, body: Any, form: str) -> Any:
        import httpx
        import kr8s

        sent: dict[str, Any] = {} if body is None else {"json": body, "headers": {"Content-Type": form}}
        base, _, rest = path.lstrip("/").partition("/")
        try:
            async with self._api.call_api(method, version="", base=f"/{base}", url=rest, **sent) as answer:
                return answer.json()
        except (kr8s.ServerError, kr8s.APITimeoutError, httpx.HTTPError, ValueError) as error:
            missing = getattr(getattr(error, "response", None), "status_code", None) == HTTPStatus.NOT_FOUND
            fault = NoSuchObject if missing else ClusterUnavailable
            raise fault(
                f"{method} {path}: {error or type(error).__name__}", todo="check the cluster and its RBAC"
            ) from error

    def items(self, path: str) -> list[dict[str, Any]]:
        """The objects of a listing."""
        found: list[dict[str, Any]] = self.ask("GET", path)["items"]
        return found

    def pods(self, namespace: str) -> list[dict[str, Any]]:
        """The pods of a namespace."""
        return self.items(f"/api/v1/namespaces/{namespace}/pods")

    def applications(self) -> list[Application]:
        """All Applications."""
        return [application(each) for each in self.items(APPLICATIONS)]

    def refresh(self, name: str, *, hard: bool = False) -> None:
        """Let Argo CD look at the repository now instead of at its next poll; ``hard``: and forget what it rendered."""
        wish = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "hard" if hard else "normal"}}}
        self.ask("PATCH", f"{APPLICATIONS}/{name}", wish, form=MERGE)

    def sync_again(self, name: str) -> None:
        """Begin another operation on the revision that is wanted: after a failed one Argo CD begins none itself."""
        place = f"{APPLICATIONS}/{name}"
        document = self.ask("GET", place)
        if not document.get("operation"):  # else Argo CD was faster
            self.ask("PATCH", place, beginning(document), form=MERGE)

    def end(self, name: str) -> None:
        """End the operation that is under way; its state is then ``Failed``."""
        ending = {"status": {"operationState": {"phase": "Terminating"}}}
        self.ask("PATCH", f"{APPLICATIONS}/{name}", ending, form=MERGE)

    def close(self) -> None:
        self._runner.close()


def beginning(document: Json) -> Mapping[str, Any]:
    """The merge patch that begins the operation which automated sync would begin for this Application.

    It takes the last operation's state away, as Argo CD's own ways to begin one do: its controller merges the new state
    into what is there, and a heal's list of resources would make the new one as partial as the heal was.
    """
    policy = document["spec"].get("syncPolicy") or {}
    sync = {
        "revision": (document["status"].get("sync") or {}).get("revision", ""),
        "prune": bool((policy.get("automated") or {}).get("prune")),
        "syncOptions": policy.get("syncOptions") or [],
    }
    wanted = {"initiatedBy": {"username": GUARD}, "sync": sync}
    if policy.get("retry"):
        wanted["retry"] = policy["retry"]
    return {"operation": wanted, "status": {"operationState": None}}


def repository_of(applications: Sequence[Application], environment: str) -> str:
    """The repository that the environment's Applications follow; those of charts follow none.

    Raises:
        NotFound: there is none, or they follow several.
    """
    found = sorted({each.repository for each in applications if each.environment == environment and each.path})
    if len(found) != 1:
        raise NotFound(f"{environment} follows {' and '.join(found) or 'no repository'}", todo="name one by --repo")
    return found[0]


@contextmanager
def opened_cluster(kubeconfig: Path | None = None) -> Iterator[Cluster]:
    """A cluster for as long as the block takes.

    Raises:
        ClusterUnavailable: there is no usable kubeconfig and no service account of a pod, or the API server does not
            answer.
        ExtraMissing: kr8s is not installed.
    """
    cluster = Cluster(kubeconfig)
    try:
        yield cluster
    finally:
        cluster.close()
