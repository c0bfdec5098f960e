"""Backfill: a slice's past into its target, some vehicles at a time; each chunk carries how far it is.

A chunk corrects whole vehicles, so a backfill over a target that already holds them writes only what differs: finding
again what a lost position may have missed is the same work.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.engines.windows import journeys_touching, stored_rows
from journeymesh.errors import StoreCorrupt
from journeymesh.instants import from_us
from journeymesh.sources.vehicle_port import TooMuchAsked, VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.digests import table_digest
from journeymesh.stores.port import Run
from journeymesh.stores.rows import JourneyRow
from journeymesh.strangler.control import Control, backfills, now_us, of_target, put_row
from journeymesh.strangler.desired_state import Correction, DesiredState
from journeymesh.strangler.feed_session import FeedSession, Pace, Scope, advanced
from journeymesh.strangler.slices import Slice

RUNNING: Final = "running"
COMPLETE: Final = "complete"
FAILED: Final = "failed"
PAUSE_S: Final = 0.5
_VEHICLES_AT_ONCE: Final = 10_000


class ChunkDiffers(StoreCorrupt):
    """What the target holds after a chunk was written is not what was written.

    Of ``vehicle`` it holds ``held`` instead of ``wanted``.
    """

    def __init__(
        self, message: str, *, todo: str, vehicle: str, wanted: Sequence[JourneyRow], held: Sequence[JourneyRow]
    ) -> None:
        super().__init__(message, todo=todo)
        self.vehicle, self.wanted, self.held = vehicle, wanted, held


@dataclass(frozen=True, slots=True)
class BackfillState:
    """A backfill as recorded."""

    slice: str
    target: str
    state: str
    vehicles: int
    vehicles_done: int
    fixes: int
    started_us: int
    updated_us: int
    active_s: float
    throttled_s: float
    detail: str | None

    @property
    def fixes_per_s(self) -> float | None:
        """Fixes a second while at work; None before the first chunk."""
        return self.fixes / self.active_s if self.active_s > 0 and self.fixes else None


def backfill_id(slice_name: str) -> str:
    """The id of the run that carries how far a slice's backfill is."""
    return f"backfill:{slice_name}"


def backfill_of(control: Control, slice_name: str, target: str) -> BackfillState | None:
    """The backfill as recorded; None: it was not begun, or its record was cleared to begin anew."""
    with control.reading() as connection:
        row = connection.execute(sa.select(backfills).where(of_target(backfills, slice_name, target))).first()
    return None if row is None else BackfillState(*row)


def state_of(connection: sa.Connection, slice_name: str, target: str) -> str | None:
    """The state of a backfill; None: it was not begun."""
    return connection.execute(sa.select(backfills.c.state).where(of_target(backfills, slice_name, target))).scalar()


def begin_again(writing: AbstractContextManager[sa.Connection], slice_name: str, target: str, why: str | None) -> None:
    """Record that the slice has to be filled from its first vehicle on."""
    at_us = now_us()
    values: dict[str, Any] = {
        "state": RUNNING, "vehicles": 0, "vehicles_done": 0, "fixes": 0, "started_us": at_us,
        "updated_us": at_us, "active_s": 0.0, "throttled_s": 0.0, "detail": why,
    }  # fmt: skip
    with writing as connection:
        put_row(connection, backfills, {"slice": slice_name, "target": target}, values)


def slice_vehicles(session: FeedSession, wanted: Slice) -> list[str]:
    """Upstream's vehicles and the target's, as far as they are of the slice, by name."""
    scope = Scope.of([wanted.selector], [*session.policies, *session.store.policies()])
    if scope.names is not None:
        return sorted(scope.names)
    names = set(session.source.vehicles())
    after: str | None = None
    while page := session.store.vehicles_after(after, _VEHICLES_AT_ONCE):
        names.update(page)
        after = page[-1]
    return sorted(names)


