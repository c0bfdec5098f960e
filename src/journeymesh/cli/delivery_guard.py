"""``journeymesh delivery guard``: the delivery controller of one environment."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.delivery import KubeconfigOption
from journeymesh.cli.output import say
from journeymesh.cli.strangler_run import stopping
from journeymesh.delivery.tree import require_environment
from journeymesh.errors import JourneymeshError, UsageError

if TYPE_CHECKING:
    from journeymesh.delivery.git import Clone
    from journeymesh.delivery.guard import Evidence, Guard

RepositoryOption = Annotated[
    str,
    typer.Option(
        "--repo", help="URL of the repository, or a checkout of it.", show_default="the one that Argo CD follows there"
    ),
]
EnvironmentOption = Annotated[str, typer.Option("--env", help="The environment: dev, test or prod.")]


def guard(
    environment: EnvironmentOption,
    repository: RepositoryOption = "",
    branch: Annotated[
        str, typer.Option("--branch", help="The branch that Argo CD follows.", show_default="the repository's own")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Check once, act, and exit.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Push reverts. Without it they are only reported.")] = False,
    sign: Annotated[
        str, typer.Option("--sign", help="Signing key: a file (SSH or OpenPGP), or its GnuPG key ID.")
    ] = "",
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Push unsigned reverts.")] = False,
    attempts: Annotated[
        int,
        typer.Option("--attempts", min=0, help="Act after this many failed attempts; 0: after all that Argo CD makes."),
    ] = 0,
    evidence_key: Annotated[
        Path | None,
        typer.Option(
            "--evidence-key", help="Key (PEM) that signs the evidence of what passed.", show_default="no evidence"
        ),
    ] = None,
    interval_s: Annotated[float, typer.Option("--interval", min=0.2, help="Seconds between checks.")] = 2.0,
    kubeconfig: KubeconfigOption = None,
) -> None:
    """Take back in git what fails to sync, and keep Argo CD healing.

    Reverts only the failed service's own commits since its last good sync. Any number may run, and end anywhere.
    """
    from journeymesh.delivery.cluster import opened_cluster, repository_of
    from journeymesh.delivery.git import Signing, SigningUnset, cloned
    from journeymesh.delivery.guard import Guard

    require_environment(environment)
    if evidence_key and not push:
        raise UsageError("--evidence-key needs --push", todo="give --push too, or leave out --evidence-key")
    if push and not sign and not unsigned:
        raise SigningUnset("pushed reverts must be signed", todo="name a key with --sign, or give --unsigned")
    with ExitStack() as opened:
        cluster = opened.enter_context(opened_cluster(kubeconfig))
        where = repository or repository_of(cluster.applications(), environment)
        clone = opened.enter_context(cloned(where, branch, Signing(key=sign)))
        controller = Guard(clone, cluster, environment, push=push, attempts=attempts)
        if evidence_key:
            controller.evidence = _evidence(clone, environment, evidence_key)
        if once:
            for step in controller.turn():
                say(str(step))
            return
        say(f"guarding {environment} at {clone.url}; Ctrl-C or SIGTERM stops it", file=sys.stderr, flush=True)
        with stopping() as stop:
            _go_on(controller, stop, interval_s)


def _evidence(clone: Clone, environment: str, key: Path) -> Evidence:
    from journeymesh.delivery.passing import EvidenceInGit
    from journeymesh.delivery.release.keys import SigningKey

    return EvidenceInGit(clone, environment, SigningKey.read(key))


def _go_on(controller: Guard, stop: threading.Event, interval_s: float) -> None:
    """Turn after turn. What cannot be reached now is asked again; the same words are said once."""

    said: list[str] = []
    while not stop.is_set():
        try:
            now = [str(step) for step in controller.turn()]
        except JourneymeshError as error:
            now = [f"warning: {error}"]
        for words in now:
            if words not in said:
                say(words, file=sys.stderr if words.startswith("warning") else sys.stdout, flush=True)
        said = now
        stop.wait(interval_s)
