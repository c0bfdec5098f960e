"""Which side answered, by slice and UTC day: what retiring legacy has to prove."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.local_time import DAY_US
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import asks

FLUSH_S: Final = 1.0
NO_SLICE: Final = ""
"""The slice of answers about policies that no slice holds."""


@dataclass(slots=True)
class Asks:
    """Counts answers and writes the counts down every second, by a thread of its own, and at the end. Started by
    ``with``; an answer that was given does not fail because it could not be counted."""

    control: Control
    flush_s: float = FLUSH_S
    clock_us: Callable[[], int] = now_us
    fault: StoreUnavailable | None = None
    """Why the counts could not be written down last; None: they could. They are kept until they can."""
    _counts: dict[tuple[str, str, int], tuple[int, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Asks:
        self._thread = threading.Thread(target=self._follow, name="asks", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._try_flush()

    def count(self, slice_name: str, side: str) -> None:
        """Count an answer that the side of this name gives."""
        at_us = self.clock_us()
        key = (slice_name, side, at_us // DAY_US)
        with self._lock:
            reads, _ = self._counts.get(key, (0, 0))
            self._counts[key] = reads + 1, at_us

    def flush(self) -> None:
        """Write the counts down, in one transaction.

        Raises:
            StoreUnavailable: the control database cannot be written; the counts are kept.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            with self.control.writing() as connection:
                for (slice_name, side, day), (reads, last_us) in counts.items():
                    _add(connection, slice_name, side, day, reads, last_us)
        except BaseException:
            with self._lock:
                for key, (reads, last_us) in counts.items():
                    more, later_us = self._counts.get(key, (0, 0))
                    self._counts[key] = reads + more, max(last_us, later_us)
            raise

    def _follow(self) -> None:
        while not self._stop.wait(self.flush_s):
            self._try_flush()

    def _try_flush(self) -> None:
        try:
            self.flush()
            self.fault = None
        except StoreUnavailable as error:
            self.fault = error


def last_asked_us(control: Control, slice_name: str, side: str) -> int | None:
    """When the side last answered for the slice; None: it never did."""
    last = sa.select(sa.func.max(asks.c.last_us)).where(asks.c.slice == slice_name, asks.c.side == side)
    with control.reading() as connection:
        found = connection.execute(last).scalar()
    return None if found is None else int(found)


def _add(connection: sa.Connection, slice_name: str, side: str, day: int, reads: int, last_us: int) -> None:
    this = sa.and_(asks.c.slice == slice_name, asks.c.side == side, asks.c.day == day)
    later = sa.case((asks.c.last_us > last_us, asks.c.last_us), else_=last_us)
    changed = connection.execute(sa.update(asks).where(this).values(reads=asks.c.reads + reads, last_us=later))
    if changed.rowcount == 0:
        values = {"slice": slice_name, "side": side, "day": day, "reads": reads, "last_us": last_us}
        connection.execute(sa.insert(asks).values(values))
