"""What identityapi gives and takes of bearers, decisions, purposes and providers, as JSON. Instants are in UTC.

A body with members that it should not have is refused.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from journeymesh.access.decision import Ask, Decision, Reason
from journeymesh.access.explain import Explanation
from journeymesh.governance.obligations import Obligations
from journeymesh.governance.purposes import Purposes
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity
from journeymesh.identity.port import ProviderState
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditRecord

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f]+$")]
"""A name or an id. Control characters are in none, and databases differ over them."""
Why = Annotated[str, msgspec.Meta(max_length=2000, pattern="^[^\\x00]*$")]
"""A reason for people to read."""


def instant_of(at_us: int) -> datetime:
    """The instant so many microseconds after 1970 UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token's bearer is, as their provider vouches."""

    provider: str
    subject: str
    tenant: str
    domains: list[str]
    expires_at: datetime

    @classmethod
    def of(cls, identity: Identity) -> Me:
        """The identity as it is told to itself."""
        return cls(
            provider=identity.provider,
            subject=identity.subject,
            tenant=identity.tenant,
            domains=sorted(identity.domains),
            expires_at=instant_of(int(identity.expires_at_s * 1_000_000)),
        )


class HeldCapability(msgspec.Struct, frozen=True, kw_only=True):
    """A capability that the bearer has. ``personal``: each use needs an approved purpose besides."""

    name: str
    personal: bool
    told: str


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the bearer is capable of with a product."""

    product: str
    capabilities: list[HeldCapability]

    @classmethod
    def of(cls, product: str, known: tuple[Capability, ...], held: frozenset[str]) -> Capabilities:
        """Those of the product's capabilities that are held."""
        shown = [each for each in known if each.name in held]
        return cls(
            product=product,
            capabilities=[HeldCapability(name=each.name, personal=each.personal, told=each.told) for each in shown],
        )


class PolicyAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The insurance policy that a decision is about, as the service that asks knows it."""

    number: Name
    tenant: Name
    product: Name = "default"
    status: Name = "active"

    def policy(self) -> Policy:
        """The policy, as far as decisions look at one."""
        return Policy(
            number=self.number,
            tenant=self.tenant,
            product=self.product,
            status=self.status,
            valid_from=_EPOCH,
            device="unnamed",
        )


class AskTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May the bearer of ``token`` (left out: the caller) do this, for this purpose?"""

    product: Name
    capability: Name
    purpose: Name | None = None
    token: Annotated[str, msgspec.Meta(max_length=16_384)] | None = None
    tenant: Name | None = None
    policy: PolicyAsked | None = None

    def ask(self) -> Ask:
        """The question for the decider."""
        return Ask(
            product=self.product,
            capability=self.capability,
            purpose=self.purpose,
            tenant=self.tenant,
            policy=None if self.policy is None else self.policy.policy(),
        )


class AsksTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several questions, answered in their order."""

    asks: Annotated[list[AskTaken], msgspec.Meta(min_length=1, max_length=100)]


class RowsAdmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Which policies' rows may leave; null: whatever the value."""

    tenants: list[str] | None
    products: list[str] | None
    statuses: list[str] | None


class ObligationsGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What must be done to the data before it leaves."""

    rows: RowsAdmitted
    mask: list[str]
    minimum_group_size: int
    retention_days: int | None
    digest: str

    @classmethod
    def of(cls, held: Obligations) -> ObligationsGiven:
        """The obligations, sets in order."""
        return cls(
            rows=RowsAdmitted(
                tenants=_sorted(held.rows.tenants),
                products=_sorted(held.rows.products),
                statuses=_sorted(held.rows.statuses),
            ),
            mask=sorted(held.hidden),
            minimum_group_size=held.minimum_group_size,
            retention_days=held.retention_days,
            digest=held.digest,
        )


class DecisionGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A decision. ``obligations`` is null where it is denied: there is nothing to do to data that does not leave."""

    decision_id: str
    allowed: bool
    reason: Reason
    obligations: ObligationsGiven | None
    determining: list[str]
    approval_id: str | None
    retry_after_s: float | None

    @classmethod
    def of(cls, held: Decision) -> DecisionGiven:
        """The decision as it is told to who asked for it."""
        return cls(
            decision_id=held.decision_id,
            allowed=held.allowed,
            reason=held.reason,
            obligations=ObligationsGiven.of(held.obligations) if held.allowed else None,
            determining=list(held.determining),
            approval_id=held.approval_id,
            retry_after_s=held.retry_after_s,
        )


class DecisionsGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions, in the order of the questions."""

    items: list[DecisionGiven]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """Why a decision was made, in words."""

    decision_id: str
    at: datetime
    allowed: bool
    reason: Reason
    lines: list[str]
    todo: str

    @classmethod
    def of(cls, record: AuditRecord, held: Explanation) -> Explained:
        """The explanation of this record."""
        return cls(
            decision_id=held.decision_id,
            at=instant_of(record.at_us),
            allowed=held.allowed,
            reason=held.reason,
            lines=list(held.lines),
            todo=held.todo,
        )


class PurposeGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Why data may be used. ``dpv``: the IRI of the W3C Data Privacy Vocabulary's purpose that it is or specialises.

    An approval of a purpose does not cover its ``narrower`` ones.
    """

    id: str
    title: str
    description: str
    dpv: str | None
    narrower: list[PurposeGiven]

    @classmethod
    def beneath(cls, held: Purposes, purpose: str | None) -> list[PurposeGiven]:
        """The purposes directly beneath this one, each with its own; of None: those at the top."""
        return [
            cls(
                id=each.id,
                title=each.title,
                description=each.description,
                dpv=each.dpv,
                narrower=cls.beneath(held, each.id),
            )
            for each in held.narrower(purpose)
        ]


class PurposesGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The tree of purposes."""

    items: list[PurposeGiven]


class ProviderGiven(msgspec.Struct, frozen=True, kw_only=True):
    """An identity provider and how it is doing. ``keys_age_s``: how long ago its keys were fetched."""

    name: str
    kind: str
    issuer: str
    ready: bool
    keys_age_s: float | None
    what: str

    @classmethod
    def of(cls, held: ProviderState) -> ProviderGiven:
        """The provider's state."""
        return cls(
            name=held.name, kind=held.kind, issuer=held.issuer, ready=held.ready, keys_age_s=held.keys_age_s,
            what=held.what,
        )  # fmt: skip


class ProvidersGiven(msgspec.Struct, frozen=True, kw_only=True):
    """All identity providers."""

    items: list[ProviderGiven]


def _sorted(held: frozenset[str] | None) -> list[str] | None:
    return None if held is None else sorted(held)
