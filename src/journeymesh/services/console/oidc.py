"""Signing in at an OpenID provider: authorisation code with PKCE, renewal, and logout on both sides."""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from journeymesh.errors import ExtraMissing
from journeymesh.identity.answers import Asking
from journeymesh.identity.identity import ProviderUnavailable, TokenRefused
from journeymesh.identity.keys import RemoteKeys
from journeymesh.identity.tokens import TokenRefusal, TokenRules, read_unverified, verified_claims
from journeymesh.shared_tls import set_alpn_once

LOGOUT: Final = "http://schemas.openid.net/event/backchannel-logout"
LOGOUT_TOKENS: Final = frozenset({"jwt", "logout+jwt"})
SIGN_IN_WITHIN_S: Final = 600.0
COOKIE_BYTES: Final = 3_000
"""Browsers drop a cookie of more than 4,096 bytes with its name."""
_CLOCKS_APART_S: Final = 30.0
_AFTER_CHARS: Final = 1_024
_SECRET: Final = msgspec.Meta(min_length=32, max_length=64)
_TIMEOUT_S: Final = 10.0
_VERIFIED_AT_ONCE: Final = 2
"""Logout tokens: who waits for a slow provider's keys must leave threads to those whose sessions are looked up."""
_PASSES: Final = frozenset({"server_error", "temporarily_unavailable"})
"""What a provider answers where it is at fault itself."""
_AWAY: Final = "The identity provider cannot be reached. Try again."
logger = logging.getLogger(__name__)


class SignInFailed(Exception):
    """The provider let nobody in, or gave no answer that counts. ``words``: for people."""

    def __init__(self, words: str) -> None:
        self.words = words
        super().__init__(words)


class ProviderAway(SignInFailed):
    """The provider gave no answer, or none of its own: of whoever asked nothing is known by that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcClient:
    """The console as a client of an OpenID provider.

    - ``issuer``: as it is in tokens, ``https://HOST/realms/REALM``; ``internal_url``: where this process reaches it,
      if not there
    - ``client_secret``: None where the provider knows the console as a public client
    """

    issuer: str
    client_id: str = "console"
    client_secret: str | None = field(default=None, repr=False)
    internal_url: str | None = None
    scope: str = "openid"

    @property
    def origin(self) -> str:
        """The provider's scheme and host, where browsers are sent."""
        parts = urlsplit(self.issuer)
        return f"{parts.scheme}://{parts.netloc}"


class Begun(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A sign-in under way: what its end is held against, and where to go on. The browser that began it keeps it, so
    that it may end at any replica, and nothing is kept of the many that never end."""

    state: Annotated[str, _SECRET]
    verifier: Annotated[str, _SECRET]
    nonce: Annotated[str, _SECRET]
    after: str
    began_s: float

    def in_cookie(self) -> str:
        """As the value of a cookie."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def of_cookie(cls, value: str) -> Begun | None:
        """What ``in_cookie`` gave; None: it is nothing of the kind."""
        if not 0 < len(value) <= COOKIE_BYTES or not value.isascii():
            return None
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=cls)
        except (ValueError, msgspec.MsgspecError):
            return None


@dataclass(frozen=True, slots=True)
class Ended:
    """What a provider ended: a session by its own name for it, or where it names none, all of a person's."""

    sid: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class Login:
    """What a provider gave at sign-in besides the access token. ``sid``: its own name of the session."""

    refresh_token: str = field(repr=False)
    id_token: str = field(repr=False)
    sid: str | None


