"""A decider that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field

from msgspec import structs

from journeymesh.access.decision import Ask, Concealed, Decision
from journeymesh.governance.obligations import Obligations
from journeymesh.identity.identity import Identity
from journeymesh.wire.identity import Reason

ANALYST = Identity(provider="static", subject="analyst", tenant="default")


def done() -> Future[None]:
    """A record that is durable."""
    future: Future[None] = Future()
    future.set_result(None)
    return future


@dataclass
class Told:
    """Allows whoever bears ``analyst`` or ``other``, under these obligations; ``reasons`` denies by capability."""

    obligations: Obligations = field(default_factory=Obligations)
    reasons: dict[str, Reason] = field(default_factory=dict)
    blocks: bool = False
    asked: list[Ask] = field(default_factory=list)
    recorded: list[Future[None]] = field(default_factory=list)
    retry_after_s: float | None = None
    purpose_needed: bool = False
    forbids_tenants: frozenset[str] = frozenset()
    who: Identity = ANALYST
    known_for: str | None = None
    determining: tuple[str, ...] = ()
    forbids_statuses: frozenset[str] = frozenset()

    def decide(self, token: str | None, ask: Ask) -> Decision:
        meant, sought, concealed = ask.meant(self.who.tenant), ask, None
        if meant:
            ask = structs.replace(ask, policy=meant[-1])
        reason = self._reason(token, ask)
        if ask.policy is not None and sought.sought and reason is Reason.POLICY_FORBIDS:
            concealed = Concealed(ask.policy, self.determining)
            meant, ask = (), sought
            reason = self._reason(token, ask)
        elif sought.sought and meant and not any(self.obligations.rows.admits(policy) for policy in meant):
            concealed, meant, ask = Concealed(meant[-1]), (), sought
        self.asked.append(ask)
        return Decision(
            decision_id=f"d{len(self.asked)}",
            reason=reason,
            ask=ask,
            terms=meant if reason is Reason.ALLOWED else (),
            identity=self.who if token in ("analyst", "other") else None,
            obligations=self.obligations,
            retry_after_s=self.retry_after_s,
            recorded=self.recorded.pop(0) if self.recorded else done(),
            known_for=lambda: self.known_for,
            determining=self.determining,
            concealed=concealed,
            admits=lambda policy: self.obligations.rows.admits(policy) and policy.tenant not in self.forbids_tenants,
        )

    def without_token(self, ask: Ask) -> Decision:
        return self.decide(None, ask)

    def would_block(self, token: str | None, ask: Ask) -> bool:
        return self.blocks

    def _reason(self, token: str | None, ask: Ask) -> Reason:
        if token is None:
            return Reason.TOKEN_MISSING
        if token not in ("analyst", "other"):
            return Reason.TOKEN_REFUSED
        if ask.capability in self.reasons:
            return self.reasons[ask.capability]
        if self.purpose_needed and ask.purpose is None:
            return Reason.PURPOSE_MISSING
        if ask.policy is not None and ask.policy.status in self.forbids_statuses:
            return Reason.POLICY_FORBIDS
        if ask.policy is not None and ask.policy.tenant in self.forbids_tenants:
            return Reason.POLICY_FORBIDS
        return Reason.ALLOWED
