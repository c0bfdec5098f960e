"""A tree in a bare repository, people who commit to it, and what Argo CD would say of it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from journeymesh.delivery.applications import Application, application

URL = "https://git.invalid/journeymesh.git"
PASSED = {"kind": "Job", "name": "greeter-e2e", "hookType": "Sync", "hookPhase": "Succeeded"}
FAILED = {
    "kind": "Job",
    "name": "greeter-e2e-candidate",
    "hookType": "Sync",
    "hookPhase": "Failed",
    "message": "Job has reached the specified backoff limit",
}


class Repository:
    """A bare repository ``journeymesh.git`` and one person's checkout of it."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("git") is None:
            pytest.skip("git is not installed")
        self.bare, self.checkout = folder / "journeymesh.git", folder / "checkout"
        self._call(folder, "init", "--quiet", "--bare", "--initial-branch=main", str(self.bare))
        self._call(folder, "clone", "--quiet", str(self.bare), str(self.checkout))
        self.git("checkout", "-q", "-B", "main")

    @staticmethod
    def _call(folder: Path, *arguments: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@insurer.example", "-c", "commit.gpgSign=false")
        done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"git {arguments}: {done.stderr}"
        return done.stdout.strip()

    def git(self, *arguments: str) -> str:
        return self._call(self.checkout, *arguments)

    def commit(self, subject: str, files: dict[str, str | None], *, push: bool = True) -> str:
        """Write (None: delete) these files below customization/services, commit, push. Returns the commit."""
        for name, text in files.items():
            path = self.checkout / "customization" / "services" / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", subject)
        if push:
            self.git("push", "--quiet", "origin", "HEAD:main")
        return self.git("rev-parse", "HEAD")

    def pull(self) -> None:
        self.git("fetch", "--quiet", "origin", "main")
        self.git("reset", "--quiet", "--hard", "origin/main")

    def log(self) -> list[str]:
        """The subjects at the repository, newest first."""
        return self._call(self.bare, "log", "--format=%s", "main").splitlines()

    def message(self) -> str:
        return self._call(self.bare, "log", "-1", "--format=%B", "main")

    def head(self) -> str:
        return self._call(self.bare, "rev-parse", "main")

    def shown(self, name: str) -> str | None:
        """A file below customization/services at the repository; None: not there."""
        place = f"customization/services/{name}"
        there = self._call(self.bare, "ls-tree", "--name-only", "main", "--", place)
        return self._call(self.bare, "show", f"main:{place}") if there else None


def shown_application(
    *,
    service: str = "greeter",
    good: str = "",
    revision: str = "",
    phase: str = "Failed",
    environment: str = "dev",
    retries: int = 2,
    message: str = "one or more synchronization tasks completed unsuccessfully (retried 2 times).",
    resources: list[dict[str, Any]] | None = None,
    finished_at: str | None = "2026-05-01T08:00:00Z",
    repository: str = URL,
    **status: Any,
) -> dict[str, Any]:
    """An Application's manifest as Argo CD keeps it, after an operation on ``revision`` that ended in ``phase``."""
    state = {
        "phase": phase,
        "message": message,
        "startedAt": "2026-05-01T07:59:00Z",
        "finishedAt": finished_at,
        "retryCount": retries,
        "operation": {"initiatedBy": {"automated": True}, "sync": {"revision": revision}},
        "syncResult": {"revision": revision, "resources": [FAILED] if resources is None else resources},
    }
    return {
        "metadata": {"name": f"{service}-app-{environment}"},
        "spec": {
            "project": f"workloads-project-{environment}",
            "destination": {"namespace": environment},
            "source": {"repoURL": repository, "path": f"customization/services/{service}/overlays/{environment}"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": revision},
            "health": {"status": "Healthy"},
            "history": [{"revision": good, "deployedAt": "2026-05-01T07:00:00Z"}] if good else [],
            "operationState": state,
        }
        | status,
    }


class Argo:
    """Argo CD's part in a test: Applications that it shows, and what it was asked for."""

    def __init__(self, *shown: dict[str, Any]) -> None:
        self.shown = list(shown)
        self.refreshed: list[str] = []
        self.verified_again: list[str] = []
        self.begun_again: list[str] = []
        self.ended: list[str] = []

    def applications(self) -> list[Application]:
        return [application(each) for each in self.shown]

    def refresh(self, name: str, *, hard: bool = False) -> None:
        (self.verified_again if hard else self.refreshed).append(name)

    def sync_again(self, name: str) -> None:
        self.begun_again.append(name)

    def end(self, name: str) -> None:
        self.ended.append(name)
