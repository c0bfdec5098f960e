"""Reconciling: upstream and target compared vehicle by vehicle, down to the field, and repaired where that is wanted.

One chunk of vehicles is in memory at a time, whatever the size of the stores, and a run that was stopped goes on
behind its last chunk.

What a comparison of upstream and target found, recorded as mismatches, whichever command made it: `diff` lists
them, `status` counts them, and they close gates until they are repaired or accepted.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.local_time import DAY_US
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow
from journeymesh.strangler.backfill import ChunkDiffers, slice_vehicles
from journeymesh.strangler.control import Control, mismatches, now_us, reconciliations
from journeymesh.strangler.desired_state import Correction, DesiredState
from journeymesh.strangler.differences import Classification, Difference
from journeymesh.strangler.feed_session import FeedSession, Pace
from journeymesh.strangler.foreign_runs import note_compared, runs_of_others
from journeymesh.strangler.mismatches import RESOLVED, LastingDifference, record_mismatches, resolve_mismatches
from journeymesh.strangler.slices import Slice
from journeymesh.strangler.target_state import Day, VehicleState

_TRIES: Final = 5
_POLICY: Final = COLUMNS.index("policy")


@dataclass(frozen=True, slots=True)
class TargetDifference:
    """One thing that upstream and target do not agree on.

    ``policy`` None: outside any policy. ``subject`` is a journey's id, a refusal's, or ``fixes``; ``field`` is empty
    where the whole of it is missing or extra.
    """

    policy: str | None
    vehicle: str
    day: Day
    subject: str
    kind: Classification
    field: str
    source_value: Any
    target_value: Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some vehicles compared: what differs, and the batch that would put it right."""

    vehicles: Sequence[str]
    differences: Sequence[TargetDifference]
    days_compared: int
    correction: Correction


