"""What identityapi takes and gives, as JSON: its service, its OpenAPI document and the client read these types.

Instants are in UTC. A body with members that it should not have is refused.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

JOURNEYS: Final = "journeys"
"""The product of journeys."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern="^[^\\x00-\\x1f\\x7f]+$")]
"""A name or an id. Control characters are in none, and databases differ over them."""
Why = Annotated[str, msgspec.Meta(max_length=2000, pattern="^[^\\x00]*$")]
"""A reason for people to read."""


class _Open(StrEnum):
    """Fixed words to which a newer service may add some: one that is not known stands for itself."""

    @classmethod
    def _missing_(cls, value: object) -> _Open | None:
        if not isinstance(value, str):
            return None
        unknown = str.__new__(cls, value)
        unknown._name_ = unknown._value_ = value
        return unknown


class Reason(_Open):
    """Why a decision was made as it was: fixed words, fit for metrics and for people."""

    ALLOWED = "allowed"
    TOKEN_MISSING = "token_missing"  # noqa: S105 - no secret
    TOKEN_REFUSED = "token_refused"  # noqa: S105
    CAPABILITY_UNKNOWN = "capability_unknown"
    CAPABILITY_MISSING = "capability_missing"
    PURPOSE_MISSING = "purpose_missing"
    PURPOSE_UNKNOWN = "purpose_unknown"
    APPROVAL_MISSING = "approval_missing"
    POLICY_FORBIDS = "policy_forbids"
    FAULT = "fault"


class State(_Open):
    """How far an approval is. ``ACTIVE`` and ``EXPIRED`` are never recorded: they follow from the clock."""

    REQUESTED = "requested"
    ONCE_APPROVED = "once_approved"
    APPROVED = "approved"
    REJECTED = "rejected"
    ACKNOWLEDGED = "acknowledged"
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """Who the token's bearer is, as their provider vouches."""

    provider: str
    subject: str
    tenant: str
    domains: list[str]
    expires_at: datetime


class HeldCapability(msgspec.Struct, frozen=True, kw_only=True):
    """A capability that the bearer has. ``personal``: each use needs an approved purpose besides."""

    name: str
    personal: bool
    told: str


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the bearer is capable of with a product."""

    product: str
    capabilities: list[HeldCapability]

    def __contains__(self, name: object) -> bool:
        return any(each.name == name for each in self.capabilities)


class OfferGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What would be decided now about a capability of the bearer's, for one purpose, about the product as a whole.

    ``purpose``: null where none is needed, or where the capability is not held for any. ``mask``,
    ``minimum_group_size`` and ``retention_days`` are what it would oblige to; ``approved_until``: when the approval
    ends that it rests on.
    """

    capability: str
    told: str
    personal: bool
    purpose: str | None
    allowed: bool
    reason: Reason
    mask: list[str]
    minimum_group_size: int | None
    retention_days: int | None
    approval_id: str | None
    approved_until: datetime | None


class Offers(msgspec.Struct, frozen=True, kw_only=True):
    """What the bearer may do with a product, and why not. ``approvers``: who approves its purposes, as its contract
    names them, ``domain:NAME`` or ``provider:subject``. ``approval_steps``, of the platform for those who may read
    approvals: how many steps those of the bearer's tenant have had, so that another number says that some changed."""

    product: str
    approvers: list[str]
    items: list[OfferGiven]
    approval_steps: int | None = None


class PolicyAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The insurance policy that a decision is about, as the service that asks knows it."""

    number: Name
    tenant: Name
    product: Name = "default"
    status: Name = "active"


class AskTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """May the bearer of ``token`` (left out: the caller) do this, for this purpose?"""

    product: Name
    capability: Name
    purpose: Name | None = None
    token: Annotated[str, msgspec.Meta(max_length=16_384)] | None = None
    tenant: Name | None = None
    policy: PolicyAsked | None = None


class AsksTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several questions, answered in their order."""

    asks: Annotated[list[AskTaken], msgspec.Meta(min_length=1, max_length=100)]


