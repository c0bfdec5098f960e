"""What identityapi gives and takes of approvals, as JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from journeymesh.governance.approval_records import StepTaken
from journeymesh.governance.approvals import Approval, State, Who
from journeymesh.governance.obligations import Obligations
from journeymesh.identity.capabilities import JOURNEYS
from journeymesh.services.identityapi.answers import Name, ObligationsGiven, Why


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A person or client, by their provider's name for them."""

    provider: str
    subject: str

    @classmethod
    def of(cls, held: Who) -> Party:
        """The stable name in its parts."""
        return cls(provider=held.provider, subject=held.subject)


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
    where the contract is of another major version by now.
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

    @classmethod
    def of(cls, held: Approval, obligations: Obligations | None, now: datetime) -> ApprovalGiven:
        """The approval as it is now."""
        return cls(
            id=held.id,
            product=held.product,
            product_major=held.product_major,
            purpose=held.purpose,
            tenant=held.tenant,
            domain=held.domain,
            state=held.state_at(now),
            reason=held.reason,
            requested_by=Party.of(held.requested_by),
            requested_at=held.requested_at,
            decided_by=None if held.decided_by is None else Party.of(held.decided_by),
            valid_from=held.valid_from,
            valid_to=held.valid_to,
            obligations=None if obligations is None else ObligationsGiven.of(obligations),
        )


class StepGiven(msgspec.Struct, frozen=True, kw_only=True):
    """A step that was taken: to which state, by whom, when and why."""

    state: State
    by: Party
    at: datetime
    why: str

    @classmethod
    def of(cls, held: StepTaken) -> StepGiven:
        """The step."""
        return cls(state=held.state, by=Party.of(held.who), at=held.at, why=held.why)


class ApprovalTold(msgspec.Struct, frozen=True, kw_only=True):
    """An approval and every step of it, the request first."""

    approval: ApprovalGiven
    history: list[StepGiven]


class ApprovalPage(msgspec.Struct, frozen=True, kw_only=True):
    """Approvals, the newest request first. ``next``: the cursor of the page behind them; null: that was all."""

    items: list[ApprovalGiven]
    next: str | None
