"""Programs that are called: git, kustomize, sops. Their faults end here as one clear error."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from journeymesh.errors import JourneymeshError, UsageError


class ProgramMissing(UsageError):
    """A program that is needed is not installed."""


class ProgramFailed(JourneymeshError):
    """A program ended with a fault; its own last words are in the message."""


@dataclass(frozen=True, slots=True)
class ProgramOutput:
    """How a program ended, and what it said."""

    code: int
    output: str
    errors: str


def called(
    argv: Sequence[str],
    *,
    folder: Path | None = None,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> str:
    """What the program wrote to standard output.

    Raises:
        ProgramMissing: it is not on PATH. ProgramFailed: it ended with a fault or took longer than ``timeout_s``.
    """
    done = answered(argv, folder=folder, given=given, environment=environment, timeout_s=timeout_s)
    if done.code:
        words = " ".join((done.errors.strip() or done.output.strip()).split())
        raise ProgramFailed(f"{' '.join(argv[:3])} ended with {done.code}: {words[-800:]}")
    return done.output


def answered(
    argv: Sequence[str],
    *,
    folder: Path | None = None,
    given: str | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> ProgramOutput:
    """All that the program said, for whoever reads its faults too.

    Raises:
        ProgramMissing: it is not on PATH. ProgramFailed: it took longer than ``timeout_s``.
    """
    name = argv[0]
    if shutil.which(name) is None:
        raise ProgramMissing(f"{name} is not installed", todo=f"install {name} and have it on PATH")
    try:
        done = subprocess.run(
            argv,
            cwd=folder,
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{name} {argv[1] if argv[1:] else ''} took longer than {timeout_s:g} s") from error
    return ProgramOutput(done.returncode, done.stdout, done.stderr)


def applied(manifests: str) -> None:
    """Let kubectl apply manifests on the server's side, under a field manager of our own.

    Under kubectl's own name a partial manifest would take back what somebody else applied under it.

    Raises:
        ProgramMissing: there is no kubectl.
        ProgramFailed: the API server refuses them or cannot be reached, or kubectl took longer than 120 s.
    """
    argv = ["kubectl", "apply", "--server-side", "--force-conflicts", "--field-manager", "journeymesh", "-f", "-"]
    called(argv, given=manifests)


def first_installed(names: Sequence[str]) -> str | None:
    """The first of these programs that is on PATH."""
    return next((name for name in names if shutil.which(name)), None)
