"""A backfill whose feeders are killed at random instants: the benchmark's own run, in small."""

from __future__ import annotations

import os

import pytest
from benchmarks.strangler_kills import backfill_killed

pytestmark = pytest.mark.skipif(
    not os.environ.get("JOURNEYMESH_TEST_MONGODB"), reason="JOURNEYMESH_TEST_MONGODB is unset"
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_backfill_killed_at_random_instants_holds_what_an_undisturbed_one_holds() -> None:
    found = backfill_killed(kills=12, documents_wanted=20_000, each=500)
    assert found["kills"] >= 12
    assert found["kills_with_progress"] > 0
    assert found["differing"] == []
    assert found["went_back"] == 0
