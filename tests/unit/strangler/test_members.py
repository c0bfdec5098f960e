"""Under which name a policy of a slice is compared, and what is asked to compare it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.policy_book import members_of
from journeymesh.strangler.questions import JourneysAsked, PolicyAsked, Question
from journeymesh.strangler.routes import Route
from journeymesh.strangler.slices import Phase, Selector
from tests.ports.side_suite import terms_of_one_number
from tests.support.builders import NOON
from tests.support.doors import STORE, a_control, a_door, fill, following, route
from tests.support.recorded_legacy import RecordedLegacy

ALONE = Policy(number="A", device="V7", valid_from=NOON, tenant="north")
RENEWED = Policy(number="A", device="V7", valid_from=NOON - timedelta(days=9), valid_to=NOON, tenant="north")


class Offered(list):
    """Remembers under which name each question was offered for comparing."""

    def offer(self, route: Route, policy: str, question: Question, answered_by: str, answer: object) -> None:
        self.append((policy, question))


def test_a_policy_with_all_its_terms_is_one_member_and_asked_for_by_its_number() -> None:
    (member,) = members_of(Selector(), [ALONE, RENEWED])
    assert member.name == "A"
    assert member.questions() == (PolicyAsked("A"), JourneysAsked(JourneyQuery(policy="A")))


def test_policies_of_two_tenants_under_one_number_are_compared_each_by_itself() -> None:
    held, _ = terms_of_one_number()
    north, south = members_of(Selector(), held)
    assert (north.name, south.name) == ("P of north", "P of south")
    assert [len(member.terms) for member in (north, south)] == [2, 1]
    assert members_of(Selector(tenant="south"), held) == [south]
    asked = north.questions()[1]
    assert isinstance(asked, JourneysAsked)
    assert (asked.query.tenant, len(asked.query.terms or ())) == ("north", 2)


def test_a_term_of_another_slice_is_not_asked_for() -> None:
    held, _ = terms_of_one_number()
    (vans,) = members_of(Selector(product="van"), held)
    assert vans.terms == held[1:2]
    asked = vans.questions()[1]
    assert isinstance(asked, JourneysAsked)
    assert asked.query.terms == (held[1].valid_from,)


@pytest.mark.parametrize("tenant", ["north", "south"])
def test_the_door_offers_a_question_under_the_name_of_the_policy_that_it_is_about(tmp_path: Path, tenant: str) -> None:
    held, drives = terms_of_one_number()
    source = RecordedLegacy(held_policies=[*held, ALONE], recorded=drives)
    store, offered = fill(MemoryStore(), source), Offered()
    with following(a_control(tmp_path, route(phase=Phase.SHADOW))) as follower:
        door = a_door(follower, source, {STORE: store}, shadow=offered)
        door.journeys(JourneyQuery(policy="P", tenant=tenant))
        door.journeys(JourneyQuery(policy="A"))
    assert [name for name, _ in offered] == [f"P of {tenant}", "A"]
