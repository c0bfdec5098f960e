"""Keycloak: tokens are checked here with its public keys, what their bearer is capable of is asked once per token.

Its Authorization Services know each data product as a resource and each capability as a scope (deploy/keycloak).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from journeymesh.identity.answers import Asking, ProviderAnswer
from journeymesh.identity.capabilities import BY_NAME
from journeymesh.identity.identity import Identity, ProviderState, ProviderUnavailable, TokenRefused
from journeymesh.identity.keys import KeyTimes, RemoteKeys
from journeymesh.identity.tokens import (
    TokenRefusal,
    TokenRules,
    expires_at_s,
    text_claim,
    texts_claim,
    token_digest,
    verified_claims,
)

_UMA_TICKET: Final = "urn:ietf:params:oauth:grant-type:uma-ticket"
_NO_PERMISSION: Final = {(403, "access_denied"), (400, "invalid_resource")}
"""Keycloak's answers for: capable of nothing here; the product is not known to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcSettings:
    """A realm of Keycloak.

    - ``issuer``: the ``iss`` of its tokens, ``https://HOST/realms/REALM``
    - ``audience``: the client that stands for Journeymesh's APIs; tokens are for it, and it holds the permissions
    - ``internal_url``: where this process reaches the realm, if not at the issuer's address
    - ``ca_file``: whom to trust for TLS instead of the system
    - ``timeout_s``: bounds each question to it
    - ``person_claim``: the claim with the person's id, the same at every provider; None: it declares none
    """

    issuer: str
    audience: str = "journeymesh"
    internal_url: str | None = None
    ca_file: Path | None = None
    tenant_claim: str = "tenant"
    domains_claim: str = "domains"
    person_claim: str | None = None
    leeway_s: float = 10.0
    timeout_s: float = 3.0
    key_times: KeyTimes = field(default_factory=KeyTimes)


class OidcProvider:
    """A realm of Keycloak as identity provider. Safe for several threads."""

    kind = "oidc"
    staleness_s = 0.0

    def __init__(
        self,
        name: str,
        settings: OidcSettings,
        *,
        tenants: frozenset[str] | None = None,
        now_s: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is asked before the first token comes.

        Raises:
            ExtraMissing: httpx is not installed. SettingsInvalid: ``ca_file`` has no certificates.
        """
        self.name = name
        self.tenants = tenants
        self.issuers: tuple[str, ...] = (settings.issuer,)
        self._settings = settings
        self._now_s = now_s
        self._rules = TokenRules(issuer=settings.issuer, audience=settings.audience, leeway_s=settings.leeway_s)
        realm = (settings.internal_url or settings.issuer).rstrip("/")
        self._token_url = f"{realm}/protocol/openid-connect/token"
        self._asking = Asking(name, timeout_s=settings.timeout_s, ca_file=settings.ca_file)
        self._keys = RemoteKeys(
            name,
            lambda: self._asking.get(f"{realm}/protocol/openid-connect/certs"),
            patience_s=settings.timeout_s,
            times=settings.key_times,
            clock=clock,
        )

    def identify(self, token: str) -> Identity:
        """Who bears this token; checked in this process. Raises as the port says."""
        claims = verified_claims(token, self._keys, self._rules, now_s=self._now_s)
        if claims.get("typ", "Bearer") != "Bearer":  # Keycloak's ID and refresh tokens say so here
            raise TokenRefused(TokenRefusal.KIND)
        return Identity(
            provider=self.name,
            subject=text_claim(claims, "sub", TokenRefusal.SUBJECT),
            tenant=text_claim(claims, self._settings.tenant_claim, TokenRefusal.TENANT),
            domains=texts_claim(claims, self._settings.domains_claim),
            person=self._person(claims),
            expires_at_s=expires_at_s(claims, self._rules),
            token_digest=token_digest(token),
        )

    def _person(self, claims: Mapping[str, Any]) -> str | None:
        """The declared id; None where this token has none, as a client's."""
        name = self._settings.person_claim
        return None if name is None or name not in claims else text_claim(claims, name, TokenRefusal.SUBJECT)

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:  # noqa: ARG002 - the port's
        """What Keycloak permits on the product's resource now. One call; raises as the port says."""
        form = {
            "grant_type": _UMA_TICKET,
            "audience": self._settings.audience,
            "permission": product,
            "response_mode": "permissions",
        }
        answer = self._asking.post_form(self._token_url, form, headers={"Authorization": f"Bearer {token}"})
        if answer.status == 200:
            return _permitted(self.name, answer.body, product)
        error = answer.body.get("error") if isinstance(answer.body, dict) else None
        if (answer.status, error) in _NO_PERMISSION:
            return frozenset()
        if answer.status == 401 or (answer.status, error) == (400, "invalid_grant"):  # logged out, disabled, deleted
            raise TokenRefused(TokenRefusal.INACTIVE)
        raise ProviderUnavailable(self.name, _told(answer))

    def state(self) -> ProviderState:
        """Ready when its keys count, or could be fetched now."""
        what = ""
        if not self._keys.trusted:
            try:
                self._keys.renew()
            except ProviderUnavailable as error:
                what = error.what
        return ProviderState(self.name, self.kind, self.issuers[0], self._keys.trusted, self._keys.age_s, what)

    def close(self) -> None:
        """Release connections. Idempotent."""
        self._asking.close()


def _permitted(provider: str, permissions: Any, product: str) -> frozenset[str]:
    """The capabilities in Keycloak's list of permissions, ``[{"rsname": PRODUCT, "scopes": [NAME, …]}, …]``."""
    if not isinstance(permissions, list):
        raise ProviderUnavailable(provider, "its permissions cannot be read")
    names: set[str] = set()
    for permission in permissions:
        if not isinstance(permission, dict) or not isinstance(permission.get("scopes", []), list):
            raise ProviderUnavailable(provider, "its permissions cannot be read")
        if permission.get("rsname") == product:
            names |= {name for name in permission.get("scopes", []) if isinstance(name, str)}
    return frozenset(name for name in names if (product, name) in BY_NAME)


def _told(answer: ProviderAnswer) -> str:
    return f"it answers {answer.status} to the request for permissions"
