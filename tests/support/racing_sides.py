"""Two sides of one slice whose answers are at hand, a writer that changes them, and a feed that is a little late."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pyarrow as pa

from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.control import now_us
from tests.support.records import NOON, journey, journeys


@dataclass(slots=True)
class AnswersAtHand:
    """A side that has each policy's answer at hand."""

    answers: dict[str, pa.Table] = field(default_factory=dict)

    def journeys(self, query: JourneyQuery) -> pa.Table:
        return self.answers[query.policy or ""]

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        return None

    def policies(self, number: str | None = None) -> list[Policy]:
        return []

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        return Fixes.empty((vehicle,))


@dataclass(slots=True)
class RacingSides:
    """``source`` changes, ``target`` follows after ``lag_s``; both hold equal but never the same tables."""

    numbers: Sequence[str]
    lag_s: float = 0.02
    seed: int = 1
    source: AnswersAtHand = field(default_factory=AnswersAtHand)
    target: AnswersAtHand = field(default_factory=AnswersAtHand)
    writes: int = 0
    _fed_until_us: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        for number in self.numbers:
            self.source.answers[number], self.target.answers[number] = self._pair(number, 0)
        self._fed_until_us = now_us()

    def __enter__(self) -> RacingSides:
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def fed_until_us(self) -> int:
        """Up to which instant the target holds what the source has."""
        return self._fed_until_us if self._thread is not None else now_us()

    def _write(self) -> None:
        chance = random.Random(self.seed)
        while not self._stop.is_set():
            number = chance.choice(self.numbers)
            read_us = now_us()
            self.writes += 1
            ours, theirs = self._pair(number, self.writes)
            self.source.answers[number] = ours
            time.sleep(self.lag_s * chance.random())
            self.target.answers[number] = theirs
            self._fed_until_us = read_us
            time.sleep(self.lag_s * chance.random())

    def _pair(self, number: str, version: int) -> tuple[pa.Table, pa.Table]:
        rows = [
            journey(f"car-{number}", NOON + timedelta(hours=at), policy=number, distance_m=1000.5 + version)
            for at in range(2)
        ]
        return journeys(*rows), journeys(*rows)
