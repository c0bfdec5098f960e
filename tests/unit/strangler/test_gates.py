"""A target answers only when everything that speaks for it is known and good."""

import dataclasses

import msgspec
import pytest

from journeymesh.strangler.gates import GateInputs, closed_gates
from journeymesh.strangler.opinion import RecordedOpinion
from journeymesh.strangler.plan import Gates
from journeymesh.strangler.refusals import Refusals
from journeymesh.strangler.slices import Phase

GATES = Gates(max_lag_s=5, shadow_coverage=0.9, shadow_reads=100, quiet_days=7, third_opinion=0.995)
OPINION = RecordedOpinion(
    kind="totals", at_us=1, answering="legacy", policies=1000, good=995, share=0.995, classes={"agrees": 9000}
)
REFUSALS = Refusals(
    documents=1_000, refused=12, window_s=60.0, window_documents=100, window_refused=1, share_before=0.012,
    question=None, accepted=None,
)  # fmt: skip
GOOD = GateInputs(
    complete=True,
    backfill="complete",
    lag_s=0.1,
    lag_state="idle",
    open_mismatches=0,
    refusals=REFUSALS,
    shadow_coverage=0.95,
    shadow_reads=1000,
    quiet_s=8 * 86_400,
    writes_waiting=0,
    filled_with=1,
    third_opinion=OPINION,
    foreign_runs=(),
)


def _opinion(policies: int, good: int) -> RecordedOpinion:
    share = good / policies if policies else None
    return msgspec.structs.replace(OPINION, policies=policies, good=good, share=share)


@pytest.mark.parametrize("after", [Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED])
def test_good_inputs_open_every_gate(after: Phase) -> None:
    assert closed_gates(after, GATES, GOOD) == []


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"backfill": None}, "backfill is not started"),
        ({"backfill": "running"}, "backfill is running"),
        (
            {"complete": False, "incomplete_because": "changes were lost"},
            "the target is not complete: changes were lost",
        ),
        ({"lag_s": None, "lag_state": "never_started"}, "lag is unknown (the feed is never started)"),
        ({"lag_s": 7.25}, "lag is 7.2 s, the limit is 5 s"),
        ({"lag_state": "stuck"}, "the feed is stuck"),
        ({"foreign_runs": ("a", "b")}, "another writer wrote to the target (2 runs): reconcile the slice"),
        ({"open_mismatches": None}, "mismatches are unknown"),
        ({"open_mismatches": 3}, "3 open mismatches"),
        (
            {"refusals": msgspec.structs.replace(REFUSALS, window_refused=41, question="c4u5e")},
            "sudden rise in refused documents: 41 of 100 documents (41.0 %), 1.2 % before; fix the cause, or accept "
            "c4u5e",
        ),
        ({"shadow_reads": 99}, "99 shadow reads, the plan requires 100"),
        (
            {"third_opinion": _opinion(policies=1000, good=994)},
            "legacy's totals confirm 99.4 % of 1,000 policies, the plan requires 99.5 %",
        ),
        (
            {"third_opinion": msgspec.structs.replace(OPINION, stale="it is from before a swap")},
            "the third opinion is out of date: it is from before a swap",
        ),
        ({"shadow_coverage": 0.5}, "shadow reads cover 50.0 % of the policies, the plan requires 90 %"),
    ],
)
def test_each_bad_reading_closes_a_gate_and_is_named(changes: dict[str, object], line: str) -> None:
    inputs = dataclasses.replace(GOOD, **changes)
    for after in (Phase.TARGET_WITH_REVERSE_SHADOW, Phase.TARGET, Phase.RETIRED):
        assert line in closed_gates(after, GATES, inputs)


def test_of_a_feed_that_stopped_in_good_order_only_the_lag_is_judged() -> None:
    stopped = dataclasses.replace(GOOD, lag_state="stopped")
    assert closed_gates(Phase.TARGET, GATES, stopped) == []
    late = dataclasses.replace(stopped, lag_s=7.25)
    assert closed_gates(Phase.TARGET, GATES, late) == ["lag is 7.2 s, the limit is 5 s"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"quiet_s": 6.5 * 86_400}, "legacy answered 6.5 days ago, the plan requires 7 quiet days"),
        ({"quiet_s": None}, "the time of legacy's last answer is unknown"),
        ({"writes_waiting": 2}, "2 accepted writes are not yet delivered"),
        ({"writes_waiting": None}, "an unknown number of accepted writes are not yet delivered"),
    ],
)
def test_retiring_asks_for_quiet_as_well(changes: dict[str, object], line: str) -> None:
    inputs = dataclasses.replace(GOOD, **changes)
    assert line in closed_gates(Phase.RETIRED, GATES, inputs)
    assert closed_gates(Phase.TARGET, GATES, inputs) == []


EMPTY = {
    "a backfill of nothing": ({"filled_with": 0}, "the backfill wrote no fixes"),
    "a backfill that was not begun": ({"backfill": None}, "backfill is not started"),
    "a feed that never ran": ({"lag_s": None}, "lag is unknown"),
    "mismatches nobody looked for": ({"open_mismatches": None}, "mismatches are unknown"),
    "documents nobody counted": ({"refusals": None}, "the number of refused documents is unknown"),
    "no shadow read": ({"shadow_reads": 0}, "0 shadow reads"),
    "shadow reads nobody counted": ({"shadow_reads": None}, "0 shadow reads"),
    "no policy covered": ({"shadow_coverage": 0.0}, "shadow reads cover 0.0 %"),
    "no policy to cover": ({"shadow_coverage": None}, "shadow reads cover 0.0 %"),
    "no third opinion": ({"third_opinion": None}, "no third opinion is recorded"),
    "a third opinion of nothing": ({"third_opinion": _opinion(0, 0)}, "the third opinion compared nothing"),
    "a third opinion in which all is explained": (
        {"third_opinion": msgspec.structs.replace(OPINION, share=None)},
        "no policy agrees without an explanation",
    ),
    "writers nobody looked for": ({"foreign_runs": None}, "other writers of the target are unknown"),
    "quiet that nobody watched": ({"quiet_s": None}, "the time of legacy's last answer is unknown"),
    "writes nobody counted": ({"writes_waiting": None}, "an unknown number of accepted writes"),
}
"""Every reading as it is where nothing was looked at, and the gate that it closes."""


@pytest.mark.parametrize("kind", EMPTY)
def test_every_gate_is_closed_where_nothing_was_looked_at(kind: str) -> None:
    changes, line = EMPTY[kind]
    closed = closed_gates(Phase.RETIRED, GATES, dataclasses.replace(GOOD, **changes))  # type: ignore[arg-type]
    assert [gate for gate in closed if line in gate] == closed != []


def test_every_reading_that_a_gate_asks_has_an_empty_kind() -> None:
    words = {"complete", "incomplete_because", "lag_state", "unreadable"}  # these say how, or why
    tried = {name for changes, _ in EMPTY.values() for name in changes}
    assert {field.name for field in dataclasses.fields(GateInputs)} - words == tried


def test_a_third_opinion_is_asked_for_only_where_the_plan_names_it() -> None:
    gates = msgspec.structs.replace(GATES, third_opinion=None)
    assert closed_gates(Phase.RETIRED, gates, dataclasses.replace(GOOD, third_opinion=None)) == []


def test_nothing_known_opens_nothing() -> None:
    assert len(closed_gates(Phase.TARGET, GATES, GateInputs())) >= 4
