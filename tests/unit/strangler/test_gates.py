"""A target answers only when everything that speaks for it is known and good."""

import dataclasses

import pytest

from journeymesh.strangler.gates import Readings, closed_gates
from journeymesh.strangler.phases import Phase
from journeymesh.strangler.plan import Gates

GATES = Gates(max_lag_s=5, shadow_coverage=0.9, shadow_reads=100, quiet_days=7)
GOOD = Readings(
    complete=True,
    backfill="complete",
    lag_s=0.1,
    lag_state="idle",
    open_mismatches=0,
    shadow_coverage=0.95,
    shadow_reads=1000,
    quiet_s=8 * 86_400,
    writes_waiting=0,
)


@pytest.mark.parametrize("after", [Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED])
def test_good_readings_open_every_gate(after: Phase) -> None:
    assert closed_gates(after, GATES, GOOD) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"backfill": None}, "backfill is not begun"),
        ({"backfill": "running"}, "backfill is running"),
        (
            {"complete": False, "incomplete_because": "changes were lost"},
            "the target is not complete: changes were lost",
        ),
        ({"lag_s": None, "lag_state": "never_started"}, "lag is unknown (the feed is never started)"),
        ({"lag_s": 7.25}, "lag is 7.2 s, the limit is 5 s"),
        ({"lag_state": "stuck"}, "the feed is stuck"),
        ({"open_mismatches": None}, "mismatches are unknown"),
        ({"open_mismatches": 3}, "3 open mismatches"),
        ({"shadow_reads": 99}, "99 shadow reads, the plan asks for 100"),
        ({"shadow_coverage": 0.5}, "shadow reads cover 50.0 % of the policies, the plan asks for 90 %"),
    ],
)
def test_each_bad_reading_closes_a_gate_and_is_named(changes: dict[str, object], line: str) -> None:
    readings = dataclasses.replace(GOOD, **changes)
    for after in (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED):
        assert line in closed_gates(after, GATES, readings)


def test_of_a_feed_that_stopped_in_good_order_only_the_lag_is_judged() -> None:
    stopped = dataclasses.replace(GOOD, lag_state="stopped")
    assert closed_gates(Phase.TARGET, GATES, stopped) == []
    late = dataclasses.replace(stopped, lag_s=7.25)
    assert closed_gates(Phase.TARGET, GATES, late) == ["lag is 7.2 s, the limit is 5 s"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"quiet_s": 6.5 * 86_400}, "legacy answered 6.5 days ago, the plan asks for 7 quiet days"),
        ({"quiet_s": None}, "when legacy was last asked is unknown"),
        ({"writes_waiting": 2}, "2 accepted writes are not delivered yet"),
        ({"writes_waiting": None}, "an unknown number of accepted writes are not delivered yet"),
    ],
)
def test_retiring_asks_for_quiet_as_well(changes: dict[str, object], line: str) -> None:
    readings = dataclasses.replace(GOOD, **changes)
    assert line in closed_gates(Phase.RETIRED, GATES, readings)
    assert closed_gates(Phase.TARGET, GATES, readings) == []


def test_nothing_known_opens_nothing() -> None:
    assert len(closed_gates(Phase.TARGET, GATES, Readings())) >= 4
