"""A question of access and its answer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

import msgspec

from journeymesh.governance.approvals import Approval
from journeymesh.governance.obligations import Obligations
from journeymesh.identity.capabilities import Capability
from journeymesh.identity.identity import Identity
from journeymesh.journeys.policies import Policy, by_time
from journeymesh.wire.identity import Reason


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """May the bearer of a token do this, for this purpose?

    - ``product`` and ``capability``: what is to be done with which data product
    - ``purpose``: why, as the ``Data-Purpose`` header names it; None: not said
    - ``policy``: the insurance policy whose data it is about; None: none in particular, or one that is not known
    - ``terms``: where an insurance policy is sought that may not be there, every term of every tenant's policy of its
      number: the bearer means the one of their own tenant. None: none is sought
    - ``tenant``: the tenant it is about where no policy is; None: the bearer's own
    """

    product: str
    capability: str
    purpose: str | None = None
    policy: Policy | None = None
    tenant: str | None = None
    terms: tuple[Policy, ...] | None = None

    @property
    def sought(self) -> bool:
        """Whether an insurance policy is sought that may not be there, or not be the bearer's to know of."""
        return self.policy is None and self.terms is not None

    def meant(self, tenant: str) -> tuple[Policy, ...]:
        """The terms that a bearer of this tenant means, the latest last: never another tenant's of that number."""
        if self.policy is not None:
            return (self.policy,)
        terms = [policy for policy in self.terms or () if policy.tenant == tenant]
        return tuple(terms if len(terms) < 2 else sorted(terms, key=by_time))

    def others(self, tenant: str) -> tuple[Policy, ...]:
        """The latest term of every other tenant's policy of that number."""
        terms = sorted(self.terms or (), key=by_time)
        return tuple({policy.tenant: policy for policy in terms if policy.tenant != tenant}.values())


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision would be, without one being made.

    - ``purpose``: for which; None: none is needed, or the capability is not held for any
    - ``obligations``: what it would oblige to; None where it would be denied
    - ``approval``: the one that it would rest on; None: there is none, or none is needed
    """

    capability: Capability
    purpose: str | None
    reason: Reason
    obligations: Obligations | None
    approval: Approval | None

    @property
    def allowed(self) -> bool:
        """Whether it would allow."""
        return self.reason is Reason.ALLOWED


class Concealed(msgspec.Struct, frozen=True):
    """A policy of the bearer's own tenant that they may not know of. ``determining``: the Cedar policies that say so;
    none: what the contract admits for the purpose does."""

    policy: Policy
    determining: tuple[str, ...] = ()


def _none(_: Policy) -> bool:
    return False


def _nothing() -> str | None:
    return None


class Decision(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The answer for one request. It allows only where ``reason`` is ALLOWED.

    - ``ask``: what was asked; its ``policy`` is the latest of ``terms``
    - ``terms``: the terms of the policy about which it allows, the latest last: each is judged by itself. Where a
      policy was sought and there is none, or none that the bearer may know of, it is a decision about the product as
      a whole and has none: nothing in it tells one from the other
    - ``concealed``: the policy of the bearer's own tenant that was sought and may not be known of; None: there is none
    - ``all_terms``: whether these are all terms that were meant
    - ``obligations``: what must be done to the data first; meaningless where it is denied
    - ``determining``: the ids of the Cedar policies that determined it
    - ``approval_id``: the approval it rests on; None: none was needed
    - ``retry_after_s``: where a fault denied and may pass; None elsewhere
    - ``admits``: whether an answer may leave that is about this policy among others, as the same bearer, purpose and
      approval would have it decided alone. It raises nothing: whatever goes wrong is no
    - ``known_for``: another purpose for which the same bearer may know of the policy that was asked about; None: there
      is none. It raises nothing
    - ``recorded``: done when its audit record is durable. Nothing may leave before.
    """

    decision_id: str
    reason: Reason
    ask: Ask
    identity: Identity | None
    obligations: Obligations
    determining: tuple[str, ...] = ()
    approval_id: str | None = None
    retry_after_s: float | None = None
    recorded: Future[None]
    admits: Callable[[Policy], bool] = _none
    known_for: Callable[[], str | None] = _nothing
    terms: tuple[Policy, ...] = ()
    all_terms: bool = True
    concealed: Concealed | None = None

    def __repr__(self) -> str:
        return f"Decision({self.decision_id!r}, {self.reason!r})"

    @property
    def allowed(self) -> bool:
        """Whether it allows."""
        return self.reason is Reason.ALLOWED
