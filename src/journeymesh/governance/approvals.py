"""What an approval is and which steps it can take. Pure.

    requested ──approve──▶ approved ──acknowledge──▶ acknowledged ──valid_from──▶ active ──valid_to──▶ expired
        ├─approve─▶ once approved ──approve, by another──▶ approved
        └─────reject──▶ rejected       └──────────────────┴──────────revoke──────────┴──▶ revoked

Approvers and requesters are compared as persons: by an id that their providers declare, else by account. Where neither
tells whether the approver is the requester, at two providers without such an id, two approvers have to approve who can
be told apart from each other.

The clock alone makes an acknowledged approval active and any that is open expired; nothing has to run for that.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from journeymesh.errors import JourneymeshError, UsageError
from journeymesh.governance.contract import Contract
from journeymesh.wire.identity import State

LONGEST_TEXT: Final = 2_000
_DOMAIN: Final = "domain"


class ApprovalAction(StrEnum):
    """What somebody can do to an approval that was requested."""

    APPROVE = "approve"
    REJECT = "reject"
    ACKNOWLEDGE = "acknowledge"
    REVOKE = "revoke"


LEADS_TO: Final = {
    ApprovalAction.APPROVE: State.APPROVED,
    ApprovalAction.REJECT: State.REJECTED,
    ApprovalAction.ACKNOWLEDGE: State.ACKNOWLEDGED,
    ApprovalAction.REVOKE: State.REVOKED,
}
POSSIBLE_FROM: Final = {
    ApprovalAction.APPROVE: frozenset({State.REQUESTED, State.ONCE_APPROVED}),
    ApprovalAction.REJECT: frozenset({State.REQUESTED, State.ONCE_APPROVED}),
    ApprovalAction.ACKNOWLEDGE: frozenset({State.APPROVED}),
    ApprovalAction.REVOKE: frozenset({State.APPROVED, State.ACKNOWLEDGED, State.ACTIVE}),
}


class RequestInvalid(UsageError):
    """What is asked for cannot be approved by anybody."""


class StepNotTheirs(JourneymeshError):
    """Somebody else has to take this step."""


class StepNotPossible(JourneymeshError):
    """The approval is not where this step begins, or no longer. ``state`` is where it is."""

    def __init__(self, what: str, state: State, *, todo: str = "") -> None:
        self.state = state
        super().__init__(what, todo=todo)


@dataclass(frozen=True, slots=True)
class Person:
    """Who takes a step, as their identity provider vouches."""

    provider: str
    subject: str
    tenant: str
    domains: frozenset[str] = frozenset()
    person: str | None = None

    @property
    def who(self) -> Who:
        """Their stable name."""
        return Who(self.provider, self.subject, self.person)


@dataclass(frozen=True, slots=True, order=True)
class Who:
    """A person's or client's stable name. ``person`` is the id that their provider declares, if any: it is the same at
    every provider, and no part of the name."""

    provider: str
    subject: str
    person: str | None = field(default=None, compare=False, repr=False)

    def is_same(self, other: Who) -> bool:
        """Whether it is known to be the same person."""
        return self == other or (self.person is not None and self.person == other.person)

    def is_another(self, other: Who) -> bool:
        """Whether it is known to be another person: by declared ids, else because one provider knows them apart."""
        if self.person is not None and other.person is not None:
            return self.person != other.person
        return self.provider == other.provider and self.subject != other.subject

    def __str__(self) -> str:
        return f"{self.provider}:{self.subject}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks to be approved: this purpose on this product, for this domain of theirs."""

    product: str
    purpose: str
    domain: str
    reason: str
    valid_from: datetime
    valid_to: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """The recorded, dated yes, or not yet, to exactly one purpose on one major version of one product.

    - ``tenant`` and ``domain``: whose it is; ``valid_from`` and ``valid_to`` half-open
    - ``decided_by``: who approved or rejected; None: nobody yet
    - ``once_approved_by``: who approved first where a second approver is needed; None: nobody, or it is not
    - ``recorded``: the state as recorded, never active or expired; ``state_at`` says which it is
    - ``steps``: how many were taken since it was requested
    """

    id: str
    product: str
    product_major: int
    purpose: str
    tenant: str
    domain: str
    requested_by: Who
    requested_at: datetime
    reason: str = field(repr=False)
    valid_from: datetime
    valid_to: datetime
    recorded: State = State.REQUESTED
    decided_by: Who | None = None
    once_approved_by: Who | None = None
    steps: int = 0

    def state_at(self, now: datetime) -> State:
        """Its state at this instant."""
        if self.recorded in (State.REJECTED, State.REVOKED):
            return self.recorded
        if now >= self.valid_to:
            return State.EXPIRED
        if self.recorded is State.ACKNOWLEDGED and now >= self.valid_from:
            return State.ACTIVE
        return self.recorded


