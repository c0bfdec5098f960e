"""The one decision. ``Decider._reason`` is the list of guards, in their order; each denies by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from msgspec import structs

from journeymesh.access.cedar import CedarPolicies, CedarVerdict, Question
from journeymesh.access.decision import Ask, Concealed, Decision, Offer
from journeymesh.access.random_ids import random_id
from journeymesh.access.record import ATTEMPT_KIND, RECORD_KIND, DecisionState, TokenlessRefusals, attempts_of, body_of
from journeymesh.governance.obligations import NO_OBLIGATIONS, Obligations, RowPredicate
from journeymesh.identity.capabilities import Capability, capability, of_product
from journeymesh.identity.identity import Identity, ProviderUnavailable, TokenRefused
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditUnwritable, AuditWriter
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.wire.identity import Reason

if TYPE_CHECKING:
    from journeymesh.governance.approval_book import ApprovalBook
    from journeymesh.governance.approvals import Approval
    from journeymesh.governance.contract import Contract, Contracts
    from journeymesh.identity.providers import Providers

RETRY_AFTER_S: Final = 5.0
"""When to try again after a fault that does not say so itself."""

NOTHING_LEAVES: Final = Obligations(rows=RowPredicate(tenants=frozenset()))
"""The obligations of a denial, for those who forget to look at its reason: they admit no row."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionInputs:
    """By what is decided, and where decisions are recorded."""

    providers: Providers
    approvals: ApprovalBook
    contracts: Contracts
    policies: CedarPolicies
    audit: AuditWriter
    pseudonyms: Pseudonyms


