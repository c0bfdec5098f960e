"""The legacy side computes on read what a store would hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from journeymesh.errors import SourceUnreadable, UsageError
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.rules import ALWAYS_ON
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.journey_index import JourneyLocation
from journeymesh.strangler.legacy_side import LegacySide, LegacyTooMuch, ReadLimits
from journeymesh.strangler.policy_book import PolicyBook
from tests.support.builders import NOON, without
from tests.support.doors import RENEWED, made_of, several
from tests.support.legacy_double import MemoryLegacy
from tests.support.recorded_legacy import RecordedLegacy


def legacy_side(source: MemoryLegacy, limits: ReadLimits | None = None) -> LegacySide:
    """The side of this source."""
    return LegacySide(
        source=source, rules=ALWAYS_ON, policy_book=PolicyBook(source.policies), limits=limits or ReadLimits()
    )


def test_a_page_reads_no_more_of_the_history_than_it_needs() -> None:
    spread = Fixes.concat([_later(several(1, every_s=30.0), timedelta(days=60 * number)) for number in range(12)])
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=spread)
    side = legacy_side(source)
    page = side.journeys(JourneyQuery(policy="P2", limit=1))
    reads_for_a_page, source.reads = source.reads, 0
    assert len(page) == 1
    assert len(side.journeys(JourneyQuery(policy="P2"))) == 11
    assert reads_for_a_page < source.reads


def test_a_question_that_needs_too_much_of_legacy_is_refused_with_what_to_do() -> None:
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=several(3))
    with pytest.raises(LegacyTooMuch, match="more than 100 fixes of legacy: ask for a shorter time, or page by page"):
        legacy_side(source, ReadLimits(fixes=100)).journeys(JourneyQuery(policy="P2"))
    with pytest.raises(LegacyTooMuch, match="longer than 0 s"):
        legacy_side(source, ReadLimits(seconds=0.0)).journeys(JourneyQuery(policy="P2"))


@pytest.mark.parametrize("query", [JourneyQuery(), JourneyQuery(unattributed=True), JourneyQuery(policies=("P1",))])
def test_a_question_without_a_policy_is_refused(query: JourneyQuery) -> None:
    with pytest.raises(UsageError, match="name one policy"):
        legacy_side(RecordedLegacy()).journeys(query)


def test_an_error_of_legacy_is_the_callers() -> None:
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=several(1))
    side = legacy_side(source)
    side.policy_book.refresh()
    source.broken = SourceUnreadable("legacy cannot be reached", todo="start it")
    with pytest.raises(SourceUnreadable, match="legacy cannot be reached"):
        side.journeys(JourneyQuery(policy="P1"))


def test_an_id_that_a_late_fix_made_obsolete_finds_its_successor() -> None:
    whole = several(1)
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=without(whole, range(40)))
    side = legacy_side(source)
    (before,) = side.journeys(JourneyQuery(policy="P1"))["journey_id"].to_pylist()
    source.recorded = whole
    found = side.journey(before)
    assert found is not None
    (after,) = found["journey_id"].to_pylist()
    assert after != before
    assert after == made_of(whole, "P1")["journey_id"][0].as_py()


def test_a_journey_that_was_not_given_out_is_found_where_a_store_says_it_is() -> None:
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=several(1))
    row = made_of(source.recorded, "P1").to_pylist()[0]
    side = legacy_side(source)
    assert side.journey(row["journey_id"]) is None
    asked = []

    def locate(journey_id: str) -> JourneyLocation:
        asked.append(journey_id)
        start = int(source.recorded.fixed_at_us[0])
        return JourneyLocation("V0", start, start + 60_000_000, "P1")

    side.locate = locate
    found = side.journey(row["journey_id"])
    assert found is not None
    assert found.to_pylist() == [row]
    assert asked == [row["journey_id"]]


def test_a_journey_of_which_nothing_is_left_is_gone() -> None:
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=several(1))
    side = legacy_side(source)
    (given,) = side.journeys(JourneyQuery(policy="P1"))["journey_id"].to_pylist()
    source.recorded = Fixes.empty()
    assert side.journey(given) is None


def test_a_vehicle_that_changes_hands_keeps_each_policys_time() -> None:
    source = RecordedLegacy(held_policies=list(RENEWED), recorded=several(3))
    side = legacy_side(source)
    first, second = (side.journeys(JourneyQuery(policy=number)) for number in ("P1", "P2"))
    assert (len(first), len(second)) == (1, 2)
    assert first["started_at"][0].as_py() < NOON + timedelta(minutes=7) <= second["started_at"][0].as_py()


def _later(fixes: Fixes, by: timedelta) -> Fixes:
    return replace(fixes, fixed_at_us=fixes.fixed_at_us + by // timedelta(microseconds=1))
