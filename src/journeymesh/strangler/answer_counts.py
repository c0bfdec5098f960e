"""Which side answered, by slice and UTC day: what retiring legacy has to prove."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.following import Follower
from journeymesh.journeys.local_time import DAY_US
from journeymesh.strangler.control import Control, now_us, put_row
from journeymesh.strangler.control_tables import answer_counts
from journeymesh.strangler.pending_counts import PendingCounts

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
