"""Argo CD's Applications as typed values: what they want, what is, and how the last operation ended.

The facts about Argo CD that are used here: an operation that waits for its next attempt is ``Running`` with an end;
``history`` gets an entry for each whole sync that succeeded, none for a partial one, and healing is a partial sync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from journeymesh.delivery.tree import ENVIRONMENTS

WATCHED_PATHS: Final = "argocd.argoproj.io/manifest-generate-paths"
FAILED_PHASES: Final = ("Failed", "Error")
UNDER_WAY: Final = ("Running", "Terminating")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceOutcome:
    """What an operation made of one resource. ``hook``: its kind where the resource is one, like ``Sync``."""

    kind: str
    name: str
    hook: str
    phase: str
    status: str
    message: str

    @property
    def failed(self) -> bool:
        return self.phase in FAILED_PHASES or self.status == "SyncFailed"

    def __str__(self) -> str:
        said = f": {self.message}" if self.message else ""
        return f"{self.kind} {self.name}{said}"


@dataclass(frozen=True, slots=True)
class Operation:
    """The last operation, or the one under way."""

    phase: str
    revision: str
    message: str
    started_at: str
    finished_at: str
    retries: int
    automated: bool
    partial: bool
    asked: int
    """How many objects a partial one was asked for; 0: it is none."""
    heals: int
    outcomes: tuple[ResourceOutcome, ...]

    @property
    def failed(self) -> bool:
        """It ended, and not well: no attempt is left."""
        return self.phase in FAILED_PHASES

    @property
    def succeeded(self) -> bool:
        return self.phase == "Succeeded"

    @property
    def attempts_failed(self) -> int:
        """How many attempts have ended badly so far; one that ended badly and waits for the next counts."""
        return self.retries + (1 if self.failed else 0)

    @property
    def waits(self) -> bool:
        """An attempt failed and the next has not begun: what the outcomes say is that attempt's."""
        return self.phase == "Running" and bool(self.finished_at)

    @property
    def reason(self) -> str:
        """What failed first, and the words of it; else the operation's own."""
        return next((str(each) for each in self.outcomes if each.failed), self.message)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A whole sync that succeeded."""

    revision: str
    at: str


@dataclass(frozen=True, slots=True)
class Application:
    """One Application as the cluster has it. Times are RFC 3339; what is not known yet is empty."""

    name: str
    environment: str
    project: str
    repository: str
    path: str
    heals_itself: bool
    watches_paths: bool
    sync: str
    revision: str
    health: str
    operation: Operation | None
    history: tuple[Deployed, ...]
    adrift: tuple[str, ...]
    conditions: tuple[str, ...]
    objects: int
    """How many it brings, hooks aside."""

    @property
    def was_made_anew(self) -> bool:
        """The last operation is a heal of most that it brings, as after its namespace was deleted.

        Not of all: it begins while the last objects are still going.
        """
        return self.operation is not None and 1 < self.objects < 2 * self.operation.asked

    @property
    def good(self) -> str:
        """The last revision that was synced as a whole and well; empty: none yet."""
        return self.history[-1].revision if self.history else ""

    @property
    def misses_signature(self) -> bool:
        """Argo CD found no good signature by a key of the project on what it should sync."""
        return any(each.startswith("ComparisonError") and "signature" in each for each in self.conditions)

    @property
    def service(self) -> str:
        """The service whose overlay this is; empty where the path is none."""
        parts = self.path.strip("/").split("/")
        is_overlay = len(parts) == 5 and parts[:2] == ["customization", "services"] and parts[3] == "overlays"
        return parts[2] if is_overlay else ""

    @property
    def is_settled(self) -> bool:
        """As it should be, and no sync under way: Argo CD calls it healthy while its gate's last hooks still run."""
        under_way = self.operation is not None and self.operation.phase in UNDER_WAY
        return self.sync == "Synced" and self.health == "Healthy" and not under_way

    @property
    def trouble(self) -> str:
        """Why it is not settled, in Argo CD's own words; empty: it says nothing."""
        conditions = (each.partition(": ") for each in self.conditions)
        told = [message for kind, _, message in conditions if "Error" in kind]
        if self.operation is not None and not self.operation.succeeded and self.operation.message:
            told.append(self.operation.message)
        return "; ".join(told)

    @property
    def healing_stopped(self) -> bool:
        """Argo CD heals nothing here: its last operation failed, on this very revision or on one that it takes for it.

        With ``manifest-generate-paths`` it takes revisions for the same that differ elsewhere only.
        """
        last = self.operation
        if not self.heals_itself or last is None or not last.failed:
            return False
        return self.watches_paths or last.revision in ("", self.revision)