def requested(wish: Wish, approval_id: str, person: Person, contract: Contract, now: datetime) -> Approval:
    """The approval that the wish begins.

    Raises:
        RequestInvalid: the contract does not allow the purpose, or the time or the text is none.
        StepNotTheirs: the person does not work for the domain.
    """
    if wish.purpose not in contract.purposes:
        known = ", ".join(contract.purposes)
        raise RequestInvalid(f"{contract.product} may not be used for {wish.purpose!r}", todo=f"it may for: {known}")
    if wish.domain not in person.domains:
        raise StepNotTheirs(f"{person.who} does not work for domain {wish.domain!r}", todo="ask somebody who does")
    _check_text(wish.reason, "reason")
    if wish.valid_from.tzinfo is None or wish.valid_to.tzinfo is None:
        raise RequestInvalid("valid_from or valid_to has no time zone", todo="give aware instants")
    if wish.valid_to <= wish.valid_from or wish.valid_to <= now:
        raise RequestInvalid("the approval would end before it begins, or has ended", todo="give a later valid_to")
    if wish.valid_to - max(wish.valid_from, now) > timedelta(days=contract.longest_approval_days):
        todo = f"ask for at most {contract.longest_approval_days} days, and again before they end"
        raise RequestInvalid("the approval would last too long", todo=todo)
    return Approval(
        **{**asdict(wish), "product": contract.product},
        id=approval_id,
        product_major=contract.major,
        tenant=person.tenant,
        requested_by=person.who,
        requested_at=now,
    )


def stepped(
    approval: Approval, step: ApprovalAction, person: Person, why: str, contract: Contract | None, now: datetime
) -> Approval:
    """The approval after the step.

    ``contract`` is the product's present one; None: it has none any more.

    Raises:
        StepNotTheirs: the person may not take this step.
        StepNotPossible: the approval is not where the step begins, or the contract no longer allows it.
        RequestInvalid: ``why`` is empty where it is needed, or too long.
    """
    _check_step(approval, step, person, contract, now)
    if step is not ApprovalAction.ACKNOWLEDGE or why:
        _check_text(why, "why")
    if step is ApprovalAction.APPROVE and _needs_another(approval, person):
        return replace(approval, recorded=State.ONCE_APPROVED, once_approved_by=person.who, steps=approval.steps + 1)
    decided_by = person.who if step in (ApprovalAction.APPROVE, ApprovalAction.REJECT) else approval.decided_by
    return replace(approval, recorded=LEADS_TO[step], decided_by=decided_by, steps=approval.steps + 1)


def permitted_steps(
    approval: Approval, person: Person, contract: Contract | None, now: datetime
) -> tuple[ApprovalAction, ...]:
    """The steps that ``stepped`` would let the person take now, in the order of ``ApprovalAction``.

    What the person is capable of is not looked at.
    """
    return tuple(step for step in ApprovalAction if _is_permitted(approval, step, person, contract, now))


def is_approver(person: Person, contract: Contract) -> bool:
    """Whether the contract names the person, or a domain of theirs, as approver."""
    named = {str(person.who)} if person.provider != _DOMAIN else set()
    named |= {f"{_DOMAIN}:{domain}" for domain in person.domains}
    return not named.isdisjoint(contract.approvers)


