"""``journeymesh delivery signers``: whose commits Argo CD syncs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from journeymesh.cli.delivery import TreeOption
from journeymesh.cli.output import say


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
    from journeymesh.delivery.tree import Tree
    from journeymesh.errors import UsageError

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
