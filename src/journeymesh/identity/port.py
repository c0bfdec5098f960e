"""The port of an identity provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from journeymesh.identity.identity import Identity


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
