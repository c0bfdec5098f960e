"""What the console can be told."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from journeymesh.errors import UsageError
from journeymesh.identity.session_rows import MemorySessionRows, SessionRows
from journeymesh.services.console.basemap import TrackBasemap
from journeymesh.services.console.oidc import OidcClient
from journeymesh.services.console.sessions import SessionRules
from journeymesh.services.http.config import HttpConfig

FORM_BYTES: Final = 64 << 10


def console_http(**others: Any) -> HttpConfig:
    """The limits of the console's HTTP: forms are small."""
    return HttpConfig(max_body_bytes=FORM_BYTES, bodies_bytes=8 << 20, **others)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """Where the console is and whom it asks.

    - ``journeyapi``, ``identityapi``: the APIs' URLs; ``plain_http``: a token may go to them over http://
    - ``public_url``: where browsers reach the console, without a path: forms are taken from there only, and over
      https:// the session's cookie is never sent otherwise
    - ``api_within_s``: how long a page waits for one answer of an API before that part of it says that it is missing
    - ``rows``: where sessions are kept, which replicas may share; left out: in this process
    - ``session_idle_s``, ``session_s``: how long a session lasts that nobody uses, and at most; ``sessions``,
      ``sessions_per_person``: at once
    - ``live_every_s``: how often open pages of a session are held against what the viewer may do; ``streams``,
      ``streams_per_session``: how many open pages are told of changes at once
    - ``sign_ins_per_s``, ``sign_ins_burst``: how often one network address may try to sign in
    - ``logouts_per_s``, ``logouts_burst``: how often one address, the provider's, may say that it has ended a session:
      it says so once for each of all that it ends at once, and never again
    - ``oidc``: the OpenID provider at which people sign in; None: they hand in a token
    - ``basemap``: what lies below tracks
    - ``people``: who may be signed in as without a password, and what mints their token: for the demo on one's own
      machine. Empty: nobody
    """

    journeyapi: str
    identityapi: str
    public_url: str
    plain_http: bool = False
    api_within_s: float = 10.0
    session_idle_s: float = 30 * 60
    session_s: float = 8 * 3600
    rows: SessionRows = field(default_factory=MemorySessionRows, repr=False)
    sessions: int = 10_000
    sessions_per_person: int = 20
    live_every_s: float = 0.75
    streams: int = 1_000
    streams_per_session: int = 8
    sign_ins_per_s: float = 1.0
    sign_ins_burst: int = 20
    logouts_per_s: float = 50.0
    logouts_burst: int = 1_000
    oidc: OidcClient | None = None
    basemap: TrackBasemap = field(default_factory=TrackBasemap)
    people: Mapping[str, Callable[[], str]] = field(default_factory=dict)
    http: HttpConfig = field(default_factory=console_http)

    def __post_init__(self) -> None:
        parts = urlsplit(self.public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.username:
            raise UsageError(
                "the console's public URL has to be http:// or https://, a host and perhaps a port",
                todo="for instance https://journeys.insurer.example",
            )

    def session_rules(self) -> SessionRules:
        """What sessions are held to. The secret is the client's: every replica has it; a public client has none."""
        known = ("",) if self.oidc is None else (self.oidc.client_secret or "", self.oidc.issuer, self.oidc.client_id)
        return SessionRules(
            most=self.sessions,
            most_per_person=self.sessions_per_person,
            idle_s=self.session_idle_s,
            longest_s=self.session_s,
            secret=hashlib.sha256("\n".join(known).encode()).digest(),
        )

    @property
    def secure(self) -> bool:
        """Whether browsers reach it over TLS."""
        return self.public_url.startswith("https:")
