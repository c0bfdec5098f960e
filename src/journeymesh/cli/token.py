"""``journeymesh token``: a token of the static provider, for laptops and tests."""

from __future__ import annotations

from typing import Annotated

import typer

from journeymesh.cli.access import AccessOption
from journeymesh.cli.output import say


def token(
    subject: Annotated[str, typer.Option("--as", metavar="NAME", help="The person's name in the file of people.")],
    access: AccessOption = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="The static provider, where there are several.", show_default=False)
    ] = None,
    ttl_s: Annotated[float, typer.Option("--ttl", metavar="SECONDS", help="How long the token is valid.")] = 3600.0,
) -> None:
    """Mint a token for a person in the static provider's file.

    Only the token is printed: TOKEN=$(journeymesh token --as analyst).
    """
    from journeymesh.cli.access import access_file
    from journeymesh.wiring.access import open_minter

    say(open_minter(access_file(access), provider).mint(subject, ttl_s))
