"""Reconciling: upstream and target compared vehicle by vehicle, down to the field, and repaired where that is wanted.

Digests by (policy, UTC day) tell at once what is equal; only days that differ are walked down. One chunk of vehicles
is held at a time, whatever the size of the stores, and a run that was stopped goes on behind its last chunk.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Any, Final

import sqlalchemy as sa

from journeymesh.errors import StoreUnavailable
from journeymesh.journeys.local_time import DAY_US
from journeymesh.sources.vehicle_port import VehicleTimes
from journeymesh.stores import rows
from journeymesh.stores.rows import COLUMNS, ID, STARTED, JourneyRow
from journeymesh.strangler.backfill import slice_vehicles
from journeymesh.strangler.contents import Content, Restated
from journeymesh.strangler.control import Control, now_us
from journeymesh.strangler.control_tables import reconciliations
from journeymesh.strangler.feeding import Feeding, Pace
from journeymesh.strangler.holdings import Day, Holding, read_holding
from journeymesh.strangler.slices import Slice

_TRIES: Final = 5
_POLICY: Final = COLUMNS.index("policy")


@unique
class DifferenceKind(StrEnum):
    """What differs, as seen from the target."""

    MISSING = "missing"
    """Upstream has it, the target lacks it."""
    EXTRA = "extra"
    """The target has it, upstream does not."""
    VALUE = "value"
    """Both have it, and a field differs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that upstream and target do not agree on.

    ``policy`` None: outside any policy. ``subject`` is a journey's id, a refusal's, or ``fixes``; ``field`` is empty
    where the whole of it is missing or extra.
    """

    policy: str | None
    vehicle: str
    day: Day
    subject: str
    kind: DifferenceKind
    field: str
    source_value: Any
    target_value: Any


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some vehicles compared: what differs, and the batch that would put it right."""

    vehicles: Sequence[str]
    differences: Sequence[Difference]
    days_compared: int
    restated: Restated


@dataclass(slots=True)
class Reconciliation:
    """Compares one slice. ``repair`` writes what puts each chunk right; without it nothing is written.

    Repairing works beside a running feeder: what was repaired is compared again until nothing differs.
    """

    feeding: Feeding
    slice: Slice
    repair: bool = False
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:16])
    counts: Counter[str] = field(default_factory=Counter)

    def chunks(self) -> Iterator[Chunk]:
        """Every chunk that was not compared yet, each recorded once it is dealt with.

        Raises:
            SourceUnreadable, StoreUnavailable: what was compared stays recorded; the same run id goes on behind it.
        """
        feeding = self.feeding
        resume = self._begin()
        names = [name for name in slice_vehicles(feeding, self.slice) if resume is None or name > resume]
        pace = Pace(feeding.feed.chunk_fixes)
        at = 0
        while at < len(names):
            chunk = names[at : at + pace.vehicles]
            found = self._compare(chunk)
            if self.repair and found.restated.changes_anything:
                self._put_right(found)
            pace.met(len(chunk), found.restated.fixes)
            at += len(chunk)
            self.counts["vehicles"] += len(chunk)
            self.counts["days"] += found.days_compared
            for difference in found.differences:
                self.counts[difference.kind.value] += 1
            yield found
            self._record(chunk[-1])
        self._record(names[-1] if names else resume, finished=True)

    def differences(self) -> Iterator[Difference]:
        """Everything that differs, chunk after chunk."""
        for chunk in self.chunks():
            yield from chunk.differences

    def _compare(self, chunk: Sequence[str]) -> Chunk:
        feeding = self.feeding
        restated = feeding.restater().restate([VehicleTimes(name) for name in chunk])
        found: list[Difference] = []
        days = 0
        spans = feeding.store.vehicles(chunk)
        for content, after in zip(restated.contents, restated.holdings, strict=True):
            before = read_holding(feeding.store, content.span, spans.get(content.vehicle))
            days += len(_by_day(content.journeys))
            found += compared(content, before, after)
        return Chunk(chunk, found, days, restated)

    def _put_right(self, found: Chunk) -> None:
        """Write the difference until there is none: a feeder may have written in between."""
        vehicles = sorted({difference.vehicle for difference in found.differences})
        restated = found.restated
        for _ in range(_TRIES):
            self.feeding.write(restated.batch, restated)
            restated = self.feeding.restater().restate([VehicleTimes(name) for name in vehicles])
            if not restated.changes_anything:
                break
        else:
            raise StoreUnavailable(
                f"store {self.feeding.target} changes faster than it can be repaired", todo="run the repair again"
            )
        self.counts["repaired"] += len(vehicles)

    def _begin(self) -> str | None:
        """Where to go on; None: from the first vehicle."""
        this = reconciliations.c.run_id == self.run_id
        with self.feeding.control.writing() as connection:
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
        with self.feeding.control.writing() as connection:
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


