"""Who asks: what a verified token says, whichever provider issued it.

The port of an identity provider.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from journeymesh.errors import JourneymeshError

PLATFORM: Final = "platform"
"""The product whose capabilities concern the platform itself: approvals, audit, decisions for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who asks, as their provider vouches.

    - ``provider``: the provider's name in our settings; ``subject``: its stable id of the person or client
    - ``tenant``: the insurer (or part of one) whose data they may see at all
    - ``domains``: the data mesh's domains they work for, such as ``pricing`` or ``claims``
    - ``person``: the id by which several providers know one person, such as a staff number, where the provider
      declares one; None: nobody says which accounts elsewhere are theirs
    - ``expires_at_s``: seconds since 1970 UTC after which the token no longer counts
    - ``token_digest``: names the token in caches without being it; 32 bytes
    """

    provider: str
    subject: str
    tenant: str
    domains: frozenset[str] = frozenset()
    person: str | None = None
    expires_at_s: float = 0.0
    token_digest: bytes = field(default=b"", repr=False)


class TokenRefused(JourneymeshError):
    """The token is missing, malformed, expired, of an unknown issuer, or its signature does not hold.

    ``reason`` is one of a fixed few words, fit for logs, metrics and the audit; nothing of the token is in it.
    """

    def __init__(self, reason: str, *, todo: str = "ask the identity provider for a new token") -> None:
        self.reason = reason
        super().__init__(f"the token is refused: {reason}", todo=todo)


class ProviderUnavailable(JourneymeshError):
    """An identity provider cannot say, at this moment, who asks or what they are capable of. Nobody gets in."""

    def __init__(self, provider: str, what: str, *, retry_after_s: float = 5.0) -> None:
        self.provider = provider
        self.retry_after_s = retry_after_s
        super().__init__(f"identity provider {provider}: {what}", todo="try again")


@dataclass(frozen=True, slots=True)
class ProviderState:
    """How a provider is doing. ``keys_age_s``: how long ago its keys were fetched; None: it has none to fetch."""

    name: str
    kind: str
    issuer: str
    ready: bool
    keys_age_s: float | None = None
    what: str = ""


class IdentityProvider(Protocol):
    """Says who asks and what they are capable of. Safe for several threads.

    ``issuers`` are the ``iss`` values that are this provider's; ``tenants`` those it may vouch for, None: any.
    ``staleness_s``: how old its answers may be by themselves; whoever keeps them does so for so much shorter.
    """

    name: str
    kind: str
    issuers: tuple[str, ...]
    tenants: frozenset[str] | None
    staleness_s: float

    def identify(self, token: str) -> Identity:
        """Who bears this token. Verified in this process where the provider publishes keys.

        Raises:
            TokenRefused: it does not hold. ProviderUnavailable: nobody can say at this moment.
        """

    def capabilities(self, token: str, identity: Identity, product: str) -> frozenset[str]:
        """The names of the product's capabilities that the identity has now, not cached.

        Raises:
            ProviderUnavailable: nobody can say at this moment. TokenRefused: the provider no longer accepts the token.
        """

    def state(self) -> ProviderState:
        """How it is doing. Never raises."""

    def close(self) -> None:
        """Release connections. Idempotent."""
