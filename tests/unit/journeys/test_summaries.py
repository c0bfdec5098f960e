"""What a policy's journeys add up to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.support.builders import NOW_US, changed, drive, with_column

from journeymesh.errors import RulesConflict, UsageError
from journeymesh.journeys.journey import JOURNEY_SCHEMA, RECORDED_LATER
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ENGINE_SWITCHED, ScorePart
from journeymesh.journeys.summaries import SUMMARY_SCHEMA, summarise, summarise_each

POLICY = Policy(number="P", device="V1", zone="Europe/Paris", tenant="t", product="p",
                valid_from=datetime(2023, 12, 31, 23, tzinfo=UTC), valid_to=datetime(2024, 12, 31, 23, tzinfo=UTC),
                declared_annual_distance_m=10_000_000.0)  # fmt: skip
SCORE = ENGINE_SWITCHED.score


def _journeys(
    *starts: datetime, policy: Policy = POLICY, rules=ENGINE_SWITCHED, speed: float = 20.0, limit: float = 36.0
) -> pa.Table:
    driven = [with_column(drive((speed, 600), start=at), "speed_limit_mps", limit) for at in starts]
    return pa.concat_tables([make_journeys(fixes, rules, [policy], NOW_US).journeys for fixes in driven])


def _rows(period: str, *starts: datetime, policy: Policy = POLICY) -> list[dict]:
    return summarise(_journeys(*starts, policy=policy), policy, period, SCORE).to_pylist()


def _utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_a_day_is_the_local_day():
    rows = _rows("day", _utc(2024, 7, 1, 21, 59), _utc(2024, 7, 1, 22, 0))
    assert [(row["period_from"], row["journeys"]) for row in rows] == [(date(2024, 7, 1), 1), (date(2024, 7, 2), 1)]


@pytest.mark.parametrize("day", [date(2024, 3, 31), date(2024, 10, 27)])
def test_a_day_of_clock_change_is_one_day(day):
    midnight = _utc(day.year, day.month, day.day) - timedelta(hours=1 if day.month == 3 else 2)
    hours = 23 if day.month == 3 else 25
    inside = [midnight, midnight + timedelta(hours=hours) - timedelta(minutes=1)]
    rows = _rows("day", *inside, midnight - timedelta(minutes=1), midnight + timedelta(hours=hours))
    assert [row["journeys"] for row in rows] == [1, 2, 1]
    assert rows[1]["period_from"] == day


def test_a_journey_counts_whole_in_the_period_of_its_local_start():
    (row,) = _rows("month", _utc(2024, 1, 31, 22, 55))  # 23:55 in Paris; ends in February
    assert (row["period_from"], row["period_to"]) == (date(2024, 1, 1), date(2024, 2, 1))
    assert row["distance_m"] == pytest.approx(12_000, abs=2)


def test_a_week_begins_on_monday():
    rows = _rows("week", _utc(2024, 6, 2, 12), _utc(2024, 6, 3, 12), _utc(2024, 6, 9, 12))
    assert [(row["period_from"], row["journeys"]) for row in rows] == [(date(2024, 5, 27), 1), (date(2024, 6, 3), 2)]


def test_the_term_is_the_policys():
    (row,) = _rows("term", _utc(2024, 2, 1), _utc(2024, 11, 1))
    assert (row["period_from"], row["period_to"]) == (date(2024, 1, 1), date(2025, 1, 1))
    assert (row["journeys"], row["active_days"]) == (2, 2)


def test_sums_are_those_of_the_journeys():
    table = _journeys(_utc(2024, 6, 3, 12), _utc(2024, 6, 3, 14), _utc(2024, 6, 4, 1))
    (row,) = summarise(table, POLICY, "month", SCORE).to_pylist()
    for name in ("distance_m", "driving_s", "idle_s", "night_distance_m", "speeding_s", "fixes", "bridged_s"):
        assert row[name] == pytest.approx(sum(table[name].to_pylist()))
    assert (row["journeys"], row["active_days"]) == (3, 2)
    assert row["night_share"] == pytest.approx(1 / 3, abs=1e-5)
    assert row["mean_speed_mps"] == pytest.approx(20.0, abs=0.01)
    assert (row["tenant"], row["product"], row["zone"]) == ("t", "p", "Europe/Paris")


@pytest.mark.parametrize("period", ["day", "week", "month", "term"])
def test_many_policies_at_once_give_what_each_gives_alone(period):
    policies = [
        POLICY,
        replace(POLICY, number="Q", device="V2", zone="Asia/Tokyo", declared_annual_distance_m=None),
        replace(POLICY, number="R", device="V3", valid_from=_utc(2024, 6, 2), declared_annual_distance_m=5_000_000.0),
        replace(POLICY, number="S", device="V4"),
    ]
    starts = [_utc(2024, 6, 2, 15, 30), _utc(2024, 6, 2, 21, 55), _utc(2024, 6, 30, 23, 30), _utc(2024, 9, 1)]
    tables = [
        make_journeys(
            drive((11.0 + k, 600), vehicle=policy.device, start=at), ENGINE_SWITCHED, policies, NOW_US
        ).journeys
        for k, policy in enumerate(policies[:3])
        for at in reversed(starts[k:])
    ]
    stray = make_journeys(drive((9.0, 600), vehicle="V9", start=starts[0]), ENGINE_SWITCHED, [], NOW_US).journeys
    alone = [
        summarise(pa.concat_tables(tables).filter(pc.field("policy") == policy.number), policy, period, SCORE)
        for policy in policies
    ]
    together = summarise_each(pa.concat_tables([stray, *reversed(tables)]), policies, period, SCORE)
    assert len(together) >= 3
    assert together.equals(pa.concat_tables(alone))


RENEWED = replace(POLICY, valid_from=_utc(2024, 12, 31, 23), valid_to=None, declared_annual_distance_m=5_000_000.0,
                  product="q")  # fmt: skip


def test_a_month_in_which_a_policy_was_renewed_has_both_terms_and_a_term_has_its_own():
    new = replace(RENEWED, valid_from=_utc(2024, 6, 15, 22))
    old = replace(POLICY, valid_to=new.valid_from)
    starts = [_utc(2024, 6, 3), _utc(2024, 6, 15, 21), _utc(2024, 6, 16), _utc(2024, 7, 2)]
    tables = [
        make_journeys(drive((20.0, 600), start=at), ENGINE_SWITCHED, [old, new], NOW_US).journeys for at in starts
    ]
    table = pa.concat_tables(tables)
    june, july = summarise_each(table, [new, old], "month", SCORE).to_pylist()
    assert (june["period_from"], june["journeys"], july["journeys"]) == (date(2024, 6, 1), 3, 1)
    assert (june["observed_days"], july["observed_days"]) == (30, 2)
    assert (june["product"], june["declared_annual_distance_m"]) == ("q", 5_000_000.0)
    terms = summarise_each(table, [old, new], "term", SCORE).to_pylist()
    assert [(row["period_from"], row["period_to"], row["journeys"]) for row in terms] == [
        (date(2024, 1, 1), date(2024, 6, 16), 2),
        (date(2024, 6, 16), date(9999, 12, 31), 2),
    ]
    assert summarise_each(table, [new], "month", SCORE)["journeys"].to_pylist() == [1, 1]


def test_days_between_two_terms_are_not_observed():
    old = replace(POLICY, valid_to=_utc(2024, 6, 10, 22))
    new = replace(RENEWED, valid_from=_utc(2024, 6, 20, 22))
    table = pa.concat_tables([_journeys(_utc(2024, 6, 3), policy=old), _journeys(_utc(2024, 6, 29, 22), policy=new)])
    (row,) = summarise_each(table, [old, new], "month", SCORE).to_pylist()
    assert (row["journeys"], row["observed_days"]) == (2, 20)


def test_each_journey_of_a_renewed_policy_is_on_its_own_terms_clock():
    old = replace(POLICY, zone="Asia/Tokyo", valid_to=_utc(2024, 6, 30, 15, 30))
    new = replace(RENEWED, zone="UTC", valid_from=_utc(2024, 6, 30, 15, 30))
    table = pa.concat_tables(
        [_journeys(_utc(2024, 6, 30, 15, 5), policy=old), _journeys(_utc(2024, 6, 30, 16), policy=new)]
    )
    rows = summarise_each(table, [old, new], "month", SCORE).to_pylist()
    assert [(row["period_from"], row["journeys"], row["zone"]) for row in rows] == [
        (date(2024, 6, 1), 1, "UTC"),
        (date(2024, 7, 1), 1, "Asia/Tokyo"),
    ]


def test_policies_of_two_tenants_under_one_number_never_mix():
    other = replace(POLICY, tenant="u", device="V2")
    both = [POLICY, other]
    tables = [
        make_journeys(drive((speed, 600), vehicle=name, start=_utc(2024, 6, 3)), ENGINE_SWITCHED, both, NOW_US).journeys
        for name, speed in (("V1", 20.0), ("V2", 10.0))
    ]
    rows = summarise_each(pa.concat_tables(tables), [other, POLICY], "month", SCORE).to_pylist()
    assert [(row["tenant"], round(row["distance_m"], -2)) for row in rows] == [("u", 6_000), ("t", 12_000)]


def test_one_policy_of_two_rules_versions_is_refused_among_many():
    other = replace(POLICY, number="Q", device="V2")
    mine, first, second = (
        make_journeys(drive((20.0, 600), vehicle=name, start=at), ENGINE_SWITCHED, [POLICY, other], NOW_US).journeys
        for name, at in (("V1", _utc(2024, 6, 3)), ("V2", _utc(2024, 6, 3)), ("V2", _utc(2024, 6, 4)))
    )
    column = second.schema.get_field_index("rules_version")
    edited = second.set_column(column, second.schema.field(column), [["2099.1"]])
    with pytest.raises(RulesConflict, match=r"policy Q has journeys of rules 2099\.1 and engine"):
        summarise_each(pa.concat_tables([mine, first, edited]), [POLICY, other], "month", SCORE)


def test_harsh_events_are_counted_per_hundred_kilometres():
    fixes = changed(with_column(drive((20.0, 500), start=_utc(2024, 6, 3)), "accel_longitudinal_mps2", 0.0), [100, 300],
                    accel_longitudinal_mps2=-3.5)  # fmt: skip
    table = make_journeys(fixes, ENGINE_SWITCHED, [POLICY], NOW_US).journeys
    (row,) = summarise(table, POLICY, "day", SCORE).to_pylist()
    assert row["harsh_braking"] == 2
    assert row["harsh_events_per_100km"] == pytest.approx(20.0, rel=1e-3)


def test_mileage_is_annualised_over_the_days_observed():
    (row,) = _rows("term", _utc(2024, 1, 1), _utc(2024, 1, 10))
    assert row["observed_days"] == 10
    assert row["annualised_distance_m"] == pytest.approx(24_000 / 10 * 365.25, rel=1e-3)
    assert row["mileage_ratio"] == pytest.approx(row["annualised_distance_m"] / 10_000_000, abs=1e-6)


def test_the_parts_of_the_score_add_up_to_it():
    rows = _rows("day", _utc(2024, 6, 3, 12), _utc(2024, 6, 4, 0))
    for row in rows:
        parts = row["score_parts"]
        assert [part["part"] for part in parts] == [
            "harsh_events_per_100km", "speeding_share", "night_share", "mileage_ratio",
        ]  # fmt: skip
        assert sum(part["weight"] for part in parts) == pytest.approx(1.0)
        assert row["score"] == pytest.approx(sum(p["weight"] * p["score"] for p in parts), abs=0.051)
        assert all(row[part["part"]] == part["value"] for part in parts)
    assert rows[1]["score"] < rows[0]["score"]


def _of(*journeys: dict, period: str = "term", score=SCORE) -> dict:
    """The one row of some journeys with other values than they have."""
    (first,) = _journeys(_utc(2024, 6, 3, 12)).to_pylist()
    rows = [first | {"journey_id": str(number), **each} for number, each in enumerate(journeys)]
    (row,) = summarise(pa.Table.from_pylist(rows, JOURNEY_SCHEMA), POLICY, period, score).to_pylist()
    return row


def _said(known: float | None, over: float | None, speeding: float, distance: float = 10_000.0) -> dict:
    return {"limit_known_distance_m": known, "over_limit_distance_m": over, "speeding_distance_m": speeding,
            "distance_m": distance}  # fmt: skip


@pytest.mark.parametrize(
    ("journeys", "share"),
    [
        ([_said(10_000.0, 0.0, 0.0)], 0.0),
        ([_said(0.0, 0.0, 0.0)], None),
        ([_said(0.0, 0.0, 900.0)], None),  # over the rules' absolute limit, on roads whose own nobody knows
        ([_said(4_000.0, 500.0, 2_000.0)], 0.125),
        ([_said(4_000.0, 500.0, 500.0), _said(0.0, 0.0, 0.0)], 0.125),
        ([_said(4_000.0, 500.0, 500.0), _said(None, None, 3_000.0)], 0.125),
        ([_said(0.0, 0.0, 0.0), _said(None, None, 3_000.0)], None),
        ([_said(None, None, 0.0)], None),
        ([_said(None, None, 1_000.0), _said(None, None, 0.0)], 0.05),
    ],
)
def test_the_speeding_share_is_of_the_distance_whose_limit_is_known(journeys, share):
    row = _of(*journeys)
    assert row["speeding_share"] == share
    assert ("speeding_share" in [part["part"] for part in row["score_parts"]]) == (share is not None)
    assert sum(part["weight"] for part in row["score_parts"]) == pytest.approx(1.0)


def test_what_no_journey_says_of_limits_and_doubts_is_null_and_what_some_say_adds_up():
    unsaid = _of(dict.fromkeys(RECORDED_LATER))
    names = ("limit_known_distance_m", "over_limit_distance_m", "speed_doubted_journeys")
    assert [unsaid[name] for name in names] == [None, None, None]
    row = _of(dict.fromkeys(RECORDED_LATER), _said(5.25, 1.5, 2.0) | {"speed_doubted": True}, _said(2.0, 0.0, 0.0))
    assert [row[name] for name in names] == [7.25, 1.5, 1]


def test_a_score_of_speeding_alone_is_of_what_the_rules_call_speeding_where_no_limit_is_known():
    nothing = ScorePart(best=0.0, worst=1.0, weight=0.0)
    alone = replace(SCORE, night_share=nothing, harsh_events_per_100km=nothing, mileage_ratio=nothing)
    row = _of(_said(0.0, 0.0, 1_000.0), score=alone)
    assert (row["speeding_share"], row["score"]) == (None, 50.0)


def test_periods_in_which_different_parts_are_known_are_scored_as_each_alone():
    limits = (36.0, 0.0, 10.0, 0.0)
    other = replace(POLICY, number="Q", declared_annual_distance_m=None)
    days = [_journeys(_utc(2024, 6, 3 + n, 12), limit=limit) for n, limit in enumerate(limits)]
    days += [_journeys(_utc(2024, 6, 3 + n, 12), policy=other, limit=limit) for n, limit in enumerate(limits)]
    rows = summarise_each(pa.concat_tables(days), [POLICY, other], "day", SCORE).to_pylist()
    assert [row["speeding_share"] for row in rows] == 2 * [0.0, None, pytest.approx(1.0, abs=0.01), None]
    for row, day in zip(rows, days, strict=True):
        known = {"harsh_events_per_100km": 0.4, "night_share": 0.2}
        known |= {"speeding_share": 0.3} if row["speeding_share"] is not None else {}
        known |= {"mileage_ratio": 0.1} if row["policy"] == "P" else {}
        weights = {name: round(weight / sum(known.values()), 6) for name, weight in known.items()}
        assert {part["part"]: part["weight"] for part in row["score_parts"]} == weights
        assert all(part["value"] == row[part["part"]] for part in row["score_parts"])
        assert row["score"] == pytest.approx(sum(p["weight"] * p["score"] for p in row["score_parts"]), abs=0.051)
        (alone,) = summarise(day, other if row["policy"] == "Q" else POLICY, "day", SCORE).to_pylist()
        assert row["policy"] == "P" or row == alone


def test_a_policy_without_declared_mileage_is_scored_by_the_other_parts():
    (row,) = _rows("day", _utc(2024, 6, 3, 12), policy=replace(POLICY, declared_annual_distance_m=None))
    assert row["mileage_ratio"] is None
    assert len(row["score_parts"]) == 3
    assert row["score"] == 100.0


def test_the_weights_come_from_the_rules():
    rules = replace(SCORE, night_share=ScorePart(best=0.0, worst=0.4, weight=0.0))
    table = _journeys(_utc(2024, 6, 4, 0))
    (row,) = summarise(table, replace(POLICY, declared_annual_distance_m=None), "day", rules).to_pylist()
    assert row["score"] == 100.0


def test_results_of_two_rules_versions_do_not_add_up():
    table = pa.concat_tables(
        [_journeys(_utc(2024, 6, 3)), _journeys(_utc(2024, 6, 4), rules=replace(ENGINE_SWITCHED, version="x"))]
    )
    with pytest.raises(RulesConflict, match=r"engine-switched-2026\.2 and x"):
        summarise(table, POLICY, "month", SCORE)


def test_the_order_of_journeys_does_not_matter():
    starts = [_utc(2024, 6, day, 8, 7) for day in (1, 2, 5, 9, 30)]
    assert _rows("week", *starts) == _rows("week", *reversed(starts))


def test_no_journeys_make_no_periods_and_an_unknown_period_says_so():
    assert summarise(_journeys(_utc(2024, 6, 3)).slice(0, 0), POLICY, "day", SCORE).equals(SUMMARY_SCHEMA.empty_table())
    with pytest.raises(UsageError, match="unknown period 'year'"):
        summarise(_journeys(_utc(2024, 6, 3)), POLICY, "year", SCORE)
