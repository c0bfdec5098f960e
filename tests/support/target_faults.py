"""What may be wrong in a target: a side that gives a right side's answers with one kind of fault in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from journeymesh.instants import to_us
from journeymesh.journeys.fixes import Fixes
from journeymesh.journeys.journey import JOURNEY_SCHEMA, journey_id
from journeymesh.journeys.policies import Policy
from journeymesh.stores.port import JourneyQuery
from journeymesh.strangler.differences import Classification
from journeymesh.strangler.questions import Side

Row = dict[str, Any]
Rows = list[Row]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault: what it does to an answer, and how it has to be found.

    ``asks``: journeys | journey | fixes | policies, the question that meets it.
    """

    name: str
    classification: Classification
    field: str
    rows: Callable[[Rows], Rows] | None = None
    table: Callable[[pa.Table], pa.Table] | None = None
    query: Callable[[JourneyQuery], JourneyQuery] | None = None
    fixes: Callable[[Fixes], Fixes] | None = None
    policies: Callable[[list[Policy]], list[Policy]] | None = None
    forgets_ids: bool = False
    asks: str = "journeys"


@dataclass(slots=True)
class FaultySide:
    """The side with the fault."""

    side: Side
    kind: Kind

    def journeys(self, query: JourneyQuery) -> pa.Table:
        kind = self.kind
        found = self.side.journeys(query if kind.query is None else kind.query(query))
        return self._spoilt(found)

    def journey(self, journey_id: str, tenant: str | None = None) -> pa.Table | None:
        if self.kind.forgets_ids:
            return None
        found = self.side.journey(journey_id, tenant)
        if found is None or self.kind.asks != "journeys":
            return found
        spoilt = self._spoilt(found)
        return spoilt if len(spoilt) else None

    def policies(self, number: str | None = None) -> list[Policy]:
        found = self.side.policies(number)
        return found if self.kind.policies is None else self.kind.policies(found)

    def fixes(self, vehicle: str, first: datetime, last: datetime) -> Fixes:
        found = self.side.fixes(vehicle, first, last)
        return found if self.kind.fixes is None else self.kind.fixes(found)

    def _spoilt(self, found: pa.Table) -> pa.Table:
        if self.kind.rows is not None:
            found = pa.Table.from_pylist(self.kind.rows(found.to_pylist()), schema=_ALL_NULLABLE)
            found = found.cast(JOURNEY_SCHEMA) if not any(found[name].null_count for name in _NEVER_NULL) else found
        return found if self.kind.table is None else self.kind.table(found)


_ALL_NULLABLE = pa.schema([field.with_nullable(True) for field in JOURNEY_SCHEMA])
_NEVER_NULL = [field.name for field in JOURNEY_SCHEMA if not field.nullable]


def _each(**changes: Callable[[Any], Any]) -> Callable[[Rows], Rows]:
    """Columns changed in every row."""
    return lambda rows: [row | {name: change(row[name]) for name, change in changes.items()} for row in rows]


def _late_start(rows: Rows) -> Rows:
    """The target's first journey began a minute later: it was made before its first fixes came."""
    if not rows:
        return rows
    started = rows[0]["started_at"] + timedelta(minutes=1)
    moved = {"started_at": started, "journey_id": journey_id(rows[0]["vehicle"], to_us(started)),
             "fixes": rows[0]["fixes"] - 30}  # fmt: skip
    return [rows[0] | moved, *rows[1:]]


def _ghost(rows: Rows) -> Rows:
    """A journey that was deleted in the source, a day after the last one."""
    if not rows:
        return rows
    moved = {name: rows[-1][name] + timedelta(days=1) for name in ("started_at", "ended_at")}
    ghost = moved | {"journey_id": journey_id(rows[-1]["vehicle"], to_us(moved["started_at"]))}
    return [*rows, rows[-1] | ghost]


