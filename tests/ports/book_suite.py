"""What every store must answer about a whole book of policies."""

from __future__ import annotations

from datetime import timedelta
from typing import get_args

import pyarrow as pa
import pytest

from journeymesh.journeys.rules import ScoreRules
from journeymesh.journeys.summaries import SUMMARY_SCHEMA, Period, summarise
from journeymesh.stores import policy_summaries as module
from journeymesh.stores.policy_summaries import policy_summaries
from journeymesh.stores.port import JourneyQuery, Store, StoreBatch
from tests.ports.records import NOON, journey, journeys, policy


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
