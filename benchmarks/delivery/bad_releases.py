"""Bad releases under load: each is a commit as a person would push it, and nobody who uses the product may notice.

What is held against each: the gate stopped it (its sync failed), no request failed, the stable Deployment is what it
was, the guard's revert is in git, and Argo CD heals again, which a drift made by hand proves.
"""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.delivery.load import Load
from benchmarks.delivery.stage import Stage, TookTooLong, say, until

FAULTS = Path(__file__).with_name("faults.py").read_text("utf-8")
SERVICE = "journeyapi"
GATE_S = 420.0
HEAL_S = 120.0

Overlay = dict[str, Any]
Change = Callable[[Overlay], None]


@dataclass(frozen=True, slots=True)
class BadKind:
    """A kind of bad release: what it changes in the overlay's kustomization."""

    name: str
    change: Change
    service: str = SERVICE


@dataclass(slots=True)
class Stopped:
    """What became of one bad release. Seconds from its push, except ``healed_s``: from the revert."""

    kind: str
    failed_s: float | None = None
    reverted_s: float | None = None
    revert_after_failure_s: float | None = None
    healed_s: float | None = None
    failed_requests: int = 0
    requests: int = 0
    untouched: bool = False
    reason: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def is_stopped(self) -> bool:
        return (
            self.untouched and self.failed_requests == 0 and self.reverted_s is not None and self.healed_s is not None
        )

    def __str__(self) -> str:
        shown = [
            "stopped" if self.is_stopped else "NOT STOPPED",
            f"failed after {_s(self.failed_s)}",
            f"reverted after {_s(self.reverted_s)} ({_s(self.revert_after_failure_s)} after the failure)",
            f"heals {_s(self.healed_s)} later",
            f"{self.failed_requests} of {self.requests:,} requests failed",
            "stable untouched" if self.untouched else "STABLE CHANGED",
            *self.notes,
        ]
        return f"{self.kind}: {'; '.join(shown)}; {self.reason[:160]}"


def _s(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.0f} s"


def patched(kind: str, names: str, *operations: dict[str, Any]) -> Change:
    """A JSON patch on objects of this kind whose names match."""

    def change(overlay: Overlay) -> None:
        overlay.setdefault("patches", []).append({"target": {"kind": kind, "name": names}, "patch": _text(operations)})

    return change


def _text(operations: Sequence[dict[str, Any]]) -> str:
    import yaml

    return yaml.safe_dump(list(operations), sort_keys=False, width=100_000)


def _container(at: str, value: Any, op: str = "add") -> dict[str, Any]:
    place = {"op": op, "path": f"/spec/template/spec/containers/0/{at}"}
    return place if op == "remove" else place | {"value": value}


def spoiled(fault: str, service: str = SERVICE) -> Change:
    """The real service behind lines that spoil its answers."""
    return patched(
        "Deployment",
        f"{service}.*",
        _container("command", ["python", "-c", FAULTS]),
        _container("args", ["serve", service, "--host", "127.0.0.1", "--port", "8081"], "replace"),
        _container("env/-", {"name": "FAULT", "value": fault}),
    )


def pinned(digest: str) -> Change:
    """Another digest for the service's image."""

    def change(overlay: Overlay) -> None:
        for entry in overlay["images"]:
            if entry["name"] == "journeymesh":
                entry["digest"] = digest

    return change


def together(*changes: Change) -> Change:
    """All of them in one commit."""

    def change(overlay: Overlay) -> None:
        for each in changes:
            each(overlay)

    return change


def kinds(unapproved: str) -> tuple[BadKind, ...]:
    """The ten. ``unapproved``: the digest of an image that is in the registry and that nobody approved."""
    every = f"{SERVICE}.*"
    privileged = {"privileged": True, "allowPrivilegeEscalation": True, "runAsNonRoot": False, "runAsUser": 0}
    return (
        BadKind("crash", patched("Deployment", every, _container("command", ["sh", "-c", "exit 3"]))),
        BadKind("500s", spoiled("500s")),
        BadKind("slow", spoiled("slow")),
        BadKind("wrong schema", spoiled("schema")),
        BadKind("missing env", patched("Deployment", every, _container("env/1", None, "remove"))),
        BadKind("unapproved image", pinned(unapproved)),
        BadKind("auth bypass", spoiled("auth bypass")),
        BadKind("privilege", patched("Deployment", every, _container("securityContext", privileged))),
        BadKind("failed migration", together(
            # A hook that differs is no difference to Argo CD: a migration comes with the release that needs it.
            patched("Deployment", every, _container("env/-", {"name": "RELEASE", "value": "needs a migration"})),
            patched("Job", f"{SERVICE}-migrate", _container(
                "args", ["store", "migrate", "--store", "postgresql://nobody@postgres/nowhere"], "replace")))),
        BadKind("bad digest", pinned("sha256:" + "bad0" * 16)),
    )  # fmt: skip


