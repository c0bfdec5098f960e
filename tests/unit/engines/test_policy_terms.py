"""What a run does with policies that were renewed, corrected, or have a number that another tenant uses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.builders import NOON, drive
from tests.support.rooms_databases import fresh_postgresql

from journeymesh import wiring
from journeymesh.engines.local import run
from journeymesh.engines.port import RunOptions
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ENGINE_SWITCHED
from journeymesh.sources.port import SourceBatch, SourceSize
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import JourneyQuery, RefusalQuery, Store

DAY = timedelta(days=1)
OLD = Policy(number="P1", device="V1", valid_from=NOON - 365 * DAY, valid_to=NOON, status="lapsed")
RENEWED = Policy(number="P1", device="V1", valid_from=NOON, product="premium")


class Drives:
    """Two drives of V1, an hour before noon and an hour after it."""

    name = "drives"

    def batches(self, resume: str | None = None) -> Iterator[SourceBatch]:
        parts = [drive((12.0, 600), start=NOON + timedelta(hours=h)) for h in (-1, 1)]
        yield SourceBatch(Fixes.concat(parts))

    def size(self) -> SourceSize:
        return SourceSize()

    def describe(self, origins: object) -> list[str]:
        return []

    def policies(self) -> list[Policy]:
        return []

    def close(self) -> None: ...


@pytest.fixture(params=["memory", "sqlite", "postgresql", "lake"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path}/room.db" if request.param == "sqlite" else f"lake:///{tmp_path}/lake"
    with contextlib.ExitStack() as opened:
        if request.param == "postgresql":
            url = opened.enter_context(fresh_postgresql(request.getfixturevalue("postgresql_url")))
        opened_store = wiring.open_store(url)
        opened.callback(opened_store.close)
        opened_store.migrate()
        yield opened_store


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def passed(store: Store, *policies: Policy) -> list[tuple[str | None, object]]:
    """(policy, beginning of its term) of the journeys, after a run with these policies."""
    run(Drives(), store, RunOptions(rules=ENGINE_SWITCHED, policies=policies))
    found = store.journeys(JourneyQuery()).to_pylist()
    return [(row["policy"], row["policy_from"]) for row in found]


def test_both_terms_of_a_renewed_policy_are_used(store: MemoryStore) -> None:
    assert passed(store, RENEWED, OLD) == [("P1", OLD.valid_from), ("P1", NOON)]
    assert store.policies("P1") == [OLD, RENEWED]


def test_a_renewal_that_comes_in_a_later_run_leaves_the_term_before(store: MemoryStore) -> None:
    assert passed(store, OLD) == [("P1", OLD.valid_from), (None, None)]
    assert passed(store, RENEWED) == [("P1", OLD.valid_from), ("P1", NOON)]


def test_a_beginning_that_is_corrected_moves_its_journeys_and_leaves_no_second_term(store: MemoryStore) -> None:
    passed(store, OLD, RENEWED)
    later = replace(RENEWED, valid_from=NOON + 2 * timedelta(hours=1))
    assert passed(store, later) == [("P1", OLD.valid_from), (None, None)]
    assert store.policies() == [OLD, later]
    assert passed(store, RENEWED) == [("P1", OLD.valid_from), ("P1", NOON)]
    assert store.policies() == [OLD, RENEWED]


NORTHS = replace(RENEWED, tenant="north")
SOUTHS = replace(RENEWED, tenant="south")


@pytest.mark.parametrize("changes", [{}, {"valid_from": NOON - 9 * DAY}, {"valid_from": NOON + timedelta(minutes=59)},
                                     {"number": "P2"}, {"valid_to": NOON + 2 * DAY, "product": "default"}])  # fmt: skip
def test_another_tenants_import_takes_no_policy_over_and_re_attributes_no_journey(
    any_store: Store, changes: dict[str, Any]
) -> None:
    passed(any_store, NORTHS)
    before = any_store.journeys(JourneyQuery()).to_pylist()
    assert [row["tenant"] for row in before] == [None, "north"]
    passed(any_store, replace(SOUTHS, **changes))
    assert any_store.journeys(JourneyQuery()).to_pylist() == before
    assert any_store.policies() == [NORTHS]
    ((_, refusal),) = any_store.refusals(RefusalQuery(reason="policy_contradicts"))
    number = changes.get("number", "P1")
    assert f"policy P1 of tenant north and policy {number} of tenant south are both in force for V1" in refusal.detail
    assert refusal.detail.endswith("the one that the store has stays")


def test_of_two_tenants_policies_in_force_for_one_device_neither_is_used_and_both_are_named(any_store: Store) -> None:
    elsewhere = replace(SOUTHS, number="P3", device="V3")
    for given in ((NORTHS, SOUTHS, elsewhere), (replace(SOUTHS, valid_from=NOON - DAY), elsewhere, NORTHS)):
        assert passed(any_store, *given) == [(None, None), (None, None)]
        assert any_store.policies() == [elsewhere]
    refusals = [refusal for _, refusal in any_store.refusals(RefusalQuery(reason="policy_contradicts"))]
    assert len(refusals) >= 2
    for refusal in refusals:
        assert "P1 of tenant north" in refusal.detail
        assert "P1 of tenant south" in refusal.detail
        assert refusal.detail.endswith("neither is used")


def test_a_vehicle_that_passes_to_another_tenant_is_theirs_from_then_on(any_store: Store) -> None:
    sold = replace(NORTHS, valid_from=OLD.valid_from, valid_to=NOON)
    assert passed(any_store, sold, SOUTHS) == [("P1", OLD.valid_from), ("P1", NOON)]
    assert any_store.journeys(JourneyQuery())["tenant"].to_pylist() == ["north", "south"]
    for tenant in ("north", "south"):
        assert any_store.journeys(JourneyQuery(policy="P1", tenant=tenant))["tenant"].to_pylist() == [tenant]
        found = any_store.journeys(JourneyQuery(policy="P1", tenant=tenant))["journey_id"][0].as_py()
        other = {"north": "south", "south": "north"}[tenant]
        assert any_store.journey(found, other) is None
        assert any_store.journey(found, tenant) is not None


def test_of_terms_of_one_number_that_overlap_the_later_one_is_refused_and_the_run_goes_on(store: MemoryStore) -> None:
    endless = replace(OLD, valid_to=None)
    passed(store, RENEWED, endless)
    assert store.policies() == [endless]
    (refusal,) = (refused for _, refused in store.refusals(RefusalQuery()))
    assert refusal.reason == "policy_contradicts"
    assert refusal.detail.startswith("two terms of policy P1 are in force for V1")
    passed(store, RENEWED, endless)
    assert len(list(store.refusals(RefusalQuery()))) == 1


def test_another_tenants_policy_of_the_number_is_another_policy(store: MemoryStore) -> None:
    passed(store, OLD, RENEWED)
    other = replace(RENEWED, tenant="south", device="V2")
    passed(store, other)
    assert store.policies("P1") == [OLD, RENEWED, other]
    assert not len(store.journeys(JourneyQuery(policy="P1", tenant="south")))
