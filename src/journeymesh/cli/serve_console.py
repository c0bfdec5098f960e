"""``journeymesh serve console``: pages for people over both APIs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from journeymesh.cli.serve import HostOption, PortOption, ProxyOption, say_ready
from journeymesh.errors import UsageError

JourneyapiOption = Annotated[
    str, typer.Option("--journeyapi", envvar="JOURNEYMESH_JOURNEYAPI_URL", help="journeyapi's URL.")
]
IdentityapiOption = Annotated[
    str, typer.Option("--identityapi", envvar="JOURNEYMESH_IDENTITYAPI_URL", help="identityapi's URL.")
]
PublicUrlOption = Annotated[
    str | None,
    typer.Option(
        "--public-url",
        envvar="JOURNEYMESH_CONSOLE_URL",
        help="Where browsers reach the console, when that is not its own host and port.",
    ),
]
PlainHttpOption = Annotated[
    bool,
    typer.Option("--plain-http", help="Send tokens to the APIs over http://, where the network itself encrypts."),
]
IssuerOption = Annotated[
    str | None,
    typer.Option(
        "--issuer",
        envvar="JOURNEYMESH_CONSOLE_ISSUER",
        help="Sign in at this OpenID provider: the issuer of its tokens, https://HOST/realms/REALM. Left out: with "
        "a token.",
    ),
]
InternalIssuerOption = Annotated[
    str | None,
    typer.Option(
        "--issuer-internal-url",
        envvar="JOURNEYMESH_CONSOLE_ISSUER_INTERNAL_URL",
        help="Where the console itself reaches the provider, when that is not the issuer.",
    ),
]
ClientIdOption = Annotated[
    str,
    typer.Option("--client-id", envvar="JOURNEYMESH_CONSOLE_CLIENT_ID", help="As which client of the provider."),
]
ClientSecretOption = Annotated[
    Path | None,
    typer.Option(
        "--client-secret-file",
        envvar="JOURNEYMESH_CONSOLE_CLIENT_SECRET_FILE",
        help="File with the client's secret. Left out: a public client.",
    ),
]
BasemapOption = Annotated[
    str | None,
    typer.Option(
        "--basemap",
        envvar="JOURNEYMESH_CONSOLE_BASEMAP",
        help="What lies below tracks: a PMTiles file (vector tiles in the schema of Protomaps' basemaps), or the URL "
        "of pictures with {z}, {x} and {y}. Left out: nothing.",
        show_default=False,
    ),
]
AttributionOption = Annotated[
    str | None,
    typer.Option(
        "--basemap-attribution",
        envvar="JOURNEYMESH_CONSOLE_BASEMAP_ATTRIBUTION",
        help="Whose map that is, said below it.",
        show_default=False,
    ),
]
SessionsOption = Annotated[
    str | None,
    typer.Option(
        "--sessions",
        envvar="JOURNEYMESH_CONSOLE_SESSIONS",
        help="Where sessions are kept that replicas share: the URL of the access file's database, sqlite:///FILE or "
        "postgresql://… Left out: in this process.",
        show_default=False,
    ),
]
SignInAsOption = Annotated[
    Path | None,
    typer.Option(
        "--sign-in-as",
        help="Let whoever reaches the console sign in as anybody of this access file's people. For a demo on one's "
        "own machine: refused on other addresses than loopback.",
    ),
]


def console(
    journeyapi: JourneyapiOption = "http://127.0.0.1:8001",
    identityapi: IdentityapiOption = "http://127.0.0.1:8002",
    public_url: PublicUrlOption = None,
    plain_http: PlainHttpOption = False,
    issuer: IssuerOption = None,
    internal_issuer: InternalIssuerOption = None,
    client_id: ClientIdOption = "console",
    client_secret_file: ClientSecretOption = None,
    basemap: BasemapOption = None,
    basemap_attribution: AttributionOption = None,
    sessions: SessionsOption = None,
    sign_in_as: SignInAsOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8003,
    trusted_proxy: ProxyOption = None,
) -> None:
    """Serve pages for people over both APIs, with the viewer's own token."""
    from journeymesh.identity.session_sweeper import SessionSweeper
    from journeymesh.services.console.app import build_app
    from journeymesh.services.console.basemap import TrackBasemap
    from journeymesh.services.console.config import ConsoleConfig, console_http
    from journeymesh.services.console.oidc import OidcClient
    from journeymesh.services.http.life import Life
    from journeymesh.services.http.proxies import TrustedProxies
    from journeymesh.services.http.serving import free_port, serve
    from journeymesh.wiring.sessions import open_session_rows

    secret = None if client_secret_file is None else _secret(client_secret_file)
    oidc = None
    if issuer is not None:
        oidc = OidcClient(issuer=issuer, client_id=client_id, client_secret=secret, internal_url=internal_issuer)
    port = free_port(host, port)
    config = ConsoleConfig(
        journeyapi=journeyapi,
        identityapi=identityapi,
        public_url=(public_url or f"http://{host}:{port}").rstrip("/"),
        plain_http=plain_http,
        oidc=oidc,
        basemap=TrackBasemap.of(basemap, basemap_attribution or ""),
        people=_people(sign_in_as, host) if sign_in_as else {},
        http=console_http(trusted_proxies=TrustedProxies(trusted_proxy or ())),
    )
    with open_session_rows(sessions) as rows, SessionSweeper(rows, idle_s=config.session_idle_s) as sweeper:
        life = Life(checks={"sessions": sweeper.fault})
        application = build_app(replace(config, rows=rows), life=life)
        serve(
            application, host, port, life=life, config=config.http, on_ready=lambda at: say_ready("console", host, at)
        )


def _secret(path: Path) -> str:
    """What the file holds.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"the client's secret cannot be read from {path}", todo="name a file of text") from error


def _people(access: Path, host: str) -> dict[str, Callable[[], str]]:
    """What mints a token for each person of the access file.

    Raises:
        UsageError: others than this machine's users could reach it.
    """
    from ipaddress import ip_address

    from journeymesh.wiring.access import open_minter

    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise UsageError(
            f"--sign-in-as on {host} would let everybody in who reaches it", todo="listen on 127.0.0.1, or leave it out"
        )
    minter = open_minter(access)
    return {name: partial(minter.mint, name) for name in minter.people()}
