"""How often policies are read anew."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.policy_book import PolicyBook
from tests.support.stepped_clock import SteppedClock


@pytest.mark.parametrize(("takes_s", "apart_s"), [(0.2, 2.0), (0.001, 0.5), (30.0, 300.0)])
def test_reading_policies_anew_takes_a_tenth_of_the_time_at_most(takes_s: float, apart_s: float) -> None:
    clock, reads = SteppedClock(), list[float]()

    def read() -> list[Policy]:
        reads.append(clock.now_s())
        clock.passed_s += takes_s
        if len(reads) == 6:
            book.stopping.set()
        else:
            book.look_again()  # an unknown number is asked for all the time
        return []

    book = PolicyBook(read, every_s=3600.0, clock=clock)
    book.stopping = threading.Event()
    book.look_again()
    book.follow()
    assert reads[0] == pytest.approx(0.5)  # the shortest pause
    for sooner, later in pairwise(reads):
        assert later - sooner == pytest.approx(max(apart_s, 0.5 + takes_s))


def test_policies_that_are_read_anew_and_are_the_same_stay_the_same_object() -> None:
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    present = [Policy(number=f"P-{n}", valid_from=begin, vehicle=f"car-{n}") for n in range(3)]
    book = PolicyBook(lambda: [replace(each) for each in present])
    before = book.every()
    book.refresh()
    assert book.every() is before
    present[1] = replace(present[1], zone="Europe/Berlin")
    book.refresh()
    assert book.every() == tuple(present)
    before = book.every()
    present.pop()
    book.refresh()
    assert len(book.every()) == len(before) - 1 == 2


def test_policies_that_nobody_misses_are_read_as_often_as_is_said() -> None:
    clock, reads = SteppedClock(), list[float]()

    def read() -> list[Policy]:
        reads.append(clock.now_s())
        if len(reads) == 3:
            book.stopping.set()
        return []

    book = PolicyBook(read, every_s=60.0, clock=clock)
    book.stopping = threading.Event()
    book.follow()
    assert reads == [60.0, 120.0, 180.0]


def test_ending_does_not_wait_for_the_pause() -> None:
    again = threading.Event()

    def read() -> list[Policy]:
        if again.is_set():
            entered.set()
        again.set()
        return []

    entered = threading.Event()
    with PolicyBook(read, every_s=3600.0) as book:
        book.look_again()
        assert entered.wait(20)
        began = time.monotonic()
    assert time.monotonic() - began < 5  # and not an hour
    assert book.fault is None