@dataclass(slots=True)
class Reconciliation:
    """Compares one slice. ``repair`` writes what puts each chunk right; without it nothing is written.

    Repairing works beside a running feeder: what was repaired is compared again until nothing differs.
    """

    session: FeedSession
    slice: Slice
    repair: bool = False
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    counts: Counter[str] = field(default_factory=Counter)

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk that was not compared yet, each recorded once it is dealt with.

        Raises:
            SourceUnreadable, StoreUnavailable: what was compared stays recorded; the same run id goes on behind it.
        """
        session = self.session
        resume = self._begin()
        names = [name for name in slice_vehicles(session, self.slice) if resume is None or name > resume]
        pace = Pace(session.feed.chunk_fixes)
        at = 0
        while at < len(names):
            chunk = names[at : at + pace.vehicles]
            found = self._compare(chunk)
            if self.repair and found.correction.changes_anything:
                self._put_right(found)
            pace.met(len(chunk), found.correction.fixes)
            at += len(chunk)
            self.counts["vehicles"] += len(chunk)
            self.counts["days"] += found.days_compared
            for difference in found.differences:
                self.counts[difference.kind.value] += 1
            yield found
            self._record(chunk[-1])
        self._record(names[-1] if names else resume, finished=True)

    def differences(self) -> Iterator[TargetDifference]:
        """Everything that differs, chunk after chunk."""
        for chunk in self.chunks():
            yield from chunk.differences

    def _compare(self, chunk: Sequence[str]) -> Chunk:
        correction = self.session.corrections().of([VehicleTimes(name) for name in chunk])
        found: list[TargetDifference] = []
        days = 0
        for desired, before, after in zip(
            correction.desired_states, correction.states_before, correction.states, strict=True
        ):
            days += len({(row[_POLICY], row[STARTED] // DAY_US) for row in desired.journeys})
            found += compared(desired, before, after)
        return Chunk(chunk, found, days, correction)

    def _put_right(self, found: Chunk) -> None:
        """Write the difference until there is none: a feeder may have written in between."""
        vehicles = sorted({difference.vehicle for difference in found.differences})
        correction = found.correction
        for _ in range(_TRIES):
            self.session.write(correction.batch, correction)
            correction = self.session.corrections().of([VehicleTimes(name) for name in vehicles])
            if not correction.changes_anything:
                break
        else:
            raise StoreUnavailable(
                f"store {self.session.target} changes faster than it can be repaired", todo="run the repair again"
            )
        self.counts["repaired"] += len(vehicles)

    def _begin(self) -> str | None:
        """Where to go on; None: from the first vehicle."""
        this = reconciliations.c.run_id == self.run_id
        with self.session.control.writing() as connection:
            row = connection.execute(sa.select(reconciliations).where(this)).first()
            if row is None:
                values = {"slice": self.slice.name, "started_us": now_us(), "updated_us": now_us(), "counts": "{}"}
                connection.execute(sa.insert(reconciliations).values(run_id=self.run_id, **values))
                return None
        self.counts.update(json.loads(row.counts))
        return None if row.resume is None else str(row.resume)

    def _record(self, resume: str | None, *, finished: bool = False) -> None:
        values: dict[str, Any] = {"resume": resume, "updated_us": now_us(), "counts": json.dumps(self.counts)}
        if finished:
            values["finished_us"] = now_us()
        with self.session.control.writing() as connection:
            this = reconciliations.c.run_id == self.run_id
            connection.execute(sa.update(reconciliations).where(this).values(values))


@dataclass(frozen=True, slots=True)
class ReconciliationState:
    """A reconciliation as recorded."""

    run_id: str
    slice: str
    started_us: int
    updated_us: int
    finished_us: int | None
    counts: dict[str, int]


def reconciliations_of(control: Control, slice_name: str | None = None) -> list[ReconciliationState]:
    """Reconciliations, newest first."""
    held = reconciliations.c
    statement = sa.select(reconciliations).order_by(held.started_us.desc())
    if slice_name is not None:
        statement = statement.where(held.slice == slice_name)
    with control.reading() as connection:
        found = connection.execute(statement).all()
    return [
        ReconciliationState(
            row.run_id, row.slice, row.started_us, row.updated_us, row.finished_us, json.loads(row.counts)
        )
        for row in found
    ]


def compared(desired: DesiredState, before: VehicleState, after: VehicleState) -> Iterator[TargetDifference]:
    """How a target that holds ``before`` differs from the desired state, which would make it hold ``after``."""
    vehicle = desired.vehicle
    yield from journeys_that_differ(vehicle, desired.journeys, before.journeys)
    for refusal_id in sorted(after.refusals.keys() - before.refusals.keys()):
        day = (after.refusals[refusal_id].fixed_us or 0) // DAY_US
        yield TargetDifference(None, vehicle, day, refusal_id, Classification.MISSING, "", "refused", None)
    for refusal_id in sorted(before.refusals.keys() - after.refusals.keys()):
        day = (before.refusals[refusal_id].fixed_us or 0) // DAY_US
        yield TargetDifference(None, vehicle, day, refusal_id, Classification.EXTRA, "", None, "refused")
    for day in sorted(after.days.keys() | before.days.keys()):
        one, other = after.days.get(day), before.days.get(day)
        if one == other:
            continue
        kind = Classification.VALUE
        if other is None or one is None:
            kind = Classification.MISSING if other is None else Classification.EXTRA
        shown = [None if digest is None else digest.hex() for digest in (one, other)]
        yield TargetDifference(None, vehicle, day, "fixes", kind, "digest", *shown)


def journeys_that_differ(
    vehicle: str, wanted: Iterable[JourneyRow], held: Iterable[JourneyRow]
) -> Iterator[TargetDifference]:
    """What differs between the journeys that a target should hold of a vehicle and those that it does hold."""
    ours, theirs = {row[ID]: row for row in wanted}, {row[ID]: row for row in held}
    for journey_id in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(journey_id), theirs.get(journey_id)
        known = one or other
        assert known is not None
        policy, day = known[_POLICY], known[STARTED] // DAY_US
        if one is None or other is None:
            kind = Classification.EXTRA if one is None else Classification.MISSING
            yield TargetDifference(policy, vehicle, day, journey_id, kind, "", _start(one), _start(other))
        elif rows.row_content(one) != rows.row_content(other):
            for name, mine, value in zip(COLUMNS, one, other, strict=True):
                if repr(mine) != repr(value):
                    yield TargetDifference(policy, vehicle, day, journey_id, Classification.VALUE, name, mine, value)


def _start(row: JourneyRow | None) -> int | None:
    return None if row is None else int(row[STARTED])


RECONCILE: Final = "reconcile"
BACKFILL: Final = "backfill"


def recorded_chunks(run: Reconciliation, *, is_resumed: bool = False) -> Iterator[Chunk]:
    """Every chunk of a comparison, each recorded before it is given out: what differs as open, what was repaired as
    resolved. At the end whatever an earlier comparison found and this one did not is resolved, unless this one was
    resumed and so compared only a part; and if nothing differs any more, what others wrote to the target is compared.
    """
    control, name, session = run.session.control, run.slice.name, run.session
    of_others = runs_of_others(session.store)  # before: what they write from here on may be missed
    standing: list[TargetDifference] = []
    for chunk in run.chunks():
        note_differences(control, name, chunk.differences)
        if run.repair:
            resolve_mismatches(control, {_found(name, each).cause for each in chunk.differences})
        else:
            standing += chunk.differences
        yield chunk
    if not is_resumed:
        note_equal(control, name, standing)
        if not standing:
            note_compared(control, name, session.target, of_others)


def note_differences(
    control: Control, slice_name: str, found: Iterable[TargetDifference], found_by: str = RECONCILE
) -> None:
    """Record differences that were found: each cause once."""
    record_mismatches(control, [_found(slice_name, each) for each in found], found_by)


def note_equal(control: Control, slice_name: str, still_differing: Sequence[TargetDifference] = ()) -> None:
    """Record that a whole comparison found nothing but these: what an earlier one found is resolved, and what a
    backfill did."""
    still = {_found(slice_name, each).cause for each in still_differing}
    resolve_mismatches(control, _unresolved(control, slice_name, (RECONCILE, BACKFILL)) - still)


def note_chunk(control: Control, slice_name: str, fault: ChunkDiffers) -> None:
    """Record what the target held instead of a chunk that a backfill wrote."""
    note_differences(control, slice_name, journeys_that_differ(fault.vehicle, fault.wanted, fault.held), BACKFILL)


def note_filled(control: Control, slice_name: str) -> None:
    """Record that a backfill read every chunk back as it was written: what an earlier one found is resolved."""
    resolve_mismatches(control, _unresolved(control, slice_name, (BACKFILL,)))


def _unresolved(control: Control, slice_name: str, found_by: Sequence[str]) -> set[str]:
    recorded = sa.select(mismatches.c.cause).where(
        mismatches.c.slice == slice_name, mismatches.c.found_by.in_(found_by), mismatches.c.state != RESOLVED
    )
    with control.reading() as connection:
        return set(connection.execute(recorded).scalars())


def _found(slice_name: str, each: TargetDifference) -> LastingDifference:
    difference = Difference(
        subject=each.subject,
        classification=each.kind,
        field=each.field,
        source_value=_shown(each.source_value),
        target_value=_shown(each.target_value),
        at_us=each.day * DAY_US,
    )
    return LastingDifference(slice_name, each.policy or "", difference)


def _shown(value: Any) -> str | None:
    return None if value is None else json.dumps(value, default=str, ensure_ascii=False)
