"""``journeymesh delivery …``: the tree that Argo CD reads, from its first cluster on.

``journeymesh delivery compose``: what compose.yaml needs on a laptop.

``journeymesh delivery signers``: whose commits Argo CD syncs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from journeymesh.cli.access import write_access
from journeymesh.cli.options import Format, FormatOption
from journeymesh.cli.output import say
from journeymesh.cli.render import Row, render_object
from journeymesh.delivery.tree import ENVIRONMENTS, Tree
from journeymesh.errors import UsageError

if TYPE_CHECKING:
    from journeymesh.delivery.applications import Application


app = typer.Typer(no_args_is_help=True, help="Deliver through git: manage the tree that Argo CD reads.")

TreeOption = Annotated[
    Path, typer.Option("--tree", metavar="DIR", help="The repository, or a folder in it.", show_default="here")
]
KubeconfigOption = Annotated[
    Path | None,
    typer.Option("--kubeconfig", help="Kubeconfig file. Default: KUBECONFIG, or the pod's service account."),
]


@app.command("init")
def init(
    repo: Annotated[str, typer.Option("--repo", metavar="URL", help="Where Argo CD finds this repository.")],
    registry: Annotated[str, typer.Option("--registry", metavar="HOST", help="Where images come from: HOST[/PATH].")],
    tree: TreeOption = Path(),
) -> None:
    """Write the two absolute addresses that the tree needs. Commit and push what changed."""
    from journeymesh.delivery.addresses import Addresses, write_addresses

    found = Tree.at(tree)
    changed = write_addresses(found, Addresses(repo, registry))
    say(f"repository      {repo}")
    say(f"registry        {registry}")
    say(f"files changed   {len(changed)}")
    if changed:
        say("next            git add customization && git commit && git push")


@app.command("addresses")
def show_addresses(tree: TreeOption = Path(), form: FormatOption = Format.table) -> None:
    """Show the repository and the registry that the tree names."""
    from journeymesh.delivery.addresses import addresses

    def show(row: Row) -> None:
        for name, value in row.items():
            say(f"{name:<15} {value}")

    now = addresses(Tree.at(tree))
    render_object({"repository": now.repository, "registry": now.registry}, form, show)


@app.command("pin")
def pin(
    images: Annotated[list[str], typer.Argument(metavar="NAME=IMAGE@DIGEST…", help="The image to pin for each name.")],
    environment: Annotated[str, typer.Option("--env", metavar="ENV", help="dev, test or prod.")] = "dev",
    tree: TreeOption = Path(),
) -> None:
    """Let every overlay of an environment pin these images, and approve them there: for the first time, by hand.

    Nothing is verified. Later releases come by `release` and `promote`, which look at signatures and evidence.
    """
    from journeymesh.delivery.images import PinnedImage, pin_everywhere
    from journeymesh.delivery.release.approved import ApprovedDigests

    found, wanted = Tree.at(tree), {}
    for given in images:
        name, equals, reference = given.partition("=")
        if not equals:
            raise UsageError(f"{given} has no image", todo="give NAME=HOST/NAME@sha256:…")
        wanted[name] = PinnedImage.parse(reference)
    for path in pin_everywhere(found, environment, wanted):
        say(f"pinned          {found.relative(path)}")
    for name, image in sorted(wanted.items()):
        if ApprovedDigests(found, environment).approve(image.digest, name):
            say(f"approved        {image.digest}  {name}")


@app.command("bootstrap")
def bootstrap(
    environment: Annotated[
        list[str] | None, typer.Option("--env", metavar="ENV", help="May be repeated. Default: all of the tree's.")
    ] = None,
    wait_s: Annotated[int, typer.Option("--wait-s", min=0, help="How long to wait until everything is healthy.")] = 900,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Also sync everything again, with hooks: after the loss of a namespace, a database or Argo CD.",
        ),
    ] = False,
    tree: TreeOption = Path(),
) -> None:
    """Let a cluster that has Argo CD become what the tree says, and wait until it is."""
    from journeymesh.delivery.bootstrap import bootstrap as apply_roots

    began = time.monotonic()
    said: dict[str, str] = {}

    def tell(states: list[Application]) -> None:
        for state in states:
            line = "is healthy" if state.is_settled else state.trouble[:300]
            if line and said.get(state.name) != line:
                said[state.name] = line
                say(f"{time.monotonic() - began:6.1f} s  {state.name}: {line}", file=sys.stderr, flush=True)

    def step(words: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {words}", file=sys.stderr, flush=True)

    states = apply_roots(
        Tree.at(tree), environment or ENVIRONMENTS, wait_s=wait_s, told=tell, again=step if again else None
    )
    say(f"{len(states)} applications in {time.monotonic() - began:.0f} s")
    for state in states:
        say(f"{state.name:<32} {state.sync:<10} {state.health}")


def compose(
    tree: Annotated[Path, typer.Option("--tree", metavar="DIR", help="The folder of compose.yaml.")] = Path(),
) -> None:
    """Write what compose.yaml needs: passwords, and an access file with a few people and new keys.

    What already exists stays, for databases know its passwords.
    """
    from journeymesh.delivery.laptop import FOLDER, give_to_containers, write_environment

    environment = write_environment(tree)
    room = tree / FOLDER
    access = room / "access" / "access.yaml"
    if not access.exists():
        write_access(access.parent)
    give_to_containers(room)
    say(f"passwords       {environment}  (only its owner can read it; keep it out of git)")
    say(f"access file     {access}")
    say("next            docker compose --profile demo up --build --detach")
    say(f"token           journeymesh token --as analyst --access {access}")


def signers(
    keys: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE…", help="Files of the public OpenPGP keys of all signers. Default: list the current signers."
        ),
    ] = None,
    nobody: Annotated[bool, typer.Option("--nobody", help="No longer require signatures.")] = False,
    tree: TreeOption = Path(),
) -> None:
    """Let Argo CD sync only commits that one of these keys signed.

    Commit and push what changed, then `delivery bootstrap` once more: projects are an administrator's.
    """
    from journeymesh.delivery.signers import Signer, signature_keys, write_signers

    if keys and nobody:
        raise UsageError("keys and --nobody were both given", todo="give one of them")
    found = Tree.at(tree)
    if keys or nobody:
        named = [Signer.read(path) for path in keys or ()]
        for signer in named:
            say(f"signer   {signer.ids[0]}  {signer.owner}")
        for path in write_signers(found, named):
            say(f"changed  {found.relative(path)}")
        return
    wanted = signature_keys(found)
    say("\n".join(f"signer   {each}" for each in wanted) or "signatures are not required")
