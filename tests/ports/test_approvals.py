"""Approvals on both databases."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from journeymesh.errors import JourneymeshError, NotFound, StoreUnavailable, UsageError
from journeymesh.governance.approval_records import ApprovalQuery, ApprovalRecords
from journeymesh.governance.approval_tables import SCHEMA, ApprovalDatabase, metadata
from journeymesh.governance.approvals import (
    Approval,
    ApprovalAction,
    RequestInvalid,
    StepNotPossible,
    StepNotTheirs,
    Who,
)
from journeymesh.ledger.audit import Audit
from journeymesh.ledger.audit_tables import AuditDatabase
from journeymesh.wire.identity import State
from tests.support.approval_people import ANN, BOB, CONTRACT, EVE, NOW, OLGA, PAM, WISH, contracts, wish
from tests.support.rooms_databases import database_url, differences

__all__ = ["database_url"]


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def database(database_url: str) -> Iterator[ApprovalDatabase]:
    made = ApprovalDatabase(database_url)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def records(database: ApprovalDatabase, clock: Clock) -> ApprovalRecords:
    return ApprovalRecords(database, contracts(), clock=clock)


def _state(records: ApprovalRecords, approval: Approval, clock: Clock) -> State:
    found = records.find(approval.id)
    assert found is not None
    return found.state_at(clock.now)


def test_migrations_make_the_tables(database: ApprovalDatabase) -> None:
    database.migrate()
    database.require_schema()
    assert differences(database, SCHEMA, metadata) == []


def test_what_was_recorded_before_persons_were_is_read_and_decided_as_before(database_url: str, clock: Clock) -> None:
    before = ApprovalDatabase(database_url)
    before._schema = dataclasses.replace(SCHEMA, head="0001")
    with before.writing() as connection:
        SCHEMA.upgrade(connection, "0001")
        values = "'a1', 'journeys', 1, 'claims', 'acme', 'claims', 'static', 'ann', 0, 'needed', 0, 4102444800000000"
        connection.exec_driver_sql(f"INSERT INTO approval_requests VALUES ({values})")
        connection.exec_driver_sql(
            "INSERT INTO approval_steps (approval, number, state, provider, subject, at_us, why) "
            "VALUES ('a1', 0, 'requested', 'static', 'ann', 0, 'needed')"
        )
    before.close()
    upgraded = ApprovalDatabase(database_url)
    upgraded.migrate()
    assert differences(upgraded, SCHEMA, metadata) == []
    kept = ApprovalRecords(upgraded, contracts(), clock=clock)
    held = kept.find("a1")
    assert held is not None
    assert (held.requested_by, held.requested_by.person) == (ANN.who, None)
    assert kept.step("a1", ApprovalAction.APPROVE, PAM, "why").recorded is State.APPROVED
    upgraded.close()


def test_persons_and_a_first_approver_are_kept(records: ApprovalRecords) -> None:
    made = records.request(wish(), replace(ANN, person="staff-7"))
    first = replace(PAM, provider="keycloak", subject="0f3a")
    records.step(made.id, ApprovalAction.APPROVE, first, "why")
    held = records.find(made.id)
    assert held is not None
    assert (held.requested_by.person, held.recorded, held.once_approved_by) == (
        "staff-7",
        State.ONCE_APPROVED,
        first.who,
    )
    assert [each.id for each in records.query(ApprovalQuery(state=State.ONCE_APPROVED))] == [made.id]
    with pytest.raises(StepNotTheirs):
        records.step(made.id, ApprovalAction.APPROVE, replace(PAM, person="staff-7"), "why")
    done = records.step(made.id, ApprovalAction.APPROVE, replace(PAM, person="staff-8"), "why")
    assert done.recorded is State.APPROVED
    assert [step.who.person for step in records.history(made.id)] == ["staff-7", None, "staff-8"]


def test_approvals_and_the_audit_share_a_database(database: ApprovalDatabase, database_url: str) -> None:
    audit = AuditDatabase(database_url)
    with pytest.raises(StoreUnavailable, match="nothing is recorded yet"):
        audit.require_schema()
    audit.migrate()
    for each in (audit, database):
        each.migrate()
        each.require_schema()
    with Audit(audit)._database.reading() as connection:
        assert {"audit_records", "approval_steps"} <= set(sa.inspect(connection).get_table_names())
    audit.close()


def test_an_approval_goes_its_way_and_every_step_is_kept(records: ApprovalRecords, clock: Clock) -> None:
    asked = records.request(wish(valid_from=NOW + timedelta(days=1)), ANN)
    assert _state(records, asked, clock) is State.REQUESTED
    clock.now += timedelta(hours=1)
    approved = records.step(asked.id, ApprovalAction.APPROVE, PAM, "claim 7 is open")
    assert (approved.decided_by, approved.recorded) == (PAM.who, State.APPROVED)
    records.step(asked.id, ApprovalAction.ACKNOWLEDGE, BOB)
    assert _state(records, asked, clock) is State.ACKNOWLEDGED
    clock.now += timedelta(days=1)
    assert _state(records, asked, clock) is State.ACTIVE
    records.step(asked.id, ApprovalAction.REVOKE, OLGA, "claim 7 is closed")
    assert _state(records, asked, clock) is State.REVOKED
    history = [(step.number, step.state, str(step.who), step.why) for step in records.history(asked.id)]
    assert history == [
        (0, State.REQUESTED, "static:ann", WISH.reason),
        (1, State.APPROVED, "static:pam", "claim 7 is open"),
        (2, State.ACKNOWLEDGED, "static:bob", ""),
        (3, State.REVOKED, "static:olga", "claim 7 is closed"),
    ]
    assert [step.at for step in records.history(asked.id)][:2] == [NOW, NOW + timedelta(hours=1)]
    found = records.find(asked.id)
    assert found is not None
    assert found.decided_by == PAM.who
    assert found == replace(asked, recorded=State.REVOKED, decided_by=PAM.who, steps=3)


def test_an_approval_of_another_tenant_is_not_there(records: ApprovalRecords) -> None:
    asked = records.request(WISH, ANN)
    for approval_id, person in ((asked.id, EVE), ("none", PAM)):
        with pytest.raises(NotFound, match="there is no approval"):
            records.step(approval_id, ApprovalAction.APPROVE, person, "why")
    assert records.find(asked.id, tenant="other") is None
    assert records.find(asked.id, tenant="acme") == asked
    assert records.find("none") is None
    assert records.history("none") == []


def test_what_was_refused_is_not_recorded(records: ApprovalRecords) -> None:
    with pytest.raises(RequestInvalid, match="'cars' has no contract"):
        records.request(wish(product="cars"), ANN)
    with pytest.raises(StepNotTheirs):
        records.request(wish(domain="privacy"), ANN)
    asked = records.request(WISH, ANN)
    with pytest.raises(StepNotTheirs):
        records.step(asked.id, ApprovalAction.APPROVE, ANN, "why")
    with pytest.raises(StepNotPossible):
        records.step(asked.id, ApprovalAction.ACKNOWLEDGE, ANN)
    assert records.query() == [asked]
    assert len(records.history(asked.id)) == 1


@pytest.mark.parametrize("second", [ApprovalAction.APPROVE, ApprovalAction.REJECT])
def test_of_two_approvers_at_once_one_is_first_and_the_other_is_told(database_url: str, second: ApprovalAction) -> None:
    """Each with a database connection of its own, as two replicas have."""
    replicas = []
    for _ in range(2):
        database = ApprovalDatabase(database_url)
        database.migrate()
        replicas.append((database, ApprovalRecords(database, contracts(), clock=Clock())))
    for _ in range(10):
        asked = replicas[0][1].request(WISH, ANN)
        outcomes: dict[str, Approval | JourneymeshError] = {}
        barrier = threading.Barrier(2)

        def decide(number: int, step: ApprovalAction) -> None:
            person = (PAM, OLGA)[number]
            barrier.wait()  # noqa: B023 - joined below
            try:
                outcomes[person.subject] = replicas[number][1].step(asked.id, step, person, "why")  # noqa: B023
            except JourneymeshError as error:
                outcomes[person.subject] = error  # noqa: B023

        threads = [threading.Thread(target=decide, args=each) for each in ((0, ApprovalAction.APPROVE), (1, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (first,) = (name for name, outcome in outcomes.items() if isinstance(outcome, Approval))
        (refused,) = (outcome for outcome in outcomes.values() if isinstance(outcome, JourneymeshError))
        assert isinstance(refused, StepNotPossible)
        assert f"approval {asked.id} is {refused.state} by static:{first}" in str(refused)
        assert len(replicas[0][1].history(asked.id)) == 2
    for database, _ in replicas:
        database.close()


def test_a_second_major_version_starts_anew(database: ApprovalDatabase, clock: Clock) -> None:
    first = ApprovalRecords(database, contracts(), clock=clock)
    asked = first.request(WISH, ANN)
    second = ApprovalRecords(database, contracts(replace(CONTRACT, version="2.0.0", major=2)), clock=clock)
    with pytest.raises(StepNotPossible, match="request a new approval"):
        second.step(asked.id, ApprovalAction.APPROVE, PAM, "why")
    assert second.request(WISH, ANN).product_major == 2


def test_approvals_are_listed_newest_first_and_by_what_they_are(records: ApprovalRecords, clock: Clock) -> None:
    made = []
    for number in range(12):
        asked = records.request(
            wish(purpose=("claims", "pricing")[number % 2], domain=("claims", "fleet")[number // 6]), ANN
        )
        made.append(asked)
        clock.now += timedelta(seconds=number % 2)  # two each in one instant
    records.step(made[0].id, ApprovalAction.REJECT, PAM, "no")
    records.step(made[1].id, ApprovalAction.APPROVE, PAM, "yes")
    everything = records.query()
    assert [(each.requested_at, each.id) for each in everything] == sorted(
        ((each.requested_at, each.id) for each in made), reverse=True
    )
    pages: list[Approval] = []
    while page := records.query(ApprovalQuery(after=pages[-1] if pages else None, limit=5)):
        pages += page
    assert pages == everything
    assert {each.id for each in records.query(ApprovalQuery(purpose="pricing", domain="fleet"))} == {
        m.id for m in made[7::2]
    }
    assert records.query(ApprovalQuery(tenant="other")) == records.query(ApprovalQuery(product="cars")) == []
    assert [each.id for each in records.query(ApprovalQuery(state=State.REJECTED))] == [made[0].id]
    (approved,) = records.query(ApprovalQuery(state=State.APPROVED))
    assert approved.decided_by == PAM.who
    assert len(records.query(ApprovalQuery(state=State.REQUESTED))) == 10
    clock.now = WISH.valid_to
    assert records.query(ApprovalQuery(state=State.REQUESTED)) == []
    assert len(records.query(ApprovalQuery(state=State.EXPIRED))) == 11
    with pytest.raises(UsageError, match="ask for 1 to 1000"):
        records.query(ApprovalQuery(limit=0))


def test_nothing_but_additions_is_ever_written(database: ApprovalDatabase, records: ApprovalRecords) -> None:
    said = []

    @sa.event.listens_for(database.engine(), "before_cursor_execute")
    def listen(*execution: object) -> None:
        said.append(str(execution[2]).split()[0])

    asked = records.request(WISH, ANN)
    for step, person in (
        (ApprovalAction.APPROVE, PAM),
        (ApprovalAction.ACKNOWLEDGE, ANN),
        (ApprovalAction.REVOKE, PAM),
    ):
        records.step(asked.id, step, person, "why")
    assert set(said) - {"BEGIN", "SELECT"} == {"INSERT"}


def test_a_person_is_named_by_provider_and_subject(records: ApprovalRecords) -> None:
    asked = records.request(WISH, replace(ANN, subject="é'\"; --", provider="key:cloak"))
    found = records.find(asked.id)
    assert found is not None
    assert found.requested_by == Who("key:cloak", "é'\"; --")