def compared(content: Content, before: Holding, after: Holding) -> Iterator[Difference]:
    """How a target that holds ``before`` differs from the content, which would make it hold ``after``."""
    vehicle = content.vehicle
    ours, theirs = _by_day(content.journeys), _by_day(before.journeys)
    wanted: dict[str, JourneyRow] = {}
    held: dict[str, JourneyRow] = {}
    for key in ours.keys() | theirs.keys():
        if _digest(ours.get(key, {}).values()) != _digest(theirs.get(key, {}).values()):
            wanted |= ours.get(key, {})
            held |= theirs.get(key, {})
    yield from _journeys_that_differ(vehicle, wanted, held)
    for refusal_id in sorted(after.refusals.keys() - before.refusals.keys()):
        day = (after.refusals[refusal_id].fixed_us or 0) // DAY_US
        yield Difference(None, vehicle, day, refusal_id, DifferenceKind.MISSING, "", "refused", None)
    for refusal_id in sorted(before.refusals.keys() - after.refusals.keys()):
        day = (before.refusals[refusal_id].fixed_us or 0) // DAY_US
        yield Difference(None, vehicle, day, refusal_id, DifferenceKind.EXTRA, "", None, "refused")
    for day in sorted(after.days.keys() | before.days.keys()):
        one, other = after.days.get(day), before.days.get(day)
        if one == other:
            continue
        kind = DifferenceKind.VALUE
        if other is None or one is None:
            kind = DifferenceKind.MISSING if other is None else DifferenceKind.EXTRA
        shown = [None if digest is None else digest.hex() for digest in (one, other)]
        yield Difference(None, vehicle, day, "fixes", kind, "digest", *shown)


_Key = tuple[str | None, Day]


def _by_day(journeys: Iterable[JourneyRow]) -> dict[_Key, dict[str, JourneyRow]]:
    """Journeys by (policy, UTC day on which they start), then by id."""
    found: dict[_Key, dict[str, JourneyRow]] = defaultdict(dict)
    for row in journeys:
        found[row[_POLICY], row[STARTED] // DAY_US][row[ID]] = row
    return found


def _digest(journeys: Iterable[JourneyRow]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for row in sorted(journeys, key=lambda row: str(row[ID])):
        digest.update(rows.row_content(row))
    return digest.digest()


def _journeys_that_differ(
    vehicle: str, wanted: dict[str, JourneyRow], held: dict[str, JourneyRow]
) -> Iterator[Difference]:
    for journey_id in sorted(wanted.keys() | held.keys()):
        one, other = wanted.get(journey_id), held.get(journey_id)
        known = one or other
        assert known is not None
        policy, day = known[_POLICY], known[STARTED] // DAY_US
        if one is None or other is None:
            kind = DifferenceKind.EXTRA if one is None else DifferenceKind.MISSING
            yield Difference(policy, vehicle, day, journey_id, kind, "", _start(one), _start(other))
            continue
        for name, mine, theirs in zip(COLUMNS, one, other, strict=True):
            if repr(mine) != repr(theirs):
                yield Difference(policy, vehicle, day, journey_id, DifferenceKind.VALUE, name, mine, theirs)


def journeys_that_differ(
    vehicle: str, wanted: Iterable[JourneyRow], held: Iterable[JourneyRow]
) -> Iterator[Difference]:
    """What differs between the journeys that a target should hold of a vehicle and those that it does hold."""
    return _journeys_that_differ(vehicle, {row[ID]: row for row in wanted}, {row[ID]: row for row in held})


def _start(row: JourneyRow | None) -> int | None:
    return None if row is None else int(row[STARTED])
