"""What every store must answer about a whole book of policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import SUMMARY_SCHEMA, SUMMED_COLUMNS, Period, summarise
from journeymesh.stores import policy_summaries as module
from journeymesh.stores.policy_summaries import policy_summaries
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch
from tests.support.records import BEGIN, DAY, NOON, NOT_RECORDED, ODD_NAMES, journey, journeys, policy

HOUR = timedelta(hours=1)


class BookSuite:
    """Inherited by every adapter's tests."""

    @pytest.mark.parametrize("period", get_args(Period))
    @pytest.mark.parametrize("at_once", [1, 2, 64])
    def test_a_book_of_policies_adds_up_to_what_each_of_them_does(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, period: Period, at_once: int
    ) -> None:
        monkeypatch.setattr(module, "_FIRST_POLICIES", at_once)
        zones = ("UTC", "Europe/Berlin", "Asia/Tokyo", "UTC", "America/New_York")
        policies = [policy(f"P-{n}", device=f"d{n}", vehicle=None, zone=zone) for n, zone in enumerate(zones)]
        rows = [
            journey(f"d{n}", NOON + timedelta(hours=9 * k + n), policy=f"P-{n}", distance_m=100.0 * k + n)
            for n in (0, 1, 2, 4)
            for k in range(20)
        ]
        others = [journey("d9", NOON, policy="P-9"), journey("d8", NOON, policy=None)]
        store.write(StoreBatch(policies=policies, journeys=journeys(*rows, *others)))
        pages = list(policy_summaries(store, store.policies(), period, ScoreRules()))
        alone = [
            summarise(store.journeys(JourneyQuery(policy=each.number)), each, period, ScoreRules()) for each in policies
        ]
        found = pa.concat_tables([SUMMARY_SCHEMA.empty_table(), *pages])
        assert found.equals(pa.concat_tables(alone))
        assert sum(found["journeys"].to_pylist()) == 80

    def test_without_their_ids_the_journeys_of_each_policy_come_in_order(self, store: Store) -> None:
        later = {"distance_m": -0.0, "harsh_braking": 2**31 - 1, "speed_doubted": None, "over_limit_distance_m": 0.25}
        rows = [
            *(journey(f"van-{k}", NOON - k % 3 * HOUR, policy="P-1", distance_m=0.1 * k) for k in range(9)),
            *(
                journey(f"car-{k}", NOON - k * HOUR, policy="P-2", **(later if k % 2 else NOT_RECORDED))
                for k in range(5)
            ),
            *(
                journey(f"x-{k}", NOON - k * HOUR, policy="P-3", tenant=tenant, policy_from=begin, rules_version=used)
                for k, (tenant, begin, used) in enumerate(
                    [("a", BEGIN, "r-1"), ("b", BEGIN, "r-1"), ("b", BEGIN + DAY, "r-1"), ("b", BEGIN, "r-2")] * 2
                )
            ),
            *(journey(f"odd-{k}", NOON + k * DAY, policy=name, tenant=name) for k, name in enumerate(ODD_NAMES)),
            journey("truck", NOON, policy=None),
        ]  # fmt: skip
        store.write(StoreBatch(journeys=journeys(*rows)))
        numbers = ("P-3", "P-9", "P-1", *ODD_NAMES, "P-2", "P-3")
        for query in (
            JourneyQuery(policies=numbers),
            JourneyQuery(policies=numbers, started_from=NOON - HOUR, started_to=NOON + DAY),
            JourneyQuery(policies=numbers, tenant="b", product="motor"),
            JourneyQuery(policies=numbers, terms=(BEGIN,)),
            JourneyQuery(policies=("P-9",)),
            JourneyQuery(policies=()),
        ):
            whole, columns = store.journeys(query), (*SUMMED_COLUMNS, "zone", "ended_at", "vehicle")
            found = store.journeys(replace(query, columns=columns, in_any_order=True))
            assert found.schema.equals(whole.select(columns).schema)
            assert len(found) == len(whole)
            for number in set(numbers):
                this = pc.field("policy") == number
                assert exactly(found.filter(this)) == exactly(whole.filter(this).select(columns))


def exactly(table: pa.Table) -> list[str]:
    """The rows with every bit of their numbers: −0.0 is not 0.0."""
    return [repr(row) for row in table.to_pylist()]
