"""What identityapi knows, as the types that it gives: ``journeymesh.wire.identity``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from journeymesh.access.decision import Ask, Decision, Offer
from journeymesh.access.explain import Explanation
from journeymesh.governance.approval_records import StepTaken
from journeymesh.governance.approvals import Approval, ApprovalAction, Who
from journeymesh.governance.obligations import Obligations
from journeymesh.governance.purposes import Purposes
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity, ProviderState
from journeymesh.instants import EPOCH, from_us
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.checkpoints import Checkpoint
from journeymesh.ledger.port import AuditRecord
from journeymesh.ledger.verification import Verification
from journeymesh.wire import identity as wire


def me(identity: Identity) -> wire.Me:
    """The identity as its bearer sees it."""
    return wire.Me(
        provider=identity.provider,
        subject=identity.subject,
        tenant=identity.tenant,
        domains=sorted(identity.domains),
        expires_at=from_us(int(identity.expires_at_s * 1_000_000)),
    )


def capabilities(product: str, known: tuple[Capability, ...], names: frozenset[str]) -> wire.Capabilities:
    """Those of the product's capabilities that have one of the names."""
    return wire.Capabilities(
        product=product,
        capabilities=[
            wire.HeldCapability(name=each.name, personal=each.personal, told=each.meaning)
            for each in known
            if each.name in names
        ],
    )


def offers(product: str, approvers: tuple[str, ...], made: list[Offer], approval_steps: int) -> wire.Offers:
    """The offers as their bearer sees them, and of the tenant's approvals only whether there is something new, where
    they may be read."""
    reads = any(each.allowed and each.capability.name == "approvals:read" for each in made)
    return wire.Offers(
        product=product,
        approvers=list(approvers),
        items=[_offer(each) for each in made],
        approval_steps=approval_steps if reads else None,
    )


def _offer(made: Offer) -> wire.OfferGiven:
    duties, approval = made.obligations, made.approval if made.allowed else None
    return wire.OfferGiven(
        capability=made.capability.name,
        told=made.capability.meaning,
        personal=made.capability.personal,
        purpose=made.purpose,
        allowed=made.allowed,
        reason=made.reason,
        mask=[] if duties is None else sorted(duties.hidden),
        minimum_group_size=None if duties is None else duties.minimum_group_size,
        retention_days=None if duties is None else duties.retention_days,
        approval_id=None if approval is None else approval.id,
        approved_until=None if approval is None else approval.valid_to,
    )


def question(taken: wire.AskTaken) -> Ask:
    """What the decider is asked, about a policy as far as decisions look at one."""
    about = taken.policy
    return Ask(
        product=taken.product,
        capability=taken.capability,
        purpose=taken.purpose,
        tenant=taken.tenant,
        policy=None
        if about is None
        else Policy(
            number=about.number,
            tenant=about.tenant,
            product=about.product,
            status=about.status,
            valid_from=EPOCH,
            device="unnamed",
        ),
    )


def obligations(duties: Obligations) -> wire.ObligationsGiven:
    """The obligations, sets in order."""
    return wire.ObligationsGiven(
        rows=wire.RowsAdmitted(
            tenants=_sorted(duties.rows.tenants),
            products=_sorted(duties.rows.products),
            statuses=_sorted(duties.rows.statuses),
        ),
        mask=sorted(duties.hidden),
        minimum_group_size=duties.minimum_group_size,
        retention_days=duties.retention_days,
        digest=duties.digest,
    )


def decision(made: Decision) -> wire.DecisionGiven:
    """The decision as whoever asked for it sees it."""
    return wire.DecisionGiven(
        decision_id=made.decision_id,
        allowed=made.allowed,
        reason=made.reason,
        obligations=obligations(made.obligations) if made.allowed else None,
        determining=list(made.determining),
        approval_id=made.approval_id,
        retry_after_s=made.retry_after_s,
    )


def explained(record: AuditRecord, explanation: Explanation) -> wire.Explained:
    """The explanation of this record."""
    return wire.Explained(
        decision_id=explanation.decision_id,
        at=from_us(record.at_us),
        allowed=explanation.allowed,
        reason=explanation.reason,
        lines=list(explanation.lines),
        todo=explanation.todo,
    )


def purposes(tree: Purposes, above: str | None = None) -> list[wire.PurposeGiven]:
    """The purposes directly beneath this one, each with its own; of None: those at the top."""
    return [
        wire.PurposeGiven(
            id=each.id,
            title=each.title,
            description=each.description,
            dpv=each.dpv,
            narrower=purposes(tree, each.id),
        )
        for each in tree.narrower(above)
    ]


def provider(state: ProviderState) -> wire.ProviderGiven:
    """The provider's state."""
    return msgspec.convert(state, wire.ProviderGiven, from_attributes=True)


def approval(
    known: Approval, duties: Obligations | None, steps: Iterable[ApprovalAction], now: datetime
) -> wire.ApprovalGiven:
    """The approval as it is now, with the steps that whoever asks may take."""
    return wire.ApprovalGiven(
        id=known.id,
        product=known.product,
        product_major=known.product_major,
        purpose=known.purpose,
        tenant=known.tenant,
        domain=known.domain,
        state=known.state_at(now),
        reason=known.reason,
        requested_by=_party(known.requested_by),
        requested_at=known.requested_at,
        decided_by=None if known.decided_by is None else _party(known.decided_by),
        valid_from=known.valid_from,
        valid_to=known.valid_to,
        obligations=None if duties is None else obligations(duties),
        steps=[str(each) for each in steps],
    )


def step(taken: StepTaken) -> wire.StepGiven:
    """The step."""
    return wire.StepGiven(state=taken.state, by=_party(taken.who), at=taken.at, why=taken.why)


def audit_entry(record: AuditRecord) -> wire.AuditEntry:
    """The record."""
    return wire.AuditEntry(
        writer=record.writer,
        number=record.number,
        at=from_us(record.at_us),
        kind=record.kind,
        key=record.key,
        body=dict(record.body),
        previous=record.previous.hex(),
        digest=record.digest.hex(),
    )


def checkpoint(signed: Checkpoint) -> wire.CheckpointGiven:
    """The checkpoint."""
    heads = [wire.HeadGiven(writer=each.writer, number=each.number, digest=each.digest.hex()) for each in signed.heads]
    return wire.CheckpointGiven(name=signed.name, at=from_us(signed.at_us), heads=heads)


def verification(found: Verification) -> wire.VerificationGiven:
    """The verification; each chain's first bad record is named."""
    return msgspec.convert(found, wire.VerificationGiven, from_attributes=True)


def _party(who: Who) -> wire.Party:
    return wire.Party(provider=who.provider, subject=who.subject)


def _sorted(values: frozenset[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)
