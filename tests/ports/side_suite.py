"""What every side of the door answers: to the byte what one pass over everything gives.

The oracle is the pass itself over all fixes at once. A side that equals it equals every other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journeymesh.engines.refusals import refusals_of
from journeymesh.fleets.fleet import generate
from journeymesh.fleets.spec import FleetSpec
from journeymesh.journeys.answers import answer_bytes
from journeymesh.journeys.fields import INSTANT
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.pipeline import make_journeys
from journeymesh.journeys.policies import Policy
from journeymesh.journeys.rules import ALWAYS_ON, ENGINE_SWITCHED, JourneyRules
from journeymesh.journeys.summaries import Period, summarise
from journeymesh.stores.port import JourneyQuery, RefusalQuery
from journeymesh.strangler.questions import Side, fix_table
from tests.support.builders import NOON, NOW_US, US, drive, onwards
from tests.support.hostile_fixes import recordings

POLICIES = (
    Policy(number="P1", device="V0", valid_from=NOON - timedelta(days=9), valid_to=NOON + timedelta(minutes=7),
           zone="Europe/London", tenant="north"),
    Policy(number="P2", device="V0", valid_from=NOON + timedelta(minutes=7), zone="Asia/Kolkata"),
    Policy(number="P3", device="V1", vehicle="V2", valid_from=NOON - timedelta(days=9), zone="America/New_York"),
)  # fmt: skip
_EXAMPLES = settings(
    max_examples=25, suppress_health_check=[HealthCheck.differing_executors]
)  # every side runs the inherited test
_ORDER = [("started_at", "ascending"), ("journey_id", "ascending")]
EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


@cache
def fleet() -> tuple[Fixes, tuple[Policy, ...]]:
    """A small fleet with every fault, and its policies."""
    made = generate(
        FleetSpec(seed=7, vehicles=4, days=10, interval_s=5, renewals=1.0, zones=("Europe/London", "Asia/Tokyo"))
    )
    return made.whole().readable().fixes, tuple(made.policies)


def expected(
    fixes: Fixes, rules: JourneyRules, policies: Sequence[Policy], number: str,
    started_from: datetime | None = None, started_to: datetime | None = None,
) -> pa.Table:  # fmt: skip
    """The policy's journeys out of one pass over everything."""
    made = make_journeys(fixes, rules, policies, NOW_US).journeys
    made = made.filter(pc.fill_null(pc.equal(made["policy"], number), False))
    if started_from is not None:
        made = made.filter(pc.greater_equal(made["started_at"], pa.scalar(started_from, INSTANT)))
    if started_to is not None:
        made = made.filter(pc.less(made["started_at"], pa.scalar(started_to, INSTANT)))
    return made.sort_by(_ORDER)


def terms_of_one_number() -> tuple[tuple[Policy, ...], Fixes]:
    """A policy renewed for another vehicle after days without cover, another tenant's of the number, and drives."""
    days = timedelta(days=1)
    held = (
        Policy(number="P", device="V0", valid_from=NOON - 9 * days, valid_to=NOON + days, tenant="north"),
        Policy(number="P", device="V1", valid_from=NOON + 40 * days, tenant="north", product="van", zone="Asia/Tokyo"),
        Policy(number="P", device="V2", valid_from=NOON - 9 * days, tenant="south", zone="Europe/Paris"),
    )
    starts = [("V0", 0), ("V0", 2), ("V1", 1), ("V2", 3), ("V1", 24 * 41), ("V1", 24 * 45), ("V2", 24 * 43)]
    starts += [("V0", 5), ("V0", 24 * 41)]
    return held, Fixes.concat([drive((15.0, 300.0), vehicle=v, start=NOON + timedelta(hours=h)) for v, h in starts])