class RowsAdmitted(msgspec.Struct, frozen=True, kw_only=True):
    """Which policies' rows may leave; null: whatever the value."""

    tenants: list[str] | None
    products: list[str] | None
    statuses: list[str] | None

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class ObligationsGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What must be done to the data before it leaves."""

    rows: RowsAdmitted
    mask: list[str]
    minimum_group_size: int
    retention_days: int | None
    digest: str

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


class DecisionGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A decision. ``obligations`` is null where it is denied: there is nothing to do to data that does not leave."""

    decision_id: str
    allowed: bool
    reason: Reason
    obligations: ObligationsGiven | None
    determining: list[str]
    approval_id: str | None
    retry_after_s: float | None


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


class PurposeGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Why data may be used. ``dpv``: the IRI of the W3C Data Privacy Vocabulary's purpose that it is or specialises.

    An approval of a purpose does not cover its ``narrower`` ones.
    """

    id: str
    title: str
    description: str
    dpv: str | None
    narrower: list[PurposeGiven]


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


class ProvidersGiven(msgspec.Struct, frozen=True, kw_only=True):
    """All identity providers."""

    items: list[ProviderGiven]


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A person or client, by their provider's name for them."""

    provider: str
    subject: str


class ApprovalTaken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked to be approved. Who asks, and of which tenant, is the token's to say.

    ``valid_from``: left out, now; ``valid_to``: left out, as long as the contract lets one approval last.
    """

    purpose: Name
    domain: Name
    reason: Why
    product: Name = JOURNEYS
    valid_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    valid_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class StepBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a step is taken. Who takes it is the token's to say."""

    why: Why = ""


class ApprovalGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The recorded, dated yes, or not yet, or no longer, to one purpose on one major version of a product.

    ``state`` is that of now; ``obligations`` what the contract obliges to for the purpose: what is acknowledged. Null
    where the contract is of another major version by now. ``steps``: those that the caller may take now, ``approve``,
    ``reject``, ``acknowledge`` or ``revoke``.
    """

    id: str
    product: str
    product_major: int
    purpose: str
    tenant: str
    domain: str
    state: State
    reason: str
    requested_by: Party
    requested_at: datetime
    decided_by: Party | None
    valid_from: datetime
    valid_to: datetime
    obligations: ObligationsGiven | None
    steps: list[str]


class StepGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was taken: to which state, by whom, when and why."""

    state: State
    by: Party
    at: datetime
    why: str


class ApprovalTold(msgspec.Struct, frozen=True, kw_only=True):
    """An approval and every step of it, the request first."""

    approval: ApprovalGiven
    history: list[StepGiven]


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Approvals, the newest request first. ``next``: the cursor of the page behind them; null: that was all."""

    items: list[ApprovalGiven]
    next: str | None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A record of one writer's chain. ``previous`` and ``digest`` are hexadecimal."""

    writer: str
    number: int
    at: datetime
    kind: str
    key: str | None
    body: dict[str, Any]
    previous: str
    digest: str


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Records by instant. ``next``: the cursor of the page behind them; null: that was all."""

    items: list[AuditEntry]
    next: str | None


class HeadGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The last record of a chain."""

    writer: str
    number: int
    digest: str


class CheckpointGiven(msgspec.Struct, frozen=True, kw_only=True):
    """The signed heads of all chains, kept elsewhere under ``name``."""

    name: str
    at: datetime
    heads: list[HeadGiven]


class FindingGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was written, in records ``number`` to ``last_number`` of a writer's chain."""

    writer: str
    number: int
    last_number: int
    what: str


class VerificationGiven(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification found. ``unsigned``: records that no checkpoint covers yet."""

    holds: bool
    records: int
    chains: int
    checkpoints: int
    unsigned: int
    findings: list[FindingGiven]
