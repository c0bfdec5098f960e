"""How often policies are read anew, however often unknown numbers are asked for."""

from __future__ import annotations

import threading
import time
from itertools import pairwise

from journeymesh.journeys.policies import Policy
from journeymesh.strangler.policy_book import PolicyBook


def test_reading_policies_anew_takes_a_tenth_of_the_time_at_most() -> None:
    reads: list[float] = []

    def read() -> list[Policy]:
        reads.append(time.monotonic())
        time.sleep(0.2)
        return []

    with PolicyBook(read, every_s=3600.0) as book:
        stop = threading.Event()

        def ask() -> None:
            while not stop.wait(0.001):
                book.terms("unknown")

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(4.0)
        stop.set()
        asking.join()
    # One to begin with, one after the shortest pause, then each after nine times what it takes.
    assert 2 <= len(reads) <= 4
    assert all(later - sooner >= 1.8 for sooner, later in pairwise(reads[1:]))


def test_ending_does_not_wait_for_the_pause() -> None:
    with PolicyBook(lambda: time.sleep(0.3) or [], every_s=0.0) as book:
        time.sleep(1.2)
        began = time.monotonic()
    assert time.monotonic() - began < 1.5
    assert book.fault is None
