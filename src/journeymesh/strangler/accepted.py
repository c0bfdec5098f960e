"""Fixes that the door accepts: journaled first, then delivered to where the slice's truth is.

While legacy lives it stays the system of record: accepted fixes become legacy documents (the mapping inverted) and
reach the target as every other change does, so that a roll back loses none of them. Once a slice is retired they go
into its target. The journal makes acceptance durable while legacy is away, and a key accepted twice count once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from journeymesh.engines.port import Retention
from journeymesh.engines.recalculation import Recalculation
from journeymesh.errors import UsageError
from journeymesh.journeys.fixes import I64, Fixes
from journeymesh.journeys.policies import PoliciesByName, Policy
from journeymesh.journeys.rules import JourneyRules
from journeymesh.sources.vehicle_port import FixWriter
from journeymesh.stores.port import RulesUsed, Store, StoreBatch
from journeymesh.strangler.control import Control, accepted_writes, now_us
from journeymesh.strangler.plan import LEGACY
from journeymesh.strangler.routes import Route, Routes
from journeymesh.strangler.slices import Phase, Slice, slice_of

NO_SLICE: Final = ""
"""Fixes of vehicles or times that no slice holds. Their truth is legacy's."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What came of a batch: how many fixes, and whether the key had been accepted before."""

    fixes: int
    again: bool


def accept(
    control: Control, routes: Routes, policies: Sequence[Policy], fixes: Fixes, key: str, *, reverse_sync: bool
) -> Accepted:
    """Journal the fixes under this key, by slice.

    Raises:
        UsageError: a slice still has legacy and reverse sync is off, or the key was used for other fixes.
    """
    if not key or len(key) > 200:
        raise UsageError("the key is missing or longer than 200 characters", todo="give each batch a key of its own")
    parts = _by_slice(routes, policies, fixes)
    for name in parts:
        if not reverse_sync and not _outlived_legacy(routes.get(name)):
            raise UsageError(
                "fixes are accepted only where legacy is retired or reverse sync is on",
                todo="write to legacy, or set legacy.reverse_sync: true in the plan",
            )
    again = False
    with control.writing() as connection:
        for name, part in parts.items():
            content = content_of(part)
            row_key = f"{key}/{name}"
            held = connection.execute(sa.select(accepted_writes).where(accepted_writes.c.key == row_key)).first()
            if held is not None:
                if content_of(fixes_in(held.content)) != content:
                    raise UsageError(f"key {key!r} was used for other fixes", todo="give each batch a key of its own")
                again = True
                continue
            connection.execute(
                sa.insert(accepted_writes).values(key=row_key, slice=name, content=content, accepted_us=now_us())
            )
    return Accepted(len(fixes), again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliverer:
    """Delivers what was accepted, oldest first. Delivering twice changes nothing."""

    control: Control
    rules: JourneyRules
    policies: Callable[[], Sequence[Policy]]
    writer: Callable[[], FixWriter]
    store: Callable[[str], Store]
    retention: Callable[[str], Retention]

    def deliver(self, routes: Routes, limit: int = 100) -> int:
        """Deliver up to ``limit`` batches; returns how many were delivered.

        Raises:
            SourceUnreadable, StoreUnavailable: the first batch that cannot be delivered stays, and those behind it.
        """
        waiting = (
            sa.select(accepted_writes)
            .where(accepted_writes.c.delivered_us.is_(None))
            .order_by(accepted_writes.c.accepted_us, accepted_writes.c.key)
            .limit(limit)
        )
        with self.control.reading() as connection:
            rows = connection.execute(waiting).all()
        for row in rows:
            self._deliver(routes.get(row.slice), fixes_in(row.content))
            with self.control.writing() as connection:
                connection.execute(
                    sa.update(accepted_writes).where(accepted_writes.c.key == row.key).values(delivered_us=now_us())
                )
        return len(rows)

    def _deliver(self, route: Route | None, fixes: Fixes) -> None:
        if route is None or not _outlived_legacy(route):
            self.writer().put(fixes)
            return
        store = self.store(route.answering_name)
        recalculation = Recalculation(
            store=store,
            rules=self.rules,
            policies=self.policies(),
            retention=self.retention(route.answering_name),
            now=datetime.now(UTC),
            describe=_describe,
        )
        recalculated = recalculation.recalculate(fixes)
        store.write(StoreBatch(rules=RulesUsed.of(self.rules)))
        store.write(recalculated.batch)


def _outlived_legacy(route: Route | None) -> bool:
    """Whether the slice's truth is in a store: legacy was retired."""
    if route is None:
        return False
    return route.upstream != LEGACY or (route.phase is Phase.RETIRED and route.source == LEGACY)


def _by_slice(routes: Routes, policies: Sequence[Policy], fixes: Fixes) -> dict[str, Fixes]:
    """The fixes by the slice whose policy covers each."""
    timeline = PoliciesByName.of(policies).timeline(fixes.vehicles)
    slices = [route.slice for route in routes.routes]
    owner = np.full(len(fixes), -1, np.int64)
    held = [_only_slice(policy, slices) for policy in timeline.policies]
    for vehicle in range(len(fixes.vehicles)):
        rows = np.flatnonzero(fixes.vehicle == vehicle)
        at = fixes.fixed_at_us[rows]
        for span in range(timeline.first[vehicle], timeline.first[vehicle + 1]):
            inside = (at >= timeline.from_us[span]) & (at < timeline.to_us[span])
            owner[rows[inside]] = held[timeline.policy[span]]
    parts = {slices[k].name: fixes.take(owner == k) for k in np.unique(owner[owner >= 0])}
    if (owner < 0).any():
        parts[NO_SLICE] = fixes.take(owner < 0)
    return parts


def _only_slice(policy: Policy, slices: Sequence[Slice]) -> int:
    """The number of the slice that holds the policy, -1 for none."""
    found = slice_of(policy, slices)
    if len(found) > 1:
        what = f"slices {found[0].name!r} and {found[1].name!r} hold one policy"
        raise UsageError(what, todo="correct the plan so that they do not overlap")
    return slices.index(found[0]) if found else -1


def _describe(origins: I64) -> list[str]:
    return ["accepted"] * len(origins)


def content_of(fixes: Fixes) -> bytes:
    """The fixes as they are journaled: a vehicle is named where it has fixes among them, and nowhere else."""
    named, codes = np.unique(fixes.vehicle, return_inverse=True)
    vehicles = tuple(fixes.vehicles[code] for code in named)
    table = replace(fixes, vehicles=vehicles, vehicle=codes.astype(np.int32)).to_arrow()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def fixes_in(content: bytes) -> Fixes:
    """The fixes that were journaled."""
    with pa.ipc.open_stream(content) as reader:
        return Fixes.from_arrow(reader.read_all())
