"""The recorded mismatches at hand, so that a comparison that finds nothing wrong resolves the ones it covers."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.instants import to_us
from journeymesh.strangler.control import Control
from journeymesh.strangler.control_tables import mismatches
from journeymesh.strangler.mismatches import OTHERS, RESOLVED, resolve_mismatches
from journeymesh.strangler.questions import JourneyAsked, JourneysAsked, Question

_READ_EVERY_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Recorded:
    cause: str
    subject: str
    at_us: int | None


@dataclass(slots=True)
class KnownMismatches:
    """What is recorded and not resolved, by slice and policy; read anew every few seconds. Safe for threads."""

    control: Control
    _held: dict[tuple[str, str], list[_Recorded]] = field(default_factory=dict)
    _read_at: float | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def resolve_covered(
        self,
        slice_name: str,
        policy: str,
        question: Question,
        source: pa.Table,
        target: pa.Table,
        differing: Collection[str],
    ) -> None:
        """Resolve what this comparison covers and did not find again. ``differing`` are the subjects it found.

        Raises:
            StoreUnavailable: the control database cannot be read or written.
        """
        recorded = self._of(slice_name, policy)
        if not recorded:
            return
        covers = _Covered.by(question, source, target)
        causes = [each.cause for each in recorded if each.subject not in differing and covers.holds(each)]
        if causes:
            resolve_mismatches(self.control, causes)
            self._read_at = None

    def _of(self, slice_name: str, policy: str) -> list[_Recorded]:
        with self._lock:
            if self._read_at is None or time.monotonic() - self._read_at > _READ_EVERY_S:
                self._held, self._read_at = self._read(), time.monotonic()
            return self._held.get((slice_name, policy), [])

    def _read(self) -> dict[tuple[str, str], list[_Recorded]]:
        held: dict[tuple[str, str], list[_Recorded]] = {}
        columns = mismatches.c
        statement = sa.select(columns.slice, columns.policy, columns.cause, columns.subject, columns.at_us)
        statement = statement.where(columns.state != RESOLVED, columns.subject != OTHERS)
        with self.control.reading() as connection:
            for slice_name, policy, cause, subject, at_us in connection.execute(statement):
                held.setdefault((slice_name, policy), []).append(_Recorded(cause, subject, at_us))
        return held


@dataclass(frozen=True, slots=True)
class _Covered:
    """What a comparison of two answers says something about."""

    question: str
    ids: frozenset[str]
    first_us: int | None
    end_us: int | None

    @classmethod
    def by(cls, question: Question, source: pa.Table, target: pa.Table) -> _Covered:
        """Of journeys: those that start in the time asked for, unless only some columns or a page were compared."""
        if isinstance(question, JourneyAsked):
            return cls(question.subject, frozenset({question.journey_id}), None, None)
        if not isinstance(question, JourneysAsked) or question.query.columns is not None:
            return cls(question.subject, frozenset(), None, None)
        query = question.query
        ids = frozenset(source["journey_id"].to_pylist()) if "journey_id" in source.column_names else frozenset()
        partly = query.vehicle is not None or query.after is not None
        full = query.limit is not None and max(source.num_rows, target.num_rows) >= query.limit
        if partly or full:
            return cls(question.subject, ids, None, None)
        first_us = -(2**62) if query.started_from is None else to_us(query.started_from)
        end_us = 2**62 if query.started_to is None else to_us(query.started_to)
        return cls(question.subject, ids, first_us, end_us)

    def holds(self, recorded: _Recorded) -> bool:
        """Whether it says something about this one."""
        if recorded.subject == self.question or recorded.subject.startswith(f"{self.question} "):
            return True
        if recorded.subject in self.ids:
            return True
        if recorded.at_us is None or self.first_us is None or self.end_us is None:
            return False
        return self.first_us <= recorded.at_us < self.end_us
