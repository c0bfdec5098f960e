"""The product's decider over a world's data, and what can be seen of its decisions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from journeymesh.access.cedar import KEPT_VERDICTS, CedarFault, CedarFile, CedarPolicies, Question, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.access.decision import Ask, Decision
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approvals import Approval
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.identity.identity import Identity, ProviderUnavailable, TokenRefused
from journeymesh.identity.providers import Providers
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditUnwritable
from tests.differential.cases import STALE, Case, CedarCase
from tests.differential.oracle import Answer
from tests.differential.world import (
    CATALOGUE,
    COLLECTING,
    CONTRACT,
    MAJOR,
    NOW_S,
    OPERATORS,
    Duties,
    Granted,
    Insured,
    World,
)

NOW = datetime.fromtimestamp(NOW_S, UTC)
OPERATORS_FILE = CedarFile("operators.cedar", OPERATORS)
_BEGAN = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Held:
    """An approval as the product looks at it."""

    id: str
    product: str
    product_major: int
    purpose: str
    tenant: str
    domain: str
    valid_from: datetime
    valid_to: datetime


def held(granted: Granted) -> Held:
    return Held(
        granted.id, granted.product, granted.major, granted.purpose, granted.tenant, granted.domain,
        datetime.fromtimestamp(granted.from_s, UTC), datetime.fromtimestamp(granted.to_s, UTC),
    )  # fmt: skip


def obligations(duties: Duties) -> Obligations:
    return Obligations(
        rows=RowPredicate(tenants=duties.tenants, products=duties.products, statuses=duties.statuses),
        mask=duties.mask,
        minimum_group_size=duties.group,
        retention_days=duties.retention_days,
    )


@dataclass
class Contract:
    major: int
    purposes: Mapping[str, Obligations]


class Surroundings:
    """Everything that a decider asks, behaving as the case under way says."""

    def __init__(self, world: World, book: ApprovalBook | None = None) -> None:
        self.case: Case | None = None
        self.book = book
        self.people = world.by_token
        self.identities = {
            each.token: Identity(
                provider=each.provider, subject=each.subject, tenant=each.tenant, domains=each.domains,
                expires_at_s=each.expires_at_s, token_digest=each.token.encode(),
            )
            for each in world.people
        }  # fmt: skip
        self.by_place: dict[tuple[str, int, str, str, str], list[Held]] = {}
        for each in map(held, world.granted):
            place = (each.product, each.product_major, each.purpose, each.tenant, each.domain)
            self.by_place.setdefault(place, []).append(each)
        self.contract = Contract(MAJOR, {purpose: obligations(duties) for purpose, duties in CONTRACT.items()})

    def identify(self, token: str) -> Identity:
        person = self.people.get(token)
        if person is None:
            raise TokenRefused("signature")
        _ends(person.token_fault)
        return self.identities[token]

    def capabilities(self, token: str, product: str, version: Hashable = None) -> frozenset[str]:
        _ends(self.people[token].capabilities_fault)
        return self.people[token].held

    def would_block(self, token: str, product: str, version: Hashable = None) -> bool:
        return False

    def live(self, product: str, major: int, purpose: str, tenant: str, domains: frozenset[str]) -> Approval | None:
        assert self.case is not None
        if self.case.book == STALE:
            raise TimeoutError("the approvals are too old")
        if isinstance(self.case.book, Granted):
            return held(self.case.book)
        if self.book is not None:
            return self.book.live(product, major, purpose, tenant, domains)
        for domain in sorted(domains):
            for each in self.by_place.get((product, major, purpose, tenant, domain), ()):
                if each.valid_from <= NOW < each.valid_to:
                    return each
        return None

    def of(self, product: str) -> Contract | None:
        assert self.case is not None
        return self.contract if product == "journeys" and not self.case.without_contract else None

    def knows(self, purpose: str) -> bool:
        return purpose in CATALOGUE

    def reads(self, purpose: str) -> bool:
        return purpose in CATALOGUE and purpose not in COLLECTING

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:
        assert self.case is not None
        done: Future[None] = Future()
        if self.case.audit_fails:
            done.set_exception(AuditUnwritable("the disk is full"))
        else:
            done.set_result(None)
        return done

    def close(self) -> None:
        pass


class Pseudonyms:
    def of(self, kind: str, *parts: str) -> str:
        return kind


def _ends(fault: str | None) -> None:
    match fault:
        case "refused":
            raise TokenRefused("withdrawn")
        case "down":
            raise ProviderUnavailable("any", "down", retry_after_s=7.0)
        case "broken":
            raise ZeroDivisionError


class Driven:
    """Deciders over one world: one with the shipped policies, one with operators' besides."""

    def __init__(
        self,
        world: World,
        *,
        decider: type[Decider] = Decider,
        policies: type[CedarPolicies] = CedarPolicies,
        files: list[CedarFile] | None = None,
        kept: int = KEPT_VERDICTS,
        providers: Providers | None = None,
        book: ApprovalBook | None = None,
    ) -> None:
        self.surroundings = Surroundings(world, book)
        shipped = shipped_files() if files is None else files
        self.cedar = {
            False: policies.of(shipped, kept=kept),
            True: policies.of([*shipped, OPERATORS_FILE], kept=kept),
        }
        self.deciders = {operators: self._decider(decider, each, providers) for operators, each in self.cedar.items()}
        self._known: dict[Insured, Policy] = {}

    def _decider(self, decider: type[Decider], policies: CedarPolicies, providers: Providers | None) -> Decider:
        around: Any = self.surroundings
        inputs = DecisionInputs(
            providers=providers or around, approvals=around, contracts=around, policies=policies, audit=around,
            pseudonyms=Pseudonyms(),
        )  # fmt: skip
        return decider(inputs, clock=lambda: NOW)

    def decide(self, case: Case) -> Decision:
        self.surroundings.case = case
        ask = Ask(
            product=case.product, capability=case.capability, purpose=case.purpose,
            policy=None if case.policy is None else self._policy(case.policy), tenant=case.tenant,
        )  # fmt: skip
        return self.deciders[case.operators].decide(case.token, ask)

    def judge(self, case: CedarCase) -> tuple[bool, tuple[str, ...]] | None:
        """Cedar's verdict; None: a fault."""
        policy = case.policy
        question = Question(
            capability=case.capability, provider=case.provider, subject=case.subject, tenant=case.tenant,
            domains=case.domains, product="journeys", about_tenant=case.about_tenant,
            policy=None if policy is None else (policy.number, policy.product, policy.status),
            purpose=case.purpose, approval=case.approval, statuses=case.statuses,
            reads=case.purpose not in COLLECTING,
        )  # fmt: skip
        try:
            verdict = self.cedar[case.operators].judge(question)
        except CedarFault:
            return None
        return verdict.allowed, verdict.determining

    def _policy(self, insured: Insured) -> Policy:
        if insured not in self._known:
            self._known[insured] = Policy(
                number=insured.number, valid_from=_BEGAN, vehicle="V1", tenant=insured.tenant,
                product=insured.product, status=insured.status,
            )  # fmt: skip
        return self._known[insured]


def seen(decision: Decision) -> Answer:
    """What the oracle's answer is compared with."""
    rows = decision.obligations.rows
    leaves = rows.tenants != frozenset() or decision.allowed
    return Answer(
        decision.reason.value, decision.determining, decision.identity is not None,
        Duties(rows.tenants, rows.products, rows.statuses, decision.obligations.mask,
               decision.obligations.minimum_group_size, decision.obligations.retention_days) if leaves else None,
        frozenset({decision.approval_id}), decision.retry_after_s,
        decision.recorded.done() and decision.recorded.exception() is None,
    )  # fmt: skip


def agrees(oracle: Answer, decision: Answer) -> bool:
    """Whether both are the same; the approval is one of those that the oracle names."""
    return decision.approvals <= oracle.approvals and oracle == Answer(
        decision.reason, decision.determining, decision.identified, decision.obligations, oracle.approvals,
        decision.retry_after_s, decision.recorded,
    )  # fmt: skip
