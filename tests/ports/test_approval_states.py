"""Whatever people do in whatever order, the records say what a model as plain as the documentation says."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from journeymesh.errors import JourneymeshError
from journeymesh.governance.approval_book import ApprovalBook
from journeymesh.governance.approval_records import ApprovalQuery, ApprovalRecords
from journeymesh.governance.approval_tables import ApprovalDatabase
from journeymesh.governance.approvals import ApprovalAction, Person
from journeymesh.governance.contract import Contracts
from journeymesh.wire.identity import State
from tests.support.approval_people import ANN, BOB, CONTRACT, EVE, NOW, OLGA, PAM, PER, contracts, wish
from tests.support.rooms_databases import database_url

__all__ = ["database_url"]

PEOPLE = (ANN, BOB, PAM, PER, OLGA, EVE)
LIKELY = (
    *((ApprovalAction.APPROVE, person) for person in (PAM, OLGA)),
    *((ApprovalAction.ACKNOWLEDGE, person) for person in (ANN, BOB, PER)),
    (ApprovalAction.REJECT, PAM),
    (ApprovalAction.REVOKE, OLGA),
)
APPROVERS = ("pam", "per", "olga")


def provider_of(subject: str) -> str:
    """Where the person has an account; no provider declares who is who at the other."""
    return "keycloak" if subject == "per" else "static"


class Changing:
    """Contracts whose product gets another major version, while the records hold on to them."""

    def __init__(self) -> None:
        self.major = 1

    def of(self, product: str) -> object:
        return replace(CONTRACT, major=self.major) if product == "journeys" else None


class Modelled:
    """What the documentation says of one approval, in the plainest words."""

    def __init__(self, requester: str, domain: str, begins: datetime, ends: datetime, major: int) -> None:
        self.requester, self.domain, self.begins, self.ends, self.major = requester, domain, begins, ends, major
        self.said = ["requested"]
        self.first = ""

    def state(self, now: datetime) -> str:
        last = self.said[-1]
        if last in ("rejected", "revoked"):
            return last
        if now >= self.ends:
            return "expired"
        return "active" if last == "acknowledged" and now >= self.begins else last

    def take(self, step: str, person: Person, now: datetime, major: int) -> bool:
        """Take the step, if the documentation lets this person take it now."""
        state, subject = self.state(now), person.subject
        works_here = subject != "eve"
        undecided = state in ("requested", "once_approved")
        once = False
        if step == "approve":
            ok = undecided and subject in APPROVERS and subject != self.requester and major == self.major
            if ok and provider_of(subject) != provider_of(self.requester):  # they may be one person
                once = state == "requested"
                ok = once or (subject != self.first and provider_of(subject) == provider_of(self.first))
                self.first = subject if once else self.first
        elif step == "reject":
            ok = undecided and subject in APPROVERS and subject != self.requester
        elif step == "acknowledge":
            ok = state == "approved" and self.domain in person.domains and works_here and major == self.major
        else:
            ok = state in ("approved", "acknowledged", "active") and subject in (*APPROVERS, self.requester)
        if ok:
            ends = {
                "approve": "once_approved" if once else "approved",
                "reject": "rejected",
                "acknowledge": "acknowledged",
                "revoke": "revoked",
            }
            self.said.append(ends[step])
        return ok


class Approvals(RuleBasedStateMachine):
    database: ApprovalDatabase
    steps_taken = 0
    steps_refused = 0
    asked = Bundle("asked")

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.contracts = Changing()
        self.tenant = secrets.token_hex(6)
        held: Contracts = self.contracts  # type: ignore[assignment]
        self.records = ApprovalRecords(self.database, held, clock=lambda: self.now)
        self.book = ApprovalBook(self.records, every_s=3_600, stale_after_s=3_600, clock=lambda: self.now)
        self.model: dict[str, Modelled] = {}

    def _here(self, person: Person) -> Person:
        return replace(person, tenant="other" if person is EVE else self.tenant)

    @precondition(lambda self: len(self.model) < 3)
    @rule(target=asked, person=st.sampled_from(PEOPLE[:4]), starts_in_days=st.integers(-1, 2), days=st.integers(2, 8))
    def request(self, person: Person, starts_in_days: int, days: int) -> str:
        begins = self.now + timedelta(days=starts_in_days)
        ends = max(begins, self.now) + timedelta(days=days)
        domain = min(person.domains)
        made = self.records.request(wish(domain=domain, valid_from=begins, valid_to=ends), self._here(person))
        self.model[made.id] = Modelled(person.subject, domain, begins, ends, self.contracts.major)
        return made.id

    @rule(
        approval=asked,
        taken=st.lists(
            st.sampled_from(LIKELY) | st.tuples(st.sampled_from(ApprovalAction), st.sampled_from(PEOPLE)),
            min_size=2,
            max_size=9,
        ),
    )
    def take(self, approval: str, taken: list[tuple[ApprovalAction, Person]]) -> None:
        for step, person in taken:
            self._take(approval, step, person)

    def _take(self, approval: str, step: ApprovalAction, person: Person) -> None:
        try:
            self.records.step(approval, step, self._here(person), "why")
            was_taken = True
        except JourneymeshError:
            was_taken = False
        modelled = self.model[approval]
        assert was_taken == modelled.take(step.value, person, self.now, self.contracts.major)
        found = self.records.find(approval)
        assert found is not None
        assert found.state_at(self.now).value == modelled.state(self.now)
        type(self).steps_taken += was_taken
        type(self).steps_refused += not was_taken

    @rule(hours=st.integers(1, 30))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.model and self.contracts.major < 3)
    @rule(now=st.integers(0, 4).map(lambda drawn: drawn == 0))
    def release_another_major_version(self, now: bool) -> None:
        self.contracts.major += now

    @rule()
    def records_say_what_the_model_says(self) -> None:
        by_state: dict[str, set[str]] = {state.value: set() for state in State}
        for approval_id, modelled in self.model.items():
            found = self.records.find(approval_id)
            assert found is not None
            assert found.state_at(self.now).value == modelled.state(self.now)
            assert [step.state.value for step in self.records.history(approval_id)] == modelled.said
            by_state[modelled.state(self.now)].add(approval_id)
        for state in State:
            asked = self.records.query(ApprovalQuery(tenant=self.tenant, state=state, limit=1_000))
            assert {each.id for each in asked} == by_state[state.value]

    @rule()
    def the_book_knows_what_is_active_and_nothing_else(self) -> None:
        assert self.book.refresh()
        for major in range(1, self.contracts.major + 1):
            for domain in ("claims", "fleet", "privacy"):
                live = self.book.live("journeys", major, "claims", self.tenant, frozenset({domain}))
                active = {
                    approval_id
                    for approval_id, each in self.model.items()
                    if (each.state(self.now), each.domain, each.major) == ("active", domain, major)
                }
                assert (live is None) == (not active)
                assert live is None or live.id in active

    def teardown(self) -> None:
        if hasattr(self, "book"):
            self.records_say_what_the_model_says()
            self.the_book_knows_what_is_active_and_nothing_else()
            self.book.close()


def test_the_records_follow_the_state_machine(database_url: str) -> None:
    database = ApprovalDatabase(database_url)
    database.migrate()
    machine = type("OnThisDatabase", (Approvals,), {"database": database, "steps_taken": 0, "steps_refused": 0})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert machine.steps_taken > 25
    assert machine.steps_refused > 100
    database.close()


def test_the_contracts_of_the_model_are_like_real_ones() -> None:
    assert contracts().of("journeys") == Changing().of("journeys")


@pytest.mark.parametrize("subject", APPROVERS)
def test_the_model_has_the_approvers_of_the_contract(subject: str) -> None:
    (person,) = (each for each in PEOPLE if each.subject == subject)
    assert "privacy" in person.domains or str(person.who) in CONTRACT.approvers
