"""What was compared: which policies of a slice, how often, and with what outcome."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

import sqlalchemy as sa

from journeymesh.strangler.control import Control, now_us, put_row
from journeymesh.strangler.control_tables import shadow_counts, shadow_coverage
from journeymesh.strangler.mismatches import dealt_with_us
from journeymesh.strangler.pending_counts import PendingCounts


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
