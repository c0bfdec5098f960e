"""What the audit keeps of a decision: who and what under pseudonyms, and no text that only the caller vouches for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from journeymesh.access.decision import Ask, Reason
from journeymesh.access.ports import ApprovalHeld, Pseudonyms
from journeymesh.governance.obligations import NO_OBLIGATIONS, Obligations
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity
from journeymesh.journeys.policies import Policy

RECORD_KIND: Final = "decision"


@dataclass(slots=True)
class Found:
    """What is found out on the way to a decision. ``policy`` is the term that it is about, ``terms`` those that may be
    told of. ``purpose`` and ``capability`` are set once they are known ones;
    ``reads`` says whether anything may be read for the purpose."""

    decision_id: str
    identity: Identity | None = None
    capability: Capability | None = None
    purpose: str | None = None
    reads: bool = True
    approval: ApprovalHeld | None = None
    policy: Policy | None = None
    terms: tuple[Policy, ...] = ()
    all_terms: bool = True
    obligations: Obligations = NO_OBLIGATIONS
    determining: tuple[str, ...] = ()
    retry_after_s: float | None = None
    detail: str | None = None

    @property
    def approval_id(self) -> str | None:
        """The id of the approval that was found."""
        return None if self.approval is None else str(self.approval.id)


def body_of(reason: Reason, ask: Ask, found: Found, pseudonyms: Pseudonyms) -> dict[str, Any]:
    """The audit record's body: JSON values only.

    A purpose or capability that is not known is free text of the caller's, and left out: personal data may be in it.
    """
    identity, known = found.identity, found.capability
    policy = ask.policy
    return {
        "decision_id": found.decision_id,
        "provider": None if identity is None else identity.provider,
        "subject": None if identity is None else pseudonyms.of("subject", identity.provider, identity.subject),
        "tenant": None if identity is None else identity.tenant,
        "domains": [] if identity is None else sorted(identity.domains),
        "product": None if known is None else known.product,
        "capability": None if known is None else known.name,
        "purpose": found.purpose,
        "approval": found.approval_id,
        "resource_kind": "product" if policy is None else "policy",
        "resource": None if policy is None else pseudonyms.of("policy", policy.tenant, policy.number),
        "reason": str(reason),
        "detail": found.detail,
        "determining": list(found.determining),
        "obligations": found.obligations.digest if reason is Reason.ALLOWED else None,
    }
