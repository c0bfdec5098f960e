"""``journeymesh serve journeyapi|identityapi|console``: one service, until it is told to stop."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from journeymesh.cli.access import AccessOption, access_file
from journeymesh.cli.options import RulesOption, StoreOption, settings
from journeymesh.cli.output import say

app = typer.Typer(no_args_is_help=True, help="Serve journeys, identity or the console over HTTP.")

HostOption = Annotated[str, typer.Option("--host", help="Address to listen on.")]
PortOption = Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")]

ProxyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted-proxy",
        envvar="JOURNEYMESH_TRUSTED_PROXIES",
        help="Address or network of a gateway: its X-Forwarded-For names the client, and its connections are not "
        "limited. May be given several times.",
    ),
]


@app.command("journeyapi")
def journeyapi(
    access: AccessOption = None,
    store: StoreOption = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", help="Serve through the strangler's door as this plan says, not from --store."),
    ] = None,
    rules: RulesOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8001,
    trusted_proxy: ProxyOption = None,
) -> None:
    """Serve journeys and summaries, each after a decision.

    SIGTERM ends it: /readyz fails first, requests under way go to their end.
    """
    from journeymesh.services.http.allocators import give_back_large_blocks

    give_back_large_blocks()
    from journeymesh.services.http.config import HttpConfig
    from journeymesh.services.http.life import Life
    from journeymesh.services.http.proxies import TrustedProxies
    from journeymesh.services.http.serving import serve
    from journeymesh.services.opening import open_journeyapi

    held = settings()
    config, life = HttpConfig(trusted_proxies=TrustedProxies(trusted_proxy or ())), Life()
    with open_journeyapi(
        access_file(access),
        store=None if plan is not None else store or held.store,
        plan=plan,
        rules=rules or held.rules,
        config=config,
        life=life,
    ) as application:
        serve(application, host, port, life=life, config=config, on_ready=lambda at: say_ready("journeyapi", host, at))


@app.command("identityapi")
def identityapi(
    access: AccessOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8002,
    trusted_proxy: ProxyOption = None,
) -> None:
    """Serve who one is, what one may do, approvals and the audit."""
    from journeymesh.services.http.allocators import give_back_large_blocks

    give_back_large_blocks()
    from journeymesh.services.http.config import HttpConfig
    from journeymesh.services.http.life import Life
    from journeymesh.services.http.proxies import TrustedProxies
    from journeymesh.services.http.serving import serve
    from journeymesh.services.opening import open_identityapi

    config, life = HttpConfig(trusted_proxies=TrustedProxies(trusted_proxy or ())), Life()
    with open_identityapi(access_file(access), config=config, life=life) as application:
        serve(application, host, port, life=life, config=config, on_ready=lambda at: say_ready("identityapi", host, at))


def say_ready(name: str, host: str, port: int) -> None:
    """Where a service listens, once it does."""
    say(f"{name}: http://{host}:{port}", file=sys.stderr, flush=True)