def _needs_another(approval: Approval, person: Person) -> bool:
    """Whether nobody can say that this approver is not the requester, and it is the first one.

    Raises:
        StepNotTheirs: it is the second one, who may be the first as well.
    """
    first = approval.once_approved_by
    if person.who.is_another(approval.requested_by):
        return False
    if first is None:
        return True
    if not person.who.is_another(first):
        what = f"{person.who} cannot be distinguished from {first}, who approved {approval.id} first"
        raise StepNotTheirs(what, todo="ask another approver of one of the two providers")
    return False


def _is_permitted(
    approval: Approval, step: ApprovalAction, person: Person, contract: Contract | None, now: datetime
) -> bool:
    try:
        _check_step(approval, step, person, contract, now)
    except (StepNotTheirs, StepNotPossible):
        return False
    return True


def _check_step(
    approval: Approval, step: ApprovalAction, person: Person, contract: Contract | None, now: datetime
) -> None:
    """Everything about a step but its text.

    Raises:
        StepNotTheirs, StepNotPossible: as ``stepped`` says.
    """
    _check_person(approval, step, person, contract)
    state = approval.state_at(now)
    if state not in POSSIBLE_FROM[step]:
        by = f" by {approval.decided_by}" if state in (State.APPROVED, State.REJECTED) else ""
        raise StepNotPossible(f"approval {approval.id} is {state}{by}", state, todo=_instead(step, state))
    if step in (ApprovalAction.APPROVE, ApprovalAction.ACKNOWLEDGE):
        _check_contract(approval, contract, state)
    if step is ApprovalAction.APPROVE:
        _needs_another(approval, person)


def _check_person(approval: Approval, step: ApprovalAction, person: Person, contract: Contract | None) -> None:
    if person.tenant != approval.tenant:
        raise StepNotTheirs(f"approval {approval.id} is another tenant's", todo="ask somebody of that tenant")
    if step is ApprovalAction.ACKNOWLEDGE:
        if approval.domain not in person.domains:
            what = f"approval {approval.id} is acknowledged by domain {approval.domain!r}"
            raise StepNotTheirs(what, todo="ask somebody who works for it")
        return
    if step is ApprovalAction.REVOKE and person.who.is_same(approval.requested_by):
        return  # giving back is everybody's right
    if contract is None or not is_approver(person, contract):
        raise StepNotTheirs(f"{person.who} is not an approver of {approval.product}", todo="ask one of its approvers")
    if step in (ApprovalAction.APPROVE, ApprovalAction.REJECT) and person.who.is_same(approval.requested_by):
        raise StepNotTheirs(f"{person.who} requested approval {approval.id}", todo="ask another approver")


def _check_contract(approval: Approval, contract: Contract | None, state: State) -> None:
    if contract is None or contract.major != approval.product_major:
        now = "no contract" if contract is None else f"major version {contract.major}"
        what = f"approval {approval.id} is of major version {approval.product_major}; {approval.product} has {now}"
        raise StepNotPossible(what, state, todo="request a new approval")
    if approval.purpose not in contract.purposes:
        what = f"{approval.product} may no longer be used for {approval.purpose!r}"
        raise StepNotPossible(what, state, todo="request a new approval of another purpose")


def _check_text(text: str, called: str) -> None:
    if not text.strip():
        raise RequestInvalid(f"{called} is empty", todo="say why, for those who look at it later")
    if len(text) > LONGEST_TEXT:
        raise RequestInvalid(f"{called} has more than {LONGEST_TEXT} characters", todo="shorten it")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RequestInvalid(f"{called} has a character that no text has", todo="leave it out")


def _instead(step: ApprovalAction, state: State) -> str:
    if step is ApprovalAction.REVOKE and state in (State.REQUESTED, State.ONCE_APPROVED):
        return "reject it"
    if state in (State.REJECTED, State.REVOKED, State.EXPIRED):
        return "request a new approval"
    return f"{step} is possible where it is {' or '.join(sorted(POSSIBLE_FROM[step]))}"