def _retyped(name: str, kind: pa.DataType, values: Callable[[pa.ChunkedArray], Any]) -> Callable[[pa.Table], pa.Table]:
    def retype(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        return table.set_column(at, pa.field(name, kind), pa.array(values(table[name]), kind))

    return retype


def _to_ms(at: datetime) -> datetime:
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


def _first_hour(hours: Rows) -> Rows:
    return [{**hours[0], "distance_m": hours[0]["distance_m"] + 1.0}, *hours[1:]]


def _edge(query: JourneyQuery) -> JourneyQuery:
    end = query.started_to
    return replace(query, started_to=None if end is None else end + timedelta(microseconds=1))


def _begin_edge(query: JourneyQuery) -> JourneyQuery:
    begin = query.started_from
    return replace(query, started_from=None if begin is None else begin + timedelta(microseconds=1))


def _swapped(rows: Rows) -> Rows:
    return [row | {"start_lat_deg": row["start_lat_deg"], "start_lon_deg": row["start_lat_deg"],
                   "end_lat_deg": row["end_lon_deg"], "end_lon_deg": row["end_lat_deg"]} for row in rows]  # fmt: skip


def _without_fix(fixes: Fixes) -> Fixes:
    return fixes.take(slice(1, None))


def _rounded_fix(fixes: Fixes) -> Fixes:
    return replace(fixes, lat_deg=np.round(fixes.lat_deg, 5))


_C = Classification
KINDS = (
    Kind("an insert is lost", _C.MISSING, "journey_id", rows=lambda rows: rows[1:]),
    Kind("a delete is lost", _C.EXTRA, "journey_id", rows=_ghost),
    Kind("a journey is there twice", _C.EXTRA, "journey_id", rows=lambda rows: [*rows[:1], *rows]),
    Kind("the order is another", _C.ORDER, "journey_id", rows=lambda rows: rows[::-1]),
    Kind("late fixes are lost", _C.LATE_WRITE, "fixes",
         rows=_each(fixes=lambda n: n - 1, distance_m=lambda m: m - 20.0)),
    Kind("the first fixes came late", _C.LATE_WRITE, "fixes", rows=_late_start),
    Kind("a float drifts by a billionth", _C.VALUE, "distance_m", rows=_each(distance_m=lambda m: m * (1 + 1e-9))),
    Kind("a float loses its last bit", _C.VALUE, "end_lat_deg", rows=_each(end_lat_deg=lambda x: np.nextafter(x, 0))),
    Kind("a float is stored in half the bits", _C.TYPE, "distance_m",
         table=_retyped("distance_m", pa.float32(), lambda column: column.to_pylist())),
    Kind("an id is a number", _C.TYPE, "vehicle", table=_retyped("vehicle", pa.int64(), lambda c: [0] * len(c))),
    Kind("a count is text", _C.TYPE, "fixes", table=_retyped("fixes", pa.string(), lambda c: map(str, c.to_pylist()))),
    Kind("an instant has another zone", _C.TYPE, "started_at",
         table=_retyped("started_at", pa.timestamp("us", "Europe/London"), lambda column: column.to_pylist())),
    Kind("an instant loses its microseconds", _C.VALUE, "ended_at", rows=_each(ended_at=_to_ms)),
    Kind("an instant is stored in milliseconds", _C.TYPE, "ended_at",
         table=_retyped("ended_at", pa.timestamp("ms", "UTC"), lambda column: map(_to_ms, column.to_pylist()))),
    Kind("the clock is an hour off", _C.VALUE, "ended_at", rows=_each(ended_at=lambda at: at + timedelta(hours=1))),
    Kind("the zone is another", _C.VALUE, "zone", rows=_each(zone=lambda _: "Europe/Paris")),
    Kind("the rules are stale", _C.RULES_VERSION, "rules_version", rows=_each(rules_version=lambda _: "2025.9")),
    Kind("latitude and longitude are swapped", _C.VALUE, "end_lat_deg", rows=_swapped),
    Kind("a list is cut short", _C.VALUE, "hours", rows=_each(hours=lambda hours: hours[:-1])),
    Kind("a harsh event is lost", _C.VALUE, "harsh_events", rows=_each(harsh_events=lambda events: events[1:])),
    Kind("an hour's profile changed", _C.VALUE, "hours[0].distance_m", rows=_each(hours=_first_hour)),
    Kind("a journey is another policy's", _C.VALUE, "policy", rows=_each(policy=lambda _: "P1")),
    Kind("a journey is under another policy", _C.MISSING, "journey_id", query=lambda q: replace(q, policy="P1")),
    Kind("the tenant is another", _C.VALUE, "tenant", rows=_each(tenant=lambda _: "south")),
    Kind("the product is another", _C.VALUE, "product", rows=_each(product=lambda _: "van")),
    Kind("a policy's tenant is null", _C.VALUE, "tenant", rows=_each(tenant=lambda _: None)),
    Kind("a zero is null", _C.VALUE, "bridged_s", rows=_each(bridged_s=lambda _: None)),
    Kind("a zero has another sign", _C.VALUE, "bridged_s", rows=_each(bridged_s=lambda _: -0.0)),
    Kind("a zero is no number", _C.VALUE, "bridged_s", rows=_each(bridged_s=lambda _: float("nan"))),
    Kind("a count is one off", _C.VALUE, "harsh_braking", rows=_each(harsh_braking=lambda n: n + 1)),
    Kind("a column is missing", _C.TYPE, "quarantined", table=lambda table: table.drop_columns(["quarantined"])),
    Kind("a period's end is inclusive", _C.EXTRA, "journey_id", query=_edge, asks="period"),
    Kind("a period's begin is exclusive", _C.MISSING, "journey_id", query=_begin_edge, asks="period"),
    Kind("a page is longer than asked", _C.VALUE, "rows", query=lambda q: replace(q, limit=None), asks="page"),
    Kind("a page is cut short", _C.MISSING, "journey_id", query=lambda q: replace(q, limit=1), asks="page"),
    Kind("a successor is lost", _C.MISSING, "journey_id", forgets_ids=True, asks="journey"),
    Kind("a kept fix is lost", _C.MISSING, "fixed_at", fixes=_without_fix, asks="fixes"),
    Kind("a kept fix is rounded", _C.VALUE, "lat_deg", fixes=_rounded_fix, asks="fixes"),
    Kind("a policy is lost", _C.MISSING, "valid_from_us", policies=lambda _: [], asks="policies"),
    Kind("a policy's zone is another", _C.VALUE, "zone",
         policies=lambda held: [replace(policy, zone="Europe/Paris") for policy in held], asks="policies"),
)  # fmt: skip
