"""Work that yields to questions: in pauses at once, between questions a small share of the time."""

from __future__ import annotations

import pytest

from journeymesh.strangler import yielding as module
from journeymesh.strangler.yielding import PAUSE_S, Yielding


class Clock:
    """Stands in for the time module; time passes when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def busy(clock: Clock, work: Yielding, seconds: float, *, takes_s: float = 0.005) -> int:
    """Pieces of work that begin while a question comes every millisecond."""
    begun = 0
    for _ in range(round(seconds * 1000)):
        clock.now_s += 0.001
        work.asked()
        if work.may_begin():
            begun += 1
            work.worked(takes_s)
    return begun


def test_work_begins_at_once_in_a_pause(clock: Clock) -> None:
    work = Yielding(0.005)
    work.asked()
    clock.now_s += 2 * PAUSE_S
    assert all(work.may_begin() for _ in range(100))


def test_the_first_questions_after_a_pause_are_met_by_no_work(clock: Clock) -> None:
    work = Yielding(0.005)
    assert work.may_begin()
    work.worked(0.005)
    assert busy(clock, work, 0.9) == 0


def test_between_questions_work_takes_its_share_of_the_time(clock: Clock) -> None:
    work = Yielding(0.005)
    assert busy(clock, work, 100.0) == pytest.approx(0.005 * 100.0 / 0.005, abs=2)
    assert busy(clock, work, 100.0, takes_s=0.05) == pytest.approx(0.005 * 100.0 / 0.05, abs=2)


def test_a_long_piece_of_work_is_forgiven_by_the_next_pause(clock: Clock) -> None:
    work = Yielding(0.005)
    busy(clock, work, 2.0, takes_s=5.0)
    assert busy(clock, work, 2.0) == 0
    clock.now_s += 2 * PAUSE_S
    assert work.may_begin()


def test_a_share_of_one_yields_to_nobody(clock: Clock) -> None:
    assert busy(clock, Yielding(1.0), 0.1) == 100
