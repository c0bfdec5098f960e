"""In-memory twins of what a decision is made from."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from journeymesh.access.cedar import CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.access.decision import Ask
from journeymesh.governance.obligations import Obligations, RowPredicate
from journeymesh.identity.identity import Identity, TokenRefused
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.port import AuditUnwritable

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
PRICING = Obligations(
    rows=RowPredicate(statuses=frozenset({"active"})), mask=frozenset({"vehicle"}), retention_days=365
)


@dataclass
class TwinTokens:
    """Identities and capabilities by token; a value that is an exception is raised."""

    identities: dict[str, Identity | Exception] = field(default_factory=dict)
    held: dict[tuple[str, str], frozenset[str] | Exception] = field(default_factory=dict)
    blocking: bool = False

    def identify(self, token: str) -> Identity:
        found = self.identities.get(token, TokenRefused("signature"))
        if isinstance(found, BaseException):
            raise found
        return found

    def capabilities(self, token: str, product: str, version: Hashable = None) -> frozenset[str]:
        found = self.held.get((token, product), frozenset[str]())
        if isinstance(found, BaseException):
            raise found
        return found

    def would_block(self, token: str, product: str, version: Hashable = None) -> bool:
        return self.blocking


@dataclass(frozen=True)
class TwinApproval:
    id: str = "A-1"
    product: str = "journeys"
    product_major: int = 1
    purpose: str = "pricing"
    tenant: str = "north"
    domain: str = "pricing"
    valid_from: datetime = NOW - timedelta(days=1)
    valid_to: datetime = NOW + timedelta(days=1)


@dataclass
class TwinApprovals:
    """Answers with the first approval that ``answers`` gives; it may be a sloppy book, or raise."""

    held: list[TwinApproval] = field(default_factory=list)
    fault: Exception | None = None
    sloppy: bool = False

    def live(self, product: str, major: int, purpose: str, tenant: str, domains: frozenset[str]) -> TwinApproval | None:
        if self.fault is not None:
            raise self.fault
        for each in self.held:
            asked = (product, major, purpose, tenant)
            covers = (each.product, each.product_major, each.purpose, each.tenant) == asked and each.domain in domains
            if self.sloppy or (covers and each.valid_from <= NOW < each.valid_to):
                return each
        return None


@dataclass
class TwinContract:
    major: int
    purposes: Mapping[str, Obligations]


@dataclass
class TwinContracts:
    contracts: dict[str, TwinContract]
    catalogue: frozenset[str]
    collecting: frozenset[str] = frozenset()

    def of(self, product: str) -> TwinContract | None:
        return self.contracts.get(product)

    def knows(self, purpose: str) -> bool:
        return purpose in self.catalogue

    def reads(self, purpose: str) -> bool:
        return purpose in self.catalogue and purpose not in self.collecting


@dataclass
class TwinAudit:
    """Keeps the records; ``fails`` makes their futures fail, ``raises`` the call."""

    records: list[tuple[str, Mapping[str, Any], str | None]] = field(default_factory=list)
    fails: bool = False
    raises: bool = False

    def append(self, kind: str, body: Mapping[str, Any], *, key: str | None = None) -> Future[None]:
        if self.raises:
            raise OSError("no space left")
        self.records.append((kind, body, key))
        done: Future[None] = Future()
        if self.fails:
            done.set_exception(AuditUnwritable("the disk is full"))
        else:
            done.set_result(None)
        return done

    def close(self) -> None:
        pass


class TwinPseudonyms:
    def of(self, kind: str, *parts: str) -> str:
        return f"pseudonym-of-{kind}"


def identity(**changes: Any) -> Identity:
    """Ana of the north's pricing, whose token holds for an hour."""
    held: dict[str, Any] = {
        "provider": "static",
        "subject": "ana",
        "tenant": "north",
        "domains": frozenset({"pricing"}),
        "expires_at_s": (NOW + timedelta(hours=1)).timestamp(),
        "token_digest": b"d" * 32,
    }
    return Identity(**held | changes)


def policy(number: str = "P-1", **changes: Any) -> Policy:
    """An insurance policy in force of the north."""
    held: dict[str, Any] = {"valid_from": datetime(2024, 1, 1, tzinfo=UTC), "vehicle": "V1", "tenant": "north"}
    return Policy(number=number, **held | changes)


@dataclass
class Twins:
    """One of each, such that Ana may read journeys for pricing; a test changes what it is about."""

    tokens: TwinTokens = field(
        default_factory=lambda: TwinTokens(
            {"ana": identity()},
            {("ana", "journeys"): frozenset({"journeys:read", "journeys:export", "fixes:write", "product:read"})},
        )
    )
    approvals: TwinApprovals = field(default_factory=lambda: TwinApprovals([TwinApproval()]))
    contracts: TwinContracts = field(
        default_factory=lambda: TwinContracts(
            {"journeys": TwinContract(1, {"pricing": PRICING, "retention-study": Obligations()})},
            frozenset({"pricing", "retention-study", "marketing"}),
        )
    )
    policies: CedarPolicies = field(default_factory=lambda: CedarPolicies.of(shipped_files()))
    audit: TwinAudit = field(default_factory=TwinAudit)
    clock: Callable[[], datetime] = lambda: NOW

    def decider(self) -> Decider:
        return Decider(
            DecisionInputs(
                providers=self.tokens,
                approvals=self.approvals,
                contracts=self.contracts,
                policies=self.policies,
                audit=self.audit,
                pseudonyms=TwinPseudonyms(),
            ),
            clock=self.clock,
        )


def ask(**changes: Any) -> Ask:
    """May Ana read the journeys of a policy for pricing?"""
    held: dict[str, Any] = {
        "product": "journeys",
        "capability": "journeys:read",
        "purpose": "pricing",
        "policy": policy(),
    }
    return Ask(**held | changes)
