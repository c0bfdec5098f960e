"""Mismatches are recorded once per cause, accepted for a time, and resolved when the sides agree again."""

from pathlib import Path

import pytest

from journeymesh.errors import NotFound, UsageError
from journeymesh.strangler import mismatches as recorded
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.counts import CoverageNotes, Outcome, coverage_of, reads_of
from journeymesh.strangler.differences import Classification, Difference
from journeymesh.strangler.mismatches import (
    OTHERS,
    LastingDifference,
    accept_mismatch,
    dealt_with_us,
    list_mismatches,
    open_mismatches,
    record_mismatches,
    resolve_mismatches,
)

DAY_US = 86_400_000_000


@pytest.fixture
def control(tmp_path: Path) -> Control:
    made = Control(f"sqlite:///{tmp_path}/control.db")
    made.migrate()
    return made


def _found(subject: str = "j1", field: str = "distance_m", target: str = "2.0") -> LastingDifference:
    return LastingDifference("all", "P1", Difference(subject, Classification.VALUE, field, "1.0", target, 7))


def test_a_cause_seen_again_is_counted_and_keeps_its_first_values(control: Control) -> None:
    record_mismatches(control, [_found()], "shadow", at_us=1)
    record_mismatches(control, [_found(target="3.0")], "shadow", at_us=2)
    (held,) = list_mismatches(control)
    assert (held.seen, held.first_seen_us, held.last_seen_us, held.target_value, held.at_us) == (2, 1, 2, "2.0", 7)
    assert open_mismatches(control, "all") == 1
    assert open_mismatches(control, "other") == 0


def test_an_accepted_mismatch_counts_again_when_the_acceptance_ran_out(control: Control) -> None:
    record_mismatches(control, [_found()], "shadow")
    accept_mismatch(control, _found().cause, "ann", "known rounding", now_us() + DAY_US)
    assert open_mismatches(control, "all") == 0
    assert open_mismatches(control, "all", now_us() + 2 * DAY_US) == 1
    (held,) = list_mismatches(control)
    assert (held.who, held.reason, held.is_open(now_us())) == ("ann", "known rounding", False)
    record_mismatches(control, [_found()], "shadow")
    assert open_mismatches(control, "all") == 0


def test_an_acceptance_needs_a_reason_a_future_and_a_mismatch(control: Control) -> None:
    record_mismatches(control, [_found()], "shadow")
    with pytest.raises(UsageError, match="a reason is missing"):
        accept_mismatch(control, _found().cause, "ann", " ", now_us() + DAY_US)
    with pytest.raises(UsageError, match="expiry is in the past"):
        accept_mismatch(control, _found().cause, "ann", "known", now_us() - 1)
    with pytest.raises(NotFound, match="no mismatch to accept"):
        accept_mismatch(control, "none", "ann", "known", now_us() + DAY_US)


def test_a_resolved_mismatch_that_is_seen_again_is_open_again(control: Control) -> None:
    record_mismatches(control, [_found()], "shadow")
    resolve_mismatches(control, [_found().cause])
    assert open_mismatches(control, "all") == 0
    assert dealt_with_us(control, "all") is not None
    record_mismatches(control, [_found()], "shadow")
    assert open_mismatches(control, "all") == 1


def test_of_one_kind_so_many_examples_are_kept_and_the_others_counted(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "MOST_EXAMPLES", 5)
    record_mismatches(control, [_found(f"j{n}") for n in range(12)], "shadow")
    record_mismatches(control, [_found("j0", field="zone")], "shadow")
    held = list_mismatches(control)
    assert len(held) == 7
    (others,) = [each for each in held if each.subject == OTHERS]
    assert (others.seen, others.policy, others.source_value, others.target_value) == (7, "", None, None)
    resolve_mismatches(control, [_found(f"j{n}").cause for n in range(5)])
    assert open_mismatches(control, "all") == 1  # the zone's: with the last example the counted ones went


def test_mismatches_are_listed_page_by_page(control: Control) -> None:
    record_mismatches(control, [_found(f"j{n}") for n in range(5)], "reconcile")
    first = list_mismatches(control, "all", limit=3)
    rest = list_mismatches(control, "all", after=first[-1].cause, only_open=True)
    assert len({each.cause for each in [*first, *rest]}) == 5


def test_coverage_counts_policies_compared_since_the_last_mismatch_was_dealt_with(control: Control) -> None:
    notes = CoverageNotes(control)
    for number in ("P1", "P2", "P2"):
        notes.compared("all", number)
        notes.count("all", Outcome.EQUAL)
    notes.flush()
    assert coverage_of(control, "all", ["P1", "P2", "P3", "P4"]).share == 0.5
    assert coverage_of(control, "all", []).share is None
    assert reads_of(control, "all")["equal"] == 3
    record_mismatches(control, [_found()], "shadow")
    resolve_mismatches(control, [_found().cause])
    assert coverage_of(control, "all", ["P1", "P2"]).compared == 0
    notes.compared("all", "P1")
    notes.flush()
    assert coverage_of(control, "all", ["P1", "P2"]).compared == 1


def test_counts_that_cannot_be_written_are_kept(control: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = CoverageNotes(control)
    notes.compared("all", "P1")
    notes.count("all", Outcome.EQUAL)
    with monkeypatch.context() as broken:
        broken.setattr(control, "writing", lambda: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            notes.flush()
    notes.flush()
    assert reads_of(control, "all")["equal"] == 1
    assert coverage_of(control, "all", ["P1"]).compared == 1
