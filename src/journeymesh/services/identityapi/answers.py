"""What identityapi knows, as the types that it gives: ``journeymesh.wire.identity``."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec
from msgspec import structs

from journeymesh.access.decision import Ask, Decision, Offer
from journeymesh.access.explain import Explanation
from journeymesh.field_copies import copy_fields
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
    ends_at = from_us(int(identity.expires_at_s * 1_000_000))
    return copy_fields(wire.Me, identity, domains=sorted(identity.domains), expires_at=ends_at)


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
    return copy_fields(
        wire.OfferGiven,
        made,
        capability=made.capability.name,
        told=made.capability.meaning,
        personal=made.capability.personal,
        mask=[] if duties is None else sorted(duties.hidden),
        minimum_group_size=None if duties is None else duties.minimum_group_size,
        retention_days=None if duties is None else duties.retention_days,
        approval_id=None if approval is None else approval.id,
        approved_until=None if approval is None else approval.valid_to,
    )


def question(taken: wire.AskTaken) -> Ask:
    """What the decider is asked, about a policy as far as decisions look at one."""
    about = taken.policy
    policy = None if about is None else Policy(**structs.asdict(about), valid_from=EPOCH, device="unnamed")
    return copy_fields(Ask, taken, policy=policy, terms=None)


def obligations(duties: Obligations) -> wire.ObligationsGiven:
    """The obligations, sets in order."""
    rows = duties.rows
    admitted = wire.RowsAdmitted(
        tenants=_sorted(rows.tenants), products=_sorted(rows.products), statuses=_sorted(rows.statuses)
    )
    return copy_fields(wire.ObligationsGiven, duties, rows=admitted, mask=sorted(duties.hidden))


def decision(made: Decision) -> wire.DecisionGiven:
    """The decision as whoever asked for it sees it."""
    duties = obligations(made.obligations) if made.allowed else None
    return copy_fields(wire.DecisionGiven, made, obligations=duties, determining=list(made.determining))


def explained(record: AuditRecord, explanation: Explanation) -> wire.Explained:
    """The explanation of this record."""
    return copy_fields(wire.Explained, explanation, at=from_us(record.at_us), lines=list(explanation.lines))


def purposes(tree: Purposes, above: str | None = None) -> list[wire.PurposeGiven]:
    """The purposes directly beneath this one, each with its own; of None: those at the top."""
    beneath = tree.narrower(above)
    return [copy_fields(wire.PurposeGiven, each, narrower=purposes(tree, each.id)) for each in beneath]


def provider(state: ProviderState) -> wire.ProviderGiven:
    """The provider's state."""
    return msgspec.convert(state, wire.ProviderGiven, from_attributes=True)


def approval(
    known: Approval, duties: Obligations | None, steps: Iterable[ApprovalAction], now: datetime
) -> wire.ApprovalGiven:
    """The approval as it is now, with the steps that whoever asks may take."""
    return copy_fields(
        wire.ApprovalGiven,
        known,
        state=known.state_at(now),
        requested_by=_party(known.requested_by),
        decided_by=None if known.decided_by is None else _party(known.decided_by),
        obligations=None if duties is None else obligations(duties),
        steps=[str(each) for each in steps],
    )


def step(taken: StepTaken) -> wire.StepGiven:
    """The step."""
    return wire.StepGiven(state=taken.state, by=_party(taken.who), at=taken.at, why=taken.why)


def audit_entry(record: AuditRecord) -> wire.AuditEntry:
    """The record."""
    previous, digest = record.previous.hex(), record.digest.hex()
    at, body = from_us(record.at_us), dict(record.body)
    return copy_fields(wire.AuditEntry, record, at=at, body=body, previous=previous, digest=digest)


def checkpoint(signed: Checkpoint) -> wire.CheckpointGiven:
    """The checkpoint."""
    heads = [wire.HeadGiven(writer=each.writer, number=each.number, digest=each.digest.hex()) for each in signed.heads]
    return wire.CheckpointGiven(name=signed.name, at=from_us(signed.at_us), heads=heads)


def verification(found: Verification) -> wire.VerificationGiven:
    """The verification; each chain's first bad record is named."""
    return msgspec.convert(found, wire.VerificationGiven, from_attributes=True)


def _party(who: Who) -> wire.Party:
    return copy_fields(wire.Party, who)


def _sorted(values: frozenset[str] | None) -> list[str] | None:
    return None if values is None else sorted(values)