@dataclass(slots=True)
class Backfill:
    """One slice's backfill, taken up where the target says it is."""

    session: FeedSession
    slice: Slice
    _names: list[str] = field(default_factory=list)
    _at: int = 0
    _run: Run | None = None
    _pace: Pace = field(init=False)
    _waits_until: float = 0.0
    _is_open: bool = False

    def __post_init__(self) -> None:
        self._pace = Pace(self.session.feed.chunk_fixes, first=1)

    def open(self) -> None:
        """List the slice's vehicles and find the one that was done last.

        The backfill must have been recorded by ``begin_again``.

        Raises:
            SourceUnreadable: the source cannot list its vehicles.
            StoreUnavailable: the control database or the target cannot be read or written.
        """
        state = backfill_of(self.session.control, self.slice.name, self.session.target)
        assert state is not None
        started_at = from_us(state.started_us)
        run = self.session.run(backfill_id(self.slice.name))
        if run is None or run.started_at != started_at:
            run = self.session.begun(backfill_id(self.slice.name), started_at)
        self._run = run
        self._names = slice_vehicles(self.session, self.slice)
        self._at = 0 if run.resume is None else bisect_right(self._names, run.resume)
        if self._at and run.counts.get("fixes"):
            self._pace.met(self._at, run.counts["fixes"])
        values: dict[str, Any] = {"vehicles": len(self._names), "vehicles_done": self._at, "state": RUNNING}
        self._record(values | {"fixes": run.counts.get("fixes", 0)})
        self._is_open = True

    def step(self) -> bool:
        """Do the next chunk, or wait for a source that is slow; whether all is done.

        Raises:
            ChunkDiffers: the target does not hold what was written, twice.
            TooMuchAsked: a single vehicle has more documents than the source gives at once.
        """
        if not self._is_open:
            self.open()
        if time.monotonic() < self._waits_until or self._is_slow():
            return False
        began = time.monotonic()
        assert self._run is not None
        chunk = self._names[self._at : self._at + self._pace.vehicles]
        if not chunk:
            nameless = self.session.corrections().nameless()
            run = advanced(self._run, self._run.resume, self._run.counts, finished=True)
            self.session.write(replace(nameless.batch, run=run), nameless)
            return True
        try:
            self._fill(chunk, began)
        except TooMuchAsked:
            if len(chunk) == 1:
                raise
            self._pace.too_many(len(chunk))
        return False

    @property
    def waits(self) -> bool:
        """Whether it is waiting for a slow source."""
        return time.monotonic() < self._waits_until

    def finish(self) -> None:
        """Record that it is complete."""
        self._record({"state": COMPLETE, "vehicles_done": len(self._names), "detail": None})

    def fail(self, why: str) -> None:
        """Record that it cannot go on, and have it taken up from the target's record when tried again."""
        self._is_open = False
        self._record({"state": FAILED, "detail": why})

    def _is_slow(self) -> bool:
        if self.session.source.latency_s() <= self.session.feed.max_source_latency_s:
            return False
        self._waits_until = time.monotonic() + PAUSE_S
        self._record({"throttled_s": backfills.c.throttled_s + PAUSE_S})
        return True

    def _fill(self, chunk: Sequence[str], began: float) -> None:
        assert self._run is not None
        counts = self._run.counts
        differing: tuple[int, DesiredState, list[JourneyRow]] | None = None
        for _ in range(2):
            correction = self.session.corrections().of(
                [VehicleTimes(name) for name in chunk], places=self.session.keeps_document_index
            )
            counts = self._run.counts | {"fixes": self._run.counts.get("fixes", 0) + correction.fixes}
            self._put(correction)
            differing = self._differing(correction.desired_states)
            if differing is None:
                break
        if differing is not None:
            number, desired, held = differing
            raise ChunkDiffers(
                f"store {self.session.target} differs from what was written to it: "
                f"vehicle {self._at + number + 1:,} of {len(self._names):,} by name",
                todo="run: journeymesh store verify; then apply again",
                vehicle=desired.vehicle, wanted=desired.journeys, held=held,
            )  # fmt: skip
        # The next batch carries it: a chunk that was not compared is done again.
        self._run = advanced(self._run, chunk[-1], counts)
        self._at += len(chunk)
        self._pace.met(len(chunk), correction.fixes)
        self._record(
            {
                "vehicles_done": self._at,
                "fixes": counts["fixes"],
                "active_s": backfills.c.active_s + (time.monotonic() - began),
            }
        )

    def _put(self, correction: Correction) -> None:
        if self.session.keeps_document_index:
            self.session.document_index().put(
                place for desired in correction.desired_states for place in desired.places
            )
        self.session.write(replace(correction.batch, run=self._run), correction)

    def _differing(self, desired_states: Sequence[DesiredState]) -> tuple[int, DesiredState, list[JourneyRow]] | None:
        """A vehicle of which the target holds other journeys than it should: its number, what it should hold and the
        journeys that it does hold; None: there is none."""
        for number, desired in enumerate(desired_states):
            held = stored_rows(journeys_touching(self.session.store, desired.times))
            if _digest(held) != _digest(desired.journeys):
                return number, desired, held
        return None

    def _record(self, values: dict[str, Any]) -> None:
        with self.session.recording() as connection:
            this = of_target(backfills, self.slice.name, self.session.target)
            connection.execute(sa.update(backfills).where(this).values(values | {"updated_us": now_us()}))


def _digest(journeys: Sequence[JourneyRow]) -> str:
    return table_digest(rows.STORED_SCHEMA, [rows.table_of(sorted(journeys, key=itemgetter(rows.ID)))])
