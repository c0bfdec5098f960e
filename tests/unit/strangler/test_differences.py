"""Differences between two answers: bytes first, then what, where and on which side."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pytest

from journeymesh.journeys.answers import answer_bytes
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.differences import Classification, differences, same
from journeymesh.strangler.questions import JourneyAsked, JourneysAsked
from tests.support.records import DAY, NOON, journey, journeys

ASKED = JourneysAsked(JourneyQuery(policy="P-1"))
FIRST, SECOND = journey(start=NOON), journey(start=NOON + DAY)


def _found(source: pa.Table, target: pa.Table, asked: JourneysAsked | JourneyAsked = ASKED) -> list[tuple[str, str]]:
    return [(each.classification.value, each.field) for each in differences(asked, source, target)]


def test_the_same_rows_in_other_chunks_are_the_same() -> None:
    whole = journeys(FIRST, SECOND)
    parts = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert parts["fixes"].num_chunks == 2
    assert same(whole, parts)
    assert _found(whole, parts) == []


@pytest.mark.parametrize(
    "change", [{"distance_m": 1.5000000000000002}, {"zone": "UTC"}, {"policy": None}, {"idle_s": -0.0},
               {"ended_at": NOON + timedelta(microseconds=1)}, {"hours": []}],
)  # fmt: skip
def test_whatever_changes_the_bytes_is_not_the_same(change: dict[str, object]) -> None:
    ours, theirs = journeys(journey(idle_s=0.0)), journeys(journey(**({"idle_s": 0.0} | change)))
    assert answer_bytes(ours) != answer_bytes(theirs)
    assert not same(ours, theirs)
    ((found, field),) = _found(ours, theirs)
    assert (found, field) == ("value", next(iter(change)))


def test_the_side_that_lacks_a_row_is_said() -> None:
    both, one = journeys(FIRST, SECOND), journeys(SECOND)
    (missing,) = differences(ASKED, both, one)
    (extra,) = differences(ASKED, one, both)
    assert (missing.classification, missing.subject, missing.target_value) == ("missing", FIRST["journey_id"], None)
    assert (extra.classification, extra.subject, extra.source_value) == ("extra", FIRST["journey_id"], None)


def test_a_page_that_ends_earlier_says_nothing_of_what_comes_behind_it() -> None:
    asked = JourneysAsked(JourneyQuery(policy="P-1", limit=2))
    third = journey(start=NOON + 2 * DAY)
    assert _found(journeys(FIRST, SECOND), journeys(FIRST, third), asked) == [("missing", "journey_id")]
    assert _found(journeys(FIRST, SECOND), journeys(FIRST, SECOND, third), asked) == [("value", "rows")]


def test_one_cause_stands_for_every_field_that_follows_from_it() -> None:
    assert _found(journeys(FIRST), journeys(FIRST | {"fixes": 1, "distance_m": 1.0})) == [("late_write", "fixes")]
    stale = FIRST | {"rules_version": "r-0", "distance_m": 1.0, "fixes": 1}
    assert _found(journeys(FIRST), journeys(stale)) == [("rules_version", "rules_version")]
    later = journey(start=NOON + timedelta(minutes=5), fixes=1)
    assert _found(journeys(FIRST), journeys(later)) == [("late_write", "fixes")]


def test_a_cause_is_the_same_whatever_the_values_have_become() -> None:
    (one,) = differences(ASKED, journeys(FIRST), journeys(FIRST | {"distance_m": 2.0}))
    (other,) = differences(ASKED, journeys(FIRST), journeys(FIRST | {"distance_m": 3.0}))
    assert one.target_value != other.target_value
    assert one.cause("s", "P") == other.cause("s", "P") != one.cause("s", "Q")


def test_a_journey_by_its_id_is_missing_where_a_side_has_none() -> None:
    ours = journeys(FIRST)
    (found,) = differences(JourneyAsked(FIRST["journey_id"]), ours, ours.slice(0, 0))
    assert found.classification is Classification.MISSING