class Decider:
    """Decides. Safe for several threads; everything it asks is in memory, but for what ``would_block`` tells."""

    def __init__(self, inputs: DecisionInputs, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """``clock`` gives aware instants; tokens and approvals are held to it."""
        self._providers = inputs.providers
        self._approvals = inputs.approvals
        self._contracts = inputs.contracts
        self._policies = inputs.policies
        self._audit = inputs.audit
        self._pseudonyms = inputs.pseudonyms
        self._clock = clock
        self._silent_until_s: dict[str, float] = {}
        self._tokenless = TokenlessRefusals(inputs.audit, inputs.pseudonyms)

    def decide(self, token: str | None, ask: Ask) -> Decision:
        """Whether the token's bearer may do what is asked, with its audit record under way. Never raises: any fault
        denies. Data may leave once ``recorded`` is done without an error, and not before."""
        found = DecisionState(decision_id=random_id())
        try:
            reason = self._reason(token, ask, found)
        except TokenRefused as error:
            reason, found.identity, found.detail = Reason.TOKEN_REFUSED, None, error.reason
        except ProviderUnavailable as error:
            reason, found.retry_after_s = self._fault(error, found), error.retry_after_s
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # any fault denies; a panic of Cedar's or of a cipher's Rust is no Exception
            reason = self._fault(error, found)
        allowed = reason is Reason.ALLOWED
        about = ask
        if not allowed:
            found.obligations, found.terms = NOTHING_LEAVES, ()
        if found.policy is not None:
            ask = structs.replace(ask, policy=found.policy)
        return Decision(
            decision_id=found.decision_id,
            reason=reason,
            ask=ask,
            identity=found.identity,
            obligations=found.obligations,
            determining=found.determining,
            approval_id=found.approval_id if allowed else None,
            retry_after_s=found.retry_after_s,
            terms=found.terms,
            all_terms=found.all_terms,
            concealed=found.concealed if allowed else None,
            recorded=self._recorded(reason, ask, found),
            admits=self._each(ask, found) if allowed else _no_policy,
            known_for=lambda: self._known_for(token, about),
        )

    def without_token(self, ask: Ask) -> Decision:
        """The denial of a request without a token. Its audit record says how many there were (``tokenless``): nothing
        waits for it, for nothing leaves."""
        recorded: Future[None] = Future()
        recorded.set_result(None)
        return Decision(
            decision_id=self._tokenless.count(),
            reason=Reason.TOKEN_MISSING,
            ask=ask,
            identity=None,
            obligations=NOTHING_LEAVES,
            recorded=recorded,
            admits=_no_policy,
        )

    def offers(self, token: str, product: str) -> list[Offer]:
        """What ``decide`` would answer now for each capability of a product and, where it is personal, each purpose of
        the product's contract, about the product as a whole. By the same guards, without a record: no data leaves on
        it. A capability that the bearer lacks is there once. Any fault denies.

        Raises:
            TokenRefused, ProviderUnavailable.
        """
        contract = self._contracts.of(product)
        purposes: tuple[str | None, ...] = (None,) if contract is None else tuple(contract.purposes)
        offers: list[Offer] = []
        for each in of_product(product):
            for purpose in purposes if each.personal else (None,):
                offers.append(self._offer(token, each, purpose))
                if offers[-1].reason is Reason.CAPABILITY_MISSING:
                    break
        return offers

    def _offer(self, token: str, asked: Capability, purpose: str | None) -> Offer:
        found = DecisionState(decision_id="")
        ask = Ask(product=asked.product, capability=asked.name, purpose=purpose)
        try:
            reason = self._reason(token, ask, found)
        except (TokenRefused, ProviderUnavailable, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # as in ``decide``
            reason = self._fault(error, found)
        return Offer(
            capability=asked,
            purpose=None if reason is Reason.CAPABILITY_MISSING else purpose,
            reason=reason,
            obligations=found.obligations if reason is Reason.ALLOWED else None,
            approval=found.approval,
        )

    def close(self) -> None:
        """Write the record of the refusals without a token since the last one."""
        self._tokenless.write()

    def _known_for(self, token: str | None, ask: Ask) -> str | None:
        """A purpose other than the one asked for, for which the bearer may know of a policy of their own tenant."""
        try:
            contract = self._contracts.of(ask.product)
            for purpose in () if contract is None else contract.purposes:
                found = DecisionState(decision_id="")
                if purpose == ask.purpose:
                    continue
                reason = self._reason(token, structs.replace(ask, purpose=purpose), found)
                rows = found.obligations.rows
                single = found.obligations.minimum_group_size <= 1
                if reason is Reason.ALLOWED and single and any(rows.admits(policy) for policy in found.terms):
                    return purpose
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # as in ``decide``
            self._fault(error, DecisionState(decision_id=""))
        return None

    def _each(self, ask: Ask, found: DecisionState) -> Callable[[Policy], bool]:
        """Judges policies one by one by what was found for the whole: no term of it is looked up again."""

        def admits(policy: Policy) -> bool:
            try:
                if found.capability is None or found.identity is None or not found.obligations.rows.admits(policy):
                    return False
                about = structs.replace(ask, policy=policy)
                return self._permitted(
                    self._policies.judge(self._question(found.capability, about, found.identity, found))
                )
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # as in ``decide``
                self._fault(error, found)
                return False

        return admits

    def would_block(self, token: str | None, ask: Ask) -> bool:
        """Whether ``decide`` would wait for an identity provider, so that an event loop asks in a thread."""
        try:
            return bool(token) and self._providers.would_block(token or "", ask.product, self._policies.version)
        except Exception:
            return True

    def _reason(self, token: str | None, ask: Ask, found: DecisionState) -> Reason:
        """The guards in their order: the first that denies gives the reason."""
        found.policy = ask.policy
        if not token:
            return Reason.TOKEN_MISSING
        identity = found.identity = self._providers.identify(token)
        meant = ask.meant(identity.tenant)
        found.policy = meant[-1] if meant else None
        if not self._in_time(identity):
            found.identity, found.detail = None, "expired"
            return Reason.TOKEN_REFUSED
        asked = found.capability = self._capability(ask)
        if asked is None:
            return Reason.CAPABILITY_UNKNOWN
        if not self._capable(token, asked):
            return Reason.CAPABILITY_MISSING
        obligations = NO_OBLIGATIONS
        if asked.personal:
            if not self._purpose_named(ask):
                return Reason.PURPOSE_MISSING
            contract = self._contracts.of(ask.product)
            purpose = ask.purpose or ""
            if not self._in_catalogue(purpose) or contract is None or not self._in_contract(contract, purpose):
                return Reason.PURPOSE_UNKNOWN
            found.purpose, found.reads = purpose, self._contracts.reads(purpose)
            found.approval = self._approvals.live(
                ask.product, contract.major, purpose, identity.tenant, identity.domains
            )
            if not self._approved(found.approval, ask.product, contract.major):
                return Reason.APPROVAL_MISSING
            obligations = contract.purposes[purpose]
        found.obligations = self._narrowed(obligations, identity.tenant)
        verdict = self._judged(asked, ask, identity, found)
        found.determining = verdict.determining
        return Reason.ALLOWED if self._permitted(verdict) else Reason.POLICY_FORBIDS

    def _in_time(self, identity: Identity) -> bool:
        return self._clock().timestamp() < identity.expires_at_s

    def _capability(self, ask: Ask) -> Capability | None:
        return capability(ask.product, ask.capability)

    def _capable(self, token: str, asked: Capability) -> bool:
        return asked.name in self._providers.capabilities(token, asked.product, self._policies.version)

    def _purpose_named(self, ask: Ask) -> bool:
        return bool(ask.purpose)

    def _in_catalogue(self, purpose: str) -> bool:
        return self._contracts.knows(purpose)

    def _in_contract(self, contract: Contract, purpose: str) -> bool:
        return purpose in contract.purposes

    def _approved(self, approval: Approval | None, product: str, major: int) -> bool:
        """Whether there is one that covers this version of this product now. Its purpose, tenant and domain are looked
        at by Cedar."""
        return (
            approval is not None
            and self._of_this_version(approval, product, major)
            and self._approval_in_time(approval)
        )

    def _of_this_version(self, approval: Approval, product: str, major: int) -> bool:
        return approval.product == product and approval.product_major == major

    def _approval_in_time(self, approval: Approval) -> bool:
        return approval.valid_from <= self._clock() < approval.valid_to

    def _narrowed(self, obligations: Obligations, tenant: str) -> Obligations:
        return narrowed(obligations, tenant)

    def _judged(self, asked: Capability, ask: Ask, identity: Identity, found: DecisionState) -> CedarVerdict:
        """Cedar's verdict on the latest term about which it allows: a policy that lapsed and was renewed is told of for
        its active term, and what belongs to the lapsed one stays hidden. Where a policy was sought and none can be told
        of, the verdict on the product as a whole, whether there is one or not."""
        if ask.policy is not None:
            verdict = self._policies.judge(self._question(asked, ask, identity, found))
            found.terms = (ask.policy,) if self._permitted(verdict) else ()
            return verdict
        meant = ask.meant(identity.tenant)
        verdicts = []
        # Where none is meant, something is judged all the same: that takes as long as one that may not be known of.
        for policy in meant or ((_stand_in(identity.tenant),) if ask.sought else ()):
            about = structs.replace(ask, policy=policy)
            verdicts.append(self._policies.judge(self._question(asked, about, identity, found)))
        rows = found.obligations.rows
        permitted = [self._permitted(verdict) for verdict in verdicts]
        told = [place for place, policy in enumerate(meant) if permitted[place] and rows.admits(policy)]
        if told:
            found.terms, found.all_terms = tuple(meant[place] for place in told), len(told) == len(meant)
            found.policy = meant[told[-1]]
            return verdicts[told[-1]]
        if meant:
            found.policy = None
            found.concealed = Concealed(meant[-1], () if permitted[-1] else verdicts[-1].determining)
        return self._policies.judge(self._question(asked, ask, identity, found))

    def _question(self, asked: Capability, ask: Ask, identity: Identity, found: DecisionState) -> Question:
        """All that Cedar is told."""
        policy, approval = ask.policy, found.approval
        return Question(
            capability=asked.name,
            provider=identity.provider,
            subject=identity.subject,
            tenant=identity.tenant,
            domains=identity.domains,
            product=asked.product,
            about_tenant=policy.tenant if policy is not None else ask.tenant or identity.tenant,
            policy=None if policy is None else (policy.number, policy.product, policy.status),
            purpose=found.purpose,
            approval=None if approval is None else (approval.purpose, approval.tenant, approval.domain),
            statuses=found.obligations.rows.statuses,
            reads=found.reads,
        )

    def _permitted(self, verdict: CedarVerdict) -> bool:
        return verdict.allowed

    def _fault(self, error: BaseException, found: DecisionState) -> Reason:
        """What went wrong goes to the log by the error's name alone, for its text may hold what was asked about; and
        each name once a second at most, for a fault under load is the same one thousands of times."""
        found.detail = type(error).__name__
        found.retry_after_s = RETRY_AFTER_S
        now_s = time.monotonic()
        if now_s >= self._silent_until_s.get(found.detail, 0.0):
            self._silent_until_s[found.detail] = now_s + 1.0
            logger.warning("decision %s denied by a fault: %s", found.decision_id, found.detail)
        return Reason.FAULT

    def _recorded(self, reason: Reason, ask: Ask, found: DecisionState) -> Future[None]:
        try:
            body = body_of(reason, ask, found, self._pseudonyms)
            # Before the decision's own: when that is durable, these are.
            for attempt in attempts_of(reason, ask, found, self._pseudonyms):
                written = self._audit.append(ATTEMPT_KIND, attempt)
                if written.done() and (error := written.exception()) is not None:
                    raise error
            return self._audit.append(RECORD_KIND, body, key=found.decision_id)
        except Exception as error:
            failed: Future[None] = Future()
            unwritable = AuditUnwritable("the audit takes no record of the decision", todo="try again")
            unwritable.__cause__ = error
            failed.set_exception(unwritable)
            return failed


def _no_policy(_: Policy) -> bool:
    return False


@lru_cache(maxsize=256)
def _stand_in(tenant: str) -> Policy:
    return Policy(number="", valid_from=datetime(1970, 1, 1, tzinfo=UTC), vehicle="", tenant=tenant)


@lru_cache(maxsize=4096)
def narrowed(obligations: Obligations, tenant: str) -> Obligations:
    """The obligations with rows of this tenant only, and none where they exclude it."""
    admitted = obligations.rows.tenants
    own = frozenset({tenant}) if admitted is None or tenant in admitted else frozenset[str]()
    return replace(obligations, rows=replace(obligations.rows, tenants=own))