class OidcSignIn:
    """Sign-ins at one provider. ``redirect_uri``: where it sends browsers back to. Used by one event loop."""

    def __init__(
        self, client: OidcClient, redirect_uri: str, *, transport: Any = None, now_s: Callable[[], float] = time.time
    ) -> None:
        """Nothing is asked before somebody signs in.

        Raises:
            ExtraMissing: authlib is not installed.
        """
        try:
            import httpx
            from authlib.integrations.httpx_client import AsyncOAuth2Client
        except ImportError as error:
            raise ExtraMissing("authlib", "services") from error
        self._kind = AsyncOAuth2Client
        # One TLS context for all that is asked: to make it takes 68 ms, in which the event loop answers nobody.
        trust = {"verify": set_alpn_once(httpx.create_ssl_context())} if transport is None else {"transport": transport}
        self._asked_with: Mapping[str, Any] = {"timeout": _TIMEOUT_S, **trust}
        self.client = client
        self._redirect_uri, self._now_s = redirect_uri, now_s
        self._metadata: Mapping[str, Any] | None = None
        self._asking = Asking("openid", timeout_s=_TIMEOUT_S)
        self._rules = TokenRules(issuer=client.issuer, audience=client.client_id, types=LOGOUT_TOKENS)
        self._keys: RemoteKeys | None = None
        self._verifying = asyncio.Semaphore(_VERIFIED_AT_ONCE)

    async def begin(self, after: str) -> tuple[str, Begun]:
        """(where to send the browser, what to remember of it).

        Raises:
            SignInFailed: the provider cannot be reached.
        """
        onward = after if len(after) <= _AFTER_CHARS else "/"
        begun = Begun(
            secrets.token_urlsafe(24), secrets.token_urlsafe(48), secrets.token_urlsafe(24), onward, self._now_s()
        )
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        endpoint = (await self._known())["authorization_endpoint"]
        # Not by a client of authlib's, which prepares its TLS anew: 68 ms of CPU for whoever asks.
        url = prepare_grant_uri(
            endpoint,
            self.client.client_id,
            "code",
            self._redirect_uri,
            self.client.scope,
            begun.state,
            nonce=begun.nonce,
            code_challenge=create_s256_code_challenge(begun.verifier),
            code_challenge_method="S256",
        )
        return str(url), begun

    async def finish(self, begun: Begun, given: Mapping[str, str]) -> tuple[str, Login]:
        """(access token, login) for what the provider sent the browser back with.

        Raises:
            SignInFailed: it does not belong to this sign-in, or the provider refuses it.
        """
        late = not 0 <= self._now_s() - begun.began_s + _CLOCKS_APART_S <= SIGN_IN_WITHIN_S
        if late or not secrets.compare_digest(given.get("state", "").encode(), begun.state.encode()):
            raise SignInFailed("This sign-in was not begun in this browser, or too long ago. Begin anew.")
        if "code" not in given:
            raise SignInFailed("The identity provider let nobody in.")
        answer = await self._fetch(code=given["code"], code_verifier=begun.verifier)
        claims = _claims_of(answer.get("id_token"))
        if claims.get("nonce") != begun.nonce or claims.get("iss") != self.client.issuer:
            raise SignInFailed("The identity provider's answer does not belong to this sign-in.")
        return _login(answer, claims)

    async def renew(self, login: Login) -> tuple[str, Login]:
        """(access token, login) that follow these.

        Raises:
            SignInFailed: the provider has ended the session; ``ProviderAway``: it does not say.
        """
        answer = await self._fetch(grant_type="refresh_token", refresh_token=login.refresh_token)
        answer.setdefault("refresh_token", login.refresh_token)
        answer.setdefault("id_token", login.id_token)
        token, renewed = _login(answer, _claims_of(answer["id_token"]))
        return token, replace(renewed, sid=login.sid)

    async def end_url(self, login: Login, back_to: str) -> str:
        """Where a browser ends its session at the provider too.

        Raises:
            SignInFailed: the provider cannot be reached, or has no such place.
        """
        known = await self._known()
        if "end_session_endpoint" not in known:
            raise SignInFailed("The identity provider cannot be signed out from.")
        query = {
            "id_token_hint": login.id_token,
            "client_id": self.client.client_id,
            "post_logout_redirect_uri": back_to,
        }
        return f"{known['end_session_endpoint']}?{urlencode(query)}"

    async def ended(self, logout_token: str) -> Ended:
        """What the provider has ended (back-channel logout 1.0).

        Raises:
            SignInFailed: the token is not one that the provider made for this.
        """
        known = await self._known()
        if self._keys is None:
            at = self._inside(known["jwks_uri"])
            self._keys = RemoteKeys("openid", lambda: self._asking.get(at), patience_s=_TIMEOUT_S)
        try:
            async with self._verifying:
                claims = await asyncio.to_thread(
                    verified_claims, logout_token, self._keys, self._rules, now_s=self._now_s
                )
        except TokenRefused as error:
            logger.warning("a logout token is refused: %s", error.reason)
            raise SignInFailed("no logout token of the identity provider") from error
        except ProviderUnavailable as error:
            raise SignInFailed("the identity provider's keys cannot be fetched") from error
        events = claims.get("events")
        sid, subject = (value if isinstance(value := claims.get(name), str) else None for name in ("sid", "sub"))
        if not isinstance(events, dict) or LOGOUT not in events or "nonce" in claims or (sid or subject) is None:
            raise SignInFailed("no logout token of the identity provider")
        return Ended(sid, subject)

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._asking.close()

    def _asker(self) -> Any:
        public = self.client.client_secret is None
        return self._kind(
            client_id=self.client.client_id,
            client_secret=self.client.client_secret,
            token_endpoint_auth_method="none" if public else "client_secret_basic",
            scope=self.client.scope,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            **self._asked_with,
        )

    async def _known(self) -> Mapping[str, Any]:
        """The provider's metadata, fetched once. It has to name the issuer that it was asked as."""
        import httpx

        if self._metadata is None:
            at = (self.client.internal_url or self.client.issuer).rstrip("/") + "/.well-known/openid-configuration"
            try:
                async with httpx.AsyncClient(**self._asked_with) as asker:
                    found = (await asker.get(at)).raise_for_status().json()
            except (httpx.HTTPError, ValueError) as error:
                raise ProviderAway(_AWAY) from error
            if not isinstance(found, dict) or found.get("issuer") != self.client.issuer:
                raise SignInFailed("The identity provider calls itself by another name than it is configured by.")
            self._metadata = found
        return self._metadata

    async def _fetch(self, **given: str) -> dict[str, Any]:
        """The token endpoint's answer."""
        import httpx
        from authlib.common.errors import AuthlibBaseError

        endpoint = self._inside((await self._known())["token_endpoint"])
        try:
            async with self._asker() as asker:
                answer = await asker.fetch_token(endpoint, **given)
        except (httpx.HTTPError, ValueError) as error:  # no JSON: what stands before a provider says that it is gone
            raise ProviderAway(_AWAY) from error
        except AuthlibBaseError as error:
            if error.error in _PASSES:
                raise ProviderAway(_AWAY) from error
            raise SignInFailed("The identity provider refused. Sign in anew.") from error
        return dict(answer)

    def _inside(self, url: str) -> str:
        """The provider's address as this process reaches it."""
        inside = self.client.internal_url
        public = self.client.issuer.rstrip("/")
        return inside.rstrip("/") + url.removeprefix(public) if inside and url.startswith(public) else url


def _login(answer: Mapping[str, Any], claims: Mapping[str, Any]) -> tuple[str, Login]:
    token, refresh = answer.get("access_token"), answer.get("refresh_token")
    if not isinstance(token, str) or not isinstance(refresh, str):
        raise SignInFailed("The identity provider's answer cannot be read.")
    sid = claims.get("sid")
    return token, Login(refresh, str(answer["id_token"]), sid if isinstance(sid, str) else None)


def _claims_of(id_token: Any) -> Mapping[str, Any]:
    """What an ID token says that came from the token endpoint itself, whose connection vouches for it."""
    try:
        if not isinstance(id_token, str):
            raise TokenRefused(TokenRefusal.MISSING)
        return read_unverified(id_token).claims
    except TokenRefused as error:
        raise SignInFailed("The identity provider's answer cannot be read.") from error