def application(document: Json) -> Application:
    """An Application from its manifest with status."""
    spec, status = document.get("spec") or {}, document.get("status") or {}
    source: Json = spec.get("source") or next(iter(spec.get("sources") or ()), {})
    automated = (spec.get("syncPolicy") or {}).get("automated") or {}
    sync = status.get("sync") or {}
    resources = status.get("resources") or ()
    return Application(
        name=document["metadata"]["name"],
        environment=_environment(document["metadata"]["name"], spec),
        project=spec.get("project", ""),
        repository=source.get("repoURL", ""),
        path=source.get("path", ""),
        heals_itself=bool(automated.get("selfHeal")) and automated.get("enabled") is not False,
        watches_paths=WATCHED_PATHS in (document["metadata"].get("annotations") or {}),
        sync=sync.get("status", "Unknown"),
        revision=sync.get("revision", ""),
        health=(status.get("health") or {}).get("status", "Unknown"),
        operation=_operation(status.get("operationState") or _asked_for(document.get("operation"))),
        history=tuple(Deployed(each.get("revision", ""), each["deployedAt"]) for each in status.get("history") or ()),
        adrift=tuple(f"{each['kind']}/{each['name']}" for each in resources if each.get("status") == "OutOfSync"),
        objects=sum(not each.get("hook") for each in resources),
        conditions=tuple(f"{each['type']}: {each.get('message', '')}" for each in status.get("conditions") or ()),
    )


def _environment(name: str, spec: Json) -> str:
    """By the name, for a root's destination is no place of its own; else by the namespace it writes to."""
    by_name = name.rpartition("-")[2]
    return by_name if by_name in ENVIRONMENTS else str((spec.get("destination") or {}).get("namespace", ""))


def _asked_for(operation: Json | None) -> Json | None:
    """The state of an operation that somebody asked for and that Argo CD has not begun."""
    return {"phase": "Running", "operation": operation} if operation else None


def _operation(state: Json | None) -> Operation | None:
    if not state:
        return None
    operation = state.get("operation") or {}
    asked, result = operation.get("sync") or {}, state.get("syncResult") or {}
    return Operation(
        phase=state.get("phase", ""),
        revision=result.get("revision") or asked.get("revision", ""),
        message=state.get("message", ""),
        started_at=state.get("startedAt", ""),
        finished_at=state.get("finishedAt") or "",
        retries=int(state.get("retryCount") or 0),
        automated=bool((operation.get("initiatedBy") or {}).get("automated")),
        partial=bool(asked.get("resources")),
        asked=len(asked.get("resources") or ()),
        heals=int(asked.get("autoHealAttemptsCount") or 0),
        outcomes=tuple(_outcome(each) for each in result.get("resources") or ()),
    )


def _outcome(result: Json) -> ResourceOutcome:
    return ResourceOutcome(
        kind=result.get("kind", ""),
        name=result.get("name", ""),
        hook=result.get("hookType", ""),
        phase=result.get("hookPhase", ""),
        status=result.get("status", ""),
        message=" ".join(str(result.get("message", "")).split()),
    )
