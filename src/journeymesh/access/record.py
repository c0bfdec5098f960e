"""What the audit keeps of a decision: who and what under pseudonyms, and no text that only the caller vouches for.

Refusals of requests without a token: one audit record of how many there were in a while, not one for each. Whoever
has no token could otherwise write as many records as they can send requests.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from journeymesh.access.decision import Ask, Concealed
from journeymesh.access.random_ids import random_id
from journeymesh.governance.obligations import NO_OBLIGATIONS, Obligations
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditWriter
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.wire.identity import Reason

if TYPE_CHECKING:
    from journeymesh.governance.approvals import Approval


RECORD_KIND: Final = "decision"
ATTEMPT_KIND: Final = "attempt"
"""The kind of records for the tenant of a policy that somebody sought who may not know of it."""
NOBODYS: Final = ""
"""The tenant of attempts at policies that are not there: no identity's, so that only an operator sees them."""


@dataclass(slots=True)
class DecisionState:
    """What is found out on the way to a decision. ``policy`` is the term that it is about, ``terms`` those that may be
    told of. ``purpose`` and ``capability`` are set once they are known ones;
    ``reads`` says whether anything may be read for the purpose."""

    decision_id: str
    identity: Identity | None = None
    capability: Capability | None = None
    purpose: str | None = None
    reads: bool = True
    approval: Approval | None = None
    policy: Policy | None = None
    terms: tuple[Policy, ...] = ()
    all_terms: bool = True
    concealed: Concealed | None = None
    obligations: Obligations = NO_OBLIGATIONS
    determining: tuple[str, ...] = ()
    retry_after_s: float | None = None
    detail: str | None = None

    @property
    def approval_id(self) -> str | None:
        """The id of the approval that was found."""
        return None if self.approval is None else self.approval.id


def attempts_of(reason: Reason, ask: Ask, found: DecisionState, pseudonyms: Pseudonyms) -> list[dict[str, Any]]:
    """The bodies of the records about policies that were sought and are not told of, for the tenants whose they are:
    by whom is said by their tenant alone. Where there is none of that number, one that is nobody's: the asker's tenant
    sees the same records, and the same work is done.
    """
    identity, known = found.identity, found.capability
    if not ask.sought or identity is None or found.terms:
        return []
    own = ask.meant(identity.tenant)
    policies = own[-1:] or ask.others(identity.tenant) or (None,)
    return [
        {
            "decision_id": found.decision_id,
            "tenant": NOBODYS if policy is None else policy.tenant,
            "by_tenant": identity.tenant,
            "product": None if known is None else known.product,
            "capability": None if known is None else known.name,
            "purpose": found.purpose,
            "resource_kind": "policy",
            "resource": pseudonyms.of("policy", *(("", "") if policy is None else (policy.tenant, policy.number))),
            "reason": str(Reason.POLICY_FORBIDS if reason is Reason.ALLOWED else reason),
            "determining": list(found.concealed.determining) if found.concealed is not None else [],
        }
        for policy in policies
    ]


def body_of(reason: Reason, ask: Ask, found: DecisionState, pseudonyms: Pseudonyms) -> dict[str, Any]:
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


INTERVAL_S: Final = 10.0
_NOTHING_KNOWN: Final = Ask(product="", capability="")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class TokenlessRefusals:
    """Counts, and writes a record ``interval_s`` after the first that it counted. Safe for several threads."""

    audit: AuditWriter
    pseudonyms: Pseudonyms
    interval_s: float = INTERVAL_S
    _count: int = 0
    _id: str = ""
    _from_us: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _timer: threading.Timer | None = None

    def count(self) -> str:
        """Count one; returns the id of the record that will stand for it."""
        with self._lock:
            if not self._count:
                self._id, self._from_us = random_id(), time.time_ns() // 1000
                self._timer = threading.Timer(self.interval_s, self.write)
                self._timer.daemon = True
                self._timer.start()
            self._count += 1
            return self._id

    def write(self) -> None:
        """Write the record of those that were counted since the last one; nothing where there are none."""
        with self._lock:
            count, decision_id, from_us = self._count, self._id, self._from_us
            self._count = 0
            if self._timer is not None:
                self._timer.cancel()
        if not count:
            return
        body = body_of(Reason.TOKEN_MISSING, _NOTHING_KNOWN, DecisionState(decision_id), self.pseudonyms)
        body |= {"count": count, "from_us": from_us, "to_us": time.time_ns() // 1000}
        try:
            self.audit.append(RECORD_KIND, body, key=decision_id)
        except Exception as error:
            logger.warning("%s refusals without a token are not recorded: %s", count, type(error).__name__)
