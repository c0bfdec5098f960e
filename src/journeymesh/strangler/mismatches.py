"""Mismatches as recorded: once per cause, with both sides; known ones accepted for a time, dealt with ones resolved.

The recorded mismatches at hand, so that a comparison that finds nothing wrong resolves the ones it covers.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from journeymesh.errors import NotFound, UsageError
from journeymesh.field_copies import copy_fields
from journeymesh.instants import to_us
from journeymesh.strangler.control import Control, mismatches, now_us
from journeymesh.strangler.differences import Difference
from journeymesh.strangler.questions import JourneyAsked, JourneysAsked, Question

MOST_EXAMPLES: Final = 1_000
"""Of each slice, classification and field so many causes are kept; the others are counted in one row."""
OTHERS: Final = "others"
"""The subject of the row that counts them."""
OPEN: Final = "open"
ACCEPTED: Final = "accepted"
RESOLVED: Final = "resolved"
REFUSED: Final = "refused"
"""The classification of what is no difference between the sides: documents that neither can use."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A mismatch as recorded. Instants are microseconds since 1970 UTC."""

    cause: str
    slice: str
    policy: str
    subject: str
    at_us: int | None
    classification: str
    field: str
    source_value: str | None
    target_value: str | None
    found_by: str
    first_seen_us: int
    last_seen_us: int
    seen: int
    state: str
    reason: str | None
    who: str | None
    expires_us: int | None
    dealt_us: int | None

    def is_open(self, at_us: int) -> bool:
        """Whether it counts: an acceptance that ran out counts no longer."""
        ran_out = self.state == ACCEPTED and self.expires_us is not None and self.expires_us <= at_us
        return self.state == OPEN or ran_out


@dataclass(frozen=True, slots=True)
class LastingDifference:
    """A difference that lasted, of one policy of a slice."""

    slice: str
    policy: str
    difference: Difference

    @property
    def cause(self) -> str:
        """The identity of what is wrong."""
        return self.difference.cause(self.slice, self.policy)


def record_mismatches(
    control: Control, found: Sequence[LastingDifference], found_by: str, at_us: int | None = None
) -> None:
    """Record what was found: each cause once, counted when it is seen again; one that was resolved is open again."""
    if not found:
        return
    at_us = now_us() if at_us is None else at_us
    with control.writing() as connection:
        for each in found:
            if not _seen_again(connection, each.cause, at_us):
                _record_first(connection, each, found_by, at_us)


def open_mismatches(control: Control, slice_name: str, at_us: int | None = None) -> int:
    """How many causes are open in the slice; an acceptance that ran out counts. Refused documents are counted apart."""
    differs = mismatches.c.classification != REFUSED
    counts = sa.select(sa.func.count()).where(mismatches.c.slice == slice_name, differs, _is_open(at_us))
    with control.reading() as connection:
        return int(connection.execute(counts).scalar_one())


def differing_policies(control: Control, slice_name: str) -> set[str]:
    """The policies of the slice with an open mismatch."""
    named = sa.select(mismatches.c.policy).where(mismatches.c.slice == slice_name, _is_open(None)).distinct()
    with control.reading() as connection:
        return {name for name in connection.execute(named).scalars() if name}


def list_mismatches(
    control: Control,
    slice_name: str | None = None,
    *,
    only_open: bool = False,
    after: str | None = None,
    limit: int = 100,
) -> list[Mismatch]:
    """Mismatches in order of their cause, behind the cause ``after``."""
    statement = sa.select(mismatches).order_by(mismatches.c.cause).limit(limit)
    if slice_name is not None:
        statement = statement.where(mismatches.c.slice == slice_name)
    if only_open:
        statement = statement.where(_is_open(None))
    if after is not None:
        statement = statement.where(mismatches.c.cause > after)
    with control.reading() as connection:
        return [copy_fields(Mismatch, row) for row in connection.execute(statement)]