def faulty_fleet() -> tuple[Fixes, tuple[Policy, ...]]:
    """The fleet with a receiver that lost its fix every now and then."""
    fixes, policies = fleet()
    lost = (np.arange(len(fixes)) % 997 == 5) | ((np.arange(len(fixes)) % 97 == 5) & (fixes.vehicle == 0))
    return replace(
        fixes, lat_deg=np.where(lost, 0.0, fixes.lat_deg), lon_deg=np.where(lost, 0.0, fixes.lon_deg)
    ), policies


def reversed_rows(table):
    return table.take(list(range(len(table) - 1, -1, -1)))


class SideSuite:
    """Every side inherits these. A subclass makes a side that holds the fixes and policies it is given."""

    def make_side(self, fixes: Fixes, policies: Sequence[Policy], rules: JourneyRules) -> Side:
        raise NotImplementedError

    @_EXAMPLES
    @given(
        recordings(), st.sampled_from([ALWAYS_ON, ENGINE_SWITCHED]), st.sampled_from(["P1", "P2", "P3"]),
        st.none() | st.integers(-3600, 7200), st.none() | st.integers(-3600, 7200),
    )  # fmt: skip
    def test_hostile_fixes_give_the_same_bytes_in_any_period(self, fixes, rules, number, first_s, last_s):
        side = self.make_side(fixes, POLICIES, rules)
        first = None if first_s is None else NOON + timedelta(seconds=first_s)
        last = None if last_s is None else NOON + timedelta(seconds=last_s)
        query = JourneyQuery(policy=number, started_from=first, started_to=last)
        assert answer_bytes(side.journeys(query)) == answer_bytes(expected(fixes, rules, POLICIES, number, first, last))

    def test_a_fleet_gives_the_same_bytes_for_every_policy(self):
        fixes, policies = fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        rows = 0
        for policy in policies:
            wanted = expected(fixes, ALWAYS_ON, policies, policy.number)
            assert answer_bytes(side.journeys(JourneyQuery(policy=policy.number))) == answer_bytes(wanted)
            rows += len(wanted)
        assert rows > 50

    @pytest.mark.parametrize("period", get_args(Period))
    def test_a_fleets_summaries_are_the_same_bytes(self, period):
        fixes, policies = fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        for policy in policies:
            given_ = summarise(side.journeys(JourneyQuery(policy=policy.number)), policy, period, ALWAYS_ON.score)
            wanted = summarise(expected(fixes, ALWAYS_ON, policies, policy.number), policy, period, ALWAYS_ON.score)
            assert answer_bytes(given_) == answer_bytes(wanted)

    @pytest.mark.parametrize("limit", [1, 3, 1000])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_page_after_page_gives_every_journey_once(self, limit, newest_first):
        fixes, policies = fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        number = policies[0].number
        pages, query = [], JourneyQuery(policy=number, limit=limit, newest_first=newest_first)
        while len(page := side.journeys(query)):
            assert len(page) <= limit
            pages.append(page)
            last = page.slice(len(page) - 1).to_pylist()[0]
            query = replace(query, after=(last["started_at"], last["journey_id"]))
        wanted = expected(fixes, ALWAYS_ON, policies, number)
        wanted = reversed_rows(wanted) if newest_first else wanted
        assert answer_bytes(pa.concat_tables(pages)) == answer_bytes(wanted)
        whole = side.journeys(JourneyQuery(policy=number, newest_first=newest_first))
        assert answer_bytes(whole) == answer_bytes(wanted)

    def test_a_journey_is_found_by_its_id(self):
        fixes, policies = fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        wanted = side.journeys(JourneyQuery(policy=policies[1].number))
        for row in range(0, len(wanted), 5):
            found = side.journey(wanted["journey_id"][row].as_py())
            assert found is not None
            assert answer_bytes(found) == answer_bytes(wanted.slice(row, 1))

    def test_an_unknown_journey_is_none(self):
        assert self.make_side(*fleet(), ALWAYS_ON).journey("0" * 26) is None

    def test_an_unknown_policy_has_no_journeys(self):
        side = self.make_side(*fleet(), ALWAYS_ON)
        assert side.journeys(JourneyQuery(policy="nobody's")).num_rows == 0
        assert side.policies("nobody's") == []

    def test_policies_come_by_number(self):
        fixes, policies = fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        assert side.policies() == sorted(policies, key=lambda policy: policy.number)
        assert side.policies(policies[2].number) == [policies[2]]

    def test_terms_of_one_number_are_asked_for_whole_by_tenant_and_by_term(self):
        held, drives = terms_of_one_number()
        side = self.make_side(drives, held, ALWAYS_ON)
        old, renewed, _ = held
        made = expected(drives, ALWAYS_ON, held, "P")
        own = made.filter(pc.equal(made["tenant"], "north"))
        assert len(made) > len(own) > 3
        assert side.policies("P") == sorted(held, key=lambda policy: policy.term)
        for query, wanted in (
            (JourneyQuery(policy="P"), made),
            (JourneyQuery(policy="P", tenant="north"), own),
            (JourneyQuery(policy="P", tenant="south"), made.filter(pc.equal(made["tenant"], "south"))),
            (JourneyQuery(policy="P", tenant="north", terms=(old.valid_from,)),
             own.filter(pc.equal(own["policy_from"], pa.scalar(old.valid_from, INSTANT)))),
            (JourneyQuery(policy="P", terms=(renewed.valid_from,)),
             own.filter(pc.equal(own["policy_from"], pa.scalar(renewed.valid_from, INSTANT)))),
            (JourneyQuery(policy="P", terms=(NOON - timedelta(days=1),)), made.slice(0, 0)),
            (JourneyQuery(policy="P", tenant="west"), made.slice(0, 0)),
        ):  # fmt: skip
            assert answer_bytes(side.journeys(query)) == answer_bytes(wanted)
        columns = side.journeys(JourneyQuery(policy="P", columns=("vehicle", "policy_from"), limit=4))
        assert columns.equals(made.select(["vehicle", "policy_from"]).slice(0, 4).combine_chunks())
        for newest_first in (False, True):
            pages, query = [], JourneyQuery(policy="P", limit=2, newest_first=newest_first)
            while len(page := side.journeys(query)):
                pages.append(page)
                last = page.slice(len(page) - 1).to_pylist()[0]
                query = replace(query, after=(last["started_at"], last["journey_id"]))
            wanted = reversed_rows(made) if newest_first else made
            assert answer_bytes(pa.concat_tables(pages)) == answer_bytes(wanted)

    def test_filters_and_columns_mean_the_same(self):
        drives = onwards(drive((15.0, 300.0), vehicle="V1"), (15.0, 300.0), pause_s=1000.0, vehicle="V1")
        fixes = Fixes.concat([drives, drive((12.0, 400.0), start=NOON + timedelta(minutes=2), vehicle="V2")])
        side = self.make_side(fixes, POLICIES, ALWAYS_ON)
        assert side.journeys(JourneyQuery(policy="P3"))["vehicle"].to_pylist() == ["V1", "V2", "V1"]
        assert side.journeys(JourneyQuery(policy="P3", vehicle="V2")).num_rows == 1
        assert side.journeys(JourneyQuery(policy="P3", vehicle="V9")).num_rows == 0
        assert side.journeys(JourneyQuery(policy="P3", tenant="north")).num_rows == 0
        assert side.journeys(JourneyQuery(policy="P3", product="default")).num_rows == 3
        assert side.journeys(JourneyQuery(policy="P3", columns=("fixes", "vehicle"))).column_names == [
            "fixes", "vehicle",
        ]  # fmt: skip

    def test_two_vehicles_of_one_policy_come_page_by_page_in_one_order(self):
        parts = [drive((15.0, 300.0), vehicle=name, start=NOON + timedelta(hours=hour)) for hour in range(0, 200, 7)
                 for name in ("V1", "V2")]  # fmt: skip
        fixes = Fixes.concat(parts)
        side = self.make_side(fixes, POLICIES, ALWAYS_ON)
        wanted = expected(fixes, ALWAYS_ON, POLICIES, "P3")["journey_id"].to_pylist()
        assert len(wanted) == 58
        for newest_first in (False, True):
            ids, query = [], JourneyQuery(policy="P3", limit=3, newest_first=newest_first)
            while len(page := side.journeys(query)):
                ids += page["journey_id"].to_pylist()
                last = page.slice(len(page) - 1).to_pylist()[0]
                query = replace(query, after=(last["started_at"], last["journey_id"]))
            assert ids == (wanted[::-1] if newest_first else wanted)

    @_EXAMPLES
    @given(recordings(), st.integers(-3600, 7200), st.integers(0, 7200))
    def test_hostile_fixes_are_given_as_they_are_kept(self, fixes, first_s, length_s):
        side = self.make_side(fixes, POLICIES, ALWAYS_ON)
        first = NOON + timedelta(seconds=first_s)
        last = first + timedelta(seconds=length_s)
        timeline = make_journeys(fixes, ALWAYS_ON, POLICIES, NOW_US).timeline
        for code, name in enumerate(timeline.vehicles):
            mine = timeline.take(timeline.vehicle == code)
            inside = (mine.fixed_at_us >= first.timestamp() * US) & (mine.fixed_at_us <= last.timestamp() * US)
            wanted = mine.take(inside)
            wanted = replace(wanted, vehicles=(name,), vehicle=np.zeros(len(wanted), np.int32))
            assert answer_bytes(fix_table(side.fixes(name, first, last))) == answer_bytes(fix_table(wanted))

    def test_a_vehicle_that_nobody_knows_has_no_fixes(self):
        assert len(self.make_side(*fleet(), ALWAYS_ON).fixes("nobody's", *EVER)) == 0

    @pytest.mark.parametrize("limit", [7, None])
    def test_what_was_refused_of_a_vehicle_is_what_the_pass_refused_of_it_page_after_page(self, limit):
        fixes, policies = faulty_fleet()
        side, made = self.make_side(fixes, policies, ALWAYS_ON), make_journeys(fixes, ALWAYS_ON, policies, NOW_US)
        refused = refusals_of(made.refused, made.reasons, lambda numbers: ["" for _ in numbers])
        seen = 0
        for vehicle in fixes.vehicles:
            first, end = EVER
            wanted = sorted(
                (each.fixed_at, each.refusal_id, each.reason)
                for each in refused
                if each.vehicle == vehicle and each.fixed_at is not None and first <= each.fixed_at < end
            )
            query = RefusalQuery(vehicle=vehicle, fixed_from=first, fixed_to=end, by_time=True, limit=limit)
            found = []
            while page := [(each.fixed_at, key, each.reason) for key, each in side.refusals(query)]:
                assert limit is None or len(page) <= limit
                found += page
                query = replace(query, after_time=page[-1][:2])
            assert found == wanted
            seen += len(found)
        assert seen > 20

    def test_what_was_refused_of_a_time_is_what_was_refused_in_it(self):
        fixes, policies = faulty_fleet()
        side = self.make_side(fixes, policies, ALWAYS_ON)
        query = RefusalQuery(vehicle=fixes.vehicles[0], fixed_from=EVER[0], fixed_to=EVER[1], by_time=True)
        every = [each for _, each in side.refusals(query)]
        first, end = every[2].fixed_at, every[5].fixed_at
        some = [each for _, each in side.refusals(replace(query, fixed_from=first, fixed_to=end))]
        assert [each.refusal_id for each in some] == [e.refusal_id for e in every if first <= e.fixed_at < end]
        reason = every[0].reason
        of_reason = [each for _, each in side.refusals(replace(query, reason=reason))]
        assert [each.refusal_id for each in of_reason] == [e.refusal_id for e in every if e.reason == reason]
        assert list(side.refusals(replace(query, vehicle="nobody's"))) == []
        assert side.history("0" * 26) == []
