"""What holding a policy's month beside legacy's numbers comes to: a class, and a reason that is good for so much."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.door_months import outside_share, span_us
from journeymesh.strangler.opinion import Amounts, Class, MonthFacts, Opinion, Verdict, judge, suspected

MAY = 2024 * 12 + 4
KM = 1000.0
NOTHING = MonthFacts()


def of(door_km: float | None, other_km: float | None, evidence: MonthFacts = NOTHING) -> Verdict:
    """The verdict on distances in kilometres."""
    ours, theirs = (None if km is None else {"distance_m": km * KM} for km in (door_km, other_km))
    return judge("P1", MAY, ours, theirs, evidence, 0.01)


@pytest.mark.parametrize(
    ("door_km", "other_km", "evidence", "found"),
    [
        (1000.0, 1000.0, NOTHING, Class.AGREES),
        (1009.9, 1000.0, NOTHING, Class.AGREES),
        (990.1, 1000.0, NOTHING, Class.AGREES),
        (1010.2, 1000.0, NOTHING, Class.DIFFERS),
        (1.0, 1.09, NOTHING, Class.AGREES),  # below the floor of 100 m
        (1.0, 1.11, NOTHING, Class.DIFFERS),
        (None, 0.09, NOTHING, Class.AGREES),
        (0.09, None, NOTHING, Class.AGREES),
        (None, 50.0, NOTHING, Class.ONLY_LEGACY),
        (50.0, None, NOTHING, Class.ONLY_DOOR),
        (None, 50.0, MonthFacts(before_first=True), Class.EXPLAINED),
        (40.0, 50.0, MonthFacts(before_first=True), Class.DIFFERS),
        (900.0, 1000.0, MonthFacts(crossing={"distance_m": 95 * KM}), Class.EXPLAINED),
        (900.0, 1000.0, MonthFacts(crossing={"distance_m": 80 * KM}), Class.DIFFERS),
        (1100.0, 1000.0, MonthFacts(crossing={"distance_m": 95 * KM}), Class.EXPLAINED),
        (900.0, 1000.0, MonthFacts(crossing={"duration_s": 1e9}), Class.DIFFERS),
        (900.0, 1000.0, MonthFacts(outside_share=0.05), Class.EXPLAINED),
        (500.0, 1000.0, MonthFacts(outside_share=0.05), Class.DIFFERS),
        (1100.0, 1000.0, MonthFacts(outside_share=0.9), Class.DIFFERS),  # the door cannot have more because of that
        (None, 1000.0, MonthFacts(outside_share=1.0), Class.EXPLAINED),
        (970.0, 1000.0, MonthFacts(refused_share=0.02), Class.EXPLAINED),
        (900.0, 1000.0, MonthFacts(refused_share=0.02), Class.DIFFERS),
        (500.0, 1000.0, MonthFacts(refused_share=0.5), Class.DIFFERS),  # that many are no explanation
        (1080.0, 1000.0, MonthFacts(late_share=0.04), Class.EXPLAINED),
        (1200.0, 1000.0, MonthFacts(late_share=0.04), Class.DIFFERS),
        (920.0, 1000.0, MonthFacts(late_share=0.9), Class.DIFFERS),  # late fixes add to the door, not to legacy
        (50.0, None, MonthFacts(late_share=1.0), Class.EXPLAINED),
        (900.0, 1000.0, MonthFacts(crossing={"distance_m": 50 * KM}, outside_share=0.02), Class.EXPLAINED),  # together
    ],
)  # fmt: skip
def test_a_reason_explains_as_much_as_it_is_good_for(
    door_km: float | None, other_km: float | None, evidence: MonthFacts, found: Class
) -> None:
    verdict = of(door_km, other_km, evidence)
    assert verdict.found is found
    assert (verdict.reason is None) or found in (Class.EXPLAINED, Class.DIFFERS)
    assert found is not Class.EXPLAINED or verdict.reason


@pytest.mark.parametrize("measure", ["distance_m", "duration_s", "driving_s", "journeys"])
def test_each_measure_is_compared_and_the_one_furthest_off_counts(measure: str) -> None:
    same: Amounts = {"distance_m": 5e5, "duration_s": 36_000.0, "driving_s": 30_000.0, "journeys": 200.0}
    assert judge("P1", MAY, same, same, NOTHING, 0.01).found is Class.AGREES
    verdict = judge("P1", MAY, same, {**same, measure: same[measure] * 1.2}, NOTHING, 0.01)
    assert (verdict.found, verdict.measure) == (Class.DIFFERS, measure)


def test_only_what_legacy_says_is_compared() -> None:
    verdict = judge("P1", MAY, {"distance_m": 5.0, "journeys": 9.0}, {"distance_m": 5.0}, NOTHING, 0.01)
    assert verdict.found is Class.AGREES


@pytest.mark.parametrize(
    ("factor", "measure"),
    [
        (1.609344, "distance_m"),
        (1000.0, "distance_m"),
        (1609.344, "distance_m"),
        (60.0, "duration_s"),
        (1000.0, "driving_s"),
        (3600.0, "driving_s"),
    ],
)
@pytest.mark.parametrize("is_larger", [True, False])
@pytest.mark.parametrize("near", [0.9925, 1.0, 1.0075])
def test_a_suspected_unit_is_a_difference_whatever_else_may_explain_it(
    factor: float, measure: str, is_larger: bool, near: float
) -> None:
    amount = 400_000.0
    ours = amount * factor * near if is_larger else amount / (factor * near)
    evidence = MonthFacts(outside_share=0.9, late_share=0.9, crossing={measure: 1e9})
    verdict = judge("P1", MAY, {measure: ours}, {measure: amount}, evidence, 0.01)
    assert verdict.found is Class.EXPLAINED
    (found,) = suspected([verdict])
    assert found.found is Class.DIFFERS
    assert found.reason is not None
    assert "a wrong unit is suspected" in found.reason


def test_one_month_off_by_the_factor_of_a_unit_among_others_may_be_chance() -> None:
    by_chance = of(100.0, 160.9344, MonthFacts(outside_share=0.4))
    others = [Verdict("P1", MAY + k, Class.AGREES, "distance_m", 1.0, 1.0) for k in (1, 2)]
    assert [one.found for one in suspected([by_chance, *others])] == [Class.EXPLAINED, Class.AGREES, Class.AGREES]
    assert suspected([by_chance, others[0]])[0].found is Class.DIFFERS


def test_months_of_utc_are_told_as_a_doubt_and_explain_nothing() -> None:
    verdict = of(18.0, 36.0, MonthFacts(in_utc={"distance_m": 36 * KM}))
    assert verdict.found is Class.DIFFERS
    assert "look at the zones" in str(verdict.reason)


def test_refusals_beyond_explanation_are_told() -> None:
    assert "33 % of the month's fixes are refused" in str(of(50.0, 100.0, MonthFacts(refused_share=1 / 3)).reason)


def _months(**found: str) -> Opinion:
    letters = {
        "a": Class.AGREES, "e": Class.EXPLAINED, "d": Class.DIFFERS, "l": Class.ONLY_LEGACY, "o": Class.ONLY_DOOR,
        "n": Class.NOT_COMPARED, "x": Class.NOT_ASKED,
    }  # fmt: skip
    return Opinion(
        [Verdict(name, MAY + at, letters[one]) for name, held in found.items() for at, one in enumerate(held)]
    )


@pytest.mark.parametrize(
    ("months", "policies", "good", "share"),
    [
        ({}, 0, 0, None),
        ({"P1": "nnn"}, 0, 0, None),  # nothing compared is not good
        ({"P1": "eee"}, 1, 1, None),  # nothing agrees by itself: everything may be explained
        ({"P1": "aan"}, 1, 1, 1.0),
        ({"P1": "aae", "P2": "eee"}, 2, 2, 1.0),
        ({"P1": "aad", "P2": "aaa"}, 2, 1, 0.5),
        ({"P1": "aal", "P2": "aao", "P3": "x", "P4": "a"}, 4, 1, 0.25),
        ({"P1": "n", "P2": "a"}, 1, 1, 1.0),
        ({"P1": "ddd", "P2": "ddd"}, 2, 0, None),
    ],
)
def test_a_policy_is_good_where_all_of_its_months_are_and_one_was_compared(
    months: dict[str, str], policies: int, good: int, share: float | None
) -> None:
    found = _months(**months)
    assert (found.policies, found.good, found.share) == (policies, good, share)


def test_the_worst_come_first_and_what_agrees_is_not_among_them() -> None:
    verdicts = [of(90.0, 100.0), of(100.0, 100.0), of(50.0, 100.0), of(95.0, 100.0, MonthFacts(outside_share=0.1))]
    assert [(one.door, one.found) for one in Opinion(verdicts).worst(9)] == [
        (50 * KM, Class.DIFFERS),
        (90 * KM, Class.DIFFERS),
        (95 * KM, Class.EXPLAINED),
    ]


def _term(begin: str, end: str | None, zone: str = "UTC") -> Policy:
    clock = ZoneInfo(zone)
    begins = datetime.fromisoformat(begin).replace(tzinfo=clock)
    ends = None if end is None else datetime.fromisoformat(end).replace(tzinfo=clock)
    return Policy(number="P1", device="V1", zone=zone, valid_from=begins, valid_to=ends)


@pytest.mark.parametrize(
    ("terms", "share"),
    [
        ([_term("2024-01-01", None)], 0.0),
        ([_term("2024-05-01", "2024-06-01", "Europe/Berlin")], 0.0),
        ([_term("2024-05-01", "2024-06-01")], 0.0),
        ([_term("2024-05-16T12:00", None)], 0.5),
        ([_term("2024-01-01", "2024-05-16T12:00")], 0.5),
        ([_term("2024-01-01", "2024-05-11"), _term("2024-05-21", None)], 10 / 31),
        ([_term("2023-01-01", "2024-01-01")], 1.0),
        ([_term("2025-01-01", None)], 1.0),
    ],
)
def test_the_share_of_a_month_outside_of_a_policys_terms(terms: list[Policy], share: float) -> None:
    assert outside_share(MAY, terms) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        (2024 * 12 + 2, "Europe/Berlin", 31 * 24 - 1),
        (2024 * 12 + 9, "Europe/Berlin", 31 * 24 + 1),
        (2024 * 12 + 1, "UTC", 29 * 24),
        (2023 * 12 + 11, "Asia/Kolkata", 31 * 24),
    ],
)
def test_a_month_is_as_long_as_its_zone_makes_it(month: int, zone: str, hours: int) -> None:
    begin_us, end_us = span_us(month, zone)
    assert end_us - begin_us == hours * 3_600_000_000
    assert datetime.fromtimestamp(begin_us / 1e6, UTC).astimezone(ZoneInfo(zone)).day == 1
