"""``journeymesh delivery compose``: what compose.yaml needs on a laptop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from journeymesh.cli.output import say


def compose(
    tree: Annotated[Path, typer.Option("--tree", metavar="DIR", help="The folder of compose.yaml.")] = Path(),
) -> None:
    """Write what compose.yaml needs: passwords, and an access file with a few people and new keys.

    What already exists stays, for databases know its passwords.
    """
    from journeymesh.cli.access import write_access
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
