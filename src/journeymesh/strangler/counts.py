"""What is counted while the door answers: which side answered, and what was compared with which outcome.

Counts that are gathered in memory until they are written down together.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final, Generic, TypeVar

import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.following import Follower
from journeymesh.journeys.local_time import DAY_US
from journeymesh.strangler.control import Control, answer_counts, now_us, put_row, shadow_counts, shadow_coverage
from journeymesh.strangler.mismatches import dealt_with_us

K = TypeVar("K", bound=Hashable)


class PendingCounts(Generic[K]):
    """How often something was met, and when last (µs since 1970 UTC), by key. Safe for threads."""

    def __init__(self) -> None:
        self._counts: dict[K, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, key: K, at_us: int = 0, times: int = 1) -> None:
        """Count it so many times more."""
        with self._lock:
            before, last_us = self._counts.get(key, (0, 0))
            self._counts[key] = before + times, max(last_us, at_us)

    @contextmanager
    def taken(self) -> Iterator[dict[K, tuple[int, int]]]:
        """The counts until now, to be written down inside the ``with``; where that fails they are kept."""
        with self._lock:
            counts, self._counts = self._counts, {}
        try:
            yield counts
        except BaseException:
            for key, (times, last_us) in counts.items():
                self.add(key, last_us, times)
            raise


@unique
class Outcome(StrEnum):
    """What came of a shadow read."""

    EQUAL = "equal"
    EXPLAINED = "explained"
    """It differed, and did not when both sides were read again: a race."""
    DIFFERING = "differing"
    LATE = "late"
    """It differed, and the target's feed was too far behind to tell whether the difference lasts."""
    DROPPED = "dropped"
    """There was no room, no time, or the slice moved on."""
    FAILED = "failed"
    """The other side could not be read, or not within the budget."""


COMPARED: Final = (Outcome.EQUAL, Outcome.EXPLAINED, Outcome.DIFFERING)
"""Outcomes of reads that both sides answered."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a slice was compared since the last mismatch was dealt with."""

    compared: int
    policies: int

    @property
    def share(self) -> float | None:
        """Compared policies among all; None where the slice has none."""
        return self.compared / self.policies if self.policies else None


@dataclass(slots=True)
class CoverageNotes:
    """Gathers what was compared and writes it down together. Safe for threads."""

    control: Control
    _policies: PendingCounts[tuple[str, str]] = field(default_factory=PendingCounts)
    _outcomes: PendingCounts[tuple[str, str]] = field(default_factory=PendingCounts)

    def count(self, slice_name: str, outcome: Outcome) -> None:
        """Count a shadow read."""
        self._outcomes.add((slice_name, outcome.value))

    def compared(self, slice_name: str, policy: str) -> None:
        """Note that the two sides' answers of this policy were compared to the end."""
        self._policies.add((slice_name, policy), now_us())

    def flush(self) -> None:
        """Write down what was gathered, in one transaction. What cannot be written is kept for the next time.

        Raises:
            StoreUnavailable: the control database cannot be written.
        """
        with self._policies.taken() as policies, self._outcomes.taken() as outcomes:
            if policies or outcomes:
                with self.control.writing() as connection:
                    for (slice_name, policy), (times, last_us) in policies.items():
                        _add_policy(connection, slice_name, policy, times, last_us)
                    for (slice_name, outcome), (reads, _) in outcomes.items():
                        _add_outcome(connection, slice_name, outcome, reads)


def compared_policies(control: Control, slice_name: str) -> set[str]:
    """The policies of the slice that were compared since the last mismatch was dealt with."""
    held = shadow_coverage.c
    since_us = dealt_with_us(control, slice_name) or 0
    statement = sa.select(held.policy).where(held.slice == slice_name, held.last_us > since_us)
    with control.reading() as connection:
        return set(connection.execute(statement).scalars())


def coverage_of(control: Control, slice_name: str, policies: Collection[str]) -> Coverage:
    """How many of these policies, which are the slice's, were compared since the last mismatch was dealt with."""
    wanted = set(policies)
    return Coverage(len(compared_policies(control, slice_name) & wanted), len(wanted))


def reads_of(control: Control, slice_name: str) -> dict[str, int]:
    """Shadow reads of the slice by outcome, every outcome there."""
    held = shadow_counts.c
    with control.reading() as connection:
        rows = connection.execute(sa.select(held.outcome, held.reads).where(held.slice == slice_name)).all()
    return dict.fromkeys((outcome.value for outcome in Outcome), 0) | {outcome: int(reads) for outcome, reads in rows}


def _add_policy(connection: sa.Connection, slice_name: str, policy: str, times: int, last_us: int) -> None:
    key = {"slice": slice_name, "policy": policy}
    values = {"compared": shadow_coverage.c.compared + times, "last_us": last_us}
    put_row(connection, shadow_coverage, key, values, {"compared": times})


def _add_outcome(connection: sa.Connection, slice_name: str, outcome: str, reads: int) -> None:
    key = {"slice": slice_name, "outcome": outcome}
    put_row(connection, shadow_counts, key, {"reads": shadow_counts.c.reads + reads}, {"reads": reads})


FLUSH_S: Final = 1.0
NO_SLICE: Final = ""
"""The slice of answers about policies that no slice holds."""


@dataclass(slots=True)
class AnswerCounts(Follower):
    """Counts answers and writes the counts down every second, by a thread of its own, and at the end. Started by
    ``with``; an answer that was given does not fail because it could not be counted."""

    control: Control
    every_s: float = FLUSH_S
    clock_us: Callable[[], int] = now_us
    fault: StoreUnavailable | None = None
    """Why the counts could not be written down last; None: they could. They are kept until they can."""
    _counts: PendingCounts[tuple[str, str, int]] = field(default_factory=PendingCounts)

    def close(self) -> None:
        """Stop, and write down what is counted."""
        Follower.close(self)
        self.tick()

    def count(self, slice_name: str, side: str) -> None:
        """Count an answer that the side of this name gives."""
        at_us = self.clock_us()
        key = (slice_name, side, at_us // DAY_US)
        self._counts.add(key, at_us)

    def flush(self) -> None:
        """Write the counts down, in one transaction.

        Raises:
            StoreUnavailable: the control database cannot be written; the counts are kept.
        """
        with self._counts.taken() as counts:
            if counts:
                with self.control.writing() as connection:
                    for (slice_name, side, day), (reads, last_us) in counts.items():
                        _add(connection, slice_name, side, day, reads, last_us)

    def tick(self) -> None:
        """Write the counts down where that is possible; ``fault`` says why it was not."""
        try:
            self.flush()
            self.fault = None
        except StoreUnavailable as error:
            self.fault = error


def last_answered_us(control: Control, slice_name: str, side: str) -> int | None:
    """When the side last answered for the slice; None: it never did."""
    last = sa.select(sa.func.max(answer_counts.c.last_us)).where(
        answer_counts.c.slice == slice_name, answer_counts.c.side == side
    )
    with control.reading() as connection:
        found = connection.execute(last).scalar()
    return None if found is None else int(found)


def _add(connection: sa.Connection, slice_name: str, side: str, day: int, reads: int, last_us: int) -> None:
    key = {"slice": slice_name, "side": side, "day": day}
    later = sa.case((answer_counts.c.last_us > last_us, answer_counts.c.last_us), else_=last_us)
    values = {"reads": answer_counts.c.reads + reads, "last_us": later}
    put_row(connection, answer_counts, key, values, {"reads": reads, "last_us": last_us})
