"""Both kinds of side pass one suite: a store, and legacy computed on read."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import pytest

from journeymesh.engines.refusals import refusals_of
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.stores.memory import MemoryStore
from journeymesh.stores.port import Store, StoreBatch
from journeymesh.stores.sql import SqlStore
from journeymesh.strangler.journey_index import JourneyIndex, JourneyLocation, locations_in
from journeymesh.strangler.legacy_side import LegacySide
from journeymesh.strangler.policy_book import PolicyBook
from journeymesh.strangler.questions import Side
from tests.ports.side_suite import SideSuite
from tests.support.builders import NOW_US
from tests.support.recorded_legacy import RecordedLegacy


def filled(store: Store, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Store:
    """The store with what one pass makes of the fixes."""
    store.migrate()
    made = make_journeys(fixes, rules, policies, NOW_US)
    refused = refusals_of(made.refused, made.reasons, RecordedLegacy().describe)
    store.write(StoreBatch(journeys=made.journeys, fixes=made.timeline, policies=policies, refusals=refused))
    return store


def legacy_of(fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> LegacySide:
    """The legacy side over these fixes."""
    source = RecordedLegacy(held_policies=list(policies), recorded=fixes)
    return LegacySide(source=source, rules=rules, policy_book=PolicyBook(source.policies), clock_us=lambda: NOW_US)


class TestMemoryStoreAsSide(SideSuite):
    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Side:
        return filled(MemoryStore(), fixes, policies, rules)


class TestSqliteStoreAsSide(SideSuite):
    @pytest.fixture(autouse=True)
    def _folder(self) -> Iterator[None]:
        self.opened: list[Store] = []
        with tempfile.TemporaryDirectory(prefix="journeymesh-side-") as folder:
            self.folder = folder
            yield
            for store in self.opened:
                store.close()

    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Side:
        file = f"{self.folder}/journeys-{len(self.opened)}.db"  # Hypothesis makes several in one test
        store = filled(SqlStore.connect(f"sqlite:///{file}"), fixes, policies, rules)
        self.opened.append(store)
        return store


class TestLegacySide(SideSuite):
    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Side:
        return legacy_of(fixes, policies, rules)


class TestLegacySideThatRemembersNothing(SideSuite):
    """Ids are found by way of a store that has them."""

    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Side:
        store = filled(MemoryStore(), fixes, policies, rules)

        def locate(journey_id: str) -> JourneyLocation | None:
            found = store.journey(journey_id)
            return None if found is None else locations_in(found)[0][1]

        side = legacy_of(fixes, policies, rules)
        side.locate, side.journey_index = locate, JourneyIndex(0)
        return side
