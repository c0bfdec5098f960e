"""The whole walk of a decision over real rooms: signed tokens, approvals and audit in a database, Cedar."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.rooms_databases import database_url

from journeymesh.access.cedar import CedarPolicies, shipped_files
from journeymesh.access.decide import Decider, DecisionInputs
from journeymesh.access.decision import Ask, Decision
from journeymesh.access.explain import explain
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.approvals import Approval, ApprovalAction, Person, Wish
from journeymesh.governance.contract import Contracts, load_contract
from journeymesh.governance.purposes import load_purposes
from journeymesh.identity.providers import CacheTimes, Providers
from journeymesh.identity.static import StaticProvider, StaticSettings, create_key
from journeymesh.journeys.policies import Policy
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.ledger.chain_writer import ChainWriter
from journeymesh.ledger.port import AuditUnwritable
from journeymesh.ledger.pseudonyms import Pseudonyms
from journeymesh.wire.identity import Reason

__all__ = ["database_url"]

ANA = {"tenant": "north", "domains": ["claims"], "capabilities": {"journeys": ["journeys:read", "tracks:read"]}}
POLICY = Policy(
    number="JM-000042-1", valid_from=datetime(2024, 1, 1, tzinfo=UTC), vehicle="V1", tenant="north", status="lapsed"
)
READ = Ask(product="journeys", capability="journeys:read", purpose="claims-handling", policy=POLICY)


@dataclass
class Walk:
    """Everything that is real."""

    folder: Path
    provider: StaticProvider
    records: ApprovalRecords
    book: ApprovalBook
    audit: Audit
    writer: ChainWriter
    decider: Decider
    token: str

    def decide(self, ask: Ask = READ) -> Decision:
        return self.decider.decide(self.token, ask)

    def approve(self) -> Approval:
        """Ana asks, the approvers' domain approves, her domain accepts the obligations."""
        ana = Person("static", "ana", "north", frozenset({"claims"}))
        owner = load_contract().approvers[0]
        approver = (
            Person("static", "olga", "north", frozenset({owner.removeprefix("domain:")}))
            if owner.startswith("domain:")
            else Person(*owner.split(":", 1), "north")
        )
        now = datetime.now(UTC)
        wish = Wish(
            product="journeys", purpose="claims-handling", domain="claims", reason="claims have to be handled",
            valid_from=now - timedelta(seconds=1), valid_to=now + timedelta(days=1),
        )  # fmt: skip
        approval = self.records.request(wish, ana)
        self.records.step(approval.id, ApprovalAction.APPROVE, approver, "it is what the product is for")
        return self.records.step(approval.id, ApprovalAction.ACKNOWLEDGE, ana)


def people(folder: Path, **held: dict[str, Any]) -> None:
    (folder / "people.yaml").write_text(yaml.safe_dump({"people": held}), "utf-8")


@pytest.fixture
def walk(database_url: str, tmp_path: Path) -> Iterator[Walk]:
    people(tmp_path, ana=ANA)
    create_key(tmp_path / "key.pem")
    provider = StaticProvider("static", StaticSettings(people=tmp_path / "people.yaml", key=tmp_path / "key.pem"))
    contracts = Contracts([load_contract()], load_purposes())
    for database in (ApprovalDatabase(database_url), AuditDatabase(database_url)):
        database.migrate()
    records = ApprovalRecords(ApprovalDatabase(database_url), contracts)
    book = ApprovalBook(records)
    audit = Audit(AuditDatabase(database_url))
    writer = audit.writer()
    decider = Decider(DecisionInputs(
        providers=Providers([provider], times=CacheTimes(capabilities_s=0.2)), approvals=book, contracts=contracts,
        policies=CedarPolicies.of(shipped_files()), audit=writer, pseudonyms=Pseudonyms(b"k" * 32),),)  # fmt: skip
    yield Walk(tmp_path, provider, records, book, audit, writer, decider, provider.mint("ana"))
    book.close()
    writer.close()


def becomes(decide: Callable[[], Decision], reason: Reason) -> float:
    """After how many seconds decisions are so."""
    began = time.monotonic()
    while decide().reason is not reason:
        assert time.monotonic() - began < 10.0, f"still {decide().reason}"
        time.sleep(0.01)
    return time.monotonic() - began


def ends(decide: Callable[[], Decision]) -> float:
    """After how many seconds nothing is allowed any more."""
    began = time.monotonic()
    while decide().allowed:
        assert time.monotonic() - began < 10.0
        time.sleep(0.01)
    return time.monotonic() - began


def test_an_approval_opens_the_data_and_its_revocation_closes_it_within_a_second(walk: Walk) -> None:
    assert walk.decide().reason is Reason.APPROVAL_MISSING
    approval = walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    decision = walk.decide()
    assert decision.approval_id == approval.id
    assert decision.obligations.rows.admits(POLICY)
    assert decision.obligations.retention_days
    walk.records.step(approval.id, ApprovalAction.REVOKE, Person("static", "ana", "north"), "no longer needed")
    assert ends(walk.decide) <= 1.0
    becomes(walk.decide, Reason.APPROVAL_MISSING)


def test_every_decision_is_in_a_chain_that_verifies_and_is_explained_without_naming_anybody(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    allowed, denied = walk.decide(), walk.decide(Ask(product="journeys", capability="journeys:read", policy=POLICY))
    for decision in (allowed, denied):
        assert decision.recorded.result(10) is None
    record = walk.audit.find(allowed.decision_id)
    assert record is not None
    assert explain(record.body).allowed
    assert explain(record.body).lines[-1] == "Allowed: every guard let it pass."
    other = walk.audit.find(denied.decision_id)
    assert other is not None
    assert explain(other.body).reason is Reason.PURPOSE_MISSING
    for held in (record, other):
        assert '"ana"' not in json.dumps(dict(held.body))
        assert POLICY.number not in json.dumps(dict(held.body))
    assert walk.audit.verify().holds


def test_a_capability_that_is_taken_away_ends_with_the_caches_time(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    people(walk.folder, ana=ANA | {"capabilities": {"journeys": ["tracks:read"]}})
    assert ends(walk.decide) <= 1.0
    becomes(walk.decide, Reason.CAPABILITY_MISSING)


def test_somebody_who_is_no_longer_known_is_refused(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    people(walk.folder, bob=ANA)
    becomes(walk.decide, Reason.TOKEN_REFUSED)


def test_a_provider_whose_file_is_broken_denies_with_a_fault_and_no_silent_allow(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    (walk.folder / "people.yaml").write_text("people: [", "utf-8")
    becomes(walk.decide, Reason.FAULT)
    assert walk.decide().retry_after_s


def test_approvals_that_are_no_longer_followed_deny_within_a_second(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    walk.book.close()
    assert ends(walk.decide) <= 1.1
    assert walk.decide().reason is Reason.FAULT


def test_an_audit_that_is_closed_lets_nothing_leave(walk: Walk) -> None:
    walk.approve()
    becomes(walk.decide, Reason.ALLOWED)
    walk.writer.close()
    with pytest.raises(AuditUnwritable):
        walk.decide().recorded.result(10)


def test_a_token_that_was_seen_does_not_block_and_a_stranger_does(walk: Walk) -> None:
    assert walk.decider.would_block(walk.token, READ)
    walk.decide()
    assert not walk.decider.would_block(walk.token, READ)
    assert walk.decider.would_block(walk.provider.mint("ana"), READ)