def accept_mismatch(control: Control, cause: str, who: str, reason: str, expires_us: int) -> None:
    """Record that a mismatch is known and why, until the acceptance runs out.

    Raises:
        UsageError: no reason is given, or the expiry is not in the future.
        NotFound: no open or accepted mismatch has this cause.
    """
    at_us = now_us()
    if not reason.strip():
        raise UsageError("a reason is missing", todo="give a reason")
    if expires_us <= at_us:
        raise UsageError("the expiry is in the past", todo="give an instant in the future")
    known = sa.and_(mismatches.c.cause == cause, mismatches.c.state != RESOLVED)
    values = {"state": ACCEPTED, "who": who, "reason": reason, "expires_us": expires_us, "dealt_us": at_us}
    with control.writing() as connection:
        if connection.execute(sa.update(mismatches).where(known).values(values)).rowcount == 0:
            raise NotFound(f"no mismatch to accept has the cause {cause!r}", todo="see `journeymesh strangler diff`")


def resolve_mismatches(control: Control, causes: Collection[str]) -> None:
    """Record that both sides agree again. With the last example of its kind the row that counts the others goes too."""
    if not causes:
        return
    with control.writing() as connection:
        for cause in causes:
            unresolved = sa.and_(mismatches.c.cause == cause, mismatches.c.state != RESOLVED)
            row = connection.execute(sa.select(mismatches).where(unresolved)).first()
            if row is None:
                continue
            resolved = sa.update(mismatches).values(state=RESOLVED, dealt_us=now_us())
            connection.execute(resolved.where(mismatches.c.cause == cause))
            left = sa.select(sa.func.count()).where(
                _of_kind(row.slice, row.classification, row.field),
                mismatches.c.state != RESOLVED, mismatches.c.subject != OTHERS,
            )  # fmt: skip
            if connection.execute(left).scalar_one() == 0:
                others = _others_cause(row.slice, row.classification, row.field)
                connection.execute(resolved.where(mismatches.c.cause == others))


def dealt_with_us(control: Control, slice_name: str) -> int | None:
    """When a mismatch of the slice was last accepted or resolved; None: never."""
    this = sa.and_(mismatches.c.slice == slice_name, mismatches.c.classification != REFUSED)
    last = sa.select(sa.func.max(mismatches.c.dealt_us)).where(this)
    with control.reading() as connection:
        found = connection.execute(last).scalar()
    return None if found is None else int(found)


def _is_open(at_us: int | None) -> sa.ColumnElement[bool]:
    at_us = now_us() if at_us is None else at_us
    ran_out = sa.and_(mismatches.c.state == ACCEPTED, mismatches.c.expires_us <= at_us)
    return sa.or_(mismatches.c.state == OPEN, ran_out)


def _of_kind(slice_name: str, classification: str, field: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        mismatches.c.slice == slice_name,
        mismatches.c.classification == classification,
        mismatches.c.field == field,
    )


def _seen_again(connection: sa.Connection, cause: str, at_us: int) -> bool:
    this = mismatches.c.cause == cause
    again = sa.case((mismatches.c.state == RESOLVED, OPEN), else_=mismatches.c.state)
    values = {"seen": mismatches.c.seen + 1, "last_seen_us": at_us, "state": again}
    return connection.execute(sa.update(mismatches).where(this).values(values)).rowcount > 0


def _record_first(connection: sa.Connection, found: LastingDifference, found_by: str, at_us: int) -> None:
    each = found.difference
    kind = _of_kind(found.slice, each.classification.value, each.field)
    held = connection.execute(sa.select(sa.func.count()).where(kind, mismatches.c.state != RESOLVED)).scalar_one()
    values: dict[str, Any] = {
        "cause": found.cause, "slice": found.slice, "policy": found.policy, "subject": each.subject,
        "at_us": each.at_us, "classification": each.classification.value, "field": each.field,
        "source_value": each.source_value, "target_value": each.target_value, "found_by": found_by,
        "first_seen_us": at_us, "last_seen_us": at_us, "seen": 1, "state": OPEN,
    }  # fmt: skip
    if held >= MOST_EXAMPLES:
        others = _others_cause(found.slice, each.classification.value, each.field)
        if _seen_again(connection, others, at_us):
            return
        values |= {"cause": others, "policy": "", "subject": OTHERS, "at_us": None}
        values |= {"source_value": None, "target_value": None}
    connection.execute(sa.insert(mismatches).values(values))


def _others_cause(slice_name: str, classification: str, field: str) -> str:
    key = "\0".join((slice_name, OTHERS, classification, field))
    return hashlib.blake2b(key.encode(), digest_size=13).hexdigest()


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
