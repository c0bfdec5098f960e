"""What a decision is made from: small ports that the rooms below fill."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Protocol

from journeymesh.governance.obligations import Obligations
from journeymesh.identity.identity import Identity


class TokenReader(Protocol):
    """Every identity provider behind one face. Safe for several threads."""

    def identify(self, token: str) -> Identity:
        """Who bears the token.

        Raises:
            TokenRefused: it does not hold. ProviderUnavailable: nobody can say at this moment.
        """

    def capabilities(self, token: str, product: str, version: Hashable = None) -> frozenset[str]:
        """The names of the product's capabilities that the bearer has, as their provider said ≤ 30 s ago.

        ``version`` is that of the Cedar policies; another version asks anew.

        Raises:
            TokenRefused, ProviderUnavailable: as above.
        """

    def would_block(self, token: str, product: str, version: Hashable = None) -> bool:
        """Whether the two above would wait for a provider."""


class ApprovalHeld(Protocol):
    """An approval as a decision looks at it."""

    @property
    def id(self) -> str: ...
    @property
    def product(self) -> str: ...
    @property
    def product_major(self) -> int: ...
    @property
    def purpose(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def valid_from(self) -> datetime: ...
    @property
    def valid_to(self) -> datetime: ...


class LiveApprovals(Protocol):
    """The approvals in force, in memory. Safe for several threads."""

    def live(self, product: str, major: int, purpose: str, tenant: str, domains: frozenset[str]) -> ApprovalHeld | None:
        """An approval in force now of this purpose on this product, for one of the domains; None: there is none.

        Raises:
            ApprovalsUnreadable: what is known is too old to rely on.
        """


class Contract(Protocol):
    """A data product's contract as a decision looks at it."""

    @property
    def major(self) -> int:
        """The major version of the product. An approval is of one."""

    @property
    def purposes(self) -> Mapping[str, Obligations]:
        """The purposes that the product may be used for, each with what must be done to the data."""


class Contracts(Protocol):
    """The contracts in force and the catalogue of purposes."""

    def of(self, product: str) -> Contract | None:
        """The product's contract; None: it has none, so nothing personal of it may be used."""

    def knows(self, purpose: str) -> bool:
        """Whether the catalogue has the purpose."""

    def reads(self, purpose: str) -> bool:
        """Whether anything may be read for the purpose; not where the catalogue does not have it."""


class Pseudonyms(Protocol):
    """Keyed pseudonyms: equal values, equal pseudonyms; nobody without the key gets back."""

    def of(self, kind: str, *parts: str) -> str:
        """The pseudonym of a value of this kind."""