def bad_releases(stage: Stage, load: Load, wanted: Sequence[BadKind], every_attempt: bool) -> list[Stopped]:
    """Push each, wait until it is taken back and healing is proven. The load and the guard run all the while."""
    found = []
    for kind in wanted:
        stopped = one_bad_release(stage, load, kind, every_attempt)
        say(f"bad release: {stopped}")
        found.append(stopped)
    return found


def one_bad_release(stage: Stage, load: Load, kind: BadKind, every_attempt: bool = True) -> Stopped:
    """Push it and see. Whatever happens, the overlay is afterwards as it was."""
    name = f"{kind.service}-app-{stage.environment}"
    stage.caught_up(name)
    last = stage.settled(name).operation
    stage.clone.freshen()
    good = stage.clone.head()
    deployment = f"/apis/apps/v1/namespaces/{stage.environment}/deployments/{kind.service}"
    before, failed_before, asked_before = _identity(stage, deployment), load.answers.failed, load.answers.asked
    failures = Counter(load.answers.failures)
    found = Stopped(kind.name)
    stage.edit(kind.service, kind.change, f"Release {kind.service}: {kind.name}")
    began = time.monotonic()
    try:
        failed_at = _failed(stage, name, last.revision if last else "", every_attempt)
        found.failed_s = failed_at - began
        found.reason = _reason(stage, name)
        reverted_at, commit = _reverted(stage, kind.service, good)
        found.reverted_s, found.revert_after_failure_s = reverted_at - began, max(0.0, reverted_at - failed_at)
        found.untouched = _identity(stage, deployment) == before
        stage.settled(name, commit, GATE_S)
        found.healed_s = _healing(stage, kind.service) - reverted_at
    except TookTooLong as late:
        found.notes.append(str(late))
        stage.take_back(good, kind.service, f"Take {kind.name} back by hand")
    except BaseException:
        stage.take_back(good, kind.service, f"Take {kind.name} back, the series ends")
        raise
    found.untouched = found.untouched and _identity(stage, deployment) == before
    found.failed_requests = load.answers.failed - failed_before
    found.requests = load.answers.asked - asked_before
    found.notes += [f"{count} × {what}" for what, count in (load.answers.failures - failures).most_common(3)]
    return found


def _identity(stage: Stage, deployment: str) -> tuple[Any, ...]:
    """What changes when anybody touches a Deployment's template or its pods are replaced."""
    live = stage.live(deployment)
    if live is None:
        return ()
    selector = ",".join(f"{key}%3D{value}" for key, value in live["spec"]["selector"]["matchLabels"].items())
    pods = stage.cluster.items(f"/api/v1/namespaces/{stage.environment}/pods?labelSelector={selector}")
    running = sorted(pod["metadata"]["uid"] for pod in pods if not pod["metadata"].get("deletionTimestamp"))
    return (
        live["metadata"]["uid"],
        live["metadata"]["generation"],
        copy.deepcopy(live["spec"]["template"]),
        tuple(running),
    )


def _failed(stage: Stage, name: str, before: str, every_attempt: bool) -> float:
    """When Argo CD gave a revision after ``before`` up, or its first attempt failed."""

    def gave_up() -> bool:
        last = stage.application(name).operation
        if last is None or last.revision == before:
            return False
        return last.failed or (not every_attempt and last.waits)

    until(f"the sync of {name} failed", gave_up, GATE_S, 0.25)
    return time.monotonic()


def _reason(stage: Stage, name: str) -> str:
    last = stage.application(name).operation
    return last.reason if last else ""


def _reverted(stage: Stage, service: str, good: str) -> tuple[float, str]:
    """When the repository had the service's folder as it was in the good commit, and that commit."""
    paths = [f"customization/services/{service}/base", f"customization/services/{service}/overlays/{stage.environment}"]

    seen = ""

    def is_back() -> str:
        nonlocal seen
        newest = stage.clone.newest()
        if newest == seen:
            return ""
        seen = stage.clone.freshen()
        return seen if stage.clone.same(good, "HEAD", paths) else ""

    commit = until("the revert", is_back, GATE_S, 0.5)
    return time.monotonic(), commit


def _healing(stage: Stage, service: str) -> float:
    """When a drift made now was healed: a budget for disruptions that somebody widens."""
    path = f"/apis/policy/v1/namespaces/{stage.environment}/poddisruptionbudgets/{service}"
    before = stage.wanted(path)
    stage.cluster.ask("PATCH", path, {"spec": {"maxUnavailable": 7}}, form="application/merge-patch+json")
    until(f"a drift of {service} healed", lambda: stage.wanted(path) == before, HEAL_S)
    return time.monotonic()
