"""``journeymesh access …``: the file by which decisions are made, and its tables.

``journeymesh token``: a token of the static provider, for laptops and tests.
"""

from __future__ import annotations

import os
import secrets
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from journeymesh.cli.options import settings
from journeymesh.cli.output import say
from journeymesh.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Set up access control: people, contracts, purposes and keys.")

FILES = ("access.yaml", "people.yaml")

AccessArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The access file.")]
AccessOption = Annotated[
    Path | None, typer.Option("--access", metavar="FILE", help="The access file. Default: the setting's.")
]


def access_file(given: Path | None) -> Path:
    """The access file of the option, else of the settings.

    Raises:
        UsageError: neither names one.
    """

    named = given or settings().access
    if named is None:
        raise UsageError(
            "no access file is named",
            todo="give --access FILE; `journeymesh access init FOLDER` creates one",
        )
    return Path(named)


@app.command("init")
def init(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to write to; created if missing.")],
) -> None:
    """Write an access file with a few people, and new keys, to begin with on one machine."""
    written = write_access(folder)
    say(f"access file     {written}")
    say(f"people          {folder / 'people.yaml'}")
    say(f"keys            {folder / 'keys'}  (only their owner can read them; keep them out of git)")
    say(f"token           journeymesh token --as analyst --access {written}")
    say(f"serve           journeymesh serve identityapi --access {written}")


def write_access(folder: Path) -> Path:
    """The access file, its people and new keys in this folder.

    Raises:
        UsageError: one of them already exists, or none can be written there.
    """
    from journeymesh.identity.static import create_key

    keys = folder / "keys"
    try:
        keys.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FILES:
            content = resources.files("journeymesh.cli").joinpath("demo_access", name).read_bytes()
            _write_new(folder / name, content, 0o644)
        _write_new(folder / ".gitignore", b"keys/\n*.db*\ncheckpoints/\n", 0o644)
        create_key(keys / "people.pem")
        create_key(keys / "checkpoints.pem")
        _write_new(keys / "pseudonyms.key", f"{secrets.token_hex(32)}\n".encode(), 0o600)
    except FileExistsError as error:
        raise UsageError(f"{error.filename} already exists", todo="name another folder, or remove it first") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}", todo="name another folder") from error
    return folder / FILES[0]


@app.command("migrate")
def migrate(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The access file.")] = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            "--sessions",
            metavar="URL",
            envvar="JOURNEYMESH_CONSOLE_SESSIONS",
            help="A database of its own for the console's sessions, whose table is made there.",
        ),
    ] = None,
) -> None:
    """Create or upgrade the tables of approvals, of the audit and of the console's sessions."""
    from journeymesh.wiring.access import migrate_access
    from journeymesh.wiring.sessions import migrate_sessions

    if file is None and sessions is None:
        raise UsageError("no database is named", todo="give the access FILE, or --sessions URL")
    if file is not None:
        say(f"{migrate_access(file)}: approvals, audit and sessions are up to date")
    if sessions is not None:
        say(f"{migrate_sessions(sessions)}: sessions are up to date")


@app.command("check")
def check(file: AccessArgument) -> None:
    """Check the access file and everything that it names.

    Neither a token nor a decision is made; identity providers are asked how they are.
    """
    from journeymesh.wiring.access import open_access

    with open_access(file, migrate=True) as access:
        contracts = ", ".join(f"{each.product} {each.version}" for each in access.contracts)
        say(f"contracts       {contracts}")
        say(f"purposes        {len(access.contracts.purposes)}")
        for state in access.providers.states():
            told = "ready" if state.ready else "NOT READY"
            say(
                f"provider        {state.name} ({state.kind}, {state.issuer}): {told}{state.what and f', {state.what}'}"
            )
        if not all(state.ready for state in access.providers.states()):
            raise typer.Exit(1)


def _write_new(path: Path, content: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def token(
    subject: Annotated[str, typer.Option("--as", metavar="NAME", help="The person's name in the file of people.")],
    access: AccessOption = None,
    provider: Annotated[
        str | None, typer.Option("--provider", help="The static provider, where there are several.")
    ] = None,
    ttl_s: Annotated[float, typer.Option("--ttl", metavar="SECONDS", help="How long the token is valid.")] = 3600.0,
) -> None:
    """Mint a token for a person in the static provider's file.

    Only the token is printed: TOKEN=$(journeymesh token --as analyst).
    """
    from journeymesh.wiring.access import open_minter

    say(open_minter(access_file(access), provider).mint(subject, ttl_s))
